//! The long times in which threads were ready and had no CPU, one by one: what is needed to tell
//! whether something waited for that.
//!
//! What is too short to matter is left out, so memory is limited.

use trace_format::id::ThreadId;

use crate::hash::FastMap;
use crate::spans::{Span, union};
use crate::timeline::Stretch;

/// What is shorter than this, in nanoseconds, is left out.
const NANOS_MIN: u64 = 20_000;

/// Maximum number of times that are kept; beyond, the least length is doubled.
const KEPT_MAX: usize = 1 << 16;

/// All of these.
#[derive(Debug)]
pub(super) struct LongReady {
    all: Vec<Stretch>,
    nanos_min: u64,
}

impl LongReady {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), nanos_min: NANOS_MIN }
    }

    /// A thread could run and did not.
    pub(super) fn add(&mut self, ready: Stretch) {
        let length = |it: &Stretch| it.to.0.saturating_sub(it.from.0);
        if length(&ready) < self.nanos_min {
            return;
        }
        self.all.push(ready);
        while self.all.len() > KEPT_MAX {
            self.nanos_min = self.nanos_min.saturating_mul(2);
            let least = self.nanos_min;
            // Longer than that: the greatest length cannot be doubled.
            self.all.retain(|it| length(it) > least);
        }
    }

    /// By thread.
    pub(super) fn finish(self) -> FastMap<ThreadId, Vec<Span>> {
        let mut threads: FastMap<ThreadId, Vec<Span>> = FastMap::default();
        for Stretch { thread, from, to } in self.all {
            threads.entry(thread).or_default().push((from.0, to.0));
        }
        threads.values_mut().for_each(|times| *times = union(std::mem::take(times)));
        threads
    }
}
