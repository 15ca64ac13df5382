//! The tasks that the calling thread works for: those that were entered, innermost last, each with
//! the key of its guard. It is a list, as guards may be dropped in any order.
//!
//! The list lies in pages from the system, behind a thread-local without destructor, so that a task
//! may be entered in a signal handler that has interrupted the allocator. A handler that comes
//! while the list is being changed finds a mark, and works for no task.
//!
//! May contain `unsafe`: the list is reached through a raw pointer.

use crate::annotate::open_tasks::TaskRef;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::compiler_fence;
use crate::buffer::memory::pages;
use crate::thread::attach;
use std::cell::Cell;
use std::ptr;

/// Maximum number of tasks that a thread has entered at once; further ones are not noted.
const ENTERED_MAX: usize = 128;

/// A key, and the task; `None` if the thread works for no task meanwhile.
type EnteredTask = (u64, Option<TaskRef<'static>>);

/// The list, innermost last; free places are `None`, and follow all others.
struct Working {
    entered: [Option<EnteredTask>; ENTERED_MAX],
    count: usize,
}

thread_local! {
    /// Null until a task is entered.
    static WORKING: Cell<*mut Working> = const { Cell::new(ptr::null_mut()) };
    /// The list is being used: code that finds this set is a signal handler.
    static IN_USE: Cell<bool> = const { Cell::new(false) };
    /// The key that was given last.
    static KEY: Cell<u64> = const { Cell::new(0) };
}

/// Runs `act` with the list; `None` if there is none, or it is being used.
fn with<T>(act: impl FnOnce(&mut Working) -> T) -> Option<T> {
    if IN_USE.replace(true) {
        return None;
    }
    compiler_fence(Ordering::SeqCst);
    // SAFETY: a unique reference wants a live list that no other code uses: it belongs to this
    // thread, lives until `forget`, and the mark keeps handlers out.
    let result = unsafe { WORKING.get().as_mut() }.map(act);
    compiler_fence(Ordering::SeqCst);
    IN_USE.set(false);
    result
}

/// The task that was entered last; `None` if there is none.
pub(crate) fn last() -> Option<TaskRef<'static>> {
    let last = with(|working| {
        let at = working.count.checked_sub(1)?;
        working.entered[at].as_ref().and_then(|(_, task)| task.clone())
    });
    last.flatten()
}

/// Enters a task, or none. Returns the key for [`remove`]; 0 if it is not noted.
pub(crate) fn push(task: Option<TaskRef<'static>>) -> u64 {
    if WORKING.get().is_null() && (task.is_none() || !make()) {
        return 0;
    }
    let key = KEY.get() + 1;
    let is_noted = with(|working| {
        let Some(place) = working.entered.get_mut(working.count) else { return false };
        *place = Some((key, task));
        working.count += 1;
        KEY.set(key);
        true
    });
    if is_noted == Some(true) { key } else { 0 }
}

/// Leaves the task that was entered with this key. Returns the task, which may end when that is
/// dropped.
pub(crate) fn remove(key: u64) -> Option<TaskRef<'static>> {
    let removed = with(|working| {
        let entered = &mut working.entered[..working.count];
        let has_key = |place: &Option<EnteredTask>| place.as_ref().is_some_and(|it| it.0 == key);
        let at = entered.iter().rposition(has_key)?;
        let removed = entered[at].take();
        entered[at..].rotate_left(1);
        working.count -= 1;
        removed
    });
    removed.flatten().and_then(|(_, task)| task)
}

/// Makes this thread's list. Returns false if there is no memory, or the list is being used.
#[cold]
fn make() -> bool {
    if IN_USE.get() {
        return false;
    }
    let Some(place) = pages::map(size_of::<Working>()) else { return false };
    let working: *mut Working = place.cast();
    let entered = [const { None }; ENTERED_MAX];
    // SAFETY: `write` wants room for a list, aligned, and ours alone: new pages are that.
    unsafe { working.write(Working { entered, count: 0 }) };
    // A handler that came meanwhile may have made a list: that one is leaked. It is empty, unless a
    // guard outlives the handler.
    WORKING.set(working);
    attach::watch_exit_if_possible();
    true
}

/// Frees the list: the thread ends. Guards that are still there find no list.
pub(crate) fn forget() {
    let working = WORKING.replace(ptr::null_mut());
    if working.is_null() {
        return;
    }
    // SAFETY: it wants a live list, owned: it was taken out of the thread-local.
    unsafe { working.drop_in_place() };
    // SAFETY: `unmap` wants pages from `map`, owned and unused.
    unsafe { pages::unmap(working.cast(), size_of::<Working>()) };
}
