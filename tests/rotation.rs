//! A trace in several parts: every part can be read alone, nothing is lost between them, and
//! together they stay within their limit.

mod common;

use common::decoded::Decoded;
use common::waiting::wait_until;
use common::{Ends, alone, annotated, checks};
use exectrace::{OnFull, Rotation, StartError, instant, start_rotating, trace_region};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::event::EventKind;
use trace_format::id::Open;
use trace_format::value::Value;

/// All parts in a folder, oldest first; the one that was written last comes last.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "trace")).collect();
    // `app.000001.trace` is before `app.trace`.
    paths.sort();
    paths
}

/// The size of all files in a folder, without the one beside a running trace.
fn bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok);
    let counts = entries.filter(|entry| entry.path().extension().is_none_or(|it| it != "live"));
    // For a moment a part has two names, because it is linked under its next one.
    let mut files = BTreeMap::new();
    for kind in counts.filter_map(|entry| entry.metadata().ok()) {
        use std::os::unix::fs::MetadataExt as _;
        files.insert(kind.ino(), kind.len());
    }
    files.values().sum()
}

fn decoded(path: &Path) -> Decoded {
    let bytes = std::fs::read(path).expect("it is there");
    let trace = Decoded::new(&bytes);
    checks::check(&trace);
    trace
}

/// The numbers of `step` events on threads of this name.
fn steps(trace: &Decoded, name: &str) -> Vec<u64> {
    let threads = trace.tables.threads.values().filter(|thread| thread.name == name);
    let events = threads.flat_map(|thread| trace.events(thread.id));
    events
        .filter_map(|event| match event.kind {
            EventKind::Instant { mut values, .. } => match values.next() {
                Some(Value::U64(n)) => Some(n),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// Runs two threads that count, in a region that never ends, until `is_over`.
fn count(is_over: &AtomicBool) -> [u64; 2] {
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|thread| {
            let work = move || {
                trace_region!("around", thread);
                let mut n = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    instant!("step", n);
                    trace_region!("inside");
                    n += 1;
                    if n.is_multiple_of(256) {
                        // Leaves the collector time to keep up.
                        std::thread::sleep(Duration::from_micros(100));
                    }
                }
                n
            };
            let builder = std::thread::Builder::new().name(format!("worker-{thread}"));
            builder.spawn_scoped(scope, work).expect("a thread")
        });
        threads.map(|thread| thread.join().expect("it only counts"))
    })
}

/// Lets threads count until `is_so` returns true.
fn count_until(is_so: impl FnMut() -> bool) -> [u64; 2] {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| count(&is_over));
        let over = Ends(&is_over);
        wait_until("they have counted far enough", is_so);
        drop(over);
        counting.join().expect("they only count")
    })
}

#[test]
fn every_part_is_a_trace_and_nothing_is_lost_between_them() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.trace");
    let rotation = Rotation::new(1 << 30).part_bytes(128 << 10);
    let options = annotated().on_full(OnFull::Wait);
    let trace = start_rotating(options, rotation, &path).expect("the folder is there");
    let far = count_until(|| parts(folder.path()).len() > 6);
    let report = trace.stop().expect("the disk takes it");
    assert_eq!((report.dropped_events, report.unwritten_events), (0, 0));
    let parts = parts(folder.path());
    assert!(parts.len() > 4, "{parts:?}");
    let traces: Vec<_> = parts.iter().map(|part| decoded(part)).collect();
    assert!(traces.iter().all(|trace| trace.complete));
    for (thread, far) in far.into_iter().enumerate() {
        let all: Vec<_> =
            traces.iter().flat_map(|trace| steps(trace, &format!("worker-{thread}"))).collect();
        let wrong = all.iter().zip(0..).find(|(found, wanted)| *found != wanted);
        assert_eq!((all.len() as u64, wrong), (far, None), "each step once, in order");
    }
    let events: usize = traces.iter().map(Decoded::events_told).sum();
    let restated: usize = traces.iter().map(restated_of).sum();
    assert_eq!(report.events, (events + restated) as u64, "what is said anew is counted, too");
    let bytes: u64 = parts.iter().map(|part| part.metadata().expect("it is there").len()).sum();
    assert_eq!(report.bytes, bytes);
    // A region that began long ago is in each part, with its true begin.
    let begins: Vec<_> = traces.iter().map(begins_of_around).collect();
    let all: BTreeSet<u64> = begins.iter().flatten().copied().collect();
    assert_eq!(all.len(), 2, "each thread has begun once: {begins:?}");
    // The second thread may begin after the first part is full, and end before the last part
    // begins.
    let last = begins.len() - 1;
    let stays = |pair: &[BTreeSet<u64>]| pair[0].is_subset(&pair[1]);
    assert!(begins[..last].windows(2).all(stays), "{begins:?}");
}

/// The times when the regions `around` of a trace began.
fn begins_of_around(trace: &Decoded) -> BTreeSet<u64> {
    let is_around = |site| trace.site_name(site) == "around";
    let threads = trace.tables.threads.keys();
    let events = threads.flat_map(|&id| trace.events(id));
    let begins = events.filter_map(|event| match event.kind {
        EventKind::RegionBegin { site, .. } if is_around(site) => Some(event.ticks.0),
        EventKind::Reopen { open: Open::Region(site), since } if is_around(site) => {
            Some(event.ticks.0 - since.0)
        }
        _ => None,
    });
    // A state lists what is open on a thread that has recorded nothing in a part.
    let states = trace.definitions().flat_map(|definition| match definition {
        Definition::ThreadState { open, .. } => open,
        _ => Vec::new(),
    });
    let listed = states.filter(|it| matches!(it.open, Open::Region(site) if is_around(site)));
    begins.chain(listed.map(|it| it.begin.0)).collect()
}

fn restated_of(trace: &Decoded) -> usize {
    let threads = trace.tables.threads.keys().flat_map(|&id| trace.events(id));
    threads.filter(|event| matches!(event.kind, EventKind::Reopen { .. })).count()
}

#[test]
fn all_parts_together_take_no_more_than_they_may() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.trace");
    let total = 2 << 20;
    let rotation = Rotation::new(total).part_bytes(256 << 10);
    let trace = start_rotating(annotated(), rotation, &path).expect("the folder is there");
    let mut most = 0;
    count_until(|| {
        most = bytes(folder.path()).max(most);
        // The oldest parts are gone.
        most > total / 2 && !folder.path().join("app.000001.trace").exists()
    });
    trace.stop().expect("the disk takes it");
    assert!(most <= total, "{most} of {total}");
    let left = parts(folder.path());
    assert!(left.iter().all(|part| decoded(part).complete));
    // The next process continues the numbers, within the same limit.
    let trace = start_rotating(annotated(), rotation, &path).expect("the folder is there");
    instant!("one");
    trace.stop().expect("the disk takes it");
    assert!(bytes(folder.path()) <= total);
    let newer = parts(folder.path());
    let before = &left[left.len() - 2];
    let number = |path: &Path| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        name.rsplit('.').next().and_then(|digits| digits.parse::<u64>().ok())
    };
    let kept = number(&newer[newer.len() - 2]).expect("it has a number");
    assert_eq!(kept, number(before).expect("it has a number") + 1, "what was there is a part now");
}

#[test]
fn a_part_ends_after_its_time() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app");
    let rotation = Rotation::new(1 << 30).every(Duration::from_secs(1));
    // The first part begins during the start.
    let begin = std::time::Instant::now();
    let trace = start_rotating(annotated(), rotation, &path).expect("the folder is there");
    let mut n = 0_u64;
    wait_until("there is a second part", || {
        instant!("step", n);
        n += 1;
        folder.path().join("app.000001").exists()
    });
    trace.stop().expect("the disk takes it");
    let took = begin.elapsed();
    // Nothing else is left there.
    let count = std::fs::read_dir(folder.path()).expect("a folder").count() as u64;
    assert!(count <= took.as_secs() + 1, "{count} parts in {took:?}");
    decoded(&folder.path().join("app.000001"));
    decoded(&path);
}

#[test]
fn one_series_has_one_process() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.trace");
    let _other = exectrace_lock(&path);
    let refused = start_rotating(annotated(), Rotation::new(1 << 20), &path);
    assert!(matches!(refused, Err(StartError::InUse(ref it)) if *it == path), "{refused:?}");
}

/// Locks a file as another process would.
fn exectrace_lock(path: &Path) -> std::fs::File {
    let file = std::fs::File::create(path).expect("the folder is there");
    #[allow(clippy::incompatible_msrv, reason = "the tests are built with the newest Rust")]
    file.lock().expect("it can be locked");
    file
}

#[test]
fn a_part_that_can_not_be_made_is_told_and_the_trace_goes_on() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.trace");
    let rotation = Rotation::new(1 << 30).part_bytes(64 << 10);
    let options = annotated().on_full(OnFull::Wait);
    let trace = start_rotating(options, rotation, &path).expect("the folder is there");
    // No file can be created under this name.
    std::fs::create_dir(folder.path().join("app.trace.next")).expect("it is free");
    let mut looks = 0;
    let far = count_until(|| {
        looks += 1;
        looks > 50 && bytes(folder.path()) > 256 << 10
    });
    let stopped = trace.stop();
    let Err(exectrace::StopError::Write { error, report }) = stopped else {
        panic!("{stopped:?}");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::IsADirectory, "{error}");
    assert_eq!((report.unwritten_events, report.dropped_events), (0, 0));
    let trace = decoded(&path);
    let all = [0, 1].map(|thread| steps(&trace, &format!("worker-{thread}")).len() as u64);
    assert_eq!(all, far, "all of it is in the one part there is");
}
