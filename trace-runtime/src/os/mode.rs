//! Whether hooks have work to do.
//!
//! A constructor has the real functions looked up, or the first call if it comes earlier.
//!
//! May contain `unsafe`: a section that the system reads.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU32;
use crate::os::real;
#[cfg(all(feature = "auto", target_os = "linux"))]
use crate::sys::errno;

/// Nothing is recorded.
const OFF: u32 = 0;
/// A trace runs, and wants calls.
const ON: u32 = 1;
/// The real functions have not been looked up yet.
const UNREADY: u32 = 2;

/// This is a forked child, which may get a trace of its own with a later call.
const FORKED: u32 = 3;

/// Whether the hooks have work.
static MODE: AtomicU32 = AtomicU32::new(if real::IS_STATIC { OFF } else { UNREADY });

/// Whether a hook only has to make its call.
#[inline(always)]
pub(super) fn is_off() -> bool {
    MODE.load(Ordering::Relaxed) == OFF
}

/// Whether calls are to be recorded. Looks the real functions up if that has not been done.
pub(super) fn is_on() -> bool {
    let mode = MODE.load(Ordering::Relaxed);
    mode == ON || mode >= UNREADY && settle(mode)
}

/// As [`is_on`], after what this mode wants done first.
#[cold]
fn settle(mode: u32) -> bool {
    if mode == UNREADY {
        resolve();
        return false;
    }
    #[cfg(all(feature = "auto", target_os = "linux"))]
    errno::keeping(crate::auto::forked::go_on_by_call);
    MODE.load(Ordering::Relaxed) == ON
}

/// A trace begins.
pub(super) fn set_on() {
    if MODE.load(Ordering::Relaxed) == UNREADY {
        resolve();
    }
    // The linker keeps only what is used: this uses all hooks.
    std::hint::black_box(real::HOOKS);
    MODE.store(ON, Ordering::Release);
}

/// A trace has ended, or this is a forked child.
pub(super) fn set_off() {
    if [ON, FORKED].contains(&MODE.load(Ordering::Relaxed)) {
        MODE.store(OFF, Ordering::Release);
    }
}

/// This is a forked child, which may get a trace of its own with a later call.
pub(super) fn set_forked() {
    if MODE.load(Ordering::Relaxed) == ON {
        MODE.store(FORKED, Ordering::Release);
    }
}

/// Has all real functions looked up.
#[cold]
fn resolve() {
    if real::look_up() {
        // Every thread that sees this sees the pointers, or calls a fallback, which does the same.
        let order = (Ordering::Release, Ordering::Relaxed);
        _ = MODE.compare_exchange(UNREADY, OFF, order.0, order.1);
    }
}

/// Runs before `main`, and before constructors of the program that have no priority.
#[used]
// SAFETY: each entry of the section is called once, as a function without arguments, as this is.
#[unsafe(link_section = ".init_array")]
static RESOLVE: extern "C" fn() = {
    extern "C" fn at_start() {
        if MODE.load(Ordering::Relaxed) == UNREADY {
            resolve();
        }
    }
    at_start
};
