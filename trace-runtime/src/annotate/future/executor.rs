//! Futures that an executor's hooks report. They have no wrapper of ours, so only their spawns,
//! polls and ends are known.
//!
//! They have the executor's own numbers, made odd; ours are even, so that the two can't be
//! confused. Where they wait and how they end is known only if a wrapped future inside has
//! *adopted* the number; that one does not record its polls a second time.

use crate::annotate::future::current::{self, OuterPoll};
use crate::annotate::future::{polling, wrapper};
use crate::annotate::task::Task;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU64;
use crate::callsite::Callsite;
use crate::sys::clock;
use crate::thread::record;
use crate::thread::value::{EventBody, put_number};
use std::marker::PhantomData;
use trace_format::event::{Outcome, opcode};
use trace_format::id::{FutureId, Open};

/// The number in the trace of the future with the executor's number `id`.
#[must_use]
pub const fn future_id(id: u64) -> u64 {
    id << 1 | 1
}

/// Number of generations that began, in all traces of this process.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

/// A number that changes with each generation: what was recorded of a future under an earlier
/// number may lie before the place where a reader starts.
#[inline]
#[must_use]
pub fn generation() -> u64 {
    GENERATIONS.load(Ordering::Relaxed)
}

/// By the collector, when all that is recorded from now on comes after the begin of a generation.
pub(crate) fn begin_generation() {
    GENERATIONS.fetch_add(1, Ordering::Relaxed);
}

/// The innermost future that is being polled on this thread; 0 for none.
#[inline]
#[must_use]
pub fn polled() -> u64 {
    current::future()
}

/// A future was spawned on this thread.
pub fn spawned(future: u64, site: &'static Callsite) {
    let live = site.live();
    if live != 0 {
        wrapper::record_spawn(future, Task::current().id(), live);
    }
}

/// Describes a future that the trace may not know, as it was spawned earlier.
pub fn describe(future: u64, site: &'static Callsite) {
    let live = site.live();
    if live != 0 {
        wrapper::record_begin(future, 0, live, 0, &[]);
    }
}

/// A future that is about to be polled has been ready for this many nanoseconds.
pub fn ready(future: u64, nanos: u64) {
    let mut body = EventBody::new();
    put_number(&mut body, future);
    put_number(&mut body, clock::ticks_in(nanos));
    record::append(opcode::READY, &body);
}

/// A future is gone. How it ended is not known, unless it has recorded that itself in this poll.
pub fn ended(future: u64) {
    if current::has_ended(future) {
        return;
    }
    let mut body = EventBody::new();
    put_number(&mut body, future);
    put_number(&mut body, u64::from(Outcome::Ended.to_byte()));
    put_number(&mut body, 0);
    record::append(opcode::FUTURE_END, &body);
}

/// A poll that an executor's hooks report.
#[derive(Debug)]
pub struct HookedPoll {
    future: u64,
    begin: u64,
    before: OuterPoll,
    not_send: PhantomData<*const ()>,
}

// Inline, so that the caller stores and loads its words one by one: a copy of the whole right after
// the words were written would have to wait for those stores.
impl HookedPoll {
    /// It begins.
    #[inline]
    #[must_use]
    pub fn begin(future: u64) -> Self {
        let begin = polling::begin_poll(future);
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
