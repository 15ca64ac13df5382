//! Who woke whom: wakes of late, by what was waited for, until a wait that ended claims one.
//!
//! The rule is the format's: a wait on a resource was ended by the latest wake on the same resource
//! that began while it waited and has not been used up by as many waits as it woke. What is kept is
//! bounded: a wake that many others followed is forgotten, and a wait without one has no arrow.
//!
//! Elsewhere: what is sent for it (`calls`).

use std::collections::{HashMap, VecDeque};

use trace_format::id::{ResourceId, ThreadId};

/// So many wakes on one resource are remembered.
const WAKES_MAX: usize = 64;
/// So many resources have wakes at a time; beyond that all are forgotten at once.
const RESOURCES_MAX: usize = 1 << 14;

/// One wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wake {
    /// When it began, in nanoseconds.
    pub(super) at: u64,
    /// By whom.
    pub(super) thread: ThreadId,
    /// The arrow to those it woke.
    pub(super) flow: u64,
    /// So many more waits may claim it.
    left: u64,
}

/// Wakes that may still be claimed.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    by_resource: HashMap<ResourceId, VecDeque<Wake>>,
    count: u64,
}

impl Wakes {
    /// A wake of `woken` threads begins. Returns its flow.
    pub(super) fn add(
        &mut self,
        resource: ResourceId,
        (thread, at): (ThreadId, u64),
        woken: u64,
    ) -> u64 {
        self.count += 1;
        // Other flows are ids of tasks and futures, and count up from 2.
        let flow = 1 << 63 | self.count;
        if self.by_resource.len() >= RESOURCES_MAX {
            self.by_resource.clear();
        }
        let wakes = self.by_resource.entry(resource).or_default();
        if wakes.len() >= WAKES_MAX {
            wakes.pop_front();
        }
        wakes.push_back(Wake { at, thread, flow, left: woken });
        flow
    }

    /// The wake that ended a wait on `resource` that lasted `from` to `to`.
    pub(super) fn claim(&mut self, resource: ResourceId, from: u64, to: u64) -> Option<Wake> {
        let wakes = self.by_resource.get_mut(&resource)?;
        let is_it = |wake: &&mut Wake| from <= wake.at && wake.at <= to && wake.left > 0;
        let wake = wakes.iter_mut().rfind(is_it)?;
        wake.left -= 1;
        Some(*wake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: ResourceId = ResourceId(7);
    const MAIN: ThreadId = ThreadId(1);

    fn claimed(wakes: &mut Wakes, from: u64, to: u64) -> Option<u64> {
        wakes.claim(LOCK, from, to).map(|wake| wake.at)
    }

    #[test]
    fn the_latest_wake_inside_the_wait_is_it_as_often_as_it_woke() {
        let mut wakes = Wakes::default();
        for (at, woken) in [(10, 1), (20, 2), (30, 1)] {
            wakes.add(LOCK, (MAIN, at), woken);
        }
        assert_eq!(claimed(&mut wakes, 5, 25), Some(20));
        assert_eq!(claimed(&mut wakes, 5, 25), Some(20));
        assert_eq!(claimed(&mut wakes, 5, 25), Some(10));
        assert_eq!(claimed(&mut wakes, 5, 25), None);
        assert_eq!(claimed(&mut wakes, 31, 99), None);
        assert_eq!(wakes.claim(ResourceId(8), 0, 99), None);
    }

    #[test]
    fn no_more_is_kept_than_stated() {
        let mut wakes = Wakes::default();
        for at in 0..1000 {
            wakes.add(LOCK, (MAIN, at), 1);
            wakes.add(ResourceId(100 + at as u32), (MAIN, at), 1);
        }
        assert_eq!(claimed(&mut wakes, 0, 999 - WAKES_MAX as u64), None);
        for id in 0..2 * RESOURCES_MAX as u32 {
            wakes.add(ResourceId(id), (MAIN, 0), 1);
        }
        assert!(wakes.by_resource.len() <= RESOURCES_MAX);
    }
}
