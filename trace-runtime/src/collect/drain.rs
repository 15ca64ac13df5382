//! The collector's walk along one thread's chain of batches. It needs nothing of the thread: what
//! is committed is read where it lies, also if the thread never runs again. Invariants:
//!
//! - **D1** `batch` is in the chain, and all batches before it have been given back or freed.
//! - **D2** `taken` is how much of `batch` has been handed out; every committed byte is handed out
//!   once, in order.
//!
//! May contain `unsafe`: it follows the chain's raw pointers.

use crate::base::primitive::Ordering;
use crate::buffer::batch::{Batch, Commit, Unstable};
use crate::buffer::losses::Reported;
use crate::buffer::memory;
use crate::collect::thread_time::TimeRead;
use crate::sys::clock;
use crate::thread::thread_ref::ThreadRef;
use trace_format::batch::BatchInfo;
use trace_format::definition::OpenSince;
use trace_format::header::{BatchKind, FLAG_RESTATED};
#[cfg(os_hooks)]
use trace_format::id::Open;
use trace_format::time::Ticks;

/// One thread, as the collector follows it.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) thread: ThreadRef,
    batch: *mut Batch,
    taken: Commit,
    /// When the thread exited, if that was before the last walk: there is no more.
    pub(crate) exited: Option<Ticks>,
    /// Where it was said of the thread that nothing is open.
    rests_at: Option<(u32, u32)>,
    /// What the kernel had counted for it when asked last.
    pub(crate) kernel: TimeRead,
    /// What the thread has lost, as what has been handed out says.
    pub(crate) reported: Reported,
}

// SAFETY: `Send` wants that the pointer may be followed on another thread: it points into a chain
// that `thread` keeps alive, and a `Drain` is the only one to walk it.
unsafe impl Send for Drain {}

impl Drain {
    pub(crate) fn new(thread: ThreadRef) -> Self {
        let batch = thread.first.load(Ordering::Acquire);
        Self {
            thread,
            batch,
            taken: Commit::default(),
            exited: None,
            rests_at: None,
            kernel: TimeRead::default(),
            reported: Reported::default(),
        }
    }

    fn batch<'a>(&self) -> &'a Batch {
        // SAFETY: a shared reference wants a live batch: D1, and only this walk ends its life.
        unsafe { &*self.batch }
    }

    /// Hands all that is committed and new to `take`, oldest first: a header's facts, the bytes,
    /// and which losses are known there. Whether it has given back a batch.
    pub(crate) fn drain(
        &mut self,
        generation: u32,
        take: &mut dyn FnMut(&BatchInfo, &[u8], Reported),
    ) -> bool {
        let mut gave = false;
        loop {
            // Loaded before the commit: if there is a successor, the commit below is the last (B3).
            let next = self.batch().next();
            let commit = self.batch().committed();
            if self.batch().is_lost() {
                self.note_lost(!next.is_null());
            } else if self.is_news_of(commit) {
                let info = self.info(generation, commit);
                let bytes = self.batch().bytes(usize::from(self.taken.len), commit);
                take(&info, bytes, self.reported);
                self.taken = commit;
            }
            if next.is_null() {
                return gave;
            }
            gave = true;
            let done = std::mem::replace(&mut self.batch, next);
            self.taken = Commit::default();
            // The event that says so was committed before the batch could be reached.
            self.reported = Reported { before: self.reported.now, now: self.batch().reported };
            self.thread.first.store(next, Ordering::Release);
            if let Err(done) = self.thread.spares.give(done) {
                // SAFETY: `free` wants an owned batch from `allocate`: sealed, and we have passed
                // it (B3, D1).
                unsafe { memory::free(done) };
            }
        }
    }

    /// Whether it says that there is more; it does not if somebody has written to the file that it
    /// lies in (B6).
    fn is_news_of(&self, commit: Commit) -> bool {
        let is_possible = usize::from(commit.len) <= self.batch().capacity();
        commit.len > self.taken.len && commit.events >= self.taken.events && is_possible
    }

    /// The memory of the batch is lost, and how many events were in it is known when it is sealed.
    #[cold]
    fn note_lost(&self, is_sealed: bool) {
        if is_sealed {
            let lost = self.batch().sealed_events();
            let lost = lost.saturating_sub(self.taken.events.into());
            self.thread.interrupted.fetch_add(lost, Ordering::Relaxed);
        } else {
            // What comes next is to be in another one.
            self.thread.retire();
        }
    }

    fn info(&self, generation: u32, commit: Commit) -> BatchInfo {
        let batch = self.batch();
        let at = |ticks: u32| Ticks(batch.base + u64::from(ticks));
        // A clock that has run out says only that it was before now.
        let exhausted = commit.ticks == u32::MAX;
        let last_ticks = if exhausted { Ticks(clock::ticks()) } else { at(commit.ticks) };
        BatchInfo {
            kind: BatchKind::Events,
            thread: self.thread.id,
            sequence: batch.sequence,
            offset: u32::from(self.taken.len),
            generation,
            base_ticks: at(self.taken.ticks),
            last_ticks,
            events: u32::from(commit.events - self.taken.events),
            flags: if self.taken.len == 0 { FLAG_RESTATED } else { 0 },
        }
    }

    /// What is open after all that has been handed out.
    pub(crate) fn open(&self) -> Result<Vec<OpenSince>, Unstable> {
        if self.batch().is_lost() { Err(Unstable) } else { self.batch().read_open(self.taken) }
    }

    /// What may be open.
    #[cfg(os_hooks)]
    pub(crate) fn maybe_open(&self) -> impl Iterator<Item = Open> {
        self.batch().maybe_open()
    }

    /// Where the thread's events go on: sequence and offset of the next piece.
    pub(crate) fn place(&self) -> (u32, u32) {
        (self.batch().sequence, u32::from(self.taken.len))
    }

    /// Whether there is anything new to say of what is open: not of a thread that has nothing open,
    /// has lost no end, and has written nothing since that was said.
    pub(crate) fn is_news(&mut self, open: &[OpenSince]) -> bool {
        let ends_lost = self.thread.dropped_ends.load(Ordering::Relaxed);
        let rests_at = (open.is_empty() && ends_lost == 0).then(|| self.place());
        let before = std::mem::replace(&mut self.rests_at, rests_at);
        rests_at.is_none() || rests_at != before
    }

    /// What is open is news to somebody.
    pub(crate) fn tell_again(&mut self) {
        self.rests_at = None;
        self.kernel.tell_again();
    }

    /// Whether the open batch holds anything.
    pub(crate) fn has_begun(&self) -> bool {
        self.taken.len > 0
    }
}
