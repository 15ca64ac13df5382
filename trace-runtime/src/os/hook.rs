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
//! Off, a hook costs a load and a branch before a jump to the real function. Functions that are
//! called to wait look a second time when that has returned, for the threads that are in them when
//! a trace begins; of the others, a wait since before the trace ends with the thread's next event.
//! Not all look again: to come back here after a system call costs 6 ns, for the processor has
//! forgotten by then where to return to, and the jump costs one.
//!
//! The real functions are the next definitions that the dynamic linker finds. They are looked up
//! by a constructor, or by the first call if one comes before that. In a static program, and with
//! musl, there is no next definition: system calls take their place. What that loses: they are no
//! cancellation points of `pthread_cancel`.
//!
//! May contain `unsafe`: it defines functions for others to call, and calls foreign ones.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicU32};
use crate::sys::errno;
use crate::thread::local::{self, Arrival};
use crate::thread::record;
use libc::c_int;
use trace_format::id::{CallId, OpenCall, ResourceId, StackId};

/// Nothing is recorded.
const OFF: u32 = 0;
/// A trace runs, and wants calls.
const ON: u32 = 1;
/// The real functions have not been looked up yet.
const UNREADY: u32 = 2;

/// This is a forked child, which may get a trace by going on.
const FORKED: u32 = 3;

/// Whether the hooks have work.
static MODE: AtomicU32 = AtomicU32::new(if IS_STATIC { OFF } else { UNREADY });

/// There is no other definition of libc's functions to find.
pub(super) const IS_STATIC: bool = cfg!(not(os_threads));

/// Whether a hook has nothing to do but its call.
#[inline(always)]
pub(super) fn is_off() -> bool {
    MODE.load(Ordering::Relaxed) == OFF
}

/// Whether calls are to be recorded. Looks the real functions up if that has not been done.
pub(super) fn is_on() -> bool {
    let mode = MODE.load(Ordering::Relaxed);
    mode == ON || mode >= UNREADY && settle(mode)
}

/// Whether calls are to be recorded after all.
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
    // The linker takes what is used: all hooks are, here.
    std::hint::black_box(HOOKS);
    MODE.store(ON, Ordering::Release);
}

/// A trace has ended, or this is a forked child.
pub(super) fn set_off() {
    if [ON, FORKED].contains(&MODE.load(Ordering::Relaxed)) {
        MODE.store(OFF, Ordering::Release);
    }
}

/// Whether calls come to the hooks. To those of a library that a program loads while it runs they
/// do not, for libc was loaded before.
pub(super) fn are_in_place() -> bool {
    if IS_STATIC {
        return true;
    }
    // SAFETY: `dlsym` wants a handle and a string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"read".as_ptr()) };
    // Not the hook's own address: where it is not in place, its name stands for libc's here, too.
    let of = crate::thread::worker::module_at;
    found.is_null() || of(found) == of(resolve as *const () as *const libc::c_void)
}

/// This is a forked child, which may get a trace by going on.
pub(super) fn set_forked() {
    if MODE.load(Ordering::Relaxed) == ON {
        MODE.store(FORKED, Ordering::Release);
    }
}

/// Where a real function is.
#[derive(Debug)]
pub(super) struct Real {
    pointer: AtomicPtr<()>,
    /// Ends with a zero byte.
    name: &'static str,
}

impl Real {
    /// `fallback` is a function of the same type: it serves until the real one is found, or for
    /// ever if libc has none of this name.
    pub(super) const fn new(name: &'static str, fallback: *mut ()) -> Self {
        Self { pointer: AtomicPtr::new(fallback), name }
    }

    #[inline(always)]
    pub(super) fn pointer(&self) -> *mut () {
        self.pointer.load(Ordering::Relaxed)
    }

    fn resolve(&self) {
        if IS_STATIC {
            return;
        }
        // SAFETY: `dlsym` wants a handle and a string that ends with a zero byte.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr().cast()) };
        if !found.is_null() {
            self.pointer.store(found.cast(), Ordering::Relaxed);
        }
    }
}

/// Every family's. A static, like what it is made of: before Rust 1.89 a constant can't refer to
/// what changes.
static FAMILIES: [&[&Real]; 11] = [
    super::files::REAL,
    super::folders::REAL,
    super::fortified::REAL,
    super::io::REAL,
    super::messages::REAL,
    super::musl::REAL,
    super::older::REAL,
    super::processes::REAL,
    super::sync::REAL,
    super::threads::REAL,
    super::wait::REAL,
];

const HOOKS: [&[*const ()]; 11] = [
    super::files::HOOKS,
    super::folders::HOOKS,
    super::fortified::HOOKS,
    super::io::HOOKS,
    super::messages::HOOKS,
    super::musl::HOOKS,
    super::older::HOOKS,
    super::processes::HOOKS,
    super::sync::HOOKS,
    super::threads::HOOKS,
    super::wait::HOOKS,
];

/// Looks up all real functions. What is called meanwhile, perhaps by the looking up, is served by
/// system calls.
#[cold]
pub(super) fn resolve() {
    static RESOLVING: AtomicBool = AtomicBool::new(false);
    if RESOLVING.swap(true, Ordering::Relaxed) {
        return;
    }
    errno::keeping(|| FAMILIES.iter().copied().flatten().for_each(|real| real.resolve()));
    // Every thread that sees this sees the pointers, or calls a fallback, which serves as well.
    let order = (Ordering::Release, Ordering::Relaxed);
    _ = MODE.compare_exchange(UNREADY, OFF, order.0, order.1);
}

/// Runs before `main`, and before constructors of the program that have no priority.
#[used]
// SAFETY: the section's entries are called once, as functions without arguments, which this is.
#[unsafe(link_section = ".init_array")]
static RESOLVE: extern "C" fn() = {
    extern "C" fn at_start() {
        if MODE.load(Ordering::Relaxed) == UNREADY {
            resolve();
        }
    }
    at_start
};

/// What a function's result says: bytes, a count, or how it failed.
pub(super) trait Outcome: Copy {
    /// As it stands in the trace: negative for an error's number.
    fn outcome(self, errno: c_int) -> i64;
}

macro_rules! outcomes {
    ($($type:ty),*) => {
        $(impl Outcome for $type {
            #[inline(always)]
            fn outcome(self, errno: c_int) -> i64 {
                if self == -1 { -i64::from(errno) } else { self as i64 }
            }
        })*
    };
}

outcomes!(i32, i64, isize);

/// As of `opendir`.
impl<T> Outcome for *mut T {
    fn outcome(self, errno: c_int) -> i64 {
        if self.is_null() { -i64::from(errno) } else { 0 }
    }
}

/// As of `sleep`.
impl Outcome for u32 {
    fn outcome(self, _: c_int) -> i64 {
        i64::from(self)
    }
}

/// The result of functions that return their error's number, and leave `errno` alone.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Failure(pub(super) c_int);

impl Outcome for Failure {
    fn outcome(self, _: c_int) -> i64 {
        -i64::from(self.0)
    }
}

/// Calls the real function and records it.
///
/// - `resource`: what it is about, interned.
/// - `real`: the real function with its arguments.
#[inline(always)]
pub(super) fn observe<R: Outcome>(
    call: CallId,
    resource: impl FnOnce() -> u32,
    real: impl FnOnce() -> R,
) -> R {
    if local::is_quiet() {
        return real();
    }
    let errno = Errno::new();
    let begun = begin(call, resource());
    errno.restore();
    let result = real();
    end(begun, result);
    result
}

/// The thread's `errno`, as it was.
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

/// A call that was begun, or zeros for one that is not recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    begin: u64,
    what: u64,
}

impl Begun {
    /// Where it was called from.
    #[cfg(os_threads)]
    pub(super) fn stack(self) -> u32 {
        OpenCall::from_bits(self.what >> 2).stack.0
    }
}

/// Begins a call. May change `errno`: a thread may be attached.
#[inline(never)]
pub(super) fn begin(call: CallId, resource: u32) -> Begun {
    let (begin, what) = record::begin_call(|| OpenCall {
        call,
        stack: StackId(crate::stack::capture()),
        resource: ResourceId(resource),
    });
    Begun { begin, what }
}

/// The call has returned. `errno` stays.
#[inline(always)]
pub(super) fn end<R: Outcome>(begun: Begun, result: R) {
    if begun.begin != 0 {
        let errno = Errno::new();
        end_recorded(begun, result.outcome(errno.value));
        errno.restore();
    }
}

#[inline(never)]
fn end_recorded(begun: Begun, result: i64) {
    if record::end_call(begun.begin, begun.what, result) && !is_off() {
        // Another trace has begun meanwhile.
        local::arrive(Arrival { spawn: None, result });
    }
}

/// The real function has returned, after which a trace may have begun.
#[inline(always)]
pub(super) fn look_again<R: Outcome>(result: R) -> R {
    if !is_off() {
        late(result);
    }
    result
}

/// The real function has returned, and a trace has begun meanwhile.
#[cold]
#[inline(never)]
pub(super) fn late<R: Outcome>(result: R) {
    if !is_on() {
        return;
    }
    let errno = Errno::new();
    local::arrive(Arrival { spawn: None, result: result.outcome(errno.value) });
    errno.restore();
}

/// A function, or the type of one of libc's, through which an unwinding may pass: of a thread that
/// is cancelled. In a program that aborts where it would unwind, the compiler adds an abort to each
/// call of such a function; there the type does not say so, and the unwinding passes all the same,
/// for nothing of ours is in its way (C2).
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

/// A system call with these arguments, as libc would make it.
macro_rules! system {
    ($number:ident $(, $word:expr)*) => {
        $crate::sys::raw::invoke(libc::$number, [$($crate::sys::raw::Word::word($word)),*]) as _
    };
}

/// One line a hook: its signature; the system call that does the same, for when there is no real
/// function; what to do while a trace runs, where `$real` is the real function with its arguments;
/// and whether to look again when it has returned.
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
            use crate::os::hook::Real;
            $(pub(super) static $name: Real =
                Real::new(concat!(stringify!($name), "\0"), super::instead::$name as *mut ());)*
        }

        /// The system calls that serve instead.
        pub(super) mod instead {
            #[allow(unused_imports, reason = "not every family uses all of it")]
            use super::*;
            $(#[allow(unused_unsafe, unused_variables, reason = "a few only say that they can't")]
            pub(in crate::os) unsafe extern "C-unwind" fn $name($($arg: $type),*) -> $result {
                // SAFETY: the arguments are the caller's, who promises what the function wants.
                unsafe { $instead }
            })*
        }

        /// The real functions, or what serves.
        mod call {
            #[allow(unused_imports, reason = "not every family uses all of it")]
            use super::*;
            $(#[inline(always)]
            pub(super) unsafe fn $name($($arg: $type),*) -> $result {
                if $crate::os::hook::IS_STATIC {
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
                if $crate::os::hook::is_on() { $recorded } else { $real() }
            }
            if $crate::os::hook::is_off() {
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
        pub(super) static REAL: &[&$crate::os::hook::Real] = &[$(&real::$name),*];
        /// Every hook.
        pub(super) const HOOKS: &[*const ()] = &[$($name as *const ()),*];
    };
}

pub(super) use {foreign, hooks, system};
