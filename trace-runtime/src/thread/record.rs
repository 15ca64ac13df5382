//! The few calls by which everything is recorded on the calling thread.
//!
//! Each finds the thread's state and does one thing with it.
//!
//! May contain `unsafe`: it vouches for being on the owning thread.

use crate::stack;
use crate::thread::Thread;
use crate::thread::encoded::{Encoded, Head};
use crate::thread::local;
use crate::thread::refill::Patience;
#[cfg(os_hooks)]
use trace_format::id::{Open, OpenCall};

/// Something begins; its time, or 0 if it is not recorded.
#[inline(always)]
pub(crate) fn begin(head: Head, what: u64, min_ticks: u64, patience: Patience) -> u64 {
    // SAFETY: `local::with` hands out the state of the calling thread.
    local::with(patience, |thread| unsafe { thread.begin(head, what, min_ticks, patience) })
}

/// As [`begin`], with values behind the head.
#[inline(always)]
pub(crate) fn begin_values(head: Head, what: u64, min_ticks: u64, values: Encoded<'_>) -> u64 {
    // SAFETY: as in `begin`.
    let act = |thread: &Thread| unsafe { thread.begin_values(head, what, min_ticks, values) };
    local::with(Patience::of_open(what), act)
}

/// An event of its own; its time, or 0 if it is not recorded.
pub(crate) fn append(code: u8, body: &[u8]) -> u64 {
    // SAFETY: as in `begin`.
    local::with(Patience::of_event(code), |thread| unsafe { thread.append(code, body) })
}

/// As [`append`], of an event that names a stack: its trace is to define that.
pub(crate) fn append_with_stack(code: u8, body: &[u8], stack: u32) -> u64 {
    local::with(Patience::of_event(code), |thread| {
        stack::note_used(stack);
        // SAFETY: as in `begin`.
        unsafe { thread.append(code, body) }
    })
}

/// As [`append`], but only if `is_wanted`, which is asked once it is certain which trace the event
/// would get into: another one may have begun on the way.
#[cfg(all(feature = "heap", not(exectrace_loom)))]
pub(crate) fn append_if(is_wanted: impl Fn() -> bool, code: u8, body: &[u8]) -> u64 {
    // SAFETY: as in `begin`.
    let append = |thread: &Thread| unsafe { thread.append(code, body) };
    local::with(Patience::Never, |thread| if is_wanted() { append(thread) } else { 0 })
}

/// What began at `begin` ends.
#[inline(never)]
pub(crate) fn end(begin: u64, what: u64) {
    // SAFETY: as in `begin`.
    local::with_attached(|thread| unsafe { thread.end(begin, what, Patience::of_open(what)) });
}

/// As [`end`], and nobody has written that end: it waits for nothing.
#[inline(never)]
pub(crate) fn end_by_itself(begin: u64, what: u64) {
    // SAFETY: as in `begin`.
    local::with_attached(|thread| unsafe { thread.end(begin, what, Patience::Never) });
}

/// The poll that began at `begin` ends; its future waits at this stack, which is not 0.
pub(crate) fn end_poll(begin: u64, what: u64, waits_at: u32) {
    // SAFETY: as in `begin`.
    local::with_attached(|thread| unsafe { thread.end_poll(begin, what, waits_at) });
}

/// What began at `begin` ends, with an outcome.
pub(crate) fn end_value(begin: u64, what: u64, body: &[u8]) {
    // SAFETY: as in `begin`.
    local::with_attached(|thread| unsafe { thread.end_value(begin, what, body) });
}

/// A call begins: its time and the word of it, or zeros if it is not recorded. `describe` says what
/// it is about and where it came from; it runs with signal handlers kept out, and may run twice.
#[cfg(os_hooks)]
pub(crate) fn begin_call(describe: impl Fn() -> OpenCall) -> (u64, u64) {
    let what = std::cell::Cell::new(0);
    let begin = local::with(Patience::Never, |thread| {
        let call = describe();
        what.set(Open::Call(call).to_word());
        // SAFETY: as in `begin`.
        unsafe { thread.begin_call(call) }
    });
    (begin, what.get())
}

/// The call that began at `begin` ends. Whether its trace has ended, too.
#[cfg(os_hooks)]
pub(crate) fn end_call(begin: u64, what: u64, result: i64) -> bool {
    let mut is_over = false;
    local::with_attached(|thread| {
        // SAFETY: as in `begin`.
        unsafe { thread.end_call(begin, what, result) };
        is_over = thread.session.is_ended();
    });
    is_over
}
