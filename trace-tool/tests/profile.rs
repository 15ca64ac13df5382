//! Profiles as other tools read them: pprof's protobuf, folded lines, flame graphs.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use common::Bench;
use flate2::read::GzDecoder;
use prost::Message;
use trace_analysis::symbols::{Function, Symbols};
use trace_format::batch::Compression;
use trace_format::read::Module;
use trace_format::testgen::{TraceBuilder, everything};
use trace_format::time::Nanos;
use trace_tool::profile::message::{self, Location};
use trace_tool::profile::{Code, Format, Kind, Profile, Row, write};

const COUNT: Kind = Kind { name: "contentions", unit: "count" };
const KINDS: [Kind; 2] = [COUNT, Kind { name: "delay", unit: "nanoseconds" }];

/// `main` calls `work`, into which `lock` was inlined; the recorder is innermost.
const LOCKED: [u64; 4] = [0x1010, 0x1020, 0x1030, 0x2040];
const PARKED: [u64; 2] = [0x1030, 0x2040];
const UNKNOWN: [u64; 2] = [0x2050, 0x9000];

fn symbols() -> Symbols {
    let mut symbols = Symbols::default();
    for module in modules().into_values() {
        symbols.add_module(module);
    }
    let function = |name: &str, line| {
        let (name, file) = (name.to_owned(), "src/app.rs".to_owned());
        Function { name, file, line }
    };
    symbols.add(0x1010, vec![function("trace_runtime::os::wait", 1)]);
    symbols.add(0x1020, vec![function("syscall", 2)]);
    let inlined = [("std::sync::Mutex<T>::lock", 3), ("app::lock", 4), ("app::work<[u8; 4]>", 5)];
    symbols.add(0x1030, inlined.map(|(name, line)| function(name, line)).to_vec());
    symbols.add(0x2040, vec![function("app::main", 6)]);
    symbols
}

fn modules() -> BTreeMap<u64, Module> {
    let module = |first: u64, path: &str| {
        let (path, build_id) = (path.to_owned(), vec![0xab, first as u8]);
        (first, Module { first, last: first + 0x1000, bias: first, build_id, path })
    };
    BTreeMap::from([module(0x1000, "/usr/bin/app"), module(0x2000, "/usr/lib/libapp.so")])
}

fn profile() -> Profile<'static> {
    let row = |addresses: &'static [u64], thread: &str, count, nanos| {
        let (thread, values) = (thread.to_owned(), [count, nanos, 0, 0]);
        Row { addresses, thread, values }
    };
    Profile {
        title: "app: waiting".to_owned(),
        kinds: &KINDS,
        shown: 1,
        period: (COUNT, 1),
        wall: Nanos(1_700_000_000_000_000_000),
        length: Nanos(5_000_000_000),
        rows: vec![
            row(&LOCKED, "worker", 3, 3_000_000),
            row(&PARKED, "worker", 1, 1_000_000),
            row(&PARKED, "main", 2, 2_000_000),
            row(&UNKNOWN, "main", 1, 500_000),
            row(&[], "main", 1, 7),
        ],
    }
}

fn written(format: Format, without_std: bool) -> Vec<u8> {
    let (symbols, modules) = (symbols(), modules());
    let code = Code { symbols: &symbols, modules: &modules, without_std };
    let mut out = Vec::new();
    write(&profile(), code, format, &mut out).expect("memory");
    out
}

fn decoded() -> message::Profile {
    decode(&written(Format::Pprof, false))
}

fn decode(gzipped: &[u8]) -> message::Profile {
    let mut bytes = Vec::new();
    GzDecoder::new(gzipped).read_to_end(&mut bytes).expect("gzip");
    message::Profile::decode(bytes.as_slice()).expect("protobuf")
}

fn text(profile: &message::Profile, at: i64) -> &str {
    &profile.string_table[usize::try_from(at).expect("a place")]
}

/// A location's functions, as `name:line`, innermost first.
fn functions(profile: &message::Profile, location: &Location) -> Vec<String> {
    let name = |id: u64| {
        let function = profile.function.iter().find(|function| function.id == id);
        text(profile, function.expect("a line's function is there").name)
    };
    location.line.iter().map(|line| format!("{}:{}", name(line.function_id), line.line)).collect()
}

#[test]
fn pprof_gets_stacks_innermost_first_with_threads_and_both_weights() {
    let profile = decoded();
    let sample = |sample: &message::Sample| {
        let locations = sample.location_id.iter();
        let of = |id: &u64| profile.location.iter().find(|it| it.id == *id).expect("it is there");
        let stack: Vec<_> = locations.flat_map(|id| functions(&profile, of(id))).collect();
        let label = &sample.label[0];
        assert_eq!(text(&profile, label.key), "thread");
        (text(&profile, label.str).to_owned(), stack, sample.value.clone())
    };
    let samples: BTreeSet<_> = profile.sample.iter().map(sample).collect();
    let locked =
        ["std::sync::Mutex<T>::lock:3", "app::lock:4", "app::work<[u8; 4]>:5", "app::main:6"];
    // The word behind the end of the stack is no function.
    let unknown = ["libapp.so+0x50:0"];
    let expected = [
        // Once the recorder is out of the way both stacks of the worker are one.
        ("worker", locked.as_slice(), [4, 4_000_000]),
        ("main", locked.as_slice(), [2, 2_000_000]),
        ("main", unknown.as_slice(), [1, 500_000]),
        ("main", ["[no stack]:0"].as_slice(), [1, 7]),
    ];
    let expected = expected.map(|(thread, stack, values)| {
        let stack = stack.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        (thread.to_owned(), stack, values.to_vec())
    });
    assert_eq!(samples, BTreeSet::from(expected));
}

#[test]
fn pprof_is_told_what_it_needs_by_the_names_that_go_uses() {
    let profile = decoded();
    let kinds: Vec<_> =
        profile.sample_type.iter().map(|kind| text(&profile, kind.r#type)).collect();
    assert_eq!(kinds, ["contentions", "delay"]);
    let units: Vec<_> = profile.sample_type.iter().map(|kind| text(&profile, kind.unit)).collect();
    assert_eq!(units, ["count", "nanoseconds"]);
    assert_eq!(text(&profile, profile.default_sample_type), "delay");
    assert_eq!(profile.string_table[0], "");
    assert_eq!(
        (profile.time_nanos, profile.duration_nanos),
        (1_700_000_000_000_000_000, 5_000_000_000)
    );
    let distinct: BTreeSet<_> = profile.string_table.iter().collect();
    assert_eq!(distinct.len(), profile.string_table.len(), "each text stands there once");
}

#[test]
fn locations_lie_in_their_mappings_and_all_numbers_lead_somewhere() {
    let profile = decoded();
    let ids = |ids: Vec<u64>| assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    ids(profile.location.iter().map(|location| location.id).collect());
    ids(profile.function.iter().map(|function| function.id).collect());
    ids(profile.mapping.iter().map(|mapping| mapping.id).collect());
    let app = &profile.mapping[0];
    assert_eq!(
        (text(&profile, app.filename), text(&profile, app.build_id)),
        ("/usr/bin/app", "ab00")
    );
    assert!(app.has_functions && app.has_filenames && app.has_line_numbers);
    assert!(app.has_inline_frames && !profile.mapping[1].has_inline_frames);
    for location in &profile.location {
        match location.mapping_id {
            0 => assert!([0, 0x9000].contains(&location.address)),
            id => {
                let mapping = &profile.mapping[id as usize - 1];
                let memory = mapping.memory_start..mapping.memory_limit;
                assert!(memory.contains(&location.address), "{location:?}");
            }
        }
        functions(&profile, location);
    }
}

/// The real one, if `PPROF` says where it is: `.ci/run` has it do so.
#[test]
fn pprof_itself_reads_them_and_comes_to_the_same_sums() {
    let Some(pprof) = std::env::var_os("PPROF") else {
        eprintln!("PPROF is not set: pprof did not read anything");
        return;
    };
    let bench = Bench::new(&memory());
    std::fs::write(bench.path("wait.pb.gz"), written(Format::Pprof, false)).expect("room");
    assert_eq!(bench.run("profile FILE --kind heap -o heap.pb.gz").code, Some(0));
    let shown = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&pprof);
        command.args(arguments).current_dir(bench.path(""));
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let raw = shown(&["-raw", "wait.pb.gz"]);
    for text in [
        "contentions/count delay/nanoseconds[dflt]",
        "PeriodType: contentions count",
        "4    4000000: ",
        "thread:[worker]",
        "app::lock src/app.rs:4",
        "/usr/bin/app ab00 [FN][FL][LN][IN]",
    ] {
        assert!(raw.contains(text), "{text} is not in\n{raw}");
    }
    let top = shown(&["-top", "-unit=us", "wait.pb.gz"]);
    assert!(top.contains("Total samples = 6500.01us"), "{top}");
    let top = shown(&["-top", "-sample_index=alloc_objects", "heap.pb.gz"]);
    assert!(top.contains("Type: alloc_objects") && top.contains("app::grow"), "{top}");
}

/// A program that allocates twice at each of two places, and frees three of the four.
fn memory() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::Lz4);
    trace.thread(1, "main");
    trace.heap(0, (0, 0), (0, 0));
    trace.stack(1, &[0x1000, 0x1020]);
    trace.stack(2, &[0x1010, 0x1020]);
    trace.symbol(0x1000, &[("app::grow", "app.rs", 1)]);
    trace.symbol(0x1010, &[("app::shrink", "app.rs", 2)]);
    trace.symbol(0x1020, &[("app::main", "app.rs", 3)]);
    // So much more than the mean between samples that each stands for itself alone.
    const BYTES: u64 = 1 << 30;
    for (sample, at, stack) in [(1, 1000, 1), (2, 2000, 2), (3, 3000, 1), (4, 4000, 2)] {
        trace.alloc(1, at, sample, BYTES, stack);
    }
    for (sample, at) in [(2, 5000), (4, 6000), (1, 7000)] {
        trace.free(1, at, sample);
    }
    trace.stop(10_000)
}

#[test]
fn of_a_heap_what_lives_is_shown_and_what_was_allocated_is_there() {
    let bench = Bench::new(&memory());
    let folded = |more: &str| {
        let run = bench.run(&format!("profile FILE --kind heap --format folded -o - {more}"));
        assert_eq!((run.err.as_str(), run.code), ("", Some(0)));
        run.out
    };
    assert_eq!(folded(""), "app::main;app::grow 1073741824\n");
    let both = "app::main;app::grow 2147483648\napp::main;app::shrink 1073741824\n";
    assert_eq!(folded("--at 5500ns"), both);
    let run = bench.run("profile FILE --kind heap");
    assert_eq!(run.out, "2 stacks in a.heap.pb.gz: open it with go tool pprof\n");
    let bytes = std::fs::read(bench.path("a.heap.pb.gz")).expect("it was written");
    let profile = decode(&bytes);
    let mut values: Vec<_> = profile.sample.iter().map(|sample| sample.value.clone()).collect();
    values.sort();
    assert_eq!(values, [[2, 2 << 30, 0, 0], [2, 2 << 30, 1, 1 << 30]]);
    assert_eq!(text(&profile, profile.default_sample_type), "inuse_space");
    assert_eq!(profile.period, 512 * 1024);
}

#[test]
fn a_trace_without_what_is_asked_for_says_why() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("sched", false, "perf_event_open: permission denied");
    trace.region(1, 1, 1000, 10);
    let bench = Bench::new(&trace.stop(5000));
    for (kind, why) in [
        ("sched", "`sched` was off: perf_event_open: permission denied"),
        ("heap", "recorded without `heap`"),
        ("cpu", "recorded without `samples`"),
    ] {
        let run = bench.run(&format!("profile FILE --kind {kind} -o - --format folded"));
        assert_eq!((run.out.as_str(), run.code), ("", Some(0)), "{kind}");
        assert!(run.err.contains(why) && run.err.lines().count() == 1, "{kind}: {}", run.err);
        let run = bench.run(&format!("profile FILE --kind {kind} -o a.pb.gz"));
        assert_eq!(run.code, Some(0), "an empty profile is one: {}", run.err);
    }
    for line in [
        "profile FILE --kind sched --format svg -o a.svg",
        "profile FILE --kind sched --at 1ms",
        "profile FILE --kind heap --thread main",
        "profile FILE --kind block -o FILE",
        "profile FILE",
    ] {
        assert_eq!(bench.run(line).code, Some(2), "{line}");
    }
}

#[test]
fn a_damaged_trace_is_profiled_as_far_as_it_goes_and_loudly() {
    let mut bytes = memory();
    bytes.truncate(bytes.len() - 60);
    let bench = Bench::new(&bytes);
    for line in ["profile FILE --kind heap -o a.pb.gz", "symbolize FILE -o b.trace"] {
        let run = bench.run(line);
        assert_eq!(run.code, Some(1), "{line}");
        assert!(!run.err.is_empty(), "{line}");
    }
    let whole = std::fs::read(bench.path("a.pb.gz")).expect("it was written");
    assert!(!decode(&whole).sample.is_empty());
    assert_eq!(bench.run("check b.trace").code, Some(1), "what was missing is still missing");
    for kind in ["block", "sync", "net", "io", "syscall", "sched", "cpu", "heap"] {
        let bench = Bench::new(&everything(Compression::None));
        let run = bench.run(&format!("profile FILE --kind {kind} -o {kind}.pb.gz"));
        assert!(matches!(run.code, Some(0 | 1)), "{kind}: {}", run.err);
        decode(&std::fs::read(bench.path(&format!("{kind}.pb.gz"))).expect("it was written"));
    }
}

#[test]
fn equal_profiles_are_equal_files() {
    assert!(written(Format::Pprof, false) == written(Format::Pprof, false));
    assert!(written(Format::Svg, false) == written(Format::Svg, false));
}

#[test]
fn folded_lines_go_from_the_outside_in_and_add_threads_up() {
    let lines = String::from_utf8(written(Format::Folded, false)).expect("text");
    // A semicolon in a name would be a function of its own.
    let expected = "[no stack] 7\n\
        app::main;app::work<[u8: 4]>;app::lock;std::sync::Mutex<T>::lock 6000000\n\
        libapp.so+0x50 500000\n";
    assert_eq!(lines, expected);
    let lines = String::from_utf8(written(Format::Folded, true)).expect("text");
    assert!(lines.contains("app::main;app::work<[u8: 4]>;app::lock 6000000\n"), "{lines}");
}

#[test]
fn a_flame_graph_has_every_function_that_can_be_seen_and_the_title() {
    let svg = String::from_utf8(written(Format::Svg, false)).expect("text");
    assert!(svg.starts_with("<?xml") && svg.trim_end().ends_with("</svg>"));
    for text in ["app::main", "Mutex&lt;T&gt;::lock (6,000 us", "app: waiting", "libapp.so+0x50"] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(!svg.contains("[no stack]"), "a millionth of the width is nothing to see");
}
