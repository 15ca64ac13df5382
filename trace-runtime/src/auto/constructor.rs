//! Code that runs before `main`, and code that runs at the exit.
//!
//! libc calls the functions in `.init_array` before `main`, and functions given to `atexit` on
//! return from `main` and by `exit`, which `process::exit` calls. The crate `ctor` does no more
//! than this on Linux, and would be one more crate to trust.
//!
//! Call sites register themselves by constructors, too (`inventory`). Constructors run in the order
//! of linking, and a crate is linked before the crates that it depends on. All crates with call
//! sites depend on this one, so its constructor runs after theirs. This was tried with ld.lld and
//! ld.bfd, with and without link-time optimisation. In another order, a line at the exit says how
//! many call sites are missing.
//!
//! May contain `unsafe`: it places a static in a section, and registers a function.

use super::{start, stop};

/// Called by libc before `main`.
///
/// The attribute is unsafe as libc calls what lies in this section: it wants functions of C's
/// calling convention that may run before `main`. libc passes arguments that this function does not
/// take, which that convention allows. It may run before `main`: the header of `auto` says what it
/// finds.
// SAFETY: as above; it never unwinds, as `start` catches panics.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    if start() {
        // SAFETY: `atexit` wants a function that may be called at the exit, on any thread:
        // `at_exit` takes a lock only if it is free, and never unwinds. If `atexit` fails, the
        // trace is cut at the exit.
        unsafe { libc::atexit(at_exit) };
    }
}

extern "C" fn at_exit() {
    stop();
}
