//! The moments before `main` and after the program's last one.
//!
//! A function in `.init_array` is called by libc before `main`; what it hands to `atexit` is called
//! on return from `main` and by `exit`, which is what `process::exit` is. The crate `ctor` does no
//! more than this on Linux, and has more to be trusted.
//!
//! Call sites register themselves by constructors, too (`inventory`). Those of one object file run
//! in the order of linking, and a crate is linked before those it depends on. All that register
//! depend on this crate, so its constructor comes after theirs: so it was tried with ld.lld
//! and ld.bfd, plain and optimised as a whole. Were the order another one, it would be said at the
//! exit how many call sites are missing.
//!
//! May contain `unsafe`: it places a static in a section, and registers a function.

use super::{start, stop};

/// Called by libc before `main`.
///
/// The attribute is unsafe because what lies in this section is called: it wants functions of C's
/// calling convention that may run before `main`. Arguments are passed that this one does not take,
/// which that convention allows. It may run before `main`: the head of `auto` says what it finds.
// SAFETY: as above; it never unwinds, for all it calls is caught in `start`.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    if start() {
        // SAFETY: `atexit` wants a function that may be called at the exit, on whichever thread
        // exits: `at_exit` takes a lock only if it is free, and never unwinds. If there is no room
        // for it, the trace is cut at the exit.
        unsafe { libc::atexit(at_exit) };
    }
}

extern "C" fn at_exit() {
    stop();
}
