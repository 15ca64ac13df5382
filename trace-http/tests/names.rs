//! Traces and snapshots fetched with names can be read on a machine without the program.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{Program, alone, get, leaf};
use exectrace::{FlightRecorder, Options};
use trace_format::read::TraceFile;
use trace_http::{Config, serve};

/// The functions of this test that a trace names, with their lines.
fn named(trace: &TraceFile<Vec<u8>>) -> BTreeSet<String> {
    let functions = trace.tables().symbols.values().flatten();
    let own = functions.filter(|it| it.file.ends_with("tests/common/mod.rs") && it.line > 0);
    own.map(|it| it.name.clone()).collect()
}

#[test]
fn a_trace_has_names_if_it_is_asked_for_with_names() {
    let _alone = alone();
    let listener = serve("127.0.0.1:0", Config::new()).expect("a port is free");
    let _program = Program::start();
    let named_by = |query: &str| named(&get(listener.address(), query).trace());
    let names = named_by("/debug/trace?seconds=0.3&names=1");
    assert!(names.contains("names::common::hold"), "{names:?}");
    assert_eq!(named_by("/debug/trace?seconds=0.3"), BTreeSet::new());
    let answer = get(listener.address(), "/debug/trace?names=yes");
    assert_eq!((answer.status, answer.text().contains("`names` can be `1`")), (400, true));
}

#[test]
fn a_snapshot_has_names_if_it_is_asked_for_with_names() {
    let _alone = alone();
    let options = Options::new().stacks(exectrace::Stacks::All);
    let recorder = FlightRecorder::builder().options(options).start().expect("none is running");
    let listener = serve("127.0.0.1:0", Config::new().recorder(Arc::new(recorder)));
    let listener = listener.expect("a port is free");
    leaf();
    let named_by = |query: &str| named(&get(listener.address(), query).trace());
    let names = named_by("/debug/trace/snapshot?names=1");
    assert!(names.contains("names::common::leaf"), "{names:?}");
    assert_eq!(named_by("/debug/trace/snapshot"), BTreeSet::new());
}
