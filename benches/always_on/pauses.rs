//! Regions of a thread that only records, on a CPU of its own if the machine has one: how long they
//! take while snapshots are taken, and while none is.
//!
//! Stretches in which the system took the CPU from the thread say nothing about the recorder, and
//! are left out. Time that a hypervisor takes cannot be seen.
//!
//! May contain `unsafe`: it pins threads, and asks for their switches.

use crate::{Extent, annotated, row};
use exectrace::{FlightRecorder, traced};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[traced]
#[inline(never)]
fn leaf() {
    std::hint::black_box(());
}

/// Values of `measured`.
const STILL: usize = 0;
const ASKED: usize = 1;
const NEITHER: usize = 2;
const OVER: usize = 3;

/// Times are counted in [`STEPS`] steps of this many nanoseconds; longer ones are kept as they are.
const STEP: u64 = 10;
const STEPS: usize = 2_000;

/// The goal: no region takes longer, in nanoseconds.
const GOAL: u64 = 10_000;

/// Durations of regions.
#[derive(Clone)]
struct Times {
    counts: Vec<u64>,
    longer: Vec<u64>,
    windows: usize,
}

impl Times {
    fn new() -> Self {
        Self { counts: vec![0; STEPS], longer: Vec::new(), windows: 0 }
    }

    fn note(&mut self, nanos: u64) {
        match self.counts.get_mut((nanos / STEP) as usize) {
            Some(count) => *count += 1,
            None => self.longer.push(nanos),
        }
    }

    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.longer.extend(&other.longer);
        self.windows += 1;
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        self.longer.clear();
    }

    /// Number of regions that took longer than the goal.
    fn over(&self) -> u64 {
        let over = (GOAL / STEP) as usize;
        self.counts[over..].iter().sum::<u64>() + self.longer.len() as u64
    }

    /// The quantile `part` of the durations, in microseconds.
    fn at(&mut self, part: f64) -> f64 {
        self.longer.sort_unstable();
        let all = self.counts.iter().sum::<u64>() + self.longer.len() as u64;
        let mut rest = ((all as f64 * part) as u64).min(all.saturating_sub(1));
        for (step, count) in self.counts.iter().enumerate() {
            if rest < *count {
                return (step as u64 * STEP) as f64 / 1e3;
            }
            rest -= count;
        }
        self.longer.get(rest as usize).copied().unwrap_or_default() as f64 / 1e3
    }
}

/// Binds this thread, and threads that it starts, to a CPU. Returns whether that worked.
fn pin(cpu: usize) -> bool {
    // SAFETY: `cpu_set_t` consists of numbers; zeros are the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `CPU_SET` wants a set, and a number within it.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `sched_setaffinity` wants a set of this size; 0 is the calling thread.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) == 0 }
}

/// Number of times that this thread was taken off its CPU.
fn switches() -> i64 {
    // SAFETY: `rusage` consists of numbers, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `getrusage` wants memory for its result: `usage` is that.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nivcsw + usage.ru_nvcsw
}

/// Records until told to end; returns the durations of each kind.
fn spin(measured: &AtomicUsize) -> [Times; 2] {
    let mut times = [Times::new(), Times::new()];
    let mut window = Times::new();
    let (mut current, mut before) = (NEITHER, 0);
    loop {
        let now = measured.load(Ordering::Relaxed);
        if now != current {
            if current < NEITHER && switches() == before {
                times[current].add(&window);
            }
            if now == OVER {
                return times;
            }
            window.clear();
            (current, before) = (now, switches());
        }
        let begin = Instant::now();
        leaf();
        window.note(begin.elapsed().as_nanos() as u64);
    }
}

pub(crate) fn measure(extent: Extent) {
    let is_pinned = pin(0);
    let recorder = FlightRecorder::builder().options(annotated()).start();
    let recorder = recorder.expect("none is running");
    let measured = AtomicUsize::new(NEITHER);
    let mut times = thread::scope(|scope| {
        let spinning = scope.spawn(|| {
            let _ = is_pinned && pin(1);
            spin(&measured)
        });
        // Wait until the ring is full.
        thread::sleep(extent.idle.min(Duration::from_secs(2)));
        for _ in 0..extent.windows {
            measured.store(ASKED, Ordering::Relaxed);
            let begin = Instant::now();
            recorder.snapshot(io::sink()).expect("a sink takes it");
            let took = begin.elapsed();
            measured.store(STILL, Ordering::Relaxed);
            thread::sleep(took);
            measured.store(NEITHER, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
        }
        measured.store(OVER, Ordering::Relaxed);
        spinning.join().expect("it only records")
    });
    recorder.stop();
    let windows = extent.windows;
    for (kind, name) in [(STILL, "without a snapshot"), (ASKED, "during snapshots")] {
        let times = &mut times[kind];
        let shown = [0.5, 0.999, 0.9999, 1.0].map(|part| times.at(part));
        let [middle, most, nearly, longest] = shown;
        let value = format!("{most:.2} us");
        let note = format!(
            "p99.9; median {middle:.2}, p99.99 {nearly:.2}, max {longest:.1} us, {} over 10 us, \
             in {} of {windows} windows",
            times.over(),
            times.windows
        );
        row(&format!("region of a spinning thread, {name}"), &value, "<= 10 us", &note);
    }
}
