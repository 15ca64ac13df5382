//! `exectrace symbolize`, which puts names into a trace.
//!
//! Elsewhere: where names come from (`trace-symbols/tests/symbols.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::Bench;
use crate::program::{BUILT, module, objcopy};
use tempfile::TempDir;
use trace_format::batch::Compression;
use trace_format::definition::Definition;
use trace_format::id::{CallId, OpenCall, ResourceId, StackId};
use trace_format::read::{Module, TraceFile};
use trace_format::testgen::TraceBuilder;

/// A trace with one stack in the program: two addresses of `work::outer`, and one of the kernel's.
fn trace(module: &Module) -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    let (build_id, path) = (module.build_id.as_slice(), module.path.as_bytes());
    let (first, last, bias) = (module.first, module.last, module.bias);
    trace.define(&Definition::Module { first, last, bias, build_id, path });
    let (first, last) = (0x7fff_0000, 0x7fff_1000);
    let (bias, build_id, path) = (first, [7].as_slice(), b"linux-vdso.so.1".as_slice());
    trace.define(&Definition::Module { first, last, bias, build_id, path });
    trace.stack(1, &[first + 4, BUILT.outer[0], BUILT.outer[1]]);
    let open = OpenCall { call: CallId(1), stack: StackId(1), resource: ResourceId(0) };
    trace.call(1, open, 1000, 500, 10);
    trace.stop(5000)
}

fn names_in(path: &Path) -> BTreeSet<String> {
    let file = TraceFile::open(fs::File::open(path).expect("it is there")).expect("a trace");
    assert!(file.is_complete() && file.faults().is_empty(), "{:?}", file.faults());
    let functions = file.tables().symbols.values().flatten();
    functions.map(|function| function.name.clone()).collect()
}

#[test]
fn a_symbolised_trace_needs_the_program_no_more() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("moved");
    fs::copy(&BUILT.path, &path).expect("room");
    let bench = Bench::new(&trace(&module(&path, BUILT.module.build_id.clone())));
    let run = bench.run("symbolize FILE -o named.trace");
    assert_eq!((run.err.as_str(), run.code), ("", Some(0)));
    assert_eq!(run.out, "wrote named.trace: names for 2 of 3 addresses\n");
    let named = bench.path("named.trace");
    assert!(names_in(&named).contains("program::work::outer"));
    let before = names_in(&named);
    fs::remove_file(&path).expect("it is there");
    // Once more, without the program: nothing is lost, and nothing is missing.
    let again = bench.run("symbolize named.trace -o again.trace");
    assert_eq!((again.err.as_str(), again.code), ("", Some(0)));
    assert_eq!(names_in(&bench.path("again.trace")), before);
    let kept = bench.run("symbolize FILE -o kept.trace");
    assert_eq!((kept.err.as_str(), kept.code), ("", Some(0)));
    assert_eq!(names_in(&bench.path("kept.trace")), before, "names that were read once are kept");
    let too_late = bench.run("symbolize FILE --no-cache -o nameless.trace");
    assert_eq!(too_late.code, Some(1));
    assert!(too_late.err.contains("no names for 2 addresses of moved: "), "{}", too_late.err);
}

#[test]
fn symbolising_twice_adds_nothing_and_better_names_win() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("program");
    objcopy(&["--strip-debug"], &BUILT.path, &path);
    let bench = Bench::new(&trace(&module(&path, BUILT.module.build_id.clone())));
    let ran = |line: &str| assert_eq!(bench.run(line).code, Some(0), "{line}");
    let lines = |name: &str| {
        let file = fs::File::open(bench.path(name)).expect("it is there");
        let file = TraceFile::open(file).expect("a trace");
        file.tables().symbols.values().flatten().filter(|function| function.line > 0).count()
    };
    ran("symbolize FILE -o one.trace");
    ran("symbolize one.trace -o two.trace");
    let bytes = |name: &str| fs::metadata(bench.path(name)).expect("it is there").len();
    assert_eq!(bytes("one.trace"), bytes("two.trace"));
    assert_eq!(lines("two.trace"), 0);
    let better = format!("symbolize two.trace -o three.trace --binary {}", BUILT.path.display());
    ran(&better);
    assert!(lines("three.trace") > 0);
    ran("check three.trace");
}

#[test]
fn a_binary_of_no_module_and_an_output_onto_the_trace_are_told() {
    let bench = Bench::new(&trace(&BUILT.module));
    let run = bench.run("symbolize FILE -o b.trace --binary /bin/sh");
    assert!(run.err.contains("/bin/sh: is no module of this trace (build id "), "{}", run.err);
    for line in ["symbolize FILE -o FILE", "symbolize FILE --binary nowhere -o b.trace"] {
        let run = bench.run(line);
        assert_eq!((run.out.as_str(), run.code), ("", Some(2)), "{line}");
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    }
    assert!(names_in(&bench.path("a.trace")).is_empty(), "the trace is as it was");
}
