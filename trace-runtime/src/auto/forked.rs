//! A trace in a forked child that goes on, such as a daemon or a server's worker.
//!
//! Most children run another program at once, or end: they must get no trace, and no work. So the
//! handler at the fork only leaves a note. The child looks at it later, at its first annotation, or
//! at a hooked call after it has lived for some time. Then, if the name has `%p` in it, the child
//! gets its own trace; otherwise a line says that it is not traced, once for all children of the
//! first process.
//!
//! Starting a trace allocates and takes locks, which must not happen in a signal handler: it may
//! have interrupted `malloc`. While a handler runs, its signal is blocked. So no trace is started
//! while a signal with a handler is blocked, or if there is a handler that does not block its own
//! signal.
//!
//! A child of `vfork` or `posix_spawn` does not run the handler at the fork, so none of this
//! happens in it.
//!
//! May contain `unsafe`: it reads signal handlers, and shares a page with all children.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};
use crate::callsite::callsites;
use crate::session::process::is_enabled;
use crate::sys::signals::Shield;
use std::fmt::Write as _;
use std::ptr;

/// How long a child must have lived before a call counts as going on. Children that run another
/// program do so sooner.
#[cfg(os_hooks)]
const CALLS_AFTER_NANOS: u64 = 100_000_000;

/// How long to wait until the next try after one that came in a handler, or may have: a look at all
/// signal handlers takes some microseconds.
const PAUSE_NANOS: u64 = 10_000_000;

/// The environment has started no trace.
const NONE: u32 = 0;
/// It has started one, and each child would have its own file.
const OWN: u32 = 1;
/// It has started one, and children would have the same file.
const ONE: u32 = 2;

static TRACED: AtomicU32 = AtomicU32::new(NONE);

/// Whether this process is a child that has not gone on yet.
static IS_NEW: AtomicBool = AtomicBool::new(false);

/// When it was forked, in nanoseconds of the monotonic clock.
static SINCE: AtomicU64 = AtomicU64::new(0);

/// No try before this time, in nanoseconds of the monotonic clock.
static NOT_BEFORE: AtomicU64 = AtomicU64::new(0);

/// Whether a child has printed that it is not traced. Shared with all children.
static IS_SAID: AtomicPtr<AtomicBool> = AtomicPtr::new(ptr::null_mut());

/// Notes that a trace was started. `is_own`: each child would have its own file.
pub(super) fn prepare(is_own: bool) {
    TRACED.store(if is_own { OWN } else { ONE }, Ordering::Relaxed);
    if is_own || !IS_SAID.load(Ordering::Relaxed).is_null() {
        return;
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let bytes = size_of::<AtomicBool>();
    // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
    let page = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
    if page != libc::MAP_FAILED {
        // Zeros are `false`. It is never unmapped.
        IS_SAID.store(page.cast(), Ordering::Relaxed);
    }
}

/// Notes that the trace has ended: children get no trace from now on.
pub(super) fn forget() {
    TRACED.store(NONE, Ordering::Relaxed);
}

/// Called in a forked child. Returns whether it may get a trace later.
pub(crate) fn forked() -> bool {
    let is_traced = TRACED.load(Ordering::Relaxed) != NONE;
    SINCE.store(crate::sys::clock::monotonic(), Ordering::Relaxed);
    IS_NEW.store(is_traced, Ordering::Relaxed);
    is_traced
}

/// Called by annotations. Starts a trace if this is a child that has none, and may have one.
#[inline]
pub(crate) fn go_on() {
    if IS_NEW.load(Ordering::Relaxed) {
        settle();
    }
}

/// As [`go_on`], called by hooked calls.
#[cfg(os_hooks)]
pub(crate) fn go_on_by_call() {
    let since = SINCE.load(Ordering::Relaxed);
    if crate::sys::clock::monotonic().saturating_sub(since) > CALLS_AFTER_NANOS {
        go_on();
    }
}

/// Notes that a trace was started in the child, by its own code or by this module.
pub(crate) fn note_start() {
    IS_NEW.store(false, Ordering::Relaxed);
}

#[cold]
fn settle() {
    let is_own = TRACED.load(Ordering::Relaxed) == OWN;
    let now = crate::sys::clock::monotonic();
    if is_own && now < NOT_BEFORE.load(Ordering::Relaxed) {
        return;
    }
    if is_own && may_be_handler() {
        // Tried again with a later event.
        return NOT_BEFORE.store(now + PAUSE_NANOS, Ordering::Relaxed);
    }
    if !IS_NEW.swap(false, Ordering::Relaxed) {
        return;
    }
    #[cfg(os_hooks)]
    crate::os::settle();
    if is_own {
        super::start_in_child();
    } else {
        say_once();
    }
    if !is_enabled() {
        callsites().for_each(|site| site.set_live(false));
    }
}

fn say_once() {
    let is_said = IS_SAID.load(Ordering::Relaxed);
    // SAFETY: `as_ref` wants null or a live flag: the page is never unmapped.
    let is_said = unsafe { is_said.as_ref() };
    if is_said.is_some_and(|is_said| !is_said.swap(true, Ordering::Relaxed)) {
        let mut line = RawLine::default();
        let id = std::process::id();
        let _ = write!(
            line,
            "exectrace: {}: process {id} was forked by the traced one, ",
            super::VARIABLE
        );
        let _ = writeln!(line, "and is not traced: %p in the name gives each a trace of its own");
        line.put();
    }
}

/// A line that is made and written without allocating and without locks, which may be held since
/// the fork.
struct RawLine {
    bytes: [u8; 256],
    len: usize,
}

impl Default for RawLine {
    fn default() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }
}

impl std::fmt::Write for RawLine {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

impl RawLine {
    fn put(&self) {
        // Shielded, so that the child goes on if standard error is a closed pipe.
        let _shield = Shield::new();
        // SAFETY: `write` wants bytes to read.
        unsafe { libc::write(libc::STDERR_FILENO, self.bytes.as_ptr().cast(), self.len) };
    }
}

/// Whether a signal handler may be running on this thread.
fn may_be_handler() -> bool {
    // SAFETY: a set of signals is numbers, and zeros are a valid set.
    let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `pthread_sigmask` wants null or a new set, and a place for the current one.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut blocked) };
    failed != 0 || (1..=libc::SIGRTMAX()).any(|signal| may_be_handler_of(signal, &blocked))
}

fn may_be_handler_of(signal: libc::c_int, blocked: &libc::sigset_t) -> bool {
    // SAFETY: the structure is numbers and pointers; zeros are the default action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `sigaction` wants null or a new action, and a place for the current one.
    if unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } != 0 {
        // A signal that libc uses itself.
        return false;
    }
    // A handler with SA_RESETHAND is no longer set while it runs, but its flags stay.
    let has_handler = ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
        || action.sa_flags & libc::SA_RESETHAND != 0;
    // SAFETY: `sigismember` wants a valid set.
    let is_blocked = unsafe { libc::sigismember(blocked, signal) } == 1;
    has_handler && (is_blocked || action.sa_flags & libc::SA_NODEFER != 0)
}
