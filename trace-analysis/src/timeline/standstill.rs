//! When the whole process stood still, as far as the recorder could prove it.
//!
//! The recorder knows for sure that no thread ran from some moment on, because it was to wake up
//! then and did not (FORMAT.md, `Stopped`). The events around that moment tell the rest:
//!
//! - It began with the last switch before that moment, if CPUs were recorded: each thread is woken
//!   to be stopped, and so comes onto a CPU once more, and goes. Without CPUs the beginning may lie
//!   anywhere between the last event and that moment; only what is proven is told.
//! - It ended with the first event behind that moment. If that is long before the recorder says,
//!   somebody has run, and nothing is told at all.
//!
//! Elsewhere: what threads seemed to do meanwhile is not counted as that (`timeline`).

use std::ops::ControlFlow;
use std::sync::Arc;

use trace_format::event::EventKind;
use trace_format::id::ThreadId;
use trace_format::read::{ReadAt, Stopped, Timed, TraceFile, Window};
use trace_format::time::{Nanos, Ticks};

/// How far before the proven moment the beginning is looked for: the recorder sleeps a second at
/// most.
const BACK_MAX: Nanos = Nanos(1_100_000_000);

/// Most times of standing still that are looked at; later ones are left out.
const COUNT_MAX: usize = 10_000;

/// A time in which no thread of the process ran, though the clock did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standstill {
    /// Since the first clock snapshot.
    pub from: Nanos,
    /// Its end.
    pub to: Nanos,
    /// 0: the process was stopped from `from` to `to`. Else the machine was suspended for this
    /// long, somewhere in between, which no time of the trace counts.
    pub suspended: Nanos,
}

/// Those of a window. Many threads share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stops {
    told: Arc<[Standstill]>,
    /// When the process was stopped, in order, apart from each other.
    stopped: Arc<[(u64, u64)]>,
}

/// Finds all of them, by time; those of one kind are apart from each other. Reads the file near
/// each one that the recorder reports.
#[must_use]
pub fn standstills<S: ReadAt>(file: &TraceFile<S>) -> Vec<Standstill> {
    let has_cpus = file.has_cpus();
    let told = file.tables().stops.iter().take(COUNT_MAX).filter(|it| it.from < it.to);
    let mut found: Vec<_> = told.filter_map(|told| standstill(file, told, has_cpus)).collect();
    found.sort_unstable();
    // Of each kind, only a false trace has two at once.
    let mut ends = [Nanos(0); 2];
    found.retain_mut(|it| {
        let end = &mut ends[usize::from(it.suspended > Nanos(0))];
        it.from = it.from.max(*end);
        *end = it.to.max(*end);
        it.from < it.to
    });
    found
}

fn standstill<S: ReadAt>(
    file: &TraceFile<S>,
    told: &Stopped,
    has_cpus: bool,
) -> Option<Standstill> {
    let nanos = |ticks| file.tables().clock.nanos(ticks);
    let Stopped { from, to, suspended } = *told;
    if suspended > Nanos(0) {
        return Some(Standstill { from: nanos(from), to: nanos(to), suspended });
    }
    let around = Around::read(file, told);
    let end = around.next.map_or(to, |next| next.min(to));
    let is_refuted = (end.0 - from.0) < (to.0 - from.0) / 2;
    let begin = around.ceased.filter(|_| has_cpus).unwrap_or(from);
    (!is_refuted).then(|| Standstill { from: nanos(begin), to: nanos(end), suspended })
}

/// What happened next to the moment from which on the process stood still.
#[derive(Clone, Copy, Debug, Default)]
struct Around {
    /// The last event up to then, if that is a thread's going off its CPU by its own will.
    ceased: Option<Ticks>,
    last: Ticks,
    /// The first event behind.
    next: Option<Ticks>,
}

impl Around {
    fn read<S: ReadAt>(file: &TraceFile<S>, told: &Stopped) -> Self {
        let back = BACK_MAX.0 as f64 / 1e9 * file.tables().clock.frequency_hz();
        let from = Ticks(told.from.0.saturating_sub(back as u64));
        let window = Window { from: Some(from), to: Some(told.to), thread: None };
        let mut around = Self::default();
        let mut order = file.in_order(window);
        loop {
            let walked = order.for_each(|timed| {
                around.note(&timed, told.from);
                ControlFlow::Continue(())
            });
            // What can't be read may have been anything: what is proven is enough.
            let Err(_) = walked else { return around };
            around.ceased = None;
        }
    }

    fn note(&mut self, timed: &Timed<'_>, moment: Ticks) {
        let Timed { thread, event } = timed;
        let end = event.end();
        for at in [event.ticks, end] {
            if at > moment {
                self.next = Some(self.next.map_or(at, |next| next.min(at)));
            } else if at >= self.last {
                self.last = at;
                self.ceased = has_ceased(*thread, &event.kind).then_some(at);
            }
        }
    }
}

/// Whether it is a thread's going off its CPU by its own will.
fn has_ceased(thread: ThreadId, kind: &EventKind<'_>) -> bool {
    thread.as_cpu().is_some() && matches!(kind, EventKind::SwitchOut { preempted: false, .. })
}

impl Stops {
    /// Of all standstills of a trace, by time, those that lie in the window, as far as they do.
    pub(crate) fn new(all: Vec<Standstill>, from: u64, to: u64) -> Self {
        let told: Arc<[_]> = cut(&all, from, to).collect();
        let stopped = told.iter().filter(|it| it.suspended == Nanos(0));
        let stopped = stopped.map(|it| (it.from.0, it.to.0)).collect();
        Self { told, stopped }
    }

    /// Those that lie in a part of it, as far as they do.
    pub(crate) fn inside(&self, from: u64, to: u64) -> impl Iterator<Item = Standstill> {
        cut(&self.told, from, to)
    }

    /// The first that ends after `at`, from its place `first` on, which is moved to it.
    #[inline]
    pub(crate) fn next(&self, first: &mut usize, at: u64) -> Option<(u64, u64)> {
        while self.stopped.get(*first).is_some_and(|stop| stop.1 <= at) {
            *first += 1;
        }
        self.stopped.get(*first).copied()
    }

    /// How much of that time the process was not stopped.
    pub(crate) fn awake(&self, from: u64, to: u64) -> u64 {
        self.awake_spans(from, to).map(|(from, to)| to - from).sum()
    }

    /// The parts of that time in which the process was not stopped, by time; none is empty.
    pub(crate) fn awake_spans(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let first = self.stopped.partition_point(|stop| stop.1 <= from);
        let inside = self.stopped[first..].iter().take_while(move |stop| stop.0 < to);
        let mut awake_from = from;
        let ends = inside.copied().chain(std::iter::once((to, to)));
        let spans = ends.map(move |(stop, end)| (std::mem::replace(&mut awake_from, end), stop));
        spans.filter(|(from, to)| from < to)
    }
}

/// What lies between two moments, as far as it does.
fn cut(all: &[Standstill], from: u64, to: u64) -> impl Iterator<Item = Standstill> {
    let cut = all.iter().map(move |it| {
        let (from, to) = (it.from.0.max(from), it.to.0.min(to));
        Standstill { from: Nanos(from), to: Nanos(to), ..*it }
    });
    cut.filter(|it| it.from < it.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_awake_is_what_lies_in_no_stop() {
        let stop = |from, to| Standstill { from: Nanos(from), to: Nanos(to), ..<_>::default() };
        let suspended = Standstill { suspended: Nanos(9), ..stop(0, 100) };
        let all = vec![suspended, stop(10, 20), stop(30, 40), stop(90, 200)];
        let stops = Stops::new(all, 15, 100);
        assert_eq!(stops.inside(0, 1_000).count(), 4);
        let first = Standstill { suspended: Nanos(9), ..stop(15, 16) };
        assert_eq!(stops.inside(0, 16).collect::<Vec<_>>(), [first, stop(15, 16)]);
        assert_eq!(&*stops.stopped, [(15, 20), (30, 40), (90, 100)]);
        for (from, to, awake) in
            [(0, 15, 15), (0, 20, 15), (16, 18, 0), (18, 35, 10), (0, 100, 75), (50, 40, 0)]
        {
            assert_eq!(stops.awake(from, to), awake, "{from} to {to}");
        }
        let mut first = 0;
        let next: Vec<_> = [0, 19, 20, 39, 99, 100].map(|at| stops.next(&mut first, at)).into();
        let [a, b, c] = [Some((15, 20)), Some((30, 40)), Some((90, 100))];
        assert_eq!(next, [a, a, b, b, c, None]);
    }
}
