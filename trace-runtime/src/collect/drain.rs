//! The collector's walk along one thread's chain of batches. The thread need not take part:
//! committed bytes are read in place, even if the thread never runs again. Invariants:
//!
//! - **D1** `batch` is in the chain, and all batches before it have been given back or freed.
//! - **D2** `taken` is how much of `batch` has been handed out; every committed byte is handed out
//!   once, in order.
//!
//! May contain `unsafe`: it follows the chain's raw pointers.

use crate::base::primitive::Ordering;
use crate::buffer::batch::Batch;
use crate::buffer::front::Commit;
use crate::buffer::losses::Reported;
use crate::buffer::memory;
use crate::buffer::slot::Unstable;
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
    /// When the thread exited, if that was before the last walk, so that no more events come.
    pub(crate) exited: Option<Ticks>,
    /// The thread's place when a state said that nothing is open.
    rests_at: Option<(u32, u32)>,
    /// What the kernel had counted for it at the last look.
    pub(crate) kernel: TimeRead,
    /// What the thread has lost, as the events say that were handed out.
    pub(crate) reported: Reported,
}

// SAFETY: `Send` wants that the pointer may be followed on another thread: it points into a chain
// that `thread` keeps alive, and only this `Drain` walks the chain.
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

    /// Hands all that is committed and new to `take`, oldest first: the header's content, the
    /// bytes, and the losses that are known there. Returns whether it has given back a batch.
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
            // The event that reports the loss was committed before the batch could be reached.
            self.reported = Reported { before: self.reported.now, now: self.batch().reported };
            self.thread.first.store(next, Ordering::Release);
            if let Err(done) = self.thread.spares.give(done) {
                // SAFETY: `free` wants an owned batch from `allocate`: it is sealed, and we have
                // passed it (B3, D1).
                unsafe { memory::free(done) };
            }
        }
    }

    /// Whether this commit says that there is more. A commit that is impossible does not count:
    /// another program has written to the file that it lies in (B6).
    fn is_news_of(&self, commit: Commit) -> bool {
        let is_possible = usize::from(commit.len) <= self.batch().capacity();
        commit.len > self.taken.len && commit.events >= self.taken.events && is_possible
    }

    /// The memory of the batch is lost. The number of its events is known once it is sealed.
    #[cold]
    fn note_lost(&self, is_sealed: bool) {
        if is_sealed {
            let lost = self.batch().sealed_events();
            let lost = lost.saturating_sub(self.taken.events.into());
            self.thread.interrupted.fetch_add(lost, Ordering::Relaxed);
        } else {
            // The next event is to go into another batch.
            self.thread.retire();
        }
    }

    fn info(&self, generation: u32, commit: Commit) -> BatchInfo {
        let batch = self.batch();
        let at = |ticks: u32| Ticks(batch.base + u64::from(ticks));
        // Ticks at their maximum only say that the event was before now.
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

    /// Whether a state with this `open` says anything new. It does not if the thread has nothing
    /// open, has lost no end, and has written nothing since a state said that.
    pub(crate) fn is_news(&mut self, open: &[OpenSince]) -> bool {
        let ends_lost = self.thread.dropped_ends.load(Ordering::Relaxed);
        let rests_at = (open.is_empty() && ends_lost == 0).then(|| self.place());
        let before = std::mem::replace(&mut self.rests_at, rests_at);
        rests_at.is_none() || rests_at != before
    }

    /// An output is new, and has no states yet.
    pub(crate) fn define_again(&mut self) {
        self.rests_at = None;
        self.kernel.define_again();
    }

    /// Whether anything was handed out of the open batch.
    pub(crate) fn has_begun(&self) -> bool {
        self.taken.len > 0
    }
}
