//! Where libc's real functions are.
//!
//! The real functions are the next definitions that the dynamic linker finds. In a static program,
//! and with musl, there is no next definition: system calls take their place, which are no
//! cancellation points of `pthread_cancel`.
//!
//! Elsewhere: when they are looked up (`mode`), how hooks call them (`hook`).
//!
//! May contain `unsafe`: it asks the dynamic linker.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr};
use crate::sys::errno;

/// The program has no other definition of libc's functions.
pub(super) const IS_STATIC: bool = cfg!(not(os_threads));

/// Where a real function is.
#[derive(Debug)]
pub(super) struct Real {
    pointer: AtomicPtr<()>,
    /// Ends with a zero byte.
    name: &'static str,
}

impl Real {
    /// `fallback` is a function of the same type, which is called until the real one is found, or
    /// always if libc has none of this name.
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

/// The real functions of all families. A static, as its parts are: before Rust 1.89 a constant
/// can't refer to memory that changes.
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

/// All hooks.
pub(super) const HOOKS: [&[*const ()]; 11] = [
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

/// Looks up all real functions. False if they are being looked up already, or were: then calls that
/// come before the end, perhaps from the dynamic linker itself, become system calls.
pub(super) fn look_up() -> bool {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    if BEGUN.swap(true, Ordering::Relaxed) {
        return false;
    }
    errno::keeping(|| FAMILIES.iter().copied().flatten().for_each(|real| real.resolve()));
    true
}

/// Whether calls reach the hooks. They do not reach the hooks of a library that a running program
/// loads, as libc was loaded before it.
pub(super) fn are_in_place() -> bool {
    if IS_STATIC {
        return true;
    }
    // SAFETY: `dlsym` wants a handle and a string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"read".as_ptr()) };
    // Not compared with the hook's own address: where it is not in place, its name means libc's
    // function here, too.
    let of = crate::thread::recorder_thread::module_at;
    found.is_null() || of(found) == of(are_in_place as *const () as *const libc::c_void)
}
