//! Profiles as other tools read them: pprof's protobuf, folded lines, flame graphs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::GzDecoder;
use prost::Message;
use trace_analysis::symbols::{Function, Symbols};
use trace_format::read::Module;
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
    let (mut bytes, gzipped) = (Vec::new(), written(Format::Pprof, false));
    GzDecoder::new(gzipped.as_slice()).read_to_end(&mut bytes).expect("gzip");
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
    let unknown = ["libapp.so+0x50:0", "0x9000:0"];
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

#[test]
fn equal_profiles_are_equal_files() {
    assert!(written(Format::Pprof, false) == written(Format::Pprof, false));
    assert!(written(Format::Svg, false) == written(Format::Svg, false));
}

#[test]
fn folded_lines_go_from_the_outside_in_and_add_threads_up() {
    let lines = String::from_utf8(written(Format::Folded, false)).expect("text");
    // A semicolon in a name would be a function of its own.
    let expected = "0x9000;libapp.so+0x50 500000\n\
        [no stack] 7\n\
        app::main;app::work<[u8: 4]>;app::lock;std::sync::Mutex<T>::lock 6000000\n";
    assert_eq!(lines, expected);
    let lines = String::from_utf8(written(Format::Folded, true)).expect("text");
    assert!(lines.ends_with("app::main;app::work<[u8: 4]>;app::lock 6000000\n"), "{lines}");
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
