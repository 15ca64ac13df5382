//! What a trace cannot show, though the program seems to have it, and how to record it.

use trace_format::facility;
use trace_format::read::ReadAt;

use crate::reason::Reason;
use crate::report::Report;
use crate::report::life::Lives;
use crate::trace::Trace;

/// Threads waited for futures for at least this part of the time that was looked at, in per cents.
const FUTURE_PERCENT: u64 = 10;

/// A thread could run for at least this part of it, in per cents, and was more in the program's own
/// code than in calls.
const ABLE_PERCENT: u64 = 50;

/// Something that another recording would show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// Threads wait for futures, and the trace has no async tasks.
    AsyncTasks,
    /// A thread computes, and no samples say in which function.
    Functions,
}

impl Unseen {
    /// Its name in reports for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsyncTasks => "async_tasks",
            Self::Functions => "functions",
        }
    }

    /// What to do to see it, in a sentence.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::AsyncTasks => {
                "async tasks are not seen, as none is traced: spawn them with \
                 exectrace::tokio::spawn (feature `tokio`), or put #[traced] on async functions"
            }
            Self::Functions => {
                "which functions computed is not seen: build with RUSTFLAGS=\"-C \
                 force-frame-pointers=yes\", and record with cpu_samples=1000, as in \
                 EXECTRACE=out.trace,cpu_samples=1000"
            }
        }
    }
}

/// What a report of everything that [`super::explain`] looks at cannot show of its trace.
#[must_use]
pub fn unseen<S>(trace: &Trace<'_, S>, report: &Report) -> Vec<Unseen>
where
    S: ReadAt,
{
    let lives = &report.lives;
    let mut unseen = Vec::new();
    if report.async_tasks.is_none() && waits_for_futures(lives) {
        unseen.push(Unseen::AsyncTasks);
    }
    let samples = trace.file.tables().facilities.get(facility::SAMPLES);
    // A part of a trace that has some may have none.
    let has_samples = !lives.fine.samples.is_empty() || samples.is_some_and(|it| it.on);
    if !has_samples && computes(lives) {
        unseen.push(Unseen::Functions);
    }
    unseen
}

fn waits_for_futures(lives: &Lives) -> bool {
    let mut groups = lives.waits.by_reason.iter();
    let waited = groups.find(|group| group.reason == Reason::Future);
    waited.is_some_and(|group| is_part(group.total.0, lives, FUTURE_PERCENT))
}

fn computes(lives: &Lives) -> bool {
    lives.threads.iter().any(|life| {
        let (times, able) = (&life.times, life.times.cpu().0.saturating_add(life.times.ready.0));
        times.running > times.in_calls && is_part(able, lives, ABLE_PERCENT)
    })
}

fn is_part(nanos: u64, lives: &Lives, per_cent: u64) -> bool {
    let wall = lives.to.0.saturating_sub(lives.from.0);
    wall > 0 && super::words::is_part(nanos, wall, per_cent)
}
