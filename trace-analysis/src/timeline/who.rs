//! Which thread the system's id of a thread means: ids are used again. And which one the process
//! began with.

use std::collections::BTreeMap;

use trace_format::header::BatchKind;
use trace_format::id::ThreadId;
use trace_format::read::{ReadAt, Tables, Thread, TraceFile};
use trace_format::time::Ticks;

use crate::hash::FastMap;

/// The threads that wrote events and have no definition that can be read. Nothing says which of the
/// system's threads they are, so they get no switches; and a thread that is known from CPUs alone
/// may be one of them: to show both would count its time twice.
#[must_use]
pub fn unjoined<S: ReadAt>(file: &TraceFile<S>) -> Vec<ThreadId> {
    unjoined_since(file).into_keys().collect()
}

/// The same, each with when its first batch begins.
pub(super) fn unjoined_since<S: ReadAt>(file: &TraceFile<S>) -> BTreeMap<ThreadId, Ticks> {
    // A thread's end may be read, and says nothing of which of the system's it was.
    let is_known = |id| file.tables().threads.get(&id).is_some_and(|thread| thread.os_id != 0);
    let mut since = BTreeMap::new();
    for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
        if entry.thread.as_cpu().is_none() && !is_known(entry.thread) {
            let since = since.entry(entry.thread).or_insert(entry.base_ticks);
            *since = entry.base_ticks.min(*since);
        }
    }
    since
}

/// The thread that the process began with; `None` if the trace does not say.
#[must_use]
pub fn main_thread(tables: &Tables) -> Option<ThreadId> {
    let pid = tables.process.as_ref().map(|process| process.pid);
    let is_first = |thread: &&Thread| Some(thread.os_id) == pid;
    let is_main = |thread: &&Thread| thread.name == "main" && thread.parent == ThreadId(0);
    let threads = || tables.threads.values();
    threads().find(is_first).or_else(|| threads().find(is_main)).map(|thread| thread.id)
}

/// Number of places of the small cache.
const CACHED: usize = 64;

/// Threads with one id of the system's.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    who: usize,
    /// When it is known to have ended.
    end: u64,
}

/// Threads by the trace's ids and by the system's.
#[derive(Debug)]
pub(super) struct Who {
    by_thread: FastMap<ThreadId, usize>,
    /// In the order of their begins.
    by_os_id: FastMap<u64, Vec<Candidate>>,
    cache: [(ThreadId, usize); CACHED],
}

impl Default for Who {
    fn default() -> Self {
        let nobody = (ThreadId(u32::MAX), 0);
        Self {
            by_thread: FastMap::default(),
            by_os_id: FastMap::default(),
            cache: [nobody; CACHED],
        }
    }
}

impl Who {
    /// Adds a thread; those with the same id of the system's in the order of their begins.
    ///
    /// - `end`: when it is known to have ended, else the greatest time.
    pub(super) fn add(&mut self, thread: ThreadId, os_id: u64, who: usize, end: u64) {
        if thread != ThreadId(0) {
            self.by_thread.insert(thread, who);
        }
        if os_id != 0 {
            self.by_os_id.entry(os_id).or_default().push(Candidate { who, end });
        }
    }

    /// The place of a thread of the trace.
    #[inline]
    pub(super) fn thread(&mut self, thread: ThreadId) -> Option<usize> {
        let cached = &mut self.cache[thread.0 as usize % CACHED];
        if cached.0 != thread {
            *cached = (thread, *self.by_thread.get(&thread)?);
        }
        Some(cached.1)
    }

    /// The place of whoever had this id of the system's then: the first that had not ended.
    pub(super) fn os_thread(&self, os_id: u64, at: u64) -> Option<usize> {
        let candidates = self.by_os_id.get(&os_id)?;
        let alive = candidates.iter().find(|candidate| candidate.end >= at);
        alive.or(candidates.last()).map(|candidate| candidate.who)
    }
}
