//! What is compared: plain tokio, exectrace and dial9, each on and off, by their own functions.

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

/// Where a recorder writes to; the peer adds to the name.
const FILE: &str = "trace.bin";
const PEER_FILE: &str = "trace.0.bin";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// tokio alone.
    Plain,
    /// Hooks that do nothing: what tokio takes for calling them.
    Hollow,
    /// Ours: tokio's spawn on an instrumented runtime; no trace.
    HooksOff,
    /// Our spawn on one; no trace.
    BothOff,
    /// The peer: its spawn on its runtime; paused.
    PeerOff,
    /// Ours: tokio's spawn on an instrumented runtime.
    Hooks,
    /// Our spawn on a plain runtime.
    Spawned,
    /// Our spawn on an instrumented one.
    Both,
    /// The same, with stacks of wakes, spawns and await points.
    Stacks,
    /// The peer: tokio's spawn on its runtime.
    PeerHooks,
    /// Its spawn on its runtime, which records wakes.
    Peer,
}

use Subject::{
    Both, BothOff, Hollow, Hooks, HooksOff, Peer, PeerHooks, PeerOff, Plain, Spawned, Stacks,
};

/// Every subject, what it is called, and what of the peer's it is compared with.
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

/// A function that spawns.
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

/// A runtime, and what is to be done when it is gone: the recorder stops, and tells what it wrote.
pub(crate) type Started = (Runtime, Box<dyn FnOnce() -> Written>);

/// What a recorder has written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) events: u64,
    /// Events that are not there: counted by ours, polls missing in the peer's file.
    pub(crate) lost: u64,
    /// Polls that are there, if the recorder does not count what it loses.
    pub(crate) polls: Option<u64>,
}

impl Subject {
    /// Starts the recorder, if it is one, and a runtime.
    ///
    /// - `folder`: empty; for what is written.
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

    /// One round of work, by whose spawn this subject uses, in a task of the runtime.
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

    /// From its debugging name.
    fn from_str(name: &str) -> Result<Self, ()> {
        ALL.iter().map(|it| it.0).find(|subject| format!("{subject:?}") == name).ok_or(())
    }
}

fn run<S: Spawn>(runtime: &Runtime, work: Work) {
    runtime.block_on(work.round::<S>());
}

/// A runtime of so many workers, the same for all.
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

/// With all the hooks that ours has, empty.
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

/// The peer by its defaults, with spawns and ends recorded, as ours do and its quick start has it:
/// one file, not compressed, for nothing in it needs symbols.
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

/// What the peer's file has in it.
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
