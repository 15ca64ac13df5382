//! The subjects: plain tokio, exectrace and dial9, each on and off, used by their own functions.

use crate::work::Work;
use dial9_tokio_telemetry::telemetry as dial9;
use dial9_tokio_telemetry::telemetry::Dial9HandleTokioExt as _;
use dial9_trace_format::decoder::Decoder;
use exectrace::tokio::BuilderExt as _;
use std::fs::File;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The file that a recorder writes; the peer adds to the name.
const FILE: &str = "trace.bin";
const PEER_FILE: &str = "trace.0.bin";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// tokio alone.
    Plain,
    /// Hooks that do nothing: what tokio needs for calling them.
    Hollow,
    /// exectrace: tokio's spawn on an instrumented runtime; no trace.
    HooksOff,
    /// exectrace: our spawn on an instrumented runtime; no trace.
    BothOff,
    /// The peer: its spawn on its runtime; paused.
    PeerOff,
    /// exectrace: tokio's spawn on an instrumented runtime.
    Hooks,
    /// Our spawn on a plain runtime.
    Spawned,
    /// Our spawn on an instrumented one.
    Both,
    /// The same, with stacks of wakes, spawns and await points.
    Stacks,
    /// The peer: tokio's spawn on its runtime.
    PeerHooks,
    /// The peer: its spawn on its runtime, which records wakes.
    Peer,
}

use Subject::{
    Both, BothOff, Hollow, Hooks, HooksOff, Peer, PeerHooks, PeerOff, Plain, Spawned, Stacks,
};

/// Every subject, its name, and the peer's subject that it is compared with.
pub(crate) const ALL: [(Subject, &str, Option<Subject>); 11] = [
    (Plain, "tokio", None),
    (Hollow, "hooks that do nothing", None),
    (HooksOff, "exectrace off, hooks", None),
    (BothOff, "exectrace off, hooks and spawn", Some(PeerOff)),
    (PeerOff, "dial9 paused, its spawn", None),
    (Hooks, "exectrace, hooks", Some(PeerHooks)),
    (PeerHooks, "dial9, hooks", None),
    (Spawned, "exectrace, spawn", Some(Peer)),
    (Both, "exectrace, hooks and spawn", Some(Peer)),
    (Stacks, "the same, stacks", Some(Peer)),
    (Peer, "dial9, its spawn", None),
];

/// A way to spawn.
pub(crate) trait Spawn: 'static {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()>;
}

/// tokio's.
#[derive(Debug)]
pub(crate) struct Tokio;

impl Spawn for Tokio {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(future)
    }
}

/// exectrace's.
#[derive(Debug)]
pub(crate) struct Ours;

impl Spawn for Ours {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        exectrace::tokio::spawn(future)
    }
}

/// dial9's.
#[derive(Debug)]
pub(crate) struct Theirs;

impl Spawn for Theirs {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        dial9::spawn(future)
    }
}

/// A runtime, and a function to call after its end: it stops the recorder, and returns what that
/// wrote.
pub(crate) type Started = (Runtime, Box<dyn FnOnce() -> Written>);

/// What a recorder has written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) events: u64,
    /// Events that are missing: for exectrace as it counts them, for the peer the polls missing in
    /// its file.
    pub(crate) lost: u64,
    /// Number of polls in the file, if the recorder does not count what it loses.
    pub(crate) polls: Option<u64>,
}

impl Subject {
    /// Starts the subject's recorder, if it has one, and a runtime.
    ///
    /// - `folder`: an empty folder for what is written.
    pub(crate) fn start(self, workers: usize, folder: &Path) -> Started {
        let build = |mut builder: Builder| builder.build().expect("tokio starts");
        let none = || Box::new(Written::default);
        match self {
            Plain => (build(builder(workers)), none()),
            Hollow => (build(hollow(workers)), none()),
            HooksOff | BothOff => (build(traced(workers)), none()),
            PeerOff | PeerHooks | Peer => theirs(workers, folder, self == PeerOff),
            Hooks | Spawned | Both | Stacks => {
                let options = exectrace::Options::new().async_stacks(self == Stacks);
                let file = File::create(folder.join(FILE)).expect("a folder takes files");
                let trace = exectrace::start_with(options, file).expect("no trace is running");
                let builder = if self == Spawned { builder(workers) } else { traced(workers) };
                (build(builder), Box::new(|| stop(trace)))
            }
        }
    }

    /// Runs one round of work in a task of the runtime, with the subject's way to spawn.
    pub(crate) fn round(self, runtime: &Runtime, work: Work) {
        match self {
            Plain | Hollow | HooksOff | Hooks | PeerHooks => run::<Tokio>(runtime, work),
            BothOff | Spawned | Both | Stacks => run::<Ours>(runtime, work),
            PeerOff | Peer => run::<Theirs>(runtime, work),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|it| it.0 == self).expect("ALL has all").1
    }
}

impl FromStr for Subject {
    type Err = ();

    /// Parses the name that `Debug` prints.
    fn from_str(name: &str) -> Result<Self, ()> {
        ALL.iter().map(|it| it.0).find(|subject| format!("{subject:?}") == name).ok_or(())
    }
}

fn run<S: Spawn>(runtime: &Runtime, work: Work) {
    runtime.block_on(work.round::<S>());
}

/// A builder of a runtime with this number of workers, the same for all subjects.
fn builder(workers: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers);
    builder
}

fn traced(workers: usize) -> Builder {
    let mut builder = builder(workers);
    builder.traced();
    builder
}

/// A runtime with all the hooks that exectrace sets, but empty ones.
fn hollow(workers: usize) -> Builder {
    let mut builder = builder(workers);
    builder.on_thread_start(|| {}).on_thread_stop(|| {});
    builder.on_thread_park(|| {}).on_thread_unpark(|| {});
    builder.on_task_spawn(|_| {}).on_task_terminate(|_| {});
    builder.on_before_task_poll(|_| {}).on_after_task_poll(|_| {});
    builder
}

fn stop(trace: exectrace::Trace) -> Written {
    let report = trace.stop().expect("a file takes it");
    let lost = report.dropped_events + report.dropped_ends + report.unwritten_events;
    Written { bytes: report.bytes, events: report.events, lost, polls: None }
}

/// The peer with its defaults, and with spawns and ends recorded, as exectrace does and the peer's
/// quick start says. It writes one file, not compressed, because nothing in it needs symbols.
fn theirs(workers: usize, folder: &Path, is_paused: bool) -> Started {
    let buffer = dial9::DiskBuffer::single_file(folder.join(FILE)).expect("a folder takes files");
    let recorder = dial9::recorder(buffer);
    let recorder = if is_paused { recorder.paused() } else { recorder }.build();
    let options = dial9::TokioAttachOptions::builder().task_tracking_enabled(true).build();
    let runtime = recorder.handle().attach_tokio_runtime(builder(workers), options);
    let stop = move || {
        recorder.graceful_shutdown(Duration::from_secs(30));
        Written::default()
    };
    (runtime.expect("tokio starts"), Box::new(stop))
}

/// Counts what is in the peer's file.
pub(crate) fn count(folder: &Path) -> Option<Written> {
    let bytes = std::fs::read(folder.join(PEER_FILE)).ok()?;
    let mut decoder = Decoder::new(&bytes).expect("the peer reads what it wrote");
    let (mut events, mut polls) = (0, 0);
    decoder
        .for_each_event(|event| {
            events += 1;
            polls += u64::from(event.name == "PollEndEvent");
        })
        .expect("the peer reads what it wrote");
    Some(Written { bytes: bytes.len() as u64, events, lost: 0, polls: Some(polls) })
}
