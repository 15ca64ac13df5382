//! A program closes all descriptors that it does not know, as daemons do, and opens its own files,
//! which get the recorder's numbers. The recorder does not touch those files, and reports and
//! counts the events that it cannot write any more.
//!
//! May contain `unsafe`: closing a descriptor by its number is.
#![cfg(unix)]

mod common;

use common::decoded::Decoded;
use common::{annotated, checks, in_own_process};
use exectrace::{FlightRecorder, Report, Rotation, StopError, Trace, start_file_with};
use exectrace::{start_rotating, traced};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

const EVENTS: u64 = 1_000;

/// Number of files; the recorder has fewer descriptors.
const FILES: usize = 16;

const TEXT: &[u8] = b"the program's own";

#[traced]
fn before() {}

#[traced]
fn after() {}

/// Closes every descriptor, also those of the recorder.
fn close_all() {
    for descriptor in 3..256 {
        // SAFETY: `close` takes a number. The test is about closing descriptors of others; this
        // process uses none of its own later.
        unsafe { libc::close(descriptor) };
    }
}

/// Files of the program's own.
struct Own(Vec<File>);

impl Own {
    fn open(folder: &Path) -> Self {
        let open = |number| {
            let path = folder.join(format!("own.{number}"));
            let mut options = File::options();
            let file = options.read(true).write(true).create_new(true).open(path);
            let mut file = file.expect("a name is free");
            file.write_all(TEXT).expect("there is room");
            file
        };
        Self((0..FILES).map(open).collect())
    }

    /// Checks that all files are unchanged, and still open.
    fn check(mut self) {
        for file in &mut self.0 {
            let at = file.stream_position().expect("it is open");
            assert_eq!(at, TEXT.len() as u64, "nobody has moved in it");
            let mut text = Vec::new();
            file.rewind().expect("it is open");
            file.read_to_end(&mut text).expect("it is open");
            assert_eq!(text, TEXT);
        }
    }
}

/// Records, closes everything, and records on. Returns what `stop` reports.
fn run(start: impl FnOnce(&Path) -> Trace) -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = start(&folder.path().join("out.trace"));
    (0..EVENTS).for_each(|_| before());
    close_all();
    let own = Own::open(folder.path());
    (0..EVENTS).for_each(|_| after());
    let stopped = trace.stop();
    own.check();
    let Err(StopError::Write { error, report }) = stopped else {
        panic!("the file was closed: {stopped:?}")
    };
    assert!(error.to_string().contains("has closed the descriptor"), "{error}");
    assert_eq!(report.events + report.unwritten_events, 2 * EVENTS, "{report:?}");
    assert!(report.unwritten_events >= EVENTS, "{report:?}");
    report
}

#[test]
fn a_trace_in_a_file_leaves_the_programs_own_files_alone() {
    if in_own_process("a_trace_in_a_file_leaves_the_programs_own_files_alone") {
        run(|path| start_file_with(annotated(), path).expect("there is room"));
    }
}

#[test]
fn a_trace_in_parts_leaves_the_programs_own_files_alone() {
    if in_own_process("a_trace_in_parts_leaves_the_programs_own_files_alone") {
        let rotation = Rotation::new(1 << 20);
        run(|path| start_rotating(annotated(), rotation, path).expect("there is room"));
    }
}

#[test]
fn a_recorder_leaves_the_programs_own_files_alone_and_has_all_in_memory() {
    if !in_own_process("a_recorder_leaves_the_programs_own_files_alone_and_has_all_in_memory") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let builder = FlightRecorder::builder().options(annotated());
    let recorder = builder.mapped(folder.path().join("out.trace")).start().expect("there is room");
    (0..EVENTS).for_each(|_| before());
    close_all();
    let own = Own::open(folder.path());
    (0..EVENTS).for_each(|_| after());
    let mut bytes = Vec::new();
    let report = recorder.snapshot(&mut bytes).expect("the ring is in memory");
    assert_eq!(report.events, 2 * EVENTS);
    checks::check(&Decoded::new(&bytes));
    recorder.stop();
    own.check();
}
