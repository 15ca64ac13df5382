//! The slow path: opening the next batch, and counting what is lost while there is none.
//!
//! A thread comes here when its batch is full, when the batch's clock has run out, when the
//! collector has asked for a restated batch (with every generation, by setting `limit` to 0), and
//! when the session has ended (in the same way). It never waits for a lock. It waits for memory
//! only under `OnFull::Wait`, and only for annotations that the user wrote: other events may come
//! while the program holds a lock that the user's writer, and so the collector, needs. Nothing here
//! allocates, as the thread may be in a signal handler that has interrupted the allocator.
//!
//! May contain `unsafe`: it moves uncommitted bytes from one batch to the next.

use crate::base::primitive::{AtomicU64, Ordering};
use crate::buffer::batch::Batch;
use crate::buffer::losses::Losses;
use crate::buffer::memory::{self, BATCH_BYTES_MAX, BATCH_BYTES_MIN, BUDGET};
use crate::buffer::slot::SLOTS;
use crate::sys::handler;
use crate::thread::own::OwnState;
use crate::thread::{RESERVE, RecordingThread};
use std::time::Duration;
use trace_format::event::opcode;

/// Maximum bytes of a restatement: an event for every slot, and one for losses.
const PREAMBLE_BYTES_MAX: usize = (SLOTS + 1) * 44;

/// How long a thread that waits for memory sleeps between two tries.
pub(crate) const WAIT: Duration = Duration::from_micros(50);

/// Maximum bytes of pending begins that are moved to the next batch. Many begins with arguments and
/// thresholds may have more.
const TAIL_BYTES_MAX: usize = BATCH_BYTES_MAX / 3;

/// Whether an event may wait for memory under `OnFull::Wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Yes: the user wrote the annotation.
    Waits,
    /// No: the user did not write the event. It is a call, an allocation, a wake, a poll, a
    /// thread's begin.
    Never,
}

impl Patience {
    /// For the begin or end of something open, by its word.
    #[inline(always)]
    pub(crate) const fn of_open(what: u64) -> Self {
        // The kinds of `Open`: 0 and 2 are regions and runs of tasks, 1 and 3 polls and calls.
        if what & 1 == 0 { Self::Waits } else { Self::Never }
    }

    /// For an event of its own, by its opcode.
    #[inline(always)]
    pub(crate) const fn of_event(code: u8) -> Self {
        match code {
            opcode::INSTANT | opcode::LOG | opcode::COUNTER => Self::Waits,
            opcode::TASK_BEGIN | opcode::TASK_BEGIN_SITE => Self::Waits,
            opcode::TASK_END | opcode::TASK_LINK => Self::Waits,
            _ => Self::Never,
        }
    }

    /// Whether to wait here and now. In a signal handler no event waits: it may have interrupted
    /// the allocator, or user code that holds a lock.
    pub(crate) fn waits_here(self) -> bool {
        self == Self::Waits && !handler::may_be_in_one()
    }
}

/// What was lost since the last event that was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PendingLoss {
    pub(crate) events: u64,
    pub(crate) ends: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl RecordingThread {
    /// Makes room for an event of `need` bytes at `now`. Returns false if there is no memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn refill(
        &self,
        own: &mut OwnState,
        now: u64,
        need: usize,
        patience: Patience,
    ) -> bool {
        if self.session.is_ended() {
            return false;
        }
        // The calls below may be hooked.
        #[cfg(not(exectrace_loom))]
        let _suppressed = crate::thread::local::suppress();
        #[cfg(not(exectrace_loom))]
        crate::thread::attach::finish(self);
        if own.pos - own.committed > TAIL_BYTES_MAX {
            // Too much to move: these begins are committed now, whatever their thresholds.
            self.commit(own, own.last);
        }
        let full = own.pos + need + RESERVE > own.batch().capacity();
        // A restated batch was asked for, but the present one can still be used if there is no
        // other.
        let serves = !full && !own.exhausted;
        let patience = if serves { Patience::Never } else { patience };
        let Some(next) = self.next_batch(own, need, full, patience) else {
            return serves && self.reopen_limit(own);
        };
        let (before, events) = (own.batch, own.events);
        self.move_to(own, next, now);
        self.session.note_sealed(own_batch_bytes(own, before));
        own.batch_at(before).seal(next, events);
        self.reopen_limit(own)
    }

    /// Lets events take the fast path again, unless the session has ended meanwhile.
    fn reopen_limit(&self, own: &OwnState) -> bool {
        let limit = own.batch().capacity() - RESERVE;
        // `AcqRel` on both sides orders this against `RecordingThread::retire`: either the swap
        // there comes later, and its 0 stays, or it came before, and the end of the session is seen
        // below.
        self.limit.swap(limit, Ordering::AcqRel);
        let ended = self.session.is_ended();
        if ended {
            self.limit.store(0, Ordering::Relaxed);
        }
        !ended
    }

    /// By the collector: sends the thread to the slow path with its next event.
    pub(crate) fn retire(&self) {
        self.limit.swap(0, Ordering::AcqRel);
    }

    fn next_batch(
        &self,
        own: &OwnState,
        need: usize,
        full: bool,
        patience: Patience,
    ) -> Option<*mut Batch> {
        let tail = own.pos - own.committed;
        let least = PREAMBLE_BYTES_MAX + tail + need + RESERVE;
        let capacity = own.batch().capacity();
        let wanted = if full { capacity * 2 } else { capacity };
        let wanted = wanted.min(BUDGET.batch_bytes_max());
        let wanted = wanted.clamp(BATCH_BYTES_MIN.max(least), BATCH_BYTES_MAX);
        loop {
            if let Some(batch) = self.obtain(wanted, least) {
                return Some(batch);
            }
            if !self.session.ask_for_memory() || !patience.waits_here() {
                return None;
            }
            std::thread::sleep(WAIT);
        }
    }

    fn obtain(&self, wanted: usize, least: usize) -> Option<*mut Batch> {
        while let Some(spare) = self.spares.take() {
            // SAFETY: a live batch, ours by `take`.
            let capacity = unsafe { &*spare }.capacity();
            if capacity >= wanted {
                return Some(spare);
            }
            // SAFETY: `free` wants an owned batch from `allocate`: spares are.
            unsafe { memory::free(spare) };
        }
        memory::allocate(wanted).or_else(|| memory::allocate(least.max(BATCH_BYTES_MIN)))
    }

    /// Goes on in `next`: restates what is open and committed, reports losses, and moves the
    /// pending begins there.
    fn move_to(&self, own: &mut OwnState, next: *mut Batch, now: u64) {
        let before = own.batch();
        // Copied before the check whether the batch is lost: a copy that was made while it was not
        // lost is valid.
        let open: [_; SLOTS] = std::array::from_fn(|at| {
            let slot = before.slot(at);
            (slot.what(), slot.begin())
        });
        if before.is_lost() {
            own.forget_open();
        }
        let (committed, pos) = (own.committed, own.pos);
        // The bytes lie behind the committed ones of `before`, so they are ours until that batch is
        // sealed.
        //
        // SAFETY: `pending` wants our open batch, and written bytes that do not change: T2, T3, and
        // from here on only `next` is written to.
        let tail = unsafe { before.pending(committed, pos) };
        let open = &open[..own.depth.min(SLOTS)];
        let pending_from = (0..open.len()).find(|&at| own.frames[at].at >= committed);
        let base = pending_from.map_or(now, |at| open[at].1);
        // A batch in which nothing was committed leaves no gap in the sequence, as it has no
        // pieces.
        let step = u32::from(committed > 0);
        let loss = std::mem::take(&mut own.loss);
        own.reported += Losses { events: loss.events, ends: loss.ends };
        own.start_batch(next, base, own.sequence.wrapping_add(step));
        for (at, &(what, begin)) in open.iter().enumerate() {
            own.front().slot(at).open(what, begin);
        }
        let written = &open[..pending_from.unwrap_or(open.len())];
        for (at, &(what, begin)) in written.iter().enumerate() {
            own.put_event(opcode::REOPEN, &[what, base - begin]);
            own.frames[at].at = 0;
        }
        if loss.events + loss.ends > 0 {
            own.put_event(opcode::DROPPED, &[loss.events, loss.ends, loss.from, loss.to]);
        }
        if own.pos > 0 {
            self.commit(own, base);
        }
        if let Some(from) = pending_from
            && !own.put_tail(tail, open, from, committed, || before.is_lost())
        {
            (from..open.len()).rev().for_each(|at| own.front().slot(at).close());
            own.depth = from;
        }
    }

    /// Counts an event that can't be written. Returns 0, which stands for no time.
    #[cold]
    #[inline(never)]
    pub(crate) fn lose_event(&self, own: &mut OwnState, now: u64) -> u64 {
        if !self.session.is_ended() {
            own.loss.events += 1;
            own.note_loss(now);
            bump(&self.dropped_events);
        }
        0
    }

    /// Counts an end that can't be written.
    #[cold]
    #[inline(never)]
    pub(crate) fn lose_end(&self, own: &mut OwnState, now: u64) {
        if !self.session.is_ended() {
            own.loss.ends += 1;
            own.note_loss(now);
            bump(&self.dropped_ends);
        }
    }
}

impl OwnState {
    fn batch_at<'a>(&self, batch: *mut Batch) -> &'a Batch {
        // SAFETY: a shared reference wants a live batch: `batch` is in our chain and not sealed
        // yet, so the collector has not freed it.
        unsafe { &*batch }
    }

    /// Forgets what is open, and what is not committed: both were in memory that is lost. Only the
    /// ends of what is open can still be recorded.
    #[cold]
    fn forget_open(&mut self) {
        self.depth = 0;
        self.pos = self.committed;
        self.pending = 0;
    }

    fn put_event(&mut self, code: u8, fields: &[u64]) {
        self.put(code);
        self.put(0);
        fields.iter().for_each(|&field| self.put_varint(field));
        self.pending += 1;
    }

    /// Encodes the pending begins again, the first of them at the batch's base time. Returns false,
    /// and encodes nothing, if the memory in which they lay turns out to be lost.
    ///
    /// - `open`: what is open: its word and its begin.
    fn put_tail(
        &mut self,
        tail: &[u8],
        open: &[(u64, u64)],
        from: usize,
        committed: usize,
        is_lost: impl FnOnce() -> bool,
    ) -> bool {
        let behind = tail.get(1..).unwrap_or_default();
        let Some(shrunk) = behind.iter().position(|&byte| byte < 0x80) else { return false };
        let start = self.pos;
        self.put(tail[0]);
        self.put(0);
        self.put_all(&behind[shrunk + 1..]);
        if is_lost() {
            self.pos = start;
            return false;
        }
        self.frames[from].last_before = self.base;
        for (at, &(_, begin)) in open.iter().enumerate().skip(from) {
            let offset = self.frames[at].at - committed;
            self.frames[at].at = start + offset.saturating_sub(shrunk);
            self.last = begin;
            self.pending += 1;
        }
        true
    }

    fn note_loss(&mut self, now: u64) {
        if self.loss.from == 0 {
            self.loss.from = now;
        }
        self.loss.to = now;
    }
}

fn own_batch_bytes(own: &OwnState, batch: *mut Batch) -> usize {
    own.batch_at(batch).capacity()
}

/// Adds 1. Only one thread writes the counter, so no read-modify-write is needed.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;
    use crate::thread::encoded::EventHead;
    use crate::thread::local;
    use crate::thread::record;
    use trace_format::id::{Open, SiteId};

    fn begin(site: u32) -> (u64, u64) {
        let what = Open::Region(SiteId(site)).to_word();
        (record::begin(EventHead::region(site), what, 0, Patience::Never), what)
    }

    /// Loses the memory of the open batch; the next event opens another batch.
    fn lose_batch() {
        local::with_attached(|thread| {
            // SAFETY: on the owning thread, and nothing else has it.
            let own = unsafe { thread.own() };
            own.batch().forsake();
            thread.retire();
        });
    }

    fn depth() -> usize {
        let mut depth = 0;
        // SAFETY: on the owning thread, and nothing else has it.
        local::with_attached(|thread| depth = unsafe { thread.own() }.depth);
        depth
    }

    #[test]
    fn what_was_open_in_a_batch_that_is_lost_ends_and_nothing_else_does() {
        if !crate::alone::is_alone(
            module_path!(),
            "what_was_open_in_a_batch_that_is_lost_ends_and_nothing_else_does",
        ) {
            return;
        }
        let options = crate::Options::default().os(false).sched(false).heap(false);
        let trace = crate::start_with(options, std::io::sink()).expect("none is running");
        // How deep it is when the batch is lost, and how many of these are written by then.
        for (open, written) in [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 2), (40, 0), (40, 40)] {
            for ends_elsewhere in [false, true] {
                let mut begun = Vec::new();
                for site in 1..=open {
                    begun.push(begin(site));
                    if site == written {
                        // Commits what is pending.
                        record::append(opcode::READY, &[1, 1]);
                    }
                }
                lose_batch();
                if ends_elsewhere {
                    begun.reverse();
                }
                while let Some((begin, what)) = begun.pop() {
                    record::end(begin, what);
                    let (inner, of) = self::begin(99);
                    record::end(inner, of);
                }
                assert_eq!(depth(), 0, "{open} open, {written} written");
            }
        }
        let report = trace.stop().expect("nothing refuses it");
        assert!(report.dropped_events > 0, "what was lost is counted: {report:?}");
    }
}

const _: () = assert!(PREAMBLE_BYTES_MAX + 2 * RESERVE < BATCH_BYTES_MIN, "a preamble fits");
