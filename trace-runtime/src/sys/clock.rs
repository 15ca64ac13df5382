//! The clock that gives events their time, and snapshots that relate it to the system's clocks.
//!
//! The time stamp counter is used only if the processor says it is invariant: it ticks at one rate
//! in every power state. Everywhere else, and under loom, it is the system's monotonic clock.
//!
//! Elsewhere: the system's clocks (`sys`).
//!
//! May contain `unsafe`: the instruction that reads a counter.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicU64};
use crate::sys::wall;
pub(crate) use crate::sys::{
    check_clock, clock_faked_by, monotonic, suspended, thread_counts, thread_cpu,
};
use std::ops::Add;
use std::time::Duration;
use trace_format::time::{ClockKind, ClockSnapshot, Nanos, Ticks};

/// Whether the processor's counter is the clock. Set before the first event by [`prepare`].
static COUNTER: AtomicBool = AtomicBool::new(false);

/// Ticks per second, once measured.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);

/// Under loom, time must be the same whenever a schedule is replayed: it advances by one with every
/// read.
#[cfg(exectrace_loom)]
pub(crate) mod fake {
    use std::cell::Cell;

    thread_local!(static NOW: Cell<u64> = const { Cell::new(1) });

    #[cfg(test)]
    pub(crate) fn set(now: u64) {
        NOW.set(now);
    }

    pub(crate) fn ticks() -> u64 {
        NOW.set(NOW.get() + 1);
        NOW.get()
    }
}

#[cfg(exectrace_loom)]
pub(crate) use fake::ticks;

/// The time of events, in raw ticks; never 0.
#[cfg(not(exectrace_loom))]
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    if COUNTER.load(Ordering::Relaxed) { counter() } else { monotonic() }
}

#[cfg(all(target_arch = "x86_64", not(exectrace_loom)))]
#[inline(always)]
fn counter() -> u64 {
    // SAFETY: `rdtsc` wants a processor that has it, and every x86_64 has.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(all(target_arch = "aarch64", not(exectrace_loom)))]
#[inline(always)]
fn counter() -> u64 {
    let ticks: u64;
    // SAFETY: reading `cntvct_el0` is allowed to user code on every system std supports, touches no
    // memory and no flags.
    unsafe {
        std::arch::asm!(
            "mrs {}, cntvct_el0",
            out(reg) ticks,
            options(nomem, nostack, preserves_flags),
        );
    }
    ticks
}

#[cfg(all(not(exectrace_loom), not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn counter() -> u64 {
    monotonic()
}

#[cfg(all(target_arch = "x86_64", not(exectrace_loom)))]
fn counter_is_steady() -> bool {
    const POWER: u32 = 0x8000_0007;
    const INVARIANT_TSC: u32 = 1 << 8;
    #[allow(unused_unsafe, reason = "the standard library calls it safe only in newer versions")]
    let leaf = |number| {
        // SAFETY: every x86_64 processor has the instruction; it only reads.
        unsafe { std::arch::x86_64::__cpuid(number) }
    };
    leaf(0x8000_0000).eax >= POWER && leaf(POWER).edx & INVARIANT_TSC != 0
}

/// The architecture promises a constant rate.
#[cfg(all(target_arch = "aarch64", not(exectrace_loom)))]
fn counter_is_steady() -> bool {
    true
}

#[cfg(any(exectrace_loom, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn counter_is_steady() -> bool {
    false
}

/// Chooses the clock: the processor's counter if its rate is constant. Called at every start, with
/// the same result each time.
pub(crate) fn prepare() -> ClockKind {
    COUNTER.store(counter_is_steady(), Ordering::Relaxed);
    kind()
}

/// The clock of events, as [`prepare`] chose it.
pub(crate) fn kind() -> ClockKind {
    if !COUNTER.load(Ordering::Relaxed) {
        ClockKind::Monotonic
    } else if cfg!(target_arch = "x86_64") {
        ClockKind::Tsc
    } else {
        ClockKind::Cntvct
    }
}

/// One moment on three clocks. It tries a few times and keeps the try that took the least time: a
/// preemption between the reads would falsify every time of the trace.
pub(crate) fn snapshot() -> ClockSnapshot {
    check_clock();
    let mut best = ClockSnapshot::default();
    let mut best_took = u64::MAX;
    for _ in 0..4 {
        let before = ticks();
        let monotonic = monotonic();
        let took = ticks().saturating_sub(before);
        if took < best_took {
            best_took = took;
            best = ClockSnapshot {
                ticks: Ticks(before + took / 2),
                monotonic: Nanos(monotonic),
                wall: Nanos(wall()),
            };
        }
    }
    best
}

/// A moment on the recorder's own monotonic clock, for its waits. Not the standard library's
/// `Instant`: that one follows libc's clock, and a library that replaces it with a stopped or
/// faster clock must not disturb the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(monotonic())
    }

    /// How long ago it was; zero if it is yet to come.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// How much later it is than `earlier`; zero if it is not later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }
}

/// The time in nanoseconds; `u64::MAX`, which is 584 years, for longer ones.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Ticks in this many nanoseconds, for thresholds. The first call measures the frequency, which
/// takes 200 us; the result is precise to about one part in a thousand. The times in the trace do
/// not depend on it.
pub(crate) fn ticks_in(nanos: u64) -> u64 {
    if nanos == 0 || kind() == ClockKind::Monotonic {
        return nanos;
    }
    if FREQUENCY.load(Ordering::Relaxed) == 0 {
        let first = snapshot();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(200) {
            check_clock();
        }
        let last = snapshot();
        let elapsed = u128::from(last.monotonic.0 - first.monotonic.0).max(1);
        let ticks = u128::from(last.ticks.0 - first.ticks.0);
        FREQUENCY.store((ticks * 1_000_000_000 / elapsed) as u64, Ordering::Relaxed);
    }
    let frequency = u128::from(FREQUENCY.load(Ordering::Relaxed));
    u64::try_from(u128::from(nanos) * frequency / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_run_backwards_and_snapshots_agree_on_the_rate() {
        prepare();
        let first = snapshot();
        let mut before = ticks();
        for _ in 0..1000 {
            let now = ticks();
            assert!(now >= before);
            before = now;
        }
        std::thread::sleep(Duration::from_millis(20));
        let last = snapshot();
        let ticks = (last.ticks.0 - first.ticks.0) as f64;
        let expected = ticks_in(last.monotonic.0 - first.monotonic.0) as f64;
        assert!((ticks / expected - 1.0).abs() < 0.02, "{ticks} ticks, {expected} expected");
    }
}
