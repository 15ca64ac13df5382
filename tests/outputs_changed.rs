//! Somebody else changes a trace's files while they are written: shortens them, as logrotate's
//! `copytruncate` does, removes them, or renames them. The program goes on, later events can be
//! read, and lost events are counted.
#![cfg(unix)]

mod common;

use common::crashed::live_of;
use common::decoded::Decoded;
use common::waiting::wait_until;
use common::{alone, annotated, checks};
use exectrace::{
    FlightRecorder, Options, Report, Rotation, StopError, Trace, start_file_with, start_rotating,
    traced,
};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::header::FileHeader;
use trace_format::survive::ring::unwind;

/// The collector notices each change when it writes, at least this often.
const GENERATION: Duration = Duration::from_millis(10);

/// Number of events in each stretch of a trace. Events in the batch that a thread is filling may be
/// lost with those before: that is less than a quarter of this.
const EVENTS: u64 = 50_000;

#[traced]
fn before() {}

#[traced]
fn after() {}

fn options() -> Options {
    annotated().memory_max(1 << 20).generation(GENERATION)
}

struct Files {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.trace");
        Self { folder, path }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn bytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |it| it.len())
}

/// Whether the path has the begin of a trace.
fn is_begun(path: &Path) -> bool {
    let header = FileHeader::CURRENT.encode();
    fs::read(path).is_ok_and(|bytes| bytes.starts_with(&header[..8]))
}

fn shorten(path: &Path) {
    File::options().write(true).open(path).and_then(|file| file.set_len(0)).expect("it is there");
}

/// Records, calls `act` to change the files, waits until the trace goes on at `goes_on`, and
/// records more.
fn record_around(trace: Trace, act: impl FnOnce(), goes_on: &Path) -> Result<Report, StopError> {
    (0..EVENTS).for_each(|_| before());
    act();
    wait_until("the trace goes on", || is_begun(goes_on));
    (0..EVENTS).for_each(|_| after());
    trace.stop()
}

/// Number of events of a function in a whole trace.
fn count(trace: &Decoded, name: &str) -> u64 {
    let of = |thread: &_| {
        trace
            .events(*thread)
            .filter(|event| {
                matches!(event.kind, trace_format::event::EventKind::Region { site, .. }
            if trace.site_name(site) == name)
            })
            .count() as u64
    };
    trace.tables.threads.keys().map(of).sum()
}

fn read(path: &Path) -> Decoded {
    let trace = Decoded::new(&fs::read(path).expect("it was written"));
    checks::check(&trace);
    assert!(trace.complete, "it has its end");
    trace
}

/// Returns the report, and checks that it says what happened to the file.
fn gone(stopped: Result<Report, StopError>, how: &str) -> Report {
    let Err(StopError::Write { error, report }) = stopped else { panic!("{stopped:?}") };
    assert!(error.to_string().contains(how), "{error}");
    report
}

/// Checks that later events are there, and that the others are counted.
fn check_later(trace: &Decoded, report: &Report) {
    let later = count(trace, "after");
    assert!(later > EVENTS / 4 * 3 && later <= EVENTS, "{later}");
    assert_eq!(report.events, trace.events_told() as u64, "events that are there");
    let all = report.events + report.unwritten_events + report.dropped_events;
    assert!(all >= 2 * EVENTS, "{report:?}");
}

#[test]
fn a_trace_that_is_shortened_has_what_comes_later() {
    let _alone = alone();
    let files = Files::new();
    let trace = start_file_with(options(), &files.path).expect("there is room");
    let stopped = record_around(trace, || shorten(&files.path), &files.path);
    let report = gone(stopped, "shortened");
    check_later(&read(&files.path), &report);
    assert_eq!(report.bytes, bytes(&files.path));
    assert!(!live_of(&files.path).exists());
}

#[test]
fn a_trace_that_is_removed_is_there_again() {
    let _alone = alone();
    let files = Files::new();
    let trace = start_file_with(options(), &files.path).expect("there is room");
    let remove = || fs::remove_file(&files.path).expect("it is there");
    let report = gone(record_around(trace, remove, &files.path), "removed");
    check_later(&read(&files.path), &report);
}

#[test]
fn a_file_that_was_put_in_place_of_a_trace_is_left_alone() {
    let _alone = alone();
    let files = Files::new();
    let trace = start_file_with(options(), &files.path).expect("there is room");
    (0..EVENTS).for_each(|_| before());
    fs::write(files.at("other"), "precious").expect("a name is free");
    fs::rename(files.at("other"), &files.path).expect("it is there");
    (0..EVENTS).for_each(|_| after());
    let report = gone(trace.stop(), "removed");
    assert_eq!((report.events, report.bytes), (0, 0), "nothing of it can be found");
    assert!(report.unwritten_events + report.dropped_events >= 2 * EVENTS, "{report:?}");
    assert_eq!(fs::read_to_string(&files.path).expect("it is there"), "precious");
}

#[test]
fn a_trace_that_is_renamed_goes_on_under_its_new_name() {
    let _alone = alone();
    let files = Files::new();
    let trace = start_file_with(options(), &files.path).expect("there is room");
    let moved = files.at("moved.trace");
    let act = || fs::rename(&files.path, &moved).expect("it is there");
    record_around(trace, act, &moved).expect("nothing is lost");
    let trace = read(&moved);
    assert_eq!((count(&trace, "before"), count(&trace, "after")), (EVENTS, EVENTS));
    assert!(!files.path.exists());
}

#[test]
fn a_part_that_is_shortened_is_followed_by_another() {
    let _alone = alone();
    let files = Files::new();
    let rotation = Rotation::new(1 << 30).part_bytes(256 << 20);
    let trace = start_rotating(options(), rotation, &files.path).expect("there is room");
    let next = files.at("out.000001.trace");
    (0..EVENTS).for_each(|_| before());
    shorten(&files.path);
    wait_until("the next part has begun", || next.exists());
    (0..EVENTS).for_each(|_| after());
    let report = gone(trace.stop(), "shortened");
    let trace = read(&files.path);
    assert!(count(&trace, "after") > EVENTS / 4 * 3);
    let all = report.events + report.unwritten_events + report.dropped_events;
    assert!(all >= 2 * EVENTS, "{report:?}");
}

#[test]
fn a_recorders_file_that_is_shortened_has_what_comes_later() {
    let _alone = alone();
    let files = Files::new();
    let builder = FlightRecorder::builder().max_bytes(4 << 20).options(options());
    let recorder = builder.mapped(&files.path).start().expect("there is room");
    let whole = bytes(&files.path);
    (0..EVENTS).for_each(|_| before());
    shorten(&files.path);
    wait_until("it is as long as it was", || bytes(&files.path) == whole);
    (0..EVENTS).for_each(|_| after());
    recorder.stop();
    let file = fs::read(&files.path).expect("it was written");
    let trace = Decoded::new(&unwind(&file).expect("it is such a file"));
    // The file may have its old length again before the thread needs another batch.
    let after = count(&trace, "after");
    assert!((EVENTS / 4 * 3..=EVENTS).contains(&after), "{after} of {EVENTS}");
    let is_told = |definition: &Definition<'_>| {
        matches!(definition, Definition::Facility { name: b"mapped", note, .. }
            if String::from_utf8_lossy(note).contains("shortened"))
    };
    assert!(trace.definitions().any(|definition| is_told(&definition)), "and it says so");
}
