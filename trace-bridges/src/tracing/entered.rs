//! The recorded spans that each thread is in, innermost last.
//!
//! The region or task run that a span opens belongs to the thread that entered the span, and ends
//! on that thread. So each thread has its own list, without a lock. A span that was entered while
//! no trace ran is not in the list, and leaving it does nothing. When a thread ends, the spans left
//! in its list end, too, innermost first.
//!
//! Each thread also remembers the call sites of some spans without fields that it has entered:
//! asking the registry takes as long as recording the region. The registry does not use an id again
//! before billions of other spans were made.

use std::cell::{Cell, RefCell};
use trace_runtime::__private::Region;
use trace_runtime::{Callsite, TaskGuard};

/// Maximum number of recorded spans that a thread is in. Spans that are never left (a forgotten
/// guard) count, too.
const ENTERED_MAX: usize = 1024;

/// Number of slots for remembered spans; a span's slot is its id modulo this.
const RECENT: usize = 16;

thread_local! {
    static ENTERED: RefCell<Entered> =
        const { RefCell::new(Entered { spans: Vec::new(), recent: [None; RECENT] }) };
    /// The length of `spans`. Most calls only find that it is 0, and a cell of a number is the
    /// fastest thread local to read.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// A span of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) layer: u64,
    pub(super) span: u64,
}

/// The region or task run that a span has opened on this thread; ends when dropped.
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
    /// The span cannot be listed: the list is full, or gone because the thread ends.
    NoRoom,
    /// The span has this call site, and no fields.
    Plain(&'static Callsite),
    /// The registry has to be asked.
    Nothing,
}

/// Looks a span up that is about to be entered.
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

/// Adds a span that the thread has entered, with what it has opened.
#[inline]
pub(super) fn push(key: Key, open: Open) {
    with(|entered| entered.push((key, open)));
}

/// Whether the thread is in a span.
pub(super) fn holds(key: Key) -> bool {
    with(|entered| entered.iter().any(|each| each.0 == key)).unwrap_or(false)
}

/// The thread leaves the span of this key that it entered last. Spans inside it end, too, and
/// `again` begins them anew. Returns whether the thread was in the span.
#[inline]
pub(super) fn leave(key: Key, again: impl Fn(u64) -> Option<Open>) -> bool {
    if COUNT.get() == 0 {
        return false;
    }
    let innermost = with(|entered| entered.pop_if(|last| last.0 == key)).flatten();
    // Dropped after the borrow of the list has ended: recording an end may allocate, and the
    // allocator may be traced.
    innermost.is_some() || leave_other(key, again)
}

#[inline(never)]
fn leave_other(key: Key, again: impl Fn(u64) -> Option<Open>) -> bool {
    let taken = with(|entered| {
        let at = entered.iter().rposition(|each| each.0 == key)?;
        // This layer cannot begin a span of another registry anew, so it ends only its own.
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

/// `None` once the list is gone, and for a call that comes in while the list is in use: from an
/// allocator that traces, or from a signal handler.
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
