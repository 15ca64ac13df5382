//! Nothing is lost silently: the events in an output and those that it reports as lost are all that
//! were recorded while it was written, and no event is there twice.
//!
//! Threads number their events. With little memory some are lost: for each thread, an output must
//! lack exactly as many numbers as it reports. Numbers that are missing before a thread's first
//! event are from the time when the thread could not be attached; only the total of the trace
//! counts those.
//!
//! After a kill the losses since a thread's last batch are not reported (FORMAT.md, section 11),
//! but no event is there twice, and none is missing in between without a report. If threads wait
//! for memory, nothing is lost: everything that was recorded before the kill is there.
//!
//! `EXECTRACE_TEST_SOAK=N` does N times as much, `EXECTRACE_TEST_SEED=N` repeats a run.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

mod common;

use common::crashed::{left, parts};
use common::decoded::Decoded;
use common::{alone, annotated, checks};
use exectrace::{FlightRecorder, OnFull, Options, Rotation, Trace, instant};
use exectrace::{start_file_with, start_rotating, start_with};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use trace_format::event::EventKind;
use trace_format::value::Value;

/// Set in the process that is to be killed: what it writes, where, and with which seed.
const ROLE: &str = "EXECTRACE_TEST_CONSERVE";

/// The role of a process that is to be killed and must lose nothing.
const WAITS: &str = "waits";

/// Number of threads that work all the time.
const WORKERS: u64 = 4;

/// Maximum number of threads in a round.
const THREADS_MAX: usize = 512;

fn rounds(count: u64) -> u64 {
    let soak = std::env::var("EXECTRACE_TEST_SOAK").ok().and_then(|times| times.parse().ok());
    count * soak.unwrap_or(1)
}

/// Pseudo-random numbers from a seed that is printed.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn new() -> Self {
        let given = std::env::var("EXECTRACE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |it| it.as_nanos());
        let seed = given.unwrap_or_else(|| now() as u64 | 1);
        println!("EXECTRACE_TEST_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }
}

/// Options with so little memory that the collector cannot keep up.
fn little(random: &mut Random) -> Options {
    let memory = [128 << 10, 256 << 10, 1 << 20][random.below(3) as usize];
    annotated().memory_max(memory).generation(Duration::from_millis(10 + random.below(60)))
}

/// Threads that number their events: some that stay, and some that come and go.
#[derive(Debug)]
struct Crew {
    /// Number of events that each thread has recorded.
    far: Vec<AtomicU64>,
    next: AtomicU64,
    /// Threads hold it for reading while they record; while it is held for writing, all rest.
    rest: RwLock<()>,
    is_over: AtomicBool,
}

impl Crew {
    fn new() -> Self {
        let far = (0..THREADS_MAX).map(|_| AtomicU64::new(0)).collect();
        let (next, is_over) = (AtomicU64::new(WORKERS), AtomicBool::new(false));
        Self { far, next, rest: RwLock::new(()), is_over }
    }

    fn far(&self) -> Vec<u64> {
        self.far.iter().map(|far| far.load(Ordering::Relaxed)).collect()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Records `count` events of the thread `who`.
    fn burst(&self, who: u64, count: u64) {
        let far = &self.far[who as usize];
        for _ in 0..count {
            let n = far.load(Ordering::Relaxed);
            instant!("n", who, n);
            far.store(n + 1, Ordering::Relaxed);
        }
    }

    fn rest(&self) -> std::sync::RwLockReadGuard<'_, ()> {
        self.rest.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs all threads until each has recorded `events` events, or until the crew is told to end.
    /// The threads that stay call `between` after some events.
    fn work(&self, events: u64, mut random: Random, between: impl Fn(u64) + Sync) {
        std::thread::scope(|scope| {
            for who in 0..WORKERS {
                let (mut random, between) = (Random(random.next() | 1), &between);
                let work = move || {
                    while !self.is_over() && self.far[who as usize].load(Ordering::Relaxed) < events
                    {
                        let working = self.rest();
                        self.burst(who, 1 + random.below(400));
                        drop(working);
                        between(who);
                    }
                };
                named(who).spawn_scoped(scope, work).expect("a thread");
            }
            let comers = move || {
                for _ in 0..events / 500 {
                    if self.is_over() || self.next.load(Ordering::Relaxed) == THREADS_MAX as u64 {
                        break;
                    }
                    let _working = self.rest();
                    let who = self.next.fetch_add(1, Ordering::Relaxed);
                    let count = random.below(1_000);
                    std::thread::scope(|scope| {
                        let come = move || self.burst(who, count);
                        named(who).spawn_scoped(scope, come).expect("a thread");
                    });
                }
            };
            scope.spawn(comers);
        });
    }
}

fn named(who: u64) -> std::thread::Builder {
    std::thread::Builder::new().name(format!("w{who}"))
}

/// The events of one thread in one output.
#[derive(Clone, Default)]
struct Seen {
    numbers: Vec<u64>,
    /// Losses reported before the first number, and all reported losses.
    reported_before: u64,
    reported: u64,
    /// The thread's total of lost events.
    lost: u64,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { numbers, reported_before, reported, lost } = self;
        let (count, first, last) = (numbers.len(), numbers.first(), numbers.last());
        write!(f, "{count} from {first:?} to {last:?}, ")?;
        write!(f, "reported {reported_before} of {reported}, lost {lost}")
    }
}

impl Seen {
    /// Number of missing numbers between the first and the last.
    fn gaps(&self) -> u64 {
        let (Some(first), Some(last)) = (self.numbers.first(), self.numbers.last()) else {
            return 0;
        };
        last - first + 1 - self.numbers.len() as u64
    }
}

/// What an output has of each thread, by the thread's number.
fn seen(trace: &Decoded) -> BTreeMap<u64, Seen> {
    let mut all = BTreeMap::<u64, Seen>::new();
    for thread in trace.tables.threads.values() {
        let mut seen = Seen::default();
        let mut who = thread.name.strip_prefix('w').and_then(|number| number.parse().ok());
        for event in trace.events(thread.id) {
            match event.kind {
                EventKind::Instant { mut values, .. } => {
                    let (Some(Value::U64(of)), Some(Value::U64(n))) =
                        (values.next(), values.next())
                    else {
                        panic!("two numbers");
                    };
                    assert_eq!(*who.get_or_insert(of), of, "events lie with their thread");
                    seen.numbers.push(n);
                }
                EventKind::Dropped { events, .. } => {
                    seen.reported += events;
                    if seen.numbers.is_empty() {
                        seen.reported_before += events;
                    }
                }
                _ => {}
            }
        }
        assert!(seen.numbers.is_sorted_by(|a, b| a < b), "w{who:?}: each once, in order");
        seen.lost = thread.end.map_or(0, |end| end.dropped_events);
        if let Some(who) = who {
            let before = all.insert(who, seen);
            assert!(before.is_none(), "w{who} is one thread");
        }
    }
    all
}

/// The losses of the whole output, and the part that no thread counts.
fn lost(trace: &Decoded) -> (u64, u64) {
    let all = trace.tables.stop.expect("it was stopped").dropped_events;
    let ends = trace.tables.threads.values().filter_map(|thread| thread.end);
    let threads: u64 = ends.map(|end| end.dropped_events).sum();
    (all, all.checked_sub(threads).expect("the whole has what its threads have lost"))
}

fn whole(bytes: &[u8]) -> Decoded {
    let trace = Decoded::new(bytes);
    checks::check(&trace);
    assert!(trace.complete);
    trace
}

/// Checks an output that was written from the first event to the last. Returns the number of lost
/// events.
fn check_all(trace: &Decoded, far: &[u64]) -> u64 {
    let all = seen(trace);
    let mut unattached = 0;
    for (who, &far) in far.iter().enumerate().filter(|(_, far)| **far > 0) {
        let Some(seen) = all.get(&(who as u64)) else {
            unattached += far;
            continue;
        };
        let (first, last) = (seen.numbers.first(), seen.numbers.last());
        let first = first.copied().unwrap_or(far - seen.lost);
        let tail = far - last.map_or(first, |last| last + 1);
        assert_eq!(seen.lost, seen.gaps() + tail, "w{who}, {far} events: {seen:?}");
        unattached += first;
    }
    let (lost, of_nobody) = lost(trace);
    assert_eq!(of_nobody, unattached, "events of threads that were not attached");
    let read: u64 = all.values().map(|seen| seen.numbers.len() as u64).sum();
    assert_eq!(read + lost, far.iter().sum::<u64>(), "read, and reported as lost");
    lost
}

/// A writer that waits while its gate is closed, so that memory runs full.
#[derive(Clone, Debug, Default)]
struct Gated {
    bytes: Arc<Mutex<Vec<u8>>>,
    is_closed: Arc<(Mutex<bool>, Condvar)>,
}

impl Gated {
    fn set(&self, is_closed: bool) {
        *self.is_closed.0.lock().unwrap_or_else(PoisonError::into_inner) = is_closed;
        self.is_closed.1.notify_all();
    }
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let closed = self.is_closed.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.is_closed.1.wait_while(closed, |is_closed| *is_closed));
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_gets_every_event_or_a_report_of_its_loss() {
    let _alone = alone();
    let mut random = Random::new();
    for _ in 0..rounds(6) {
        let (crew, writer) = (Crew::new(), Gated::default());
        let options = little(&mut random).memory_max(256 << 10);
        let trace = start_with(options, writer.clone()).expect("none is running");
        // For half of the events the writer waits.
        writer.set(true);
        let half = 20_000;
        crew.work(2 * half, random.clone(), |who| {
            if crew.far[who as usize].load(Ordering::Relaxed) > half {
                writer.set(false);
            }
        });
        writer.set(false);
        let report = trace.stop().expect("memory takes it");
        let bytes = std::mem::take(&mut *writer.bytes.lock().expect("nobody panicked"));
        let trace = whole(&bytes);
        checks::check_report(&trace, &report);
        let lost = check_all(&trace, &crew.far());
        assert!(lost > 0, "more was recorded than fits");
        random.next();
    }
}

#[test]
fn a_file_has_or_reports_every_event() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("whole.trace");
    let mut random = Random::new();
    for _ in 0..rounds(6) {
        let crew = Crew::new();
        let trace = start_file_with(little(&mut random), &path).expect("there is room");
        crew.work(20_000, random.clone(), |_| {});
        let report = trace.stop().expect("the disk takes it");
        let trace = whole(&std::fs::read(&path).expect("it is there"));
        checks::check_report(&trace, &report);
        check_all(&trace, &crew.far());
        random.next();
    }
}

/// Checks the losses that each part reports. Returns the total.
fn check_parts(parts: &[Decoded], far: &[u64]) -> u64 {
    let all: Vec<_> = parts.iter().map(seen).collect();
    for (who, &far) in far.iter().enumerate() {
        let of_part = |part: &BTreeMap<u64, Seen>| part.get(&(who as u64)).cloned();
        let of_parts: Vec<Seen> = all.iter().filter_map(of_part).collect();
        let first = of_parts.iter().find_map(|seen| seen.numbers.first().copied());
        // The missing events before the next one read, and the losses reported by then.
        let (mut next, mut missing, mut lost) = (first.unwrap_or(far), 0, 0);
        for (at, seen) in of_parts.iter().enumerate() {
            lost += seen.lost;
            for &n in &seen.numbers {
                missing += n.checked_sub(next).expect("an event is in one part");
                next = n + 1;
            }
            let mut later = of_parts[at + 1..].iter().flat_map(|seen| seen.numbers.first());
            let untold = later.next().map_or(far, |n| *n) - next;
            let said = missing..=missing + untold;
            assert!(said.contains(&lost) || first.is_none(), "w{who}: {lost}, not {said:?}");
        }
    }
    let read = all.iter().flat_map(BTreeMap::values).map(|seen| seen.numbers.len() as u64);
    let lost: u64 = parts.iter().map(|part| lost(part).0).sum();
    assert_eq!(read.sum::<u64>() + lost, far.iter().sum::<u64>(), "read, and reported as lost");
    lost
}

#[test]
fn parts_have_or_report_every_event_each_its_own() {
    let _alone = alone();
    let mut random = Random::new();
    let mut count = 0;
    for _ in 0..rounds(6) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.trace");
        let rotation = Rotation::new(1 << 30).part_bytes(64 << 10);
        let crew = Crew::new();
        let options = little(&mut random);
        let trace = start_rotating(options, rotation, &path).expect("there is room");
        crew.work(20_000, random.clone(), |_| {});
        let report = trace.stop().expect("the disk takes it");
        let read = |part: &PathBuf| std::fs::read(part).expect("it is there");
        let parts: Vec<_> = parts(&path).iter().map(|part| whole(&read(part))).collect();
        count += parts.len();
        let lost = check_parts(&parts, &crew.far());
        assert_eq!((lost, 0), (report.dropped_events, report.unwritten_events));
        let ends: u64 = parts.iter().map(|it| it.tables.stop.expect("a stop").dropped_ends).sum();
        assert_eq!(ends, report.dropped_ends);
        random.next();
    }
    assert!(count > 6, "the traces went on in other files");
}

/// Checks an output that begins or ends, or both, while all threads rest: `from` and `to` have the
/// number of events of each thread at those moments.
fn check_window(trace: &Decoded, from: &[u64], to: &[u64]) {
    let all = seen(trace);
    for (&who, seen) in &all {
        let to = to[who as usize];
        let Some((&first, &last)) = seen.numbers.first().zip(seen.numbers.last()) else {
            continue;
        };
        assert!(first >= from[who as usize], "w{who} has {first}, from before it began");
        assert!(last < to, "w{who} has {last} of {to}");
        // Losses reported before the first event happened earlier, or when the thread had just
        // begun here.
        let missing = seen.reported_before + seen.gaps() + (to - 1 - last);
        assert_eq!(seen.lost, missing, "w{who}, from {} to {to}: {seen:?}", from[who as usize]);
    }
    lost(trace);
}

/// Runs a crew, and calls `act` several times while the crew rests.
fn while_working(random: &Random, times: u64, mut act: impl FnMut(&Crew)) -> Vec<u64> {
    let crew = Crew::new();
    std::thread::scope(|scope| {
        let working = scope.spawn(|| crew.work(u64::MAX, random.clone(), |_| {}));
        let _over = common::Ends(&crew.is_over);
        for turn in 1..=times {
            while crew.far[0].load(Ordering::Relaxed) < turn * 3_000 && !working.is_finished() {
                std::thread::yield_now();
            }
            let _rest = crew.rest.write().unwrap_or_else(PoisonError::into_inner);
            act(&crew);
        }
    });
    crew.far()
}

#[test]
fn snapshots_have_or_report_what_was_recorded_in_their_time() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flight.trace");
    let mut random = Random::new();
    for round in 0..rounds(6) {
        let is_all = round % 2 == 0;
        let bytes = if is_all { 64 << 20 } else { 512 << 10 };
        let builder = FlightRecorder::builder().max_bytes(bytes).options(little(&mut random));
        let is_mapped = round % 3 == 0;
        let builder = if is_mapped { builder.mapped(&path) } else { builder };
        let recorder = builder.start().expect("none is running");
        let far = while_working(&random, 4, |crew| {
            let (mut bytes, far) = (Vec::new(), crew.far());
            let report = recorder.snapshot(&mut bytes).expect("memory takes it");
            let trace = whole(&bytes);
            assert_eq!(report.dropped_events, lost(&trace).0);
            check_window(&trace, &[0; THREADS_MAX], &far);
            if is_all {
                check_all(&trace, &far);
            }
        });
        recorder.stop();
        if is_mapped && is_all {
            let bytes = std::fs::read(&path).expect("it is there");
            let trace = trace_format::survive::ring::unwind(&bytes).expect("it is such a file");
            check_all(&whole(&trace), &far);
        }
        random.next();
    }
}

#[test]
fn a_trace_beside_a_recorder_has_or_reports_what_was_recorded_in_its_time() {
    let _alone = alone();
    let mut random = Random::new();
    for _ in 0..rounds(3) {
        let builder = FlightRecorder::builder().max_bytes(1 << 20).options(little(&mut random));
        let recorder = builder.start().expect("none is running");
        let mut running: Option<(Trace, Gated, Vec<u64>)> = None;
        while_working(&random, 6, |crew| {
            let (trace, writer, from) = match running.take() {
                Some(running) => running,
                None => {
                    let writer = Gated::default();
                    let trace = start_with(annotated(), writer.clone()).expect("none is running");
                    running = Some((trace, writer, crew.far()));
                    return;
                }
            };
            let report = trace.stop().expect("memory takes it");
            let bytes = std::mem::take(&mut *writer.bytes.lock().expect("nobody panicked"));
            let trace = whole(&bytes);
            assert_eq!(report.dropped_events, lost(&trace).0);
            check_window(&trace, &from, &crew.far());
        });
        drop(running);
        recorder.stop();
        random.next();
    }
}

/// Not a test: the process that is to be killed. It writes each thread's number of events to a
/// file.
#[test]
fn one_that_is_killed() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut words = role.splitn(3, ' ');
    let (what, seed, path) = (words.next(), words.next(), words.next());
    let (path, seed) = (path.expect("where"), seed.and_then(|seed| seed.parse().ok()));
    let mut random = Random(seed.expect("a seed"));
    let options = match what {
        Some(WAITS) => annotated().memory_max(1 << 20).on_full(OnFull::Wait),
        _ => little(&mut random),
    };
    let rotation = Rotation::new(1 << 30).part_bytes(64 << 10);
    let (mut trace, mut recorder) = (None, None);
    match what {
        Some("mapped") => {
            let builder = FlightRecorder::builder().options(options).max_bytes(64 << 20);
            recorder = Some(builder.mapped(path).start().expect("there is room"));
        }
        Some("parts") => trace = Some(start_rotating(options, rotation, path)),
        _ => trace = Some(start_file_with(options, path)),
    }
    let trace = trace.map(|started| started.expect("there is room"));
    let said = std::fs::File::create(format!("{path}.far")).expect("the folder is there");
    let crew = Crew::new();
    crew.work(u64::MAX, random, |who| {
        let far = crew.far[who as usize].load(Ordering::Relaxed);
        said.write_all_at(&far.to_le_bytes(), who * 8).expect("the disk takes it");
    });
    drop((trace, recorder));
}

/// Kills such a process at some moment, and checks what it has left. Returns the number of events.
fn kill(what: &str, random: &mut Random) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.trace");
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["one_that_is_killed", "--exact"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.env(ROLE, format!("{what} {} {}", random.next() | 1, path.display()));
    let mut child = command.spawn().expect("it can be started");
    let said = folder.path().join("app.trace.far");
    // At any time after its first line.
    while std::fs::metadata(&said).map_or(0, |it| it.len()) < 8 {
        assert!(child.try_wait().expect("it is ours").is_none(), "it works until it is killed");
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_micros(random.below(150_000)));
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    let mut all = BTreeMap::<u64, Seen>::new();
    let far = std::fs::read(&said).expect("it was written");
    let far = far.as_chunks().0.iter().map(|far| u64::from_le_bytes(*far));
    for (who, seen) in left(&path).iter().flat_map(seen) {
        let so_far = all.entry(who).or_default();
        so_far.numbers.extend(seen.numbers);
        so_far.reported += seen.reported;
    }
    for (who, seen) in &all {
        let distinct: BTreeSet<_> = seen.numbers.iter().collect();
        assert_eq!(distinct.len(), seen.numbers.len(), "{what}: w{who} has an event twice");
        assert!(seen.numbers.is_sorted(), "{what}: w{who} is in order");
        // If parts begin faster than a thread gets another batch, some of its events are in neither
        // part; the thread's total would have reported them.
        let is_too_late = what == "parts" && seen.gaps() > seen.reported;
        let is_told = seen.gaps() == seen.reported || is_too_late;
        assert!(is_told, "{what}: w{who}, {} missing: {seen:?}", seen.gaps());
    }
    if what == WAITS {
        for (who, seen) in &all {
            assert_eq!((seen.gaps(), seen.reported), (0, 0), "w{who} has waited: {seen:?}");
            assert_eq!(seen.numbers.first().copied().unwrap_or(0), 0, "w{who}: {seen:?}");
        }
        for (who, far) in (0..).zip(far) {
            let seen = all.get(&who).map_or(0, |seen| seen.numbers.len() as u64);
            assert!(seen >= far, "w{who} had recorded {far}, and {seen} are left");
        }
    }
    all.values().map(|seen| seen.numbers.len() as u64).sum()
}

#[test]
fn what_is_left_by_a_kill_has_no_event_twice_and_no_gap_that_is_not_reported() {
    let mut random = Random::new();
    let mut events = 0;
    for round in 0..rounds(24) {
        events += kill(["file", "parts", "mapped", WAITS][round as usize % 4], &mut random);
    }
    assert!(events > 24_000, "they were killed while they worked");
}
