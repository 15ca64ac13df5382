//! Whether the process stood still: stopped by a signal or a debugger, frozen with its control
//! group, or suspended with the machine. All its threads then seem to wait, although they did not.
//!
//! The system does not tell a process that it was stopped. But the collector sleeps until a moment
//! that it chose, and that suffices as a proof: a thread that is stopped in its sleep has to wake
//! up and sleep a second time, in a state that its timer does not end. So it was stopped if, in one
//! sleep,
//!
//! - it gave up its CPU more than once (signals do not cause that: all are blocked);
//! - no page had to be read from disk for it, which is the other way to sleep twice;
//! - it came back late, and the time that it waited for a CPU does not explain that.
//!
//! Each alone has other causes: a busy machine delays every timer, but then the thread waits for a
//! CPU, once. A hypervisor that gives the machine no time also delays timers, but wakes no thread
//! in between; that case is not detected here. The proof covers the time from the chosen moment on.
//! When the stop began only events of other threads can show, so readers look there (FORMAT.md,
//! `Stopped`).
//!
//! No thread is woken for this: a stop that is over before the collector's sleep ends is not seen.

use crate::sys::clock::{self, Instant};
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::time::{Nanos, Ticks};

/// Minimum length of a stop that is recorded: shorter ones explain nothing that a person would ask
/// about.
const STOP_MIN: Duration = Duration::from_millis(10);

/// Maximum time that the collector sleeps where it can't be woken.
const NAP: Duration = Duration::from_millis(5);

/// Ticks are converted with an error of up to one part in this number.
const RATE_PART: u64 = 64;

/// What the collector knows about its own sleeps.
#[derive(Debug)]
pub(crate) struct StandstillDetector {
    /// How long it had waited for CPUs when last read; `None` if the system does not say.
    ready: Option<Duration>,
    suspended: Suspended,
    /// When `suspended` was read.
    asked: Ticks,
}

/// What the system has counted for this thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadCounts {
    /// How often it gave up its CPU.
    pub(crate) yields: u64,
    /// How often a page had to be read from disk for it.
    pub(crate) faults: u64,
}

/// How long the machine had been suspended since it was started: a lower and an upper bound, as two
/// clocks can't be read at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suspended {
    pub(crate) min: Nanos,
    pub(crate) max: Nanos,
}

impl StandstillDetector {
    /// On the collector's thread.
    pub(crate) fn new() -> Self {
        Self { ready: ready(), suspended: clock::suspended(), asked: Ticks(clock::ticks()) }
    }

    /// Sleeps until then, or until it is unparked. Returns the definition to write if the process
    /// was stopped meanwhile.
    pub(crate) fn park_until(&mut self, until: Instant) -> Option<Definition<'static>> {
        // With a clock that has stopped, or was set back, `until` never comes, and the kernel ends
        // each park at once.
        clock::check_clock();
        if clock::clock_faked_by().is_some() {
            // The standard library parks until a moment of the program's clock, which for the
            // kernel may never come, or be in the past.
            std::thread::sleep(until.since(Instant::now()).min(NAP));
            return None;
        }
        let before = clock::thread_counts();
        std::thread::park_timeout(until.since(Instant::now()));
        let late = until.elapsed();
        if late < STOP_MIN {
            return None;
        }
        let to = clock::ticks();
        let after = clock::thread_counts();
        let ready = self.take_ready()?;
        if !stood_still(before, after, late, ready) {
            return None;
        }
        let (late, ready) = (late.as_nanos() as u64, ready.as_nanos() as u64);
        // While this thread was ready, others may have run, before or after the stop. And the rate
        // of ticks is known to a part in a thousand, so `from` is moved by more than that.
        let still = late.saturating_sub(ready);
        let from = Ticks(to.saturating_sub(clock::ticks_in(still - still / RATE_PART)));
        let to = Ticks(to.saturating_sub(clock::ticks_in(ready)));
        (from < to).then_some(Definition::Stopped { from, to, suspended: Nanos(0) })
    }

    /// Once a generation. Returns the definition to write if the machine was suspended.
    pub(crate) fn look(&mut self) -> Option<Definition<'static>> {
        let _ = self.take_ready();
        let (now, to) = (clock::suspended(), Ticks(clock::ticks()));
        let before = std::mem::replace(&mut self.suspended, now);
        let from = std::mem::replace(&mut self.asked, to);
        let suspended = suspended_between(before, now)?;
        Some(Definition::Stopped { from, to, suspended })
    }

    /// Maximum time that this thread has waited for CPUs since the last call.
    fn take_ready(&mut self) -> Option<Duration> {
        let now = ready()?;
        let before = self.ready.replace(now)?;
        Some(now.saturating_sub(before))
    }
}

/// Whether the process was stopped in a sleep that ended `late` after its moment, while it was
/// `ready` for some of that time.
fn stood_still(before: ThreadCounts, after: ThreadCounts, late: Duration, ready: Duration) -> bool {
    // More than twice if it was stopped several times. In between it must have been ready, as a
    // thread that runs now would not sleep again.
    let sleeps = after.yields - before.yields;
    let is_one_stop = sleeps == 2 || sleeps > 2 && ready <= late / 64;
    // A stop with some time without a CPU before or after it is reported only if that time is
    // small.
    let is_unexplained = ready <= late / 4 && late.saturating_sub(2 * ready) >= STOP_MIN;
    is_one_stop && after.faults == before.faults && is_unexplained
}

/// How long the machine was certainly suspended in between; `None` if it was not, or shortly.
fn suspended_between(before: Suspended, after: Suspended) -> Option<Nanos> {
    let nanos = after.min.0.saturating_sub(before.max.0);
    (Duration::from_nanos(nanos) >= STOP_MIN).then_some(Nanos(nanos))
}

/// How long this thread has been able to run, and had no CPU, since it began.
fn ready() -> Option<Duration> {
    if cfg!(not(target_os = "linux")) {
        return None;
    }
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_millis(100);
    const BUSY: ThreadCounts = ThreadCounts { yields: 7, faults: 1 };

    fn after(yields: u64, faults: u64) -> ThreadCounts {
        ThreadCounts { yields: BUSY.yields + yields, faults: BUSY.faults + faults }
    }

    #[test]
    fn who_sleeps_twice_and_comes_late_was_stopped() {
        let ready = Duration::from_millis(1);
        assert!(stood_still(BUSY, after(2, 0), LATE, ready));
        assert!(stood_still(BUSY, after(3, 0), LATE, ready));
        assert!(stood_still(BUSY, after(2, 0), LATE, LATE / 4));
        assert!(stood_still(BUSY, after(2, 0), STOP_MIN, Duration::ZERO));
    }

    #[test]
    fn a_busy_machine_stops_nobody() {
        // As measured with six threads that never sleep, on two CPUs.
        assert!(!stood_still(BUSY, after(1, 0), LATE, LATE));
        assert!(!stood_still(BUSY, after(2, 0), LATE, LATE * 9 / 10));
        // Twice stopped, and others ran in between.
        assert!(!stood_still(BUSY, after(3, 0), LATE, LATE / 10));
        // A hypervisor gave no time.
        assert!(!stood_still(BUSY, after(1, 0), LATE, Duration::ZERO));
        // A page of the recorder came from disk.
        assert!(!stood_still(BUSY, after(2, 1), LATE, Duration::ZERO));
        // Short stops are not reported.
        assert!(!stood_still(BUSY, after(2, 0), STOP_MIN / 2, Duration::ZERO));
    }

    #[test]
    fn a_machine_was_suspended_if_the_bounds_of_two_looks_are_apart() {
        let look = |min, max| Suspended { min: Nanos(min), max: Nanos(max) };
        let second = 1_000_000_000;
        let between = |before, after| suspended_between(before, after).map(|nanos| nanos.0);
        assert_eq!(between(look(5, 7), look(second + 7, second + 9)), Some(second));
        // The thread lost its CPU between two clocks.
        assert_eq!(between(look(5, 7), look(5, second)), None);
        assert_eq!(between(look(5, second), look(second, second)), None);
        assert_eq!(between(look(5, 7), look(5, 6)), None);
    }

    #[test]
    fn who_sleeps_undisturbed_was_not_stopped() {
        let mut still = StandstillDetector::new();
        let until = Instant::now() + Duration::from_millis(1);
        assert_eq!(still.park_until(until), None);
    }
}
