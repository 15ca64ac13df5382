//! Profiles as other tools read them: the real `pprof`, folded lines, flame graphs.
//!
//! Elsewhere: what stands in pprof's messages (`trace-export/tests/pprof.rs`).

use crate::common::{Bench, json};
use crate::sample::{decode, modules, profile, symbols, text};
use trace_export::profile::{Code, message};
use trace_format::batch::Compression;
use trace_format::id::CallId;
use trace_format::testgen::{TraceBuilder, everything, open_call, os_id};
use trace_tool::profile::{Format, write};

fn written(format: Format, without_std: bool) -> Vec<u8> {
    let (symbols, modules) = (symbols(), modules());
    let code = Code { symbols: &symbols, modules: &modules, without_std };
    let mut out = Vec::new();
    write(&profile(), code, format, &mut out).expect("memory");
    out
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
    assert_eq!(run.out, "wrote a.heap.pb.gz: 2 stacks; open it with go tool pprof\n");
    let bytes = std::fs::read(bench.path("a.heap.pb.gz")).expect("it was written");
    let profile = decode(&bytes);
    let mut values: Vec<_> = profile.sample.iter().map(|sample| sample.value.clone()).collect();
    values.sort();
    assert_eq!(values, [[2, 2 << 30, 0, 0], [2, 2 << 30, 1, 1 << 30]]);
    assert_eq!(text(&profile, profile.default_sample_type), "inuse_space");
    assert_eq!(profile.period, 512 * 1024);
}

#[test]
fn profiles_add_up_to_what_threads_says_of_each_thread() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.facility("samples", true, "");
    for (id, name) in [(1, "sampled"), (2, "unseen")] {
        trace.thread(id, name);
        trace.stack(id, &[0x100 * u64::from(id)]);
        trace.symbol(0x100 * u64::from(id), &[("app::work", "src/main.rs", id)]);
    }
    // Both run on a CPU of their own, and wait, the second for its CPU, too.
    for (cpu, id) in [(0, 1), (1, 2)] {
        trace.switch_in(cpu, 0, os_id(id));
        trace.call(id, open_call(CallId::NANOSLEEP, 0, id), 30_001, 20_000, 0);
        trace.switch_out(cpu, 30_002, os_id(id), false);
        trace.switch_in(cpu, 50_000, os_id(id));
    }
    // Three samples do not divide the time evenly.
    for at in [7_000, 9_000, 60_000] {
        trace.sample(0, at, os_id(1), 1);
    }
    trace.switch_out(1, 70_000, os_id(2), true);
    trace.switch_in(1, 77_777, os_id(2));
    let bench = Bench::new(&trace.stop(100_000));
    let lives = json(&bench.run("threads FILE --json"))["lives"]["threads"].clone();
    for (kind, fields) in [
        ("cpu", &["running_ns", "in_calls_ns"][..]),
        ("sched", &["ready_ns"]),
        ("block", &["blocked_ns"]),
    ] {
        let run = bench.run(&format!("profile FILE --kind {kind} -o {kind}.pb.gz"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{kind}");
        let bytes = std::fs::read(bench.path(&format!("{kind}.pb.gz"))).expect("it was written");
        let (profile, all) = (decode(&bytes), lives.as_array().expect("threads"));
        let number = |life: &serde_json::Value, field| life[field].as_u64().expect("a time");
        let told = all.iter().map(|life| fields.iter().map(|field| number(life, *field)).sum());
        let shown = all.iter().map(|life| of_thread(&profile, &life["name"]));
        let (told, shown): (Vec<u64>, Vec<u64>) = (told.collect(), shown.collect());
        // Of a time that is divided among samples each part is cut to whole nanoseconds.
        let is_near = |(told, shown): (&u64, &u64)| *shown <= *told && *told < *shown + 3;
        assert!(told.iter().zip(&shown).all(is_near), "{kind}: {told:?} and {shown:?}");
        assert!(told.iter().sum::<u64>() > 0, "{kind}: {told:?}");
    }
}

/// The nanoseconds that a profile has of a thread.
fn of_thread(profile: &message::Profile, name: &serde_json::Value) -> u64 {
    let is_its = |label: &message::Label| text(profile, label.str) == name;
    let samples = profile.sample.iter().filter(|sample| sample.label.iter().any(is_its));
    samples.map(|sample| u64::try_from(sample.value[1]).expect("a time")).sum()
}

#[test]
fn a_trace_without_what_is_asked_for_says_what_to_switch_on_and_no_file_is_written() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("sched", false, "perf_event_open: permission denied");
    trace.region(1, 1, 1000, 10);
    let bench = Bench::new(&trace.stop(5000));
    for (kind, why) in [
        ("sched", "`sched` was off: perf_event_open: permission denied\n"),
        ("heap", "recorded without `heap`; build with exectrace's feature `heap`, and make"),
        ("cpu", "recorded without `samples`; build with exectrace's feature `sched`, and record"),
        ("block", "recorded without `os`; build with exectrace's feature `os`\n"),
    ] {
        for more in ["-o - --format folded", "-o out", "-o out --format svg", ""] {
            let run = bench.run(&format!("profile FILE --kind {kind} {more}"));
            assert_eq!((run.out.as_str(), run.code), ("", Some(2)), "{kind} {more}");
            assert!(run.err.contains(why) && run.err.lines().count() == 1, "{kind}: {}", run.err);
        }
    }
    let files = std::fs::read_dir(bench.path("")).expect("it is there");
    let files = files.map(|file| file.expect("it can be read").file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["a.trace"]);
    for line in [
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
        let written = std::fs::read(bench.path(&format!("{kind}.pb.gz")));
        match run.code {
            Some(0 | 1) => _ = decode(&written.expect("it was written")),
            code => {
                assert_eq!((code, written.is_err()), (Some(2), true), "{kind}: {}", run.err);
                assert!(run.err.contains("nothing of this kind"), "{kind}: {}", run.err);
            }
        }
    }
}

#[test]
fn equal_profiles_are_equal_graphs() {
    assert!(written(Format::Svg, false) == written(Format::Svg, false));
}

#[test]
fn the_kernel_stands_behind_the_function_that_called_it() {
    let mut kernel = profile();
    kernel.rows.truncate(1);
    kernel.rows.push(kernel.rows[0].clone());
    kernel.rows[1].is_kernel = true;
    let (symbols, modules) = (symbols(), modules());
    let code = Code { symbols: &symbols, modules: &modules, without_std: false };
    let mut out = Vec::new();
    write(&kernel, code, Format::Folded, &mut out).expect("memory");
    let lines = String::from_utf8(out).expect("text");
    let lines: Vec<_> = lines.lines().collect();
    let [plain, kernel] = lines.as_slice() else { panic!("{lines:?}") };
    let (stack, weight) = plain.rsplit_once(' ').expect("a weight");
    assert_eq!(*kernel, format!("{stack};[kernel] {weight}"));
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
