//! Names that threads are given for the trace: by whoever knows better than the system what a
//! thread is for, as an executor does of its workers.
//!
//! A name stays with its thread, so that later traces have it, too. Elsewhere: what a thread is
//! called that was given none (`local`).

use crate::clock;
use crate::local;
use crate::thread::Thread;
use std::cell::RefCell;

thread_local! {
    static GIVEN: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// Gives the calling thread a name: in the trace that runs, from now on, and in those to come.
pub fn name_thread(name: &str) {
    // What this allocates is the recorder's, not the program's.
    let quiet = local::quiet();
    // A thread that is at its end has nowhere to keep it.
    let kept = GIVEN.try_with(|given| given.replace(Some(name.into())));
    drop(kept);
    drop(quiet);
    local::with_attached(|thread| {
        let _quiet = local::quiet();
        thread.session.note_name(thread.id, clock::ticks(), name.to_owned());
    });
}

/// What the calling thread was given; `None` also in the destructors of its last moments.
pub(crate) fn given() -> Option<String> {
    GIVEN.try_with(|given| given.borrow().as_deref().map(str::to_owned)).ok().flatten()
}

/// By a thread that was just attached: its state may have been made before it could be asked.
pub(crate) fn tell_given(thread: &Thread) {
    if let Some(name) = given().filter(|name| *name != thread.identity.name) {
        thread.session.note_name(thread.id, clock::ticks(), name);
    }
}
