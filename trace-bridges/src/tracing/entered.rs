//! Which spans each thread is in, as far as they are recorded, innermost last.
//!
//! What a span has opened in the trace belongs to the thread that entered it, and ends there. So
//! the list is the thread's own, and needs no lock. It knows only what was recorded: a span that
//! was entered while no trace ran is not in it, and leaving it does nothing. What is left when a
//! thread ends, ends with it, innermost first.
//!
//! Beside that it remembers some spans without fields that the thread has entered, with their call
//! sites: asking the registry takes as long as the region itself. Ids are not used again before
//! billions of other spans.

use std::cell::{Cell, RefCell};
use trace_runtime::__private::Region;
use trace_runtime::{Callsite, TaskGuard};

/// So many spans are recorded that a thread is in; those that were never left (a guard that was
/// forgotten) count, too.
const ENTERED_MAX: usize = 1024;

/// So many spans are remembered, each where its id puts it.
const RECENT: usize = 16;

thread_local! {
    static ENTERED: RefCell<Entered> =
        const { RefCell::new(Entered { spans: Vec::new(), recent: [None; RECENT] }) };
    /// How many spans that is: nearly always asked in vain, and nothing of this kind is faster.
    static COUNT: Cell<usize> = const { Cell::new(0) };
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

struct Entered {
    spans: Vec<(Key, Open)>,
    recent: [Option<(Key, &'static Callsite)>; RECENT],
}

impl Drop for Entered {
    fn drop(&mut self) {
        while self.spans.pop().is_some() {}
    }
}

/// What is known of a span that is about to be entered.
pub(super) enum Known {
    /// It can't be noted: there is no room, or the thread ends and the list is gone.
    NoRoom,
    /// It has this call site, and no fields.
    Plain(&'static Callsite),
    /// Nothing.
    Nothing,
}

/// Looks before a span is entered.
#[inline]
pub(super) fn look(key: Key) -> Known {
    let known = ENTERED.try_with(|entered| {
        let entered = entered.try_borrow().ok()?;
        let has_room = entered.spans.len() < ENTERED_MAX;
        has_room.then(|| match entered.recent[key.span as usize % RECENT] {
            Some((recent, site)) if recent == key => Known::Plain(site),
            _ => Known::Nothing,
        })
    });
    known.ok().flatten().unwrap_or(Known::NoRoom)
}

/// Remembers the call site of a span that has no fields and is no task.
pub(super) fn remember(key: Key, site: &'static Callsite) {
    let _ = ENTERED.try_with(|entered| {
        if let Ok(mut entered) = entered.try_borrow_mut() {
            entered.recent[key.span as usize % RECENT] = Some((key, site));
        }
    });
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
    if COUNT.get() == 0 {
        return false;
    }
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
    let done = ENTERED.try_with(|entered| {
        let spans = &mut entered.try_borrow_mut().ok()?.spans;
        let result = act(spans);
        COUNT.set(spans.len());
        Some(result)
    });
    done.ok().flatten()
}
