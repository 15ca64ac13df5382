//! Waiting for many files, put together: who reads a thousand small files waits for none of them
//! for long, and a list of them says nothing.
//!
//! This is the one rule for which file stands alone. `explain`, `blocked` and `summary` use it.

use std::collections::BTreeMap;

use trace_format::id::{ResourceId, StackId};
use trace_format::time::Nanos;

use super::grouped::{keep_longest, merged};
use super::life::{Lives, WaitGroup, Waits};
use crate::reason::Reason;

/// A file stands alone if it cost at least this part of the trace's time, in thousandths,
const ALONE_THOUSANDTHS: u64 = 50;

/// and at least this long,
const ALONE_NANOS_MIN: u64 = 1_000_000;

/// and this long for each wait: what is faster is frequent, not slow.
const EACH_NANOS_MIN: u64 = 200_000;

/// Maximum number of files that are a list which can be read; more are put together.
const FILES_LISTED_MAX: usize = 15;

impl Lives {
    /// Whether waits that took so long in all are worth a place of their own.
    #[must_use]
    pub fn is_slow(&self, total: Nanos, count: u64) -> bool {
        let wall = self.to.0.saturating_sub(self.from.0).max(1);
        let is_much =
            u128::from(total.0) * 1000 >= u128::from(wall) * u128::from(ALONE_THOUSANDTHS);
        is_much && total.0 >= ALONE_NANOS_MIN && total.0 / count.max(1) >= EACH_NANOS_MIN
    }

    /// Waits by what is waited for ([`super::life::By::Resource`]), the most time first; where more
    /// than a screenful of files is waited for for one reason, those that are not slow are one
    /// group, with their number as [`WaitGroup::resources`].
    #[must_use]
    pub fn waits_by_resource(&self) -> Vec<WaitGroup> {
        self.waits_by_files(FILES_LISTED_MAX)
    }

    /// The same with another number of files, of one reason, that stay apart.
    pub(crate) fn waits_by_files(&self, listed_max: usize) -> Vec<WaitGroup> {
        let Waits { by_resource, by_reason, .. } = &self.waits;
        let mut files: BTreeMap<Reason, Vec<&WaitGroup>> = BTreeMap::new();
        let mut groups = Vec::new();
        for group in by_resource {
            if group.reason.is_file() && !self.is_slow(group.total, group.count) {
                files.entry(group.reason).or_default().push(group);
            } else {
                groups.push(group.clone());
            }
        }
        for (reason, files) in files {
            if files.len() <= listed_max {
                groups.extend(files.into_iter().cloned());
                continue;
            }
            let all = by_reason.iter().find(|group| group.reason == reason);
            groups.push(together(&files, all.unwrap_or(files[0])));
        }
        groups.sort_by_key(WaitGroup::order);
        groups
    }
}

/// One group of several; how long each wait took is taken from `all` of that reason.
fn together(groups: &[&WaitGroup], all: &WaitGroup) -> WaitGroup {
    let mut quantiles = all.quantiles;
    quantiles.max = groups.iter().map(|group| group.quantiles.max).max().unwrap_or_default();
    quantiles.p50 = quantiles.p50.min(quantiles.max);
    quantiles.p90 = quantiles.p90.min(quantiles.max);
    quantiles.p99 = quantiles.p99.min(quantiles.max);
    let sum = |of: fn(&WaitGroup) -> Nanos| crate::units::sum(groups.iter().map(|it| of(it).0));
    // A thread's missing readiness is in the bound of each of its groups, and in that of all once.
    let ready = sum(|group| group.perhaps_ready).min(all.perhaps_ready.0);
    let mut longest = Vec::new();
    for wait in groups.iter().flat_map(|group| &group.longest) {
        keep_longest(&mut longest, *wait, |wait| wait.duration.0);
    }
    WaitGroup {
        reason: all.reason,
        is_before: all.is_before,
        is_endless: all.is_endless,
        resource: ResourceId(0),
        stack: StackId(0),
        thread: all.thread,
        resources: groups.len() as u64,
        count: groups.iter().map(|group| group.count).sum(),
        timeouts: groups.iter().map(|group| group.timeouts).sum(),
        total: Nanos(sum(|group| group.total)),
        perhaps_ready: Nanos(ready),
        perhaps_ready_share: Nanos(sum(|group| group.perhaps_ready_share)),
        quantiles,
        waiters_max: 0,
        stacks: merged(groups.iter().flat_map(|group| &group.stacks)),
        waiters: merged(groups.iter().flat_map(|group| &group.waiters)),
        wakers: merged(groups.iter().flat_map(|group| &group.wakers)),
        holders: Vec::new(),
        free: Nanos(0),
        longest,
    }
}
