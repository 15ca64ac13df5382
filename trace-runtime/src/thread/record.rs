//! The few functions by which all events are recorded, on the calling thread.
//!
//! Each finds the thread's state and does one thing with it.
//!
//! May contain `unsafe`: it promises to be on the owning thread.

use crate::stack;
use crate::thread::RecordingThread;
use crate::thread::encoded::{EventHead, ValueList};
use crate::thread::local;
use crate::thread::refill::Patience;
#[cfg(os_hooks)]
use trace_format::id::{Open, OpenCall};

/// Records a begin. Returns its time, or 0 if it is not recorded.
#[inline(always)]
pub(crate) fn begin(head: EventHead, what: u64, min_ticks: u64, patience: Patience) -> u64 {
    // SAFETY: `local::with` passes the state of the calling thread.
    local::with(patience, |thread| unsafe { thread.begin(head, what, min_ticks, patience) })
}

/// As [`begin`], with values behind the head.
#[inline(always)]
pub(crate) fn begin_values(
    head: EventHead,
    what: u64,
    min_ticks: u64,
    values: ValueList<'_>,
) -> u64 {
    // SAFETY: as in `begin`.
    let act =
        |thread: &RecordingThread| unsafe { thread.begin_values(head, what, min_ticks, values) };
    local::with(Patience::of_open(what), act)
}

/// Records an event of its own. Returns its time, or 0 if it is not recorded.
pub(crate) fn append(code: u8, body: &[u8]) -> u64 {
    // SAFETY: as in `begin`.
    local::with(Patience::of_event(code), |thread| unsafe { thread.append(code, body) })
}

/// As [`append`], for an event that names a stack, which its trace then defines.
pub(crate) fn append_with_stack(code: u8, body: &[u8], stack: u32) -> u64 {
    local::with(Patience::of_event(code), |thread| {
        stack::note_used(stack);
        // SAFETY: as in `begin`.
        unsafe { thread.append(code, body) }
    })
}

/// As [`append`], but only if `is_wanted`. That is called only when it is certain which trace would
/// get the event: another trace may have begun meanwhile.
#[cfg(all(feature = "heap", not(exectrace_loom)))]
pub(crate) fn append_if(is_wanted: impl Fn() -> bool, code: u8, body: &[u8]) -> u64 {
    // SAFETY: as in `begin`.
    let append = |thread: &RecordingThread| unsafe { thread.append(code, body) };
    local::with(Patience::Never, |thread| if is_wanted() { append(thread) } else { 0 })
}

/// Records the end of what began at `begin`.
#[inline(never)]
pub(crate) fn end(begin: u64, what: u64) {
    // SAFETY: as in `begin`.
    local::with_attached(|thread| unsafe { thread.end(begin, what, Patience::of_open(what)) });
}

/// As [`end`], for an end that the user did not write: it never waits for memory.
#[inline(never)]
pub(crate) fn end_by_itself(begin: u64, what: u64) {
    // SAFETY: as in `begin`.
    local::with_attached(|thread| unsafe { thread.end(begin, what, Patience::Never) });
}

/// Records the end of the poll that began at `begin`; its future waits on this stack, which is not
/// 0.
pub(crate) fn end_poll(begin: u64, what: u64, waits_at: u32) {
    // SAFETY: as in `begin`.
    local::with_attached(|thread| unsafe { thread.end_poll(begin, what, waits_at) });
}

/// Records the end of what began at `begin`, with an outcome.
pub(crate) fn end_value(begin: u64, what: u64, body: &[u8]) {
    // SAFETY: as in `begin`.
    local::with_attached(|thread| unsafe { thread.end_value(begin, what, body) });
}

/// Records the begin of a call. Returns its time and its word, or zeros if it is not recorded.
/// `describe` returns the call with its resource and stack; it runs with signal handlers kept out
/// (L3), and may run twice.
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

/// Records the end of the call that began at `begin`. Returns whether its trace has ended.
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
