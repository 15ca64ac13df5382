//! Futures that an executor's hooks tell of: no code of ours is around them, so all that is known
//! of them is when the executor spawns, polls and ends them.
//!
//! They have the executor's own numbers; ours are even, and these are made odd, so that both are
//! told apart. What a poll finds out about them (where they wait, how they end) is known only if a
//! future of ours inside has *adopted* the number: then it does not record its polls once more.

use crate::annotate::future::current::{self, Before};
use crate::annotate::future::wrapper;
use crate::annotate::task::Task;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU64;
use crate::callsite::Callsite;
use crate::sys::clock;
use crate::thread::record;
use crate::thread::value::{Body, put_number};
use std::marker::PhantomData;
use trace_format::event::{Outcome, opcode};
use trace_format::id::{FutureId, Open};

/// The number in the trace of what the executor calls `id`.
#[must_use]
pub const fn future_id(id: u64) -> u64 {
    id << 1 | 1
}

/// Counts generations, of all traces of this process.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

/// What changes whenever readers may start anew: what a trace was told of a future under another
/// one of these may be out of a reader's sight.
#[inline]
#[must_use]
pub fn generation() -> u64 {
    GENERATIONS.load(Ordering::Relaxed)
}

/// By the collector, when all that is told from now on comes behind the begin of a generation.
pub(crate) fn begin_generation() {
    GENERATIONS.fetch_add(1, Ordering::Relaxed);
}

/// The future that is being polled on this thread, innermost; 0 for none.
#[inline]
#[must_use]
pub fn polled() -> u64 {
    current::future()
}

/// A future was spawned on this thread.
pub fn spawned(future: u64, site: &'static Callsite) {
    let live = site.live();
    if live != 0 {
        wrapper::spawned(future, Task::current().id(), live);
    }
}

/// What a future is that the trace may not know: it was spawned before.
pub fn told(future: u64, site: &'static Callsite) {
    let live = site.live();
    if live != 0 {
        wrapper::told(future, 0, live, 0, &[]);
    }
}

/// A future that is about to be polled has been ready for so long.
pub fn ready(future: u64, nanos: u64) {
    let mut body = Body::new();
    put_number(&mut body, future);
    put_number(&mut body, clock::ticks_in(nanos));
    record::append(opcode::READY, &body);
}

/// A future is gone, nobody knows how, unless it has said so itself in this very poll.
pub fn ended(future: u64) {
    if current::has_ended(future) {
        return;
    }
    let mut body = Body::new();
    put_number(&mut body, future);
    put_number(&mut body, u64::from(Outcome::Ended.to_byte()));
    put_number(&mut body, 0);
    record::append(opcode::FUTURE_END, &body);
}

/// A poll that an executor's hooks have begun.
#[derive(Debug)]
pub struct HookedPoll {
    future: u64,
    begin: u64,
    before: Before,
    not_send: PhantomData<*const ()>,
}

// Inline, so that whoever keeps it stores and loads its words one by one: copied whole right after
// they were written, they would have to wait for that.
impl HookedPoll {
    /// It begins.
    #[inline]
    #[must_use]
    pub fn begin(future: u64) -> Self {
        let begin = wrapper::begin_poll(future);
        Self { future, begin, before: current::enter_hooked(future), not_send: PhantomData }
    }

    /// It ends.
    #[inline]
    pub fn end(self) {
        let (_, taken) = current::leave(&self.before);
        let what = Open::Poll(FutureId(self.future)).to_word();
        match (self.begin, taken.stack()) {
            (0, _) => {}
            (begin, 0) => record::end(begin, what),
            (begin, _) if taken.is_inner() => record::end(begin, what),
            (begin, waits_at) => record::end_poll(begin, what, waits_at),
        }
    }
}
