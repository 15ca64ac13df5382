//! What the kernel counted for a thread, beside what switches and wakes show of it.
//!
//! The two differ where events say nothing: the kernel counts time in which it switches threads as
//! time on a CPU, and a thread that a timer or a device has woken as ready, while a trace learns of
//! that only when the thread is on a CPU, and counts it as blocked until then.
//!
//! Elsewhere: what a thread did by its events (`timeline`).

use trace_format::id::ThreadId;
use trace_format::read::{Counted, Tables};
use trace_format::time::Nanos;

use crate::hash::FastMap;
use crate::reason::Reason;
use crate::report::life::{ThreadLife, WaitGroup};

/// Maximum difference that is left out, in nanoseconds.
const DIFFERENCE_NANOS_MIN: u64 = 1_000_000;

/// Maximum difference that is left out: what the kernel counted, divided by this.
const DIFFERENCE_PART: u64 = 20;

/// How far what the kernel counted may reach beyond a life that it is compared with.
const SLACK_NANOS: u64 = 1_000_000;

/// What the kernel counted for one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelTimes {
    /// On a CPU, in the program's code and in the system; `None` if the trace does not say.
    pub cpu: Option<Elapsed>,
    /// Able to run, and not on a CPU; `None` if the trace does not say.
    pub ready: Option<Elapsed>,
}

/// Time that was counted from one moment to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elapsed {
    /// The first, since the first clock snapshot.
    pub from: Nanos,
    /// The second.
    pub to: Nanos,
    /// The time.
    pub time: Nanos,
}

/// A time that the kernel counted and the trace's events do not show all of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// What the kernel counted, in the thread's life or a part of it.
    pub counted: Nanos,
    /// What events show in all of the life.
    pub shown: Nanos,
}

impl Unseen {
    /// How much of what the kernel counted events do not show.
    #[must_use]
    pub fn missing(&self) -> Nanos {
        Nanos(self.counted.0.saturating_sub(self.shown.0))
    }
}

impl KernelTimes {
    /// What the tables say of a thread.
    #[must_use]
    pub fn new(tables: &Tables, thread: ThreadId) -> Self {
        let Some(times) = tables.thread_times.get(&thread) else { return Self::default() };
        let elapsed = |pair: Option<(Counted, Counted)>| {
            let (first, last) = pair.filter(|(first, last)| first.ticks < last.ticks)?;
            let time = Nanos(last.nanos.0.saturating_sub(first.nanos.0));
            let (from, to) = (tables.clock.nanos(first.ticks), tables.clock.nanos(last.ticks));
            Some(Elapsed { from, to, time })
        };
        Self { cpu: elapsed(times.cpu), ready: elapsed(times.ready) }
    }

    /// CPU time in a thread's life, or in a part of it.
    ///
    /// - Returns `None` if the trace does not say, or only of more than that life.
    #[must_use]
    pub fn cpu_in(&self, life: &ThreadLife) -> Option<Nanos> {
        self.cpu.filter(|cpu| cpu.is_in(life)).map(|cpu| cpu.time)
    }

    /// CPU time that switches do not show; `None` if they show it, or were not recorded.
    #[must_use]
    pub fn unseen_cpu(&self, life: &ThreadLife) -> Option<Unseen> {
        unseen(self.cpu?, life, life.times.cpu())
    }

    /// Readiness that counts as something else in the life; `None` if it does not, or switches were
    /// not recorded.
    #[must_use]
    pub fn unseen_ready(&self, life: &ThreadLife) -> Option<Unseen> {
        unseen(self.ready?, life, life.times.ready)
    }
}

/// How long threads may have been ready and count as blocked: in waits that a device ends, for
/// files and pages of memory.
///
/// Of a thread only the sum is known, and it may lie in any of these waits:
///
/// - In one group of waits there is no more of it than all of it, and no more than the thread
///   waited there. That holds of each group, and says nothing of several together: two groups may
///   each be all of it, but not both.
/// - Several groups together have no more of it than all of it. So that sums keep to that, each
///   group has a share: what it would have if it lay evenly in all these waits.
///
/// The threads of waits that came when the table was full are not known: these count as waited.
#[derive(Debug)]
pub(super) struct UnseenReady(FastMap<ThreadId, UnseenOfThread>);

/// What one thread may have been ready.
#[derive(Clone, Copy, Debug)]
struct UnseenOfThread {
    /// Readiness that events do not show.
    missing: u64,
    /// How long it waited for devices.
    waited: u64,
}

/// How much of a group's waits may have been readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PerhapsReady {
    /// At most, whatever the other groups have.
    pub(super) most: Nanos,
    /// If it lay evenly in all waits.
    pub(super) share: Nanos,
}

impl UnseenReady {
    /// Of these threads.
    ///
    /// - `groups`: all waits, each in one group.
    pub(super) fn new(threads: &[ThreadLife], tables: &Tables, groups: &[WaitGroup]) -> Self {
        let missing = threads.iter().filter_map(|life| {
            let unseen = KernelTimes::new(tables, life.thread).unseen_ready(life)?;
            let of_thread = UnseenOfThread { missing: unseen.missing().0, waited: 0 };
            Some((life.thread, of_thread))
        });
        let mut unseen = Self(missing.collect());
        for waiter in groups.iter().filter(|it| ends_by_device(it)).flat_map(|it| &it.waiters) {
            if let Some(known) = unseen.0.get_mut(&waiter.of) {
                known.waited = known.waited.saturating_add(waiter.total.0);
            }
        }
        unseen
    }

    /// How much of some waits it may be.
    pub(super) fn within(&self, group: &WaitGroup) -> PerhapsReady {
        if !ends_by_device(group) {
            return PerhapsReady::default();
        }
        let (mut most, mut share) = (0_u64, 0_u64);
        for waiter in &group.waiters {
            let Some(known) = self.0.get(&waiter.of) else { continue };
            most = most.saturating_add(known.missing.min(waiter.total.0));
            share = share.saturating_add(known.share(waiter.total.0));
        }
        PerhapsReady { most: Nanos(most), share: Nanos(share) }
    }
}

impl UnseenOfThread {
    /// The share of waits that took this long.
    fn share(self, waited: u64) -> u64 {
        let there = u128::from(self.missing.min(self.waited));
        let share = there * u128::from(waited) / u128::from(self.waited.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).min(waited)
    }
}

/// Whether a device ends such waits, so that no event says when the thread was ready.
fn ends_by_device(group: &WaitGroup) -> bool {
    group.reason.is_file() || group.reason == Reason::PageFault
}

impl Elapsed {
    fn is_in(&self, life: &ThreadLife) -> bool {
        self.from.0.saturating_add(SLACK_NANOS) >= life.begin.0
            && self.to.0 <= life.end.0.saturating_add(SLACK_NANOS)
    }
}

/// What was counted in a part of a life is no more than in all of it. So it is missing from what is
/// shown of the life if it is more than that.
fn unseen(elapsed: Elapsed, life: &ThreadLife, shown: Nanos) -> Option<Unseen> {
    let has_switches = life.times.running > Nanos(0);
    let unseen = Unseen { counted: elapsed.time, shown };
    let is_much =
        unseen.missing().0 >= (unseen.counted.0 / DIFFERENCE_PART).max(DIFFERENCE_NANOS_MIN);
    (elapsed.is_in(life) && has_switches && is_much).then_some(unseen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::life::Times;
    use trace_format::definition::Definition;
    use trace_format::time::{ClockSnapshot, Ticks};

    const MS: u64 = 1_000_000;

    fn tables() -> Tables {
        let mut tables = Tables::default();
        for ticks in [1_000, 1_000 + 1_000 * MS] {
            let (ticks, nanos) = (Ticks(ticks), Nanos(ticks - 1_000));
            tables.apply(&Definition::Clock(ClockSnapshot {
                ticks,
                monotonic: nanos,
                wall: nanos,
            }));
        }
        for (at, cpu, ready) in [(0, 5, None), (10, 6, Some(3)), (900, 249, Some(38))] {
            tables.apply(&Definition::ThreadTime {
                id: ThreadId(1),
                ticks: Ticks(1_000 + at * MS),
                cpu: Nanos(cpu * MS),
                ready: ready.map(|ready| Nanos(ready * MS)),
            });
        }
        tables
    }

    fn life(cpu: u64, ready: u64) -> ThreadLife {
        let (running, ready) = (Nanos(cpu * MS), Nanos(ready * MS));
        let times = Times { running, ready, ..Times::default() };
        ThreadLife { thread: ThreadId(1), end: Nanos(1_000 * MS), times, ..ThreadLife::default() }
    }

    #[test]
    fn what_the_kernel_counted_is_the_last_minus_the_first() {
        let times = KernelTimes::new(&tables(), ThreadId(1));
        let cpu = Elapsed { from: Nanos(0), to: Nanos(900 * MS), time: Nanos(244 * MS) };
        let ready = Elapsed { from: Nanos(10 * MS), to: Nanos(900 * MS), time: Nanos(35 * MS) };
        assert_eq!((times.cpu, times.ready), (Some(cpu), Some(ready)));
        assert_eq!(KernelTimes::new(&tables(), ThreadId(2)), KernelTimes::default());
    }

    #[test]
    fn only_what_events_do_not_show_is_unseen() {
        let times = KernelTimes::new(&tables(), ThreadId(1));
        let unseen = |counted, shown| {
            Some(Unseen { counted: Nanos(counted * MS), shown: Nanos(shown * MS) })
        };
        assert_eq!(times.unseen_cpu(&life(122, 0)), unseen(244, 122));
        assert_eq!(times.unseen_cpu(&life(243, 0)), None, "a part in 244");
        assert_eq!(times.unseen_cpu(&life(300, 0)), None, "only part of the life was counted");
        assert_eq!(times.unseen_ready(&life(244, 3)), unseen(35, 3));
        assert_eq!(times.unseen_ready(&life(244, 35)), None);
    }

    #[test]
    fn a_part_of_a_life_is_not_compared_with_what_was_counted_beyond_it() {
        let times = KernelTimes::new(&tables(), ThreadId(1));
        let window = ThreadLife { end: Nanos(500 * MS), ..life(122, 0) };
        assert_eq!(times.unseen_cpu(&window), None);
        let late = ThreadLife { begin: Nanos(500 * MS), ..life(122, 0) };
        assert_eq!(times.unseen_cpu(&late), None);
        let (unknown, in_calls) = (Nanos(800 * MS), Nanos(MS));
        let without_switches =
            ThreadLife { times: Times { unknown, in_calls, ..Times::default() }, ..life(0, 0) };
        assert_eq!(times.unseen_cpu(&without_switches), None);
    }
}
