//! What happens when a thread touches a mapped file where the file has no page any more.
//!
//! The system sends SIGBUS to that thread, which ends the process. A file gets shorter if somebody
//! else empties it (`> app.trace.live`, `copytruncate` of logrotate); a page is missing if the disk
//! fails, or turns out to have no room, as on file systems that copy on write. None of this may end
//! the program. So while such files are mapped there is a handler: if the address is in one of
//! them, it puts a private page of zeros there, and the thread goes on. What was in the page is
//! lost, and the code that reads the page notices it (`batch`). Any other SIGBUS is passed on to
//! the handler that was set before, or ends the process as it would have.
//!
//! Alternatives do not work: a mapping can't be protected from other processes that may write to
//! the file. A sealed `memfd` can't be shortened, but has no name after a kill; a lease is not
//! possible on a file that is open for writing.
//!
//! Always true:
//!
//! - The handler only reads atomics and makes one system call; it keeps `errno`.
//! - It is set once, however many files there are, and removed with the last file, unless another
//!   handler was set since: that one may call this one, so this one is never set a second time.
//! - A program that later sets a handler of its own, which does not call the previous one, is not
//!   protected.
//!
//! May contain `unsafe`: it handles a signal, and maps memory in place of other memory.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicUsize};
use crate::sys::errno;
use std::io;
use std::ptr;

/// Maximum number of files mapped at once: the one in use, and those of earlier traces that threads
/// still hold.
const FILES_MAX: usize = 256;

/// Where a file is mapped; no file if `bytes` is 0.
struct MappedRange {
    start: AtomicUsize,
    bytes: AtomicUsize,
}

static FILES: [MappedRange; FILES_MAX] =
    [const { MappedRange { start: AtomicUsize::new(0), bytes: AtomicUsize::new(0) } }; FILES_MAX];

/// A page was missing since the last [`take_lost`].
static LOST: AtomicBool = AtomicBool::new(false);

/// The action that was set before the handler; null while the handler is not set. What it points to
/// is never freed, as a thread may be in the handler.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// A spin lock, held while the handler is set or removed.
static IS_BUSY: AtomicBool = AtomicBool::new(false);

/// Sets the handler, if it is not set, and adds this mapping. One thread at a time does so.
///
/// # Errors
/// If there are too many files, or the handler can't be set.
pub(crate) fn watch(start: *mut u8, bytes: usize) -> io::Result<()> {
    while IS_BUSY.swap(true, Ordering::Acquire) {
        std::thread::yield_now();
    }
    let done = set().and_then(|()| list(start, bytes));
    IS_BUSY.store(false, Ordering::Release);
    done
}

fn list(start: *mut u8, bytes: usize) -> io::Result<()> {
    let order = (Ordering::Relaxed, Ordering::Relaxed);
    let is_taken = |file: &&MappedRange| {
        file.start.compare_exchange(0, start as usize, order.0, order.1).is_ok()
    };
    let Some(file) = FILES.iter().find(is_taken) else {
        let what = "too many files of earlier traces are still mapped";
        return Err(io::Error::other(what));
    };
    // `Release`, as in `forget`: a thread that sees the bytes sees the start that they belong to.
    file.bytes.store(bytes, Ordering::Release);
    Ok(())
}

/// Removes a mapping that is about to be unmapped.
pub(crate) fn forget(start: *mut u8) {
    let is_it = |file: &&MappedRange| file.start.load(Ordering::Relaxed) == start as usize;
    if let Some(file) = FILES.iter().find(is_it) {
        file.bytes.store(0, Ordering::Release);
        file.start.store(0, Ordering::Release);
    }
}

/// Removes the handler if no file is mapped any more. It stays if another thread is setting or
/// removing it.
pub(crate) fn leave() {
    if !IS_BUSY.swap(true, Ordering::Acquire) {
        take_off();
        IS_BUSY.store(false, Ordering::Release);
    }
}

/// In a forked child: the thread that held the lock does not exist here.
pub(crate) fn forked() {
    IS_BUSY.store(false, Ordering::Relaxed);
}

fn take_off() {
    let is_mapped = |file: &MappedRange| file.start.load(Ordering::Relaxed) != 0;
    let before = BEFORE.load(Ordering::Relaxed);
    if before.is_null() || FILES.iter().any(is_mapped) {
        return;
    }
    // SAFETY: `put` wants a whole action: `current` has returned the one before, and it is never
    // freed.
    if current().is_ok_and(|it| is_ours(&it)) && unsafe { put(before) }.is_ok() {
        BEFORE.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

/// Whether a page was missing since the last call.
pub(crate) fn take_lost() -> bool {
    LOST.swap(false, Ordering::Relaxed)
}

fn set() -> io::Result<()> {
    if !BEFORE.load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    let before = current()?;
    let mut own = before;
    let handler = handle as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    own.sa_sigaction = handler as libc::sighandler_t;
    // The flags that the previous handler wants while it runs: this one may call it.
    let kept = before.sa_flags & (libc::SA_RESTART | libc::SA_NODEFER);
    own.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | kept;
    // Before the handler is set, as it may be called at once.
    let before = Box::into_raw(Box::new(before));
    BEFORE.store(before, Ordering::Release);
    // SAFETY: `put` wants a handler that may run at any time: see the head of this file.
    let done = unsafe { put(&raw const own) };
    if done.is_err() {
        BEFORE.store(ptr::null_mut(), Ordering::Relaxed);
    }
    done
}

/// The action that is set for the signal.
fn current() -> io::Result<libc::sigaction> {
    // SAFETY: the structure is numbers and pointers, for which zeros are values.
    let mut found: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `sigaction` wants null or a new action, and a place for the one that is set.
    let failed = unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut found) };
    if failed == 0 { Ok(found) } else { Err(io::Error::last_os_error()) }
}

fn is_ours(action: &libc::sigaction) -> bool {
    let handler = handle as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    action.sa_sigaction == handler as libc::sighandler_t
}

/// Sets an action for the signal.
///
/// # Safety
/// `action` points to a whole action, whose handler may be called at any time.
unsafe fn put(action: *const libc::sigaction) -> io::Result<()> {
    // SAFETY: `sigaction` wants such an action: the caller's promise; and null or a place.
    let failed = unsafe { libc::sigaction(libc::SIGBUS, action, ptr::null_mut()) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: a shared reference wants a live object: with `SA_SIGINFO` the system passes one.
    let whole = unsafe { &*info };
    // A signal that a process sends has no address.
    let is_fault = whole.si_code > 0;
    // SAFETY: `si_addr` wants the information of a fault, where the system has stored an address.
    let address = if is_fault { (unsafe { whole.si_addr() }) as usize } else { 0 };
    if is_fault && mend(address) {
        LOST.store(true, Ordering::Relaxed);
        return;
    }
    // SAFETY: `pass_on` wants what a handler is given.
    unsafe { pass_on(signal, info, context, is_fault) };
}

/// Puts a page of zeros where one is missing. Returns whether the address is in one of the files
/// and the page is there now.
fn mend(address: usize) -> bool {
    let is_in = |file: &MappedRange| {
        let start = file.start.load(Ordering::Acquire);
        let bytes = file.bytes.load(Ordering::Acquire);
        let is_it = address.checked_sub(start).is_some_and(|at| at < bytes);
        // The entry may be another mapping's by now.
        is_it && file.start.load(Ordering::Acquire) == start
    };
    if !FILES.iter().any(is_in) {
        return false;
    }
    // SAFETY: `sysconf` takes a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
    let place = ptr::with_exposed_provenance_mut(address & !(page - 1));
    // SAFETY: the page belongs to the arena of that file, which lives as long as the file is
    // listed. Code that uses the page writes plain words, and expects any value of what it reads
    // (B6): zeros are allowed.
    let map = || unsafe { libc::mmap(place, page, access, kind, -1, 0) };
    errno::keeping(map) != libc::MAP_FAILED
}

/// Does what the signal would have done without this handler.
///
/// # Safety
/// The arguments are those of a handler that runs.
unsafe fn pass_on(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    is_fault: bool,
) {
    type Plain = extern "C" fn(libc::c_int);
    type Whole = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    let before = BEFORE.load(Ordering::Acquire);
    // The handler was removed a moment ago. If this is a fault, it comes again when this returns,
    // and the action that is set now gets it.
    if before.is_null() {
        return;
    }
    // SAFETY: a shared reference wants a live object: it is never freed.
    let before = unsafe { &*before };
    match before.sa_sigaction {
        // A fault is never ignored: the system ends the process.
        libc::SIG_IGN if !is_fault => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: the structure is numbers and pointers; zeros are the default action.
            let default: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: `put` wants a whole action: the default.
            let _ = unsafe { put(&raw const default) };
            // A fault comes again when this returns; what was sent is sent again.
            if !is_fault {
                // SAFETY: `raise` takes a number.
                unsafe { libc::raise(signal) };
            }
        }
        handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: it was set with `SA_SIGINFO`, so it is of this type.
            let handler = unsafe { std::mem::transmute::<*const (), Whole>(pointer(handler)) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: it was set without `SA_SIGINFO`, so it is of this type.
            let handler = unsafe { std::mem::transmute::<*const (), Plain>(pointer(handler)) };
            handler(signal);
        }
    }
}

fn pointer(handler: libc::sighandler_t) -> *const () {
    ptr::with_exposed_provenance(handler)
}
