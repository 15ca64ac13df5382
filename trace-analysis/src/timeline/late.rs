//! The walk's part about what goes on although what was around it has ended: regions and runs of
//! tasks whose guards are dropped in another order than they were made.
//!
//! Such a thing is over when its own end comes, and is told to sums then, once, with its whole
//! time. If that end never comes, or comes on another thread, it ended where it was taken out of
//! what was around it. `stack` has the same rule for what is read in file order, and keeps polls
//! and calls as well, which are over here.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{Open, TaskId};
use trace_format::time::Nanos;

use super::nesting::SEARCHED_MAX;
use super::spent::{Known, Spent};
use super::stack::LATE_MAX;
use super::walk::Walk;
use super::{Activity, EndedRegion, EndedRun, Fold, How, Observer, Stretch};

/// Something that has lost what was around it.
#[derive(Debug)]
struct Late {
    /// When it was taken out.
    taken: u64,
    rest: Rest,
}

/// What its end needs.
#[derive(Debug)]
enum Rest {
    Region {
        is_inner: bool,
        /// What its thread had spent when it began, and did in it until it was taken out.
        before: Known,
        inside: Known,
    },
    Run {
        /// The runs that were around it.
        around: Vec<TaskId>,
        /// What its thread had spent when it began, and did in it until it was taken out; if that
        /// is wanted.
        account: Option<Box<(Spent, Activity)>>,
    },
}

/// What has lost what was around it, of one thread: by what it is and when it began.
#[derive(Debug, Default)]
pub(super) struct LateOnes {
    all: HashMap<(Open, u64), Late>,
    /// How many there are of each.
    counts: HashMap<Open, u32>,
}

impl LateOnes {
    /// Whether a region or run like this one is among them.
    #[inline]
    pub(super) fn has(&self, open: Open) -> bool {
        !self.all.is_empty() && self.counts.contains_key(&open)
    }

    /// The window begins then: what was done in them before does not count. Of those that are alike
    /// from there on one is kept, as the ends of the others are found nowhere.
    pub(super) fn begin_window(&mut self, at: u64) {
        let mut all: Vec<_> = std::mem::take(self).all.into_iter().collect();
        all.sort_by_key(|((open, begin), _)| (Reverse(*begin), open.to_word()));
        for ((open, begin), Late { taken, rest }) in all {
            let rest = match rest {
                Rest::Region { is_inner, .. } => {
                    let (before, inside) = (Known::default(), Known::default());
                    Rest::Region { is_inner, before, inside }
                }
                Rest::Run { around, account } => {
                    Rest::Run { around, account: account.map(|_| Box::default()) }
                }
            };
            let it = (open, begin.max(at));
            if !self.all.contains_key(&it) {
                self.insert(it, Late { taken: taken.max(at), rest });
            }
        }
    }

    fn insert(&mut self, it: (Open, u64), late: Late) {
        if self.all.insert(it, late).is_none() {
            *self.counts.entry(it.0).or_default() += 1;
        }
    }

    fn remove(&mut self, it: (Open, u64)) -> Option<Late> {
        let late = self.all.remove(&it)?;
        if let Some(count) = self.counts.get_mut(&it.0) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&it.0);
            }
        }
        Some(late)
    }
}

impl<O: Observer, F: Fold> Walk<'_, O, F> {
    /// What is innermost goes on although something around it ends now.
    pub(super) fn take_out(&mut self, who: usize, at: u64, how: How<'_>) {
        let Some((mut frame, end)) = self.living[who].pop(at) else { return };
        let (open, begin) = (frame.open, frame.begin);
        let is_full = self.living[who].late.all.len() >= LATE_MAX;
        let is_known = self.living[who].late.all.contains_key(&(open, begin));
        if is_full || is_known || matches!(open, Open::Poll(_) | Open::Call(_)) {
            return self.closed(who, frame, end, how);
        }
        let spent = frame.account.as_ref().map(|account| account.before);
        let activity = self.living[who].activity_in(&mut frame);
        let rest = match open {
            Open::Region(site) => Rest::Region {
                is_inner: self.is_inner(who, site),
                before: frame.before,
                inside: self.living[who].known().since(&frame.before),
            },
            _ => Rest::Run {
                around: self.living[who].runs().to_vec(),
                account: spent.zip(activity).map(|(spent, done)| Box::new((spent, *done))),
            },
        };
        self.living[who].late.insert((open, begin), Late { taken: end, rest });
        self.leave(who, frame, end, how);
    }

    /// A thing's own end has come. Whether it was one of these.
    pub(super) fn end_late(&mut self, who: usize, open: Open, begin: u64, at: u64) -> bool {
        let Some(late) = self.living[who].late.remove((open, begin)) else { return false };
        let rest = match late.rest {
            Rest::Region { is_inner, before, .. } => {
                let inside = self.living[who].known().since(&before);
                Rest::Region { is_inner, before, inside }
            }
            Rest::Run { around, account } => {
                self.living[who].catch_up();
                let now = self.living[who].total();
                let account = account.map(|mut account| {
                    account.1.times = now.since(&account.0).times();
                    account
                });
                Rest::Run { around, account }
            }
        };
        self.closed_late(who, (open, begin), Late { taken: at, rest });
        true
    }

    /// The end of a thing has come on another thread than the one that it began on.
    pub(super) fn end_late_of_others(&mut self, who: usize, open: Open, begin: u64) {
        let others = (0..self.living.len().min(SEARCHED_MAX)).filter(|other| *other != who);
        for other in others {
            if let Some(late) = self.living[other].late.remove((open, begin)) {
                return self.closed_late(other, (open, begin), late);
            }
        }
    }

    /// The thread's life is over, and the ends have not come.
    pub(super) fn lose_late(&mut self, who: usize) {
        let late = std::mem::take(&mut self.living[who].late);
        let mut late: Vec<_> = late.all.into_iter().collect();
        late.sort_by_key(|((open, begin), _)| (*begin, open.to_word()));
        for (it, late) in late {
            self.closed_late(who, it, late);
        }
    }

    fn closed_late(&mut self, who: usize, (open, begin): (Open, u64), late: Late) {
        let Late { taken: end, rest } = late;
        match (open, rest) {
            (Open::Region(site), Rest::Region { is_inner, inside, .. }) if self.has_cpus => {
                let wall = end.saturating_sub(begin);
                self.sums.region(&EndedRegion { site, is_over: true, is_inner, wall, inside });
            }
            (Open::Task(task), Rest::Run { around, account }) if self.is_inside => {
                let thread = self.names[who].0;
                let stretch = Stretch { thread, from: Nanos(begin), to: Nanos(end) };
                let activity = account.map(|account| Box::new(account.1));
                self.sums.run(EndedRun { task, around: &around, stretch, activity });
            }
            _ => {}
        }
    }
}
