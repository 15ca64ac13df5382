//! What every hook does: call the real function, and if a trace runs, record that.
//!
//! A hook has the name of a function of libc and stands in the program itself, so that the program
//! and every library loaded with it call the hook. The families (`files`, `folders`,
//! `fortified`, `io`, `messages`, `older`, `processes`, `wait`, `sync`, `threads`) list them, a
//! line each. Invariants:
//!
//! - **C1** A hook calls the real function exactly once, with its own arguments, and returns what
//!   that returned, with `errno` as it was left; before the call `errno` is as it was found.
//! - **C2** While the real function runs, no frame of a hook has a destructor: a thread may be
//!   cancelled there, or jump out, and an unwinding passes through.
//!
//! While no trace runs, a hook costs a load and a branch before a jump to the real function.
//! Functions that threads wait in look a second time when the real function has returned, for
//! threads that were in it when a trace began. In the other functions, a call from before the trace
//! ends with the thread's next event. Not all look again: to return here after a system call costs
//! 6 ns, as the processor no longer predicts the return by then, and the jump costs 1 ns.
//!
//! Elsewhere: whether hooks have work to do (`mode`), where the real functions are (`real`), what a
//! result says in a trace (`result`).
//!
//! May contain `unsafe`: it defines functions for others to call, and calls foreign ones.

use crate::os::mode::{is_off, is_on};
use crate::os::result::CallResult;
use crate::sys::errno;
use crate::thread::attach::{self, Arrival};
use crate::thread::local;
use crate::thread::record;
use libc::c_int;
use trace_format::id::{CallId, OpenCall, ResourceId, StackId};

/// Calls the real function and records it.
///
/// - `resource`: the id of what the call is about.
/// - `real`: the real function with its arguments.
#[inline(always)]
pub(super) fn observe<R: CallResult>(
    call: CallId,
    resource: impl FnOnce() -> u32,
    real: impl FnOnce() -> R,
) -> R {
    if local::is_suppressed() {
        return real();
    }
    let errno = Errno::new();
    let begun = begin(call, resource());
    errno.restore();
    let result = real();
    end(begun, result);
    result
}

/// The value of the thread's `errno`, to put back later.
struct Errno {
    place: *mut c_int,
    value: c_int,
}

impl Errno {
    #[inline(always)]
    fn new() -> Self {
        let place = errno::place();
        // SAFETY: `errno` is the thread's own, and lives as long as the thread.
        let value = unsafe { place.read() };
        Self { place, value }
    }

    #[inline(always)]
    fn restore(&self) {
        // SAFETY: as in `new`; this never leaves the thread.
        unsafe { self.place.write(self.value) };
    }
}

/// A call that has begun. All 0 if it is not recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct BegunCall {
    begin: u64,
    what: u64,
}

impl BegunCall {
    /// Where it was called from.
    #[cfg(os_threads)]
    pub(super) fn stack(self) -> u32 {
        OpenCall::from_bits(self.what >> 2).stack.0
    }
}

/// Begins a call. May change `errno`: a thread may be attached.
#[inline(never)]
pub(super) fn begin(call: CallId, resource: u32) -> BegunCall {
    let (begin, what) = record::begin_call(|| OpenCall {
        call,
        stack: StackId(crate::stack::capture()),
        resource: ResourceId(resource),
    });
    BegunCall { begin, what }
}

/// The call has returned. Keeps `errno`.
#[inline(always)]
pub(super) fn end<R: CallResult>(begun: BegunCall, result: R) {
    if begun.begin != 0 {
        let errno = Errno::new();
        end_recorded(begun, result.outcome(errno.value));
        errno.restore();
    }
}

#[inline(never)]
fn end_recorded(begun: BegunCall, result: i64) {
    if record::end_call(begun.begin, begun.what, result) && !is_off() {
        // Another trace has begun meanwhile.
        attach::arrive(Arrival { spawn: None, result });
    }
}

/// The real function has returned. A trace may have begun meanwhile.
#[inline(always)]
pub(super) fn look_again<R: CallResult>(result: R) -> R {
    if !is_off() {
        late(result);
    }
    result
}

/// The real function has returned, and a trace has begun meanwhile.
#[cold]
#[inline(never)]
pub(super) fn late<R: CallResult>(result: R) {
    if !is_on() {
        return;
    }
    let errno = Errno::new();
    attach::arrive(Arrival { spawn: None, result: result.outcome(errno.value) });
    errno.restore();
}

/// A function, or the type of one of libc's, that the unwinding of a cancelled thread may pass
/// through. In a program that aborts instead of unwinding, the compiler adds an abort to each call
/// of a function with such a type. So there the type does not say it, and the unwinding still
/// passes, as our frames have no destructors (C2).
#[cfg(panic = "unwind")]
macro_rules! foreign {
    ($(#[$note:meta])* fn $($function:tt)*) => {
        $(#[$note])* unsafe extern "C-unwind" fn $($function)*
    };
}

#[cfg(not(panic = "unwind"))]
macro_rules! foreign {
    ($(#[$note:meta])* fn $($function:tt)*) => {
        $(#[$note])* unsafe extern "C" fn $($function)*
    };
}

/// A system call with these arguments, made as libc makes it.
macro_rules! system {
    ($number:ident $(, $word:expr)*) => {
        $crate::sys::raw::invoke(libc::$number, [$($crate::sys::raw::Register::word($word)),*]) as _
    };
}

/// One entry per hook: its signature; the system call that does the same, for programs without a
/// real function; what to do while a trace runs, where `$real` is the real function with its
/// arguments; and whether to look again when it has returned.
///
/// Functions that are variadic in C are declared with as many arguments as they can use. In the C
/// ABIs of Linux on x86_64 and aarch64 variadic integers and pointers go where named ones do, so
/// each arrives in its place, and one that was not given is passed on as the register was.
macro_rules! hooks {
    ($real:ident: $(fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty,
        $instead:expr, $recorded:expr $(, looks if $looks:expr)?;)*) => {
        /// Where each real function is.
        #[allow(non_upper_case_globals, reason = "each has the name of its function")]
        mod real {
            use crate::os::real::Real;
            $(pub(super) static $name: Real =
                Real::new(concat!(stringify!($name), "\0"), super::instead::$name as *mut ());)*
        }

        /// The system calls that do the same.
        pub(super) mod instead {
            #[allow(unused_imports, reason = "not every family uses all of it")]
            use super::*;
            $(#[allow(unused_unsafe, unused_variables, reason = "a few only say that they can't")]
            pub(in crate::os) unsafe extern "C-unwind" fn $name($($arg: $type),*) -> $result {
                // SAFETY: the arguments are the caller's, who promises what the function wants.
                unsafe { $instead }
            })*
        }

        /// The real functions, or the system calls.
        mod call {
            #[allow(unused_imports, reason = "not every family uses all of it")]
            use super::*;
            $(#[inline(always)]
            pub(super) unsafe fn $name($($arg: $type),*) -> $result {
                if $crate::os::real::IS_STATIC {
                    // SAFETY: the caller's promise.
                    return unsafe { instead::$name($($arg),*) };
                }
                type Function = $crate::os::hook::foreign!(fn($($type),*) -> $result);
                let pointer = real::$name.pointer();
                // SAFETY: the pointer is libc's function of this name, or the one that serves
                // instead, of this very type.
                let function = unsafe { std::mem::transmute::<*mut (), Function>(pointer) };
                // SAFETY: the caller's promise.
                unsafe { function($($arg),*) }
            })*
        }

        $(
        // SAFETY: the name is libc's, and so is the type (variadic ones: see above); what it does
        // is what libc's does (C1).
        #[unsafe(no_mangle)]
        unsafe extern "C-unwind" fn $name($($arg: $type),*) -> $result {
            #[cold]
            #[inline(never)]
            unsafe fn recorded($($arg: $type),*) -> $result {
                // SAFETY: the arguments are the caller's, who promises what the function wants.
                let $real = || unsafe { call::$name($($arg),*) };
                if $crate::os::mode::is_on() { $recorded } else { $real() }
            }
            if $crate::os::mode::is_off() {
                // SAFETY: as above.
                let real = || unsafe { call::$name($($arg),*) };
                let looks = false $(|| $looks)?;
                return if looks { $crate::os::hook::look_again(real()) } else { real() };
            }
            // SAFETY: as above.
            unsafe { recorded($($arg),*) }
        }
        )*

        /// Every hook's real function, to be looked up.
        pub(super) static REAL: &[&$crate::os::real::Real] = &[$(&real::$name),*];
        /// Every hook.
        pub(super) const HOOKS: &[*const ()] = &[$($name as *const ()),*];
    };
}

pub(super) use {foreign, hooks, system};
