//! Which spans each thread is in, as far as they are recorded, innermost last.
//!
//! What a span has opened in the trace belongs to the thread that entered it, and ends there. So
//! the list is the thread's own, and needs no lock. It knows only what was recorded: a span that
//! was entered while no trace ran is not in it, and leaving it does nothing. What is left when a
//! thread ends, ends with it, innermost first.

use std::cell::RefCell;
use trace_runtime::__private::Region;
use trace_runtime::TaskGuard;

/// So many spans are recorded that a thread is in; those that were never left (a guard that was
/// forgotten) count, too.
const ENTERED_MAX: usize = 1024;

thread_local! {
    static ENTERED: RefCell<Entered> = const { RefCell::new(Entered(Vec::new())) };
}

/// A span of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) layer: u64,
    pub(super) span: u64,
}

/// What a span has opened on this thread; ends when dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "they are held to be dropped")]
pub(super) enum Open {
    Region(Region),
    Task(TaskGuard),
}

struct Entered(Vec<(Key, Open)>);

impl Drop for Entered {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}

/// Whether another span can be noted. Not at the end of a thread, when the list is gone.
#[inline]
pub(super) fn has_room() -> bool {
    with(|entered| entered.len() < ENTERED_MAX).unwrap_or(false)
}

/// The thread has entered a span, which has opened this.
#[inline]
pub(super) fn push(key: Key, open: Open) {
    with(|entered| entered.push((key, open)));
}

/// Whether the thread is in a span.
pub(super) fn holds(key: Key) -> bool {
    with(|entered| entered.iter().any(|each| each.0 == key)).unwrap_or(false)
}

/// The thread leaves a span: the one of this key that it entered last. What lies in it ends, too,
/// and `again` begins it anew. Returns whether it was in the span.
#[inline]
pub(super) fn leave(key: Key, again: impl Fn(u64) -> Option<Open>) -> bool {
    let innermost = with(|entered| entered.pop_if(|last| last.0 == key)).flatten();
    // Dropped with the list given back: ends are the recorder's, which may come by an allocator.
    innermost.is_some() || leave_other(key, again)
}

#[inline(never)]
fn leave_other(key: Key, again: impl Fn(u64) -> Option<Open>) -> bool {
    let taken = with(|entered| {
        let at = entered.iter().rposition(|each| each.0 == key)?;
        // A span of another registry can't be begun anew from here: the recorder cuts it.
        let is_ours = |each: &(Key, Open)| each.0.layer == key.layer;
        if entered[at..].iter().all(is_ours) {
            Some(entered.split_off(at))
        } else {
            Some(vec![entered.remove(at)])
        }
    });
    let Some(mut taken) = taken.flatten() else { return false };
    let inside: Vec<_> = taken[1..].iter().map(|each| each.0).collect();
    while taken.pop().is_some() {}
    for key in inside {
        if let Some(open) = again(key.span) {
            push(key, open);
        }
    }
    true
}

/// `None` once the list is gone, and to what comes in while it is in use: an allocator that traces,
/// or a signal's handler.
#[inline(always)]
fn with<T>(act: impl FnOnce(&mut Vec<(Key, Open)>) -> T) -> Option<T> {
    ENTERED
        .try_with(|entered| entered.try_borrow_mut().ok().map(|mut list| act(&mut list.0)))
        .ok()?
}
