//! Files of traces: nobody else can read them, a planted link cannot redirect them, and the program
//! still writes them after it has changed its folder. A path that is no file is refused at once,
//! with a reason.
//!
//! Elsewhere: files that others change while they are written (`outputs_changed`), pipes and
//! devices by `EXECTRACE` (`auto`), full disks (`disk_full`).
#![cfg(unix)]

// A module of its own, because it needs packages that other users of `common` do not have.
#[path = "common/child.rs"]
mod child;
mod common;

use child::in_child;
use common::crashed::live_of;
use common::decoded::Decoded;
use common::waiting::wait_until;
use common::{alone, annotated, checks};
use exectrace::{
    FlightRecorder, FlightRecorderBuilder, Options, Rotation, StartError, StopError, Task, instant,
    start_file, start_file_with, start_rotating, traced,
};
use std::error::Error as _;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[traced]
fn leaf() {}

/// Size of a part.
const PART_BYTES: u64 = 64 << 10;

fn small() -> Options {
    annotated().memory_max(256 << 10)
}

fn recorder() -> FlightRecorderBuilder {
    FlightRecorder::builder().max_bytes(256 << 10).options(small()).dumps(Duration::ZERO, 9)
}

/// Small parts.
fn rotation() -> Rotation {
    Rotation::new(1 << 30).part_bytes(PART_BYTES)
}

fn read(path: &Path) -> Decoded {
    let trace = Decoded::new(&fs::read(path).expect("it was written"));
    checks::check(&trace);
    assert!(trace.complete);
    trace
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("a name"));
    let names = entries.map(|entry| entry.file_name().into_string().expect("plain letters"));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Records until `is_enough`, or until a time limit.
fn record_until(is_enough: impl Fn() -> bool) {
    for _ in 0..2_000 {
        (0..1_000).for_each(|_| leaf());
        if is_enough() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Checks that only their owner can access the files of a folder. Returns their number.
fn check_private(folder: &Path) -> usize {
    let names = names(folder);
    for name in &names {
        let mode = folder.join(name).metadata().map(|it| it.permissions().mode() & 0o777);
        // The file may have been removed meanwhile.
        assert!(mode.as_ref().map_or(true, |mode| *mode == 0o600), "{name}: {mode:?}");
    }
    names.len()
}

#[test]
fn every_file_is_its_owners_alone() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    // A file that was there before does not keep its permissions.
    File::create(at("out.trace")).expect("a name is free");
    fs::set_permissions(at("out.trace"), PermissionsExt::from_mode(0o666)).expect("it is ours");
    let trace = start_file_with(small(), at("out.trace")).expect("there is room");
    let recorder = recorder().mapped(at("last.trace")).start().expect("there is room");
    assert_eq!(check_private(folder.path()), 4, "two, and one more beside each");
    drop((trace, recorder));

    let parts = at("app.trace");
    let trace = start_rotating(small(), rotation(), &parts).expect("there is room");
    record_until(|| at("app.000001.trace").exists());
    trace.stop().expect("the disk takes it");
    assert!(at("app.000001.trace").exists());
    check_private(folder.path());

    let dumps = tempfile::tempdir().expect("a folder");
    let recorder = self::recorder().start().expect("none is running");
    recorder.on_panic(dumps.path()).expect("a folder");
    let _ = std::panic::catch_unwind(|| panic!("on purpose"));
    drop(recorder);
    assert_eq!(check_private(dumps.path()), 1);
}

/// A file of somebody else, which must not change.
struct Victim(PathBuf);

impl Victim {
    const TEXT: &str = "precious";

    fn new(folder: &Path) -> Self {
        let path = folder.join("victim");
        fs::write(&path, Self::TEXT).expect("a name is free");
        Self(path)
    }

    /// Plants a link to it, or a dangling one.
    fn plant(&self, link: &Path, dangles: bool) {
        let target = if dangles { self.0.with_file_name("made") } else { self.0.clone() };
        symlink(target, link).expect("a name is free");
    }

    fn check(&self) {
        assert_eq!(fs::read_to_string(&self.0).expect("it is there"), Self::TEXT);
        assert!(!self.0.with_file_name("made").exists(), "a link that leads nowhere made nothing");
    }
}

/// Checks that a start was refused because of a link, and that the error says so.
fn check_link<T: std::fmt::Debug>(started: Result<T, StartError>) {
    let error = started.expect_err("there is a link in the way");
    assert!(matches!(error, StartError::File(..)), "{error:?}");
    let cause = error.source().expect("the link is the cause").to_string();
    assert!(cause.contains("symbolic link"), "{cause}");
}

#[test]
fn a_planted_link_is_not_followed() {
    let _alone = alone();
    for dangles in [false, true] {
        for ending in ["", ".live"] {
            let folder = tempfile::tempdir().expect("a folder");
            let victim = Victim::new(folder.path());
            let path = folder.path().join("out.trace");
            victim.plant(&folder.path().join(format!("out.trace{ending}")), dangles);
            check_link(start_file_with(small(), &path));
            check_link(start_rotating(small(), rotation(), &path));
            check_link(recorder().mapped(&path).start());
            victim.check();
            let mut left = vec![format!("out.trace{ending}"), "victim".to_owned()];
            left.sort();
            assert_eq!(names(folder.path()), left, "nothing is left of what did not start");
        }
    }
}

#[test]
fn a_planted_link_at_a_name_for_a_moment_is_not_followed() {
    let _alone = alone();
    for ending in [".new", ".old", ".old.live"] {
        let folder = tempfile::tempdir().expect("a folder");
        let victim = Victim::new(folder.path());
        let path = folder.path().join("out.trace");
        // An older trace, of a process that was killed.
        fs::write(&path, "older").expect("a name is free");
        if ending != ".new" {
            fs::write(live_of(&path), "older").expect("a name is free");
        }
        victim.plant(&folder.path().join(format!("out.trace{ending}")), false);
        let trace = start_file_with(small(), &path).expect("what is in the way goes");
        leaf();
        trace.stop().expect("the disk takes it");
        victim.check();
        assert_eq!(read(&path).events_told(), 1);
    }
    // At the path of the next part nothing is removed that might be somebody's. A collector that
    // gets no CPU until the stop writes everything into one part.
    let failed = (0..10).find_map(|_| {
        let folder = tempfile::tempdir().expect("a folder");
        let victim = Victim::new(folder.path());
        let path = folder.path().join("app.trace");
        victim.plant(&folder.path().join("app.trace.next"), false);
        let trace = start_rotating(small(), rotation(), &path).expect("there is room");
        wait_until("a part is full", || {
            (0..5_000).for_each(|_| leaf());
            fs::metadata(&path).is_ok_and(|it| it.len() > PART_BYTES)
        });
        (0..5_000).for_each(|_| leaf());
        let stopped = trace.stop();
        victim.check();
        stopped.err()
    });
    let Some(StopError::Write { error, .. }) = failed else { panic!("{failed:?}") };
    assert!(error.to_string().contains("symbolic link"), "{error}");
}

#[test]
fn folders_may_be_links_and_an_older_trace_may_have_another_name() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("real")).expect("a name is free");
    symlink("real", folder.path().join("linked")).expect("a name is free");
    let path = folder.path().join("linked/out.trace");
    for round in 0..2 {
        let trace = start_file_with(small(), &path).expect("a link to a folder is a folder");
        leaf();
        trace.stop().expect("the disk takes it");
        assert_eq!(read(&folder.path().join("real/out.trace")).events_told(), 1);
        if round == 0 {
            fs::hard_link(&path, folder.path().join("kept.trace")).expect("a name is free");
            let whole = fs::read(&path).expect("it is there");
            let other = fs::read(folder.path().join("kept.trace")).expect("it is there");
            assert!(whole == other);
        }
    }
    // It was not written over.
    assert_eq!(read(&folder.path().join("kept.trace")).events_told(), 1);
}

#[test]
fn what_is_no_file_is_refused_at_once_and_says_what_it_is() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let made = std::process::Command::new("mkfifo").arg(at("fifo")).status();
    assert!(made.expect("every system has it").success());
    let _listener = UnixListener::bind(at("socket")).expect("a name is free");
    fs::create_dir(at("folder")).expect("a name is free");
    let cases = [
        // A FIFO without a reader: opening it without care would hang.
        (at("fifo"), "a FIFO"),
        (at("socket"), "a socket"),
        (at("folder"), "a directory"),
        (PathBuf::from("/dev/null"), "a device"),
        (PathBuf::from("/dev/full"), "a device"),
    ];
    for (path, what) in cases {
        let started = [
            start_file(&path).map(drop),
            start_rotating(small(), rotation(), &path).map(drop),
            recorder().mapped(&path).start().map(drop),
        ];
        for started in started {
            let error = started.expect_err("it is no file");
            assert!(matches!(&error, StartError::File(of, _) if *of == path), "{error:?}");
            let cause = error.source().expect("that is the cause").to_string();
            assert!(cause.contains(what), "{}: {cause}", path.display());
        }
    }
    assert_eq!(names(folder.path()), ["fifo", "folder", "socket"]);
}

/// Runs `act` in a child whose folder is `here`, which has an empty folder `away`.
fn in_folder(act: impl FnOnce(&Path) -> String) -> (tempfile::TempDir, String) {
    let here = tempfile::tempdir().expect("a folder");
    fs::create_dir(here.path().join("away")).expect("a name is free");
    let answer = in_child(|| {
        std::env::set_current_dir(here.path()).expect("it is there");
        act(here.path())
    });
    assert_eq!(names(&here.path().join("away")), [""; 0], "nothing went there");
    (here, answer)
}

fn go_away() {
    std::env::set_current_dir("away").expect("it is there");
}

#[test]
fn relative_names_mean_the_same_file_wherever_the_program_goes() {
    let _alone = alone();
    let (here, answer) = in_folder(|_| {
        let trace = start_file_with(small(), "out.trace").expect("there is room");
        let recorder = recorder().mapped("last.trace").start().expect("there is room");
        go_away();
        leaf();
        drop(recorder);
        format!("{:?}", trace.stop().map(|report| report.events).map_err(|it| it.to_string()))
    });
    assert_eq!(answer, "Ok(1)");
    assert_eq!(names(here.path()), ["away", "last.trace", "out.trace"], "no `.live` is left");
    read(&here.path().join("out.trace"));

    let (here, answer) = in_folder(|here| {
        let trace = start_rotating(small(), rotation(), "app.trace").expect("there is room");
        go_away();
        record_until(|| here.join("app.000002.trace").exists());
        format!("{:?}", trace.stop().map(|it| it.unwritten_events).map_err(|it| it.to_string()))
    });
    assert_eq!(answer, "Ok(0)");
    for part in ["app.000001.trace", "app.000002.trace", "app.trace"] {
        read(&here.path().join(part));
    }
}

#[test]
fn dumps_go_to_the_folder_that_was_meant() {
    let _alone = alone();
    let (here, answer) = in_folder(|here| {
        let recorder = recorder().start().expect("none is running");
        recorder.on_panic("panics").expect("a folder");
        recorder.on_slow("slow", Duration::from_nanos(1), "slow").expect("a folder");
        recorder.on_signal("signals").expect("a folder");
        go_away();
        let _ = std::panic::catch_unwind(|| panic!("on purpose"));
        Task::new("slow").end();
        let wait_for = |folder: &str| {
            (0..2_000).any(|_| {
                std::thread::sleep(Duration::from_millis(5));
                names(&here.join(folder)).iter().any(|name| name.ends_with(".trace"))
            })
        };
        let slow = wait_for("slow");
        // SAFETY: `raise` wants a signal; its handler is the recorder's.
        unsafe { libc::raise(libc::SIGUSR2) };
        format!("{slow} {}", wait_for("signals"))
    });
    assert_eq!(answer, "true true");
    assert_eq!(names(&here.path().join("panics")).len(), 1);
}

#[test]
fn a_name_in_a_folder_that_is_not_there_is_an_error() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let refused = start_file(folder.path().join("no/out.trace"));
    let Err(StartError::File(_, error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::NotFound);
    instant!("the program goes on");
}
