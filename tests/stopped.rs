//! The trace of a process that was stopped, as by Ctrl-Z, says from when to when: the process did
//! not sleep. The trace never says that of a process that only has no CPU.
//!
//! A child records; this process stops it, and knows by its own clock, which the child has, too,
//! when no thread of the child ran.
//!
//! May contain `unsafe`: it sends signals, and reads the system's clock.
#![cfg(target_os = "linux")]

mod common;

use common::{annotated, record_with};
use exectrace::{FlightRecorder, Options, traced};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use trace_analysis::Trace;
use trace_analysis::life::Lives;
use trace_analysis::standstill::{Standstill, standstills};
use trace_analysis::symbols::Symbols;
use trace_format::read::TraceFile;
use trace_format::time::Nanos;

/// The file for the child to write.
const PATH: &str = "EXECTRACE_TEST_STOPPED";
/// How the child is to record.
const HOW: &str = "EXECTRACE_TEST_STOPPED_HOW";

/// How often a child is stopped. If the collector had no CPU for long just before a stop, it does
/// not record that stop.
const STOPS: usize = 4;
/// Maximum number of processes that a test records. While other programs use all CPUs, a trace may
/// prove none of its stops, and the test records another process.
const PROCESSES_MAX: usize = 10;

/// How a child records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Annotations, with a collector that wakes up often.
    Annotations,
    /// Everything, with such a collector.
    All,
    /// The default options.
    Defaults,
}

impl How {
    const ALL: [Self; 3] = [Self::Annotations, Self::All, Self::Defaults];

    fn name(self) -> &'static str {
        match self {
            Self::Annotations => "annotations",
            Self::All => "all",
            Self::Defaults => "defaults",
        }
    }

    fn options(self) -> Options {
        let often = Duration::from_millis(10);
        match self {
            Self::Annotations => annotated().generation(often),
            Self::All => Options::new().generation(often),
            Self::Defaults => Options::new(),
        }
    }

    /// How long the child is stopped: at least as long as its collector sleeps.
    fn stop(self) -> Duration {
        Duration::from_millis(if self == Self::Defaults { 1_000 } else { 300 })
    }
}

/// The system's monotonic clock, which both processes have.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call wants room for a time: `time` is that.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A recording process, which answers each byte with the same byte.
struct Recording {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    how: How,
}

impl Recording {
    fn start(path: &Path, how: How) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(["answers_until_it_is_told_to_stop", "--exact", "--nocapture"]);
        command.env(PATH, path).env(HOW, how.name());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it can be started");
        let to = child.stdin.take().expect("a pipe");
        let mut from = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.ends_with("ready\n") {
            line.clear();
            assert_ne!(from.read_line(&mut line).expect("text"), 0, "it has begun to record");
        }
        Self { child, to, from, how }
    }

    fn ask(&mut self, byte: u8) {
        self.to.write_all(&[byte]).expect("it reads");
        let mut answer = [0];
        self.from.read_exact(&mut answer).expect("it answers");
        assert_eq!(answer, [byte]);
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: the call wants nothing; the child has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Whether the system reports every thread as stopped.
    fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let mut stats = tasks.expect("it lives").map(|task| {
            let stat = task.expect("a thread").path().join("stat");
            std::fs::read_to_string(stat).unwrap_or_default()
        });
        stats.all(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
    }

    /// Stops the process for a while. Returns the bounds of the stop.
    fn stop(&mut self) -> Stop {
        self.ask(b'a');
        let before = now();
        self.signal(libc::SIGSTOP);
        while !self.is_stopped() {
            std::thread::yield_now();
        }
        let begun = now();
        std::thread::sleep(self.how.stop());
        let ends = now();
        self.signal(libc::SIGCONT);
        self.ask(b'b');
        Stop { before, begun, ends, ended: now() }
    }

    fn finish(mut self) {
        self.ask(b'q');
        let rest = std::io::read_to_string(&mut self.from).expect("text");
        assert!(self.child.wait().expect("it ends").success(), "{rest}");
    }
}

/// The bounds of a stop: it began between the first two times, and ended between the others.
#[derive(Clone, Copy, Debug)]
struct Stop {
    before: u64,
    begun: u64,
    ends: u64,
    ended: u64,
}

/// Not a test: the process that the tests stop.
#[test]
fn answers_until_it_is_told_to_stop() {
    let Ok(path) = std::env::var(PATH) else { return };
    let file = std::fs::File::create(path).expect("it can be made");
    let told = std::env::var(HOW).expect("that is set, too");
    let how = How::ALL.into_iter().find(|how| how.name() == told).expect("it is one of them");
    let options = how.options();
    let start = || FlightRecorder::builder().options(options.clone()).start();
    let recorder = (how != How::Defaults).then(|| start().expect("none is running"));
    let trace = exectrace::start_with(options.clone(), file).expect("no trace is running");
    let mut out = std::io::stdout();
    out.write_all(b"ready\n").expect("somebody reads");
    let mut byte = [0];
    while byte != *b"q" {
        std::io::stdin().read_exact(&mut byte).expect("somebody asks");
        // The collector writes a snapshot here, so it does not sleep from one stop to the next.
        if let Some(recorder) = &recorder {
            recorder.snapshot(std::io::sink()).expect("a sink takes all");
        }
        answer(&mut out, byte);
    }
    trace.stop().expect("it is written");
}

#[traced]
fn answer(out: &mut impl Write, byte: [u8; 1]) {
    out.write_all(&byte).expect("somebody reads");
    out.flush().expect("somebody reads");
}

/// The standstills in a trace, each with the stop that caused it.
type Pairs = Vec<(Standstill, Stop)>;

/// Records processes and stops them, until a trace has a standstill. Returns that trace with its
/// standstills.
fn told(how: How) -> (TraceFile<Vec<u8>>, Pairs) {
    for _ in 0..PROCESSES_MAX {
        let (trace, stops) = stopped(how);
        let pairs = matched(&trace, &stops);
        if !pairs.is_empty() {
            return (trace, pairs);
        }
    }
    panic!("no trace has one of {} stops", STOPS * PROCESSES_MAX);
}

/// Records a process and stops it. Returns its trace and the stops.
fn stopped(how: How) -> (TraceFile<Vec<u8>>, Vec<Stop>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stopped.trace");
    let mut recording = Recording::start(&path, how);
    let stops = (0..STOPS).map(|_| recording.stop()).collect();
    recording.finish();
    let trace = TraceFile::open(std::fs::read(path).expect("it is there")).expect("a trace");
    (trace, stops)
}

/// Matches each standstill in the trace with the stop that caused it; no stop is used twice.
fn matched(trace: &TraceFile<Vec<u8>>, stops: &[Stop]) -> Pairs {
    let origin = trace.tables().clock.origin().monotonic.0;
    let told = standstills(trace).into_iter().map(|mut told| {
        assert_eq!(told.suspended, Nanos(0));
        (told.from.0, told.to.0) = (told.from.0 + origin, told.to.0 + origin);
        told
    });
    let pairs: Vec<_> = told
        .map(|told| {
            let fits = |stop: &&Stop| stop.before <= told.from.0 && told.to.0 <= stop.ended;
            let stop = stops.iter().find(fits);
            (told, *stop.unwrap_or_else(|| panic!("nobody stopped it: {told:?}, {stops:?}")))
        })
        .collect();
    assert!(pairs.windows(2).all(|pair| pair[0].1.before < pair[1].1.before), "{pairs:?}");
    for (told, stop) in &pairs {
        let real = stop.ends - stop.begun;
        assert!(told.to.0 - told.from.0 >= real / 2, "most of it: {told:?}, {stop:?}");
    }
    pairs
}

#[test]
fn a_stop_is_recorded_as_far_as_it_is_proven() {
    let (trace, _) = told(How::Annotations);
    assert!(trace.faults().is_empty(), "{:?}", trace.faults());
}

#[test]
fn with_switches_a_stop_is_recorded_from_its_very_begin() {
    let (trace, pairs) = told(How::All);
    let lives = Lives::read(&Trace::new(&trace).named(&Symbols::of_trace(trace.tables())), |_| {});
    for life in &lives.threads {
        assert_eq!(life.times.total().0, life.end.0 - life.begin.0, "{}", life.name);
    }
    let told: u64 = pairs.iter().map(|(told, _)| told.to.0 - told.from.0).sum();
    let main = lives.threads.iter().max_by_key(|life| life.calls).expect("a thread");
    assert_eq!(main.times.stopped, Nanos(told), "all of them lie in its life");
    if lives.cpus.is_empty() {
        common::loudly("SKIPPED: the kernel tells of no switches");
        return;
    }
    for (told, stop) in pairs {
        assert!(told.from.0 <= stop.begun, "{told:?} began by then: {stop:?}");
    }
}

#[test]
fn with_default_options_a_stop_longer_than_the_collectors_sleep_is_recorded() {
    let (trace, _) = told(How::Defaults);
    assert!(trace.faults().is_empty(), "{:?}", trace.faults());
}

/// Twice as many busy threads as test machines have CPUs, and one thread that sleeps.
#[test]
fn a_process_without_a_cpu_does_not_stand_still() {
    let stop = AtomicBool::new(false);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let options = annotated().generation(Duration::from_millis(10));
    let recorded = record_with(options, || {
        std::thread::scope(|scope| {
            for _ in 0..cpus * 4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            for _ in 0..100 {
                std::thread::sleep(Duration::from_millis(10));
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    assert_eq!(recorded.trace.tables.stops, []);
}
