//! The long waits of a trace, one by one, each with who ended it: what a walk back along the
//! critical path needs (`crate::path`).
//!
//! - A wait for another thread was ended by its waker, as everywhere. A read from a pipe was ended
//!   by the thread that wrote to the pipe last before it: both ends of a pipe have one name.
//! - What is too short to matter is left out, so memory is limited.

use std::collections::{HashMap, VecDeque};

use trace_format::call::CallClass;
use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::read::Tables;
use trace_format::time::Nanos;

use super::life::{OneCall, Wait};
use crate::hash::FastMap;
use crate::reason::Reason;
use crate::spans::{Lasting, Longest};

/// Maximum number of writes to one pipe that are remembered, for the reads that end meanwhile.
const WRITES_MAX: usize = 16;

/// A thread waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LongWait {
    pub(crate) thread: ThreadId,
    pub(crate) reason: Reason,
    pub(crate) resource: ResourceId,
    pub(crate) stack: StackId,
    pub(crate) from: u64,
    /// When it was woken, or its waiting was over.
    pub(crate) to: u64,
    /// When it went on: it was ready meanwhile.
    end: u64,
    pub(crate) waker: Option<LongWaker>,
}

/// Who ended it, where, when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LongWaker {
    pub(crate) thread: ThreadId,
    pub(crate) stack: StackId,
    pub(crate) at: u64,
}

/// All long waits.
#[derive(Debug)]
pub(super) struct LongWaits {
    waits: Longest<LongWait>,
    /// The pipe that each descriptor is an end of.
    ends: FastMap<ResourceId, u32>,
    pipes: HashMap<u32, PipeWrites>,
}

/// One pipe.
#[derive(Debug, Default)]
struct PipeWrites {
    /// The last writes that are over: from when to when, and by whom.
    writes: VecDeque<(u64, u64, LongWaker)>,
}

impl LongWaits {
    /// - `nanos`: how long what is read is.
    pub(super) fn new(tables: &Tables, nanos: u64) -> Self {
        let mut names = HashMap::new();
        let mut ends = FastMap::default();
        for (id, resource) in &tables.resources {
            if resource.kind == ResourceKind::Pipe && !resource.name.is_empty() {
                let next = names.len() as u32;
                ends.insert(*id, *names.entry(resource.name.as_str()).or_insert(next));
            }
        }
        Self { waits: Longest::of_path(nanos), ends, pipes: HashMap::new() }
    }

    /// The window begins.
    pub(super) fn restart(&mut self) {
        self.waits.restart();
    }

    /// A thread has waited, and went on at `end`.
    #[inline]
    pub(super) fn add(&mut self, reason: Reason, wait: &Wait, end: u64) {
        if self.waits.wants(wait.inside.0) {
            self.keep(reason, wait, end);
        }
    }

    #[inline(never)]
    fn keep(&mut self, reason: Reason, wait: &Wait, end: u64) {
        let from = wait.begin.inside().0;
        let waker = wait.waker.map(|waker| LongWaker {
            thread: waker.thread,
            stack: waker.stack,
            at: waker.at.0,
        });
        let waker = waker.or_else(|| self.writer(reason, wait, end));
        let (thread, resource, stack) = (wait.thread, wait.resource, wait.stack);
        // A call runs a little before it waits: that is in `inside` no more.
        let to = from.saturating_add(wait.inside.0).max(waker.map_or(0, |waker| waker.at));
        self.waits.add(LongWait { thread, reason, resource, stack, from, to, end, waker });
    }

    /// Who wrote last to the pipe that was read, of what is over.
    fn writer(&self, reason: Reason, wait: &Wait, until: u64) -> Option<LongWaker> {
        let pipe = self.pipes.get(self.ends.get(&wait.resource).filter(|_| reads(reason))?)?;
        let from = wait.begin.inside().0;
        let write = pipe.writes.iter().rev().find(|(begin, end, waker)| {
            *begin <= until && *end >= from && waker.thread != wait.thread
        });
        write.map(|(.., waker)| *waker)
    }

    /// A call is over: if it wrote to a pipe, it may have ended a read there.
    #[inline]
    pub(super) fn ended(&mut self, call: CallId, one: &OneCall) {
        if !self.ends.is_empty()
            && call.info().is_some_and(|info| info.class == CallClass::Write)
            && let Some(&pipe) = self.ends.get(&one.resource)
        {
            self.wrote(pipe, one);
        }
    }

    #[inline(never)]
    fn wrote(&mut self, pipe: u32, one: &OneCall) {
        let from = one.begin.inside().0;
        let to = from.saturating_add(one.inside.0);
        let waker = LongWaker { thread: one.thread, stack: one.stack, at: from };
        // The reader may have come back first.
        let ends = &self.ends;
        let waits = self.waits.as_mut_slice().iter_mut();
        let reads = waits.rev().take(WRITES_MAX * 4).filter(|wait| {
            reads(wait.reason) && wait.waker.is_none() && ends.get(&wait.resource) == Some(&pipe)
        });
        for read in reads {
            if from <= read.end && to >= read.from && read.thread != one.thread {
                (read.to, read.waker) = (read.to.max(from), Some(waker));
            }
        }
        let pipe = self.pipes.entry(pipe).or_default();
        if pipe.writes.len() >= WRITES_MAX {
            pipe.writes.pop_front();
        }
        pipe.writes.push_back((from, to, waker));
    }

    /// All of them, by thread and time.
    pub(super) fn finish(&mut self) -> Vec<LongWait> {
        let mut waits = std::mem::take(&mut self.waits).into_vec();
        waits.sort_by_key(|wait| (wait.thread, wait.from, wait.to));
        waits
    }
}

fn reads(reason: Reason) -> bool {
    reason == Reason::PipeRead
}

impl Lasting for LongWait {
    fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

impl LongWait {
    /// How long it was.
    pub(crate) fn nanos(&self) -> Nanos {
        Nanos(self.to - self.from)
    }

    /// When the thread went on.
    pub(crate) fn end(&self) -> Nanos {
        Nanos(self.end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::spans::{KEPT_MAX, PATH_NANOS_MIN};

    fn wait(thread: u32, resource: u32, (from, to): (u64, u64)) -> Wait {
        Wait {
            thread: ThreadId(thread),
            stack: StackId(0),
            resource: ResourceId(resource),
            begin: Nanos(from).into(),
            duration: Nanos(to - from),
            inside: Nanos(to - from),
            waker: None,
            timed_out: false,
        }
    }

    #[test]
    fn any_number_of_waits_of_the_greatest_length_is_limited() {
        let (done, waiting) = mpsc::channel();
        thread::spawn(move || {
            let mut long = LongWaits::new(&Tables::default(), 0);
            for thread in 0..KEPT_MAX as u32 + 10 {
                long.add(Reason::Sleep, &wait(thread, 0, (0, u64::MAX)), u64::MAX);
            }
            done.send(long.finish().len())
        });
        let kept = waiting.recv_timeout(Duration::from_secs(60));
        assert!(kept.is_ok_and(|kept| kept <= KEPT_MAX), "{kept:?}");
    }

    #[test]
    fn a_reader_that_writes_as_well_was_woken_by_another() {
        let mut long = LongWaits::new(&Tables::default(), 0);
        long.ends.insert(ResourceId(1), 0);
        let wrote = |thread, at| OneCall {
            thread: ThreadId(thread),
            stack: StackId(0),
            resource: ResourceId(1),
            begin: Nanos(at).into(),
            duration: Nanos(10),
            inside: Nanos(10),
            result: 1,
        };
        long.ended(CallId::WRITE, &wrote(2, 40_000));
        long.ended(CallId::WRITE, &wrote(1, 45_000));
        long.add(Reason::PipeRead, &wait(1, 1, (10_000, 50_000)), 50_000);
        let waits = long.finish();
        assert_eq!(waits[0].waker.map(|waker| waker.thread), Some(ThreadId(2)));
    }

    #[test]
    fn what_was_too_many_before_a_window_does_not_shorten_its_list() {
        let mut long = LongWaits::new(&Tables::default(), 0);
        let add = |long: &mut LongWaits, at: u64| {
            let (from, to) = (at * 1_000_000, at * 1_000_000 + PATH_NANOS_MIN);
            long.add(Reason::Mutex, &wait(1, 1, (from, to)), to);
        };
        (0..=KEPT_MAX as u64).for_each(|at| add(&mut long, at));
        assert!(long.waits.as_slice().is_empty(), "all are as short as any");
        long.restart();
        add(&mut long, 0);
        assert_eq!(long.waits.as_slice().len(), 1);
    }
}
