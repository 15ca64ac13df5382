//! Feature `sched`: which thread ran on which CPU and when, by the kernel's records.
//!
//! The kernel writes a record whenever a thread of this process begins or stops running, into one
//! ring per CPU; the collector turns the records into events on the lanes of CPUs. Samples of
//! running threads and major page faults come the same way. Recording threads do nothing for it: a
//! switch costs them the time in which the kernel writes two records.
//!
//! - `perf`: asking the kernel to watch, and why it refuses.
//! - `cover`: which threads are watched on which CPUs.
//! - `ring`: the memory the records arrive in.
//! - `record`: what the records say.
//! - `convert`: the records' times as ticks.
//! - `lane`: a CPU's batches.
//!
//! The rings are the kernel's memory, at most 512 KiB per CPU in addition to the trace's own bound.
//! Records that do not fit, because the collector was too late, are counted in the lane.

mod convert;
mod cover;
mod lane;
mod perf;
mod record;
mod ring;

use crate::base::options::Options;
use crate::output::Outputs;
use crate::source::Source;
use crate::stack::{FRAMES_MAX, intern_frames, note_used};
use crate::sys::clock;
use crate::thread::own_threads::OWN_THREADS;
use convert::Convert;
use cover::{Cover, RING_BYTES_MAX};
use lane::CpuLane;
use perf::{Manner, PerfEvent, WatchKind};
use record::{CallChain, Record, RecordKind, Records};
use ring::PerfRing;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::event::EventKind;
use trace_format::facility;
use trace_format::id::StackId;

/// How often rings of the full size are read. With 200,000 switches per second and CPU, they are
/// full after twice this time.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Flags of a stack that the kernel has walked; the lowest bit says that it is cut.
const BY_KERNEL: u64 = 3 << 1;

/// The kernel as a source of events.
#[derive(Debug)]
pub(crate) struct Sched {
    wanted: SchedOptions,
    /// `None` until the trace begins, and if the kernel refuses.
    watch: Option<SwitchWatch>,
}

/// What the user wants in addition to switches.
#[derive(Clone, Copy, Debug)]
struct SchedOptions {
    samples_per_second: u32,
    faults: bool,
}

/// The watching, while the kernel allows it.
#[derive(Debug)]
struct SwitchWatch {
    cover: Cover,
    lanes: Vec<CpuLane>,
    convert: Convert,
    process: u32,
    /// Threads from before the start that have no record yet.
    silent: BTreeMap<u32, Silent>,
    /// The bytes of one read of one ring.
    bytes: Vec<u8>,
    has_looked: bool,
    /// When the rings were last read.
    looked: u64,
}

/// A thread without a record so far.
#[derive(Clone, Copy, Debug)]
struct Silent {
    /// Since when it is watched, in ticks.
    since: u64,
    /// Whether it stopped running while the watching was set up.
    ceased: bool,
}

impl Sched {
    /// A source that has not begun.
    pub(crate) fn new(options: &Options) -> Self {
        let wanted =
            SchedOptions { samples_per_second: options.cpu_samples, faults: options.page_faults };
        Self { wanted, watch: None }
    }
}

impl Source for Sched {
    fn begin(&mut self, outputs: &mut Outputs) {
        match SwitchWatch::begin(self.wanted, outputs) {
            Ok(watch) => {
                let note = format!("{}; {}", watch.cover.how(), watch.convert.how());
                define_facility(outputs, facility::SCHED, Ok(&note));
                self.watch = Some(watch);
            }
            Err(refusal) => define_facility(outputs, facility::SCHED, Err(&refusal)),
        }
    }

    fn collect(&mut self, outputs: &mut Outputs) {
        // Records of a thread that is not listed yet would be taken for the program's.
        if let Some(watch) = &mut self.watch
            && !OWN_THREADS.is_one_starting()
        {
            watch.look(outputs);
        }
    }

    fn advance(&mut self, _: &mut Outputs) {
        if let Some(watch) = &mut self.watch {
            let looked = watch.looked;
            watch.lanes.iter_mut().for_each(|lane| lane.begin_batch(looked));
        }
    }

    fn stop(&mut self, outputs: &mut Outputs) {
        if let Some(mut watch) = self.watch.take() {
            watch.look(outputs);
        }
    }

    fn collect_every(&self) -> Option<Duration> {
        let watch = self.watch.as_ref()?;
        let share = RING_BYTES_MAX / watch.cover.ring_bytes().max(1);
        Some((LOOK_EVERY / share.max(1) as u32).max(Duration::from_millis(2)))
    }
}

/// Says in the trace whether a facility works, and how, or why not.
fn define_facility(outputs: &mut Outputs, name: &str, how: Result<&str, &str>) {
    let (on, note) = how.map_or_else(|why_not| (false, why_not), |how| (true, how));
    outputs.define(&Definition::Facility { name: name.as_bytes(), on, note: note.as_bytes() });
}

/// The note for a facility that `option` would switch on.
fn unasked(option: &str) -> String {
    format!("{} ({option})", facility::NOT_ASKED_FOR)
}

impl SwitchWatch {
    /// Begins to watch. Says in the trace whether samples and faults work; the caller does so for
    /// switches.
    ///
    /// # Errors
    /// The note for the trace: why nothing can be watched.
    fn begin(wanted: SchedOptions, outputs: &mut Outputs) -> Result<Self, String> {
        let mut manner = Manner::new();
        let look = PerfEvent::open(WatchKind::Switches, manner, 0, None);
        let look = look.map_err(|error| perf::refusal(&error))?;
        let page = PerfRing::map(look.descriptor(), 0);
        let rate = page.map_err(|error| perf::refusal_of_memory(&error))?.rate();
        let convert = Convert::new(clock::kind(), rate)?;
        manner.monotonic = convert.wants_monotonic();
        // An old kernel refuses flags that it does not know.
        manner.threads_only = true;
        let mut tried = vec![look];
        manner.threads_only = try_open(WatchKind::Switches, manner, &mut tried).is_ok();
        let mut kinds = vec![WatchKind::Switches];
        if !wanted.faults {
            define_facility(outputs, facility::FAULTS, Err(&unasked("Options::page_faults")));
        } else if let Err(error) = try_open(WatchKind::SwitchesAndFaults, manner, &mut tried) {
            define_facility(outputs, facility::FAULTS, Err(&perf::refusal(&error)));
        } else {
            define_facility(
                outputs,
                facility::FAULTS,
                Ok("major page faults in the program's own code"),
            );
            kinds = vec![WatchKind::SwitchesAndFaults];
        }
        let every_ns = 1_000_000_000 / u64::from(wanted.samples_per_second.max(1));
        let samples = WatchKind::Samples { every_ns };
        if wanted.samples_per_second == 0 {
            define_facility(outputs, facility::SAMPLES, Err(&unasked("Options::cpu_samples")));
        } else if let Err(error) = try_open(samples, manner, &mut tried) {
            define_facility(outputs, facility::SAMPLES, Err(&perf::refusal(&error)));
        } else {
            let how = format!("one per {every_ns} ns of CPU time, stacks by frame pointers");
            define_facility(outputs, facility::SAMPLES, Ok(&how));
            kinds.push(samples);
        }
        let cover = Cover::new(kinds, manner)?;
        let silent = |covered: &cover::Covered| Silent { since: covered.since, ceased: false };
        Ok(Self {
            lanes: cover.rings.iter().map(|(cpu, ..)| CpuLane::new(*cpu)).collect(),
            convert,
            process: std::process::id(),
            silent: cover.threads.iter().map(|(&id, covered)| (id, silent(covered))).collect(),
            bytes: Vec::new(),
            has_looked: false,
            looked: clock::ticks(),
            cover,
        })
    }

    /// Reads the rings and writes the events.
    fn look(&mut self, outputs: &mut Outputs) {
        // Asked before the rings are read: a thread that has run, and has no record in them either,
        // has been running all the time.
        let running = if self.has_looked { Vec::new() } else { self.running_silently() };
        self.has_looked = true;
        self.convert.look();
        self.looked = clock::ticks();
        for at in 0..self.lanes.len() {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            self.cover.rings[at].1.take(&mut bytes);
            for record in Records(&bytes) {
                let lost = matches!(record.what, RecordKind::Lost(_));
                if lost || (record.process == self.process && !OWN_THREADS.has(record.thread)) {
                    self.put_record(at, &record);
                }
                if self.lanes[at].is_long() {
                    self.lanes[at].write(outputs);
                }
            }
            self.bytes = bytes;
        }
        for (thread, at) in running.into_iter().filter(|(thread, _)| !OWN_THREADS.has(*thread)) {
            if let Some(Silent { since, ceased: false }) = self.silent.remove(&thread) {
                self.lanes[at].switch_in(since, thread);
            }
        }
        self.silent.retain(|thread, _| !OWN_THREADS.has(*thread));
        self.lanes.iter_mut().for_each(|lane| lane.write(outputs));
    }

    /// The threads that have run since they are watched, without a record so far, and their rings'
    /// indices.
    fn running_silently(&self) -> Vec<(u32, usize)> {
        let mut running = Vec::new();
        for (&thread, &covered) in &self.cover.threads {
            let has_run =
                |at: &usize| self.cover.event_on(covered, *at).is_some_and(PerfEvent::has_run);
            running.extend((0..self.lanes.len()).find(has_run).map(|at| (thread, at)));
        }
        running
    }

    /// Puts a record into its lane.
    fn put_record(&mut self, at: usize, record: &Record<'_>) {
        let ticks = self.convert.ticks(record.time);
        let (lane, thread) = (&mut self.lanes[at], record.thread);
        if let RecordKind::Lost(records) = record.what {
            return lane.lost(ticks, records);
        }
        let known = self.silent.get(&thread).copied();
        if let Some(silent) = known.filter(|silent| ticks < silent.since)
            && !matches!(record.what, RecordKind::SwitchIn)
        {
            // Where it was before is not known, nor whether that time has all records.
            self.silent.insert(thread, Silent { ceased: true, ..silent });
            return;
        }
        self.silent.remove(&thread);
        let since = known.map(|silent| silent.since);
        let os_thread = u64::from(thread);
        match record.what {
            RecordKind::SwitchIn => lane.switch_in(ticks, thread),
            RecordKind::SwitchOut { preempted } => lane.switch_out(ticks, thread, preempted, since),
            RecordKind::Exit => lane.switch_out(ticks, thread, false, since),
            RecordKind::Sample(chain) => {
                lane.runs(thread, since);
                lane.put(ticks, EventKind::Sample { os_thread, stack: stack(chain) });
            }
            RecordKind::Fault { address, chain } => {
                lane.runs(thread, since);
                lane.put(ticks, EventKind::Fault { os_thread, address, stack: stack(chain) });
            }
            RecordKind::Lost(_) => {}
        }
    }
}

/// The id of a stack that the kernel has walked.
fn stack(chain: CallChain<'_>) -> StackId {
    let mut room = [0; FRAMES_MAX];
    let (frames, cut) = chain.frames(&mut room);
    let id = intern_frames(BY_KERNEL | u64::from(cut), frames);
    note_used(id);
    StackId(id)
}

/// Tries whether the kernel watches in this way, on the calling thread. The event stays open for a
/// while: the kernel's first event of a kind takes the longest, and closing the last undoes that
/// work.
fn try_open(kind: WatchKind, manner: Manner, tried: &mut Vec<PerfEvent>) -> io::Result<()> {
    tried.push(PerfEvent::open(kind, manner, 0, Some(cover::any_cpu()))?);
    Ok(())
}
