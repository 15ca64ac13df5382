//! What happens when a thread touches a mapped file where the file has no page any more.
//!
//! The system sends SIGBUS to the thread that does, which ends the process. A file gets shorter if
//! somebody else empties it (`> app.trace.live`, `copytruncate` of logrotate); a page is missing if
//! the disk fails, or has no room after all, as on file systems that copy on write. None of this is
//! to end the program. So while such files are mapped there is a handler: if the address is in one
//! of them, it puts a page of zeros there, which is the process's alone, and the thread goes on.
//! What was in the page is lost, and whoever reads it notices (`batch`). Any other SIGBUS is passed
//! on to the handler that was set before, or ends the process as it would have.
//!
//! Nothing else keeps the program alive: a mapping can't be kept from others who may write to the
//! file. A sealed `memfd` can't be shortened, but has no name after a kill; a lease can't be had on
//! a file that is open for writing.
//!
//! Always true:
//!
//! - The handler only reads atomics and makes one system call; it keeps `errno`.
//! - It is set once, however many files there are, and taken off with the last one, unless somebody
//!   has set another since: that one may call this one, so this one is never set a second time.
//! - A program that sets a handler of its own later and does not call the one before is not
//!   protected.
//!
//! May contain `unsafe`: it handles a signal, and maps memory in place of other memory.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicUsize};
use crate::sys::errno;
use std::io;
use std::ptr;

/// Maximum number of files mapped at once: one that serves, and those of earlier traces whose
/// threads have not noticed yet.
const FILES_MAX: usize = 256;

/// A mapped file. No bytes: there is none.
struct File {
    start: AtomicUsize,
    bytes: AtomicUsize,
}

static FILES: [File; FILES_MAX] =
    [const { File { start: AtomicUsize::new(0), bytes: AtomicUsize::new(0) } }; FILES_MAX];

/// A page was missing, since this was asked last.
static LOST: AtomicBool = AtomicBool::new(false);

/// What was set before the handler; null while that is not set. What it points to is never freed:
/// a thread may be in the handler.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// Held while the handler is set or taken off.
static IS_BUSY: AtomicBool = AtomicBool::new(false);

/// The handler is to be set, for this mapping. By one thread at a time.
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
    let is_taken =
        |file: &&File| file.start.compare_exchange(0, start as usize, order.0, order.1).is_ok();
    let Some(file) = FILES.iter().find(is_taken) else {
        let what = "too many files of earlier traces are still mapped";
        return Err(io::Error::other(what));
    };
    // `Release`, as below: who sees the bytes sees the start that they belong to.
    file.bytes.store(bytes, Ordering::Release);
    Ok(())
}

/// The mapping is about to go.
pub(crate) fn forget(start: *mut u8) {
    let is_it = |file: &&File| file.start.load(Ordering::Relaxed) == start as usize;
    if let Some(file) = FILES.iter().find(is_it) {
        file.bytes.store(0, Ordering::Release);
        file.start.store(0, Ordering::Release);
    }
}

/// Takes the handler off if no file is mapped any more. It stays if another thread is about to set
/// or to take it off.
pub(crate) fn leave() {
    if !IS_BUSY.swap(true, Ordering::Acquire) {
        take_off();
        IS_BUSY.store(false, Ordering::Release);
    }
}

/// In a forked child: who was about to do something is not here.
pub(crate) fn forked() {
    IS_BUSY.store(false, Ordering::Relaxed);
}

fn take_off() {
    let is_mapped = |file: &File| file.start.load(Ordering::Relaxed) != 0;
    let before = BEFORE.load(Ordering::Relaxed);
    if before.is_null() || FILES.iter().any(is_mapped) {
        return;
    }
    // SAFETY: as of `current`: the one before is a whole one, and stays.
    if current().is_ok_and(|it| is_ours(&it)) && unsafe { put(before) }.is_ok() {
        BEFORE.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

/// Whether a page was missing since this was asked last.
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
    // What the one before wants while it runs, this one has: it may be called from here.
    let kept = before.sa_flags & (libc::SA_RESTART | libc::SA_NODEFER);
    own.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | kept;
    // First, for the handler may be called at once.
    let before = Box::into_raw(Box::new(before));
    BEFORE.store(before, Ordering::Release);
    // SAFETY: `put` wants a handler that may run at any time: see the head of this file.
    let done = unsafe { put(&raw const own) };
    if done.is_err() {
        BEFORE.store(ptr::null_mut(), Ordering::Relaxed);
    }
    done
}

/// What is set for the signal.
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
/// It is a whole one, whose handler may be called at any time.
unsafe fn put(action: *const libc::sigaction) -> io::Result<()> {
    // SAFETY: `sigaction` wants such an action: the caller's promise; and null or a place.
    let failed = unsafe { libc::sigaction(libc::SIGBUS, action, ptr::null_mut()) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: a shared reference wants a live object: the system hands it over, under `SA_SIGINFO`.
    let whole = unsafe { &*info };
    // What a process sends has no address.
    let is_fault = whole.si_code > 0;
    // SAFETY: `si_addr` wants a fault's: then the system has stored it.
    let address = if is_fault { (unsafe { whole.si_addr() }) as usize } else { 0 };
    if is_fault && mend(address) {
        LOST.store(true, Ordering::Relaxed);
        return;
    }
    // SAFETY: `pass_on` wants what a handler is given.
    unsafe { pass_on(signal, info, context, is_fault) };
}

/// Puts a page of zeros where one is missing. Whether it is in one of the files.
fn mend(address: usize) -> bool {
    let is_in = |file: &File| {
        let start = file.start.load(Ordering::Acquire);
        let bytes = file.bytes.load(Ordering::Acquire);
        let is_it = address.checked_sub(start).is_some_and(|at| at < bytes);
        // It may be another one by now.
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
    // SAFETY: the page belongs to the arena of that file, which lives as long as it is listed. Who
    // is there writes plain words and reads what may be anything (B6): zeros are that.
    let map = || unsafe { libc::mmap(place, page, access, kind, -1, 0) };
    errno::keeping(map) != libc::MAP_FAILED
}

/// As if this handler were not there.
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
    // It was taken off a moment ago: what is set now is tried by coming back, if it is a fault.
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
