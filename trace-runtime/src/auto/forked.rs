//! A traced process has forked, and its child goes on: as a daemon does, or a server's worker.
//!
//! Most children run another program at once, or end: those are to have no trace, and no work. So
//! the handler at the fork only leaves a note, and what the child does later brings it up: its
//! first annotation, or a call that hooks see when it has lived for a while. Then, if the name has
//! `%p` in it, the child gets a trace of its own; if not, one line says that it is not traced, once
//! for all children of the first process.
//!
//! Starting a trace allocates and takes locks, which must not happen in a signal's handler: it may
//! have interrupted `malloc`. While one runs, its signal is blocked. So nothing is started while a
//! signal is blocked that has a handler, or if a handler lets its own signal through.
//!
//! A child made by `vfork` or `posix_spawn` runs no such handler, and has none of this.
//!
//! May contain `unsafe`: it asks for signals' handlers, and shares a page with all children.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};
use crate::callsite::callsites;
use crate::session::process::is_enabled;
use crate::sys::signals::Shield;
use std::fmt::Write as _;
use std::ptr;

/// How long a child must have lived before a call counts as going on. What runs another program
/// does so sooner.
#[cfg(os_hooks)]
const CALLS_AFTER_NANOS: u64 = 100_000_000;

/// How long the next try is put off if this one came at a bad moment: a look at all signals'
/// handlers takes some microseconds.
const PAUSE_NANOS: u64 = 10_000_000;

/// No trace was started by the environment.
const NONE: u32 = 0;
/// One was, and children have files of their own.
const OWN: u32 = 1;
/// One was, and its file is the only one.
const ONE: u32 = 2;

static TRACED: AtomicU32 = AtomicU32::new(NONE);

/// This process is a child that has not gone on yet.
static IS_NEW: AtomicBool = AtomicBool::new(false);

/// When it was forked, in nanoseconds of the monotonic clock.
static SINCE: AtomicU64 = AtomicU64::new(0);

/// Nothing is tried before this time.
static NOT_BEFORE: AtomicU64 = AtomicU64::new(0);

/// Shared with all children: whether one of them has said that it is not traced.
static IS_SAID: AtomicPtr<AtomicBool> = AtomicPtr::new(ptr::null_mut());

/// A trace was started. `is_own`: children would have other files.
pub(super) fn prepare(is_own: bool) {
    TRACED.store(if is_own { OWN } else { ONE }, Ordering::Relaxed);
    if is_own || !IS_SAID.load(Ordering::Relaxed).is_null() {
        return;
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let bytes = size_of::<AtomicBool>();
    // SAFETY: a new mapping, wherever the kernel likes, touches nobody's memory.
    let page = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
    if page != libc::MAP_FAILED {
        // Zeros are `false`. It is never unmapped.
        IS_SAID.store(page.cast(), Ordering::Relaxed);
    }
}

/// The trace has ended: from here on children have nothing to go on with.
pub(super) fn forget() {
    TRACED.store(NONE, Ordering::Relaxed);
}

/// In a forked child. Whether it may go on.
pub(crate) fn forked() -> bool {
    let is_traced = TRACED.load(Ordering::Relaxed) != NONE;
    SINCE.store(crate::sys::clock::monotonic(), Ordering::Relaxed);
    IS_NEW.store(is_traced, Ordering::Relaxed);
    is_traced
}

/// Something was annotated. Starts a trace if this is a child that has none, and may have one.
#[inline]
pub(crate) fn go_on() {
    if IS_NEW.load(Ordering::Relaxed) {
        settle();
    }
}

/// As [`go_on`], for a call that was hooked.
#[cfg(os_hooks)]
pub(crate) fn go_on_by_call() {
    let since = SINCE.load(Ordering::Relaxed);
    if crate::sys::clock::monotonic().saturating_sub(since) > CALLS_AFTER_NANOS {
        go_on();
    }
}

/// A trace was started in the child, by whomever: there is nothing to settle.
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
        // With another event.
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
    // SAFETY: a shared reference wants a live flag, or there is none: the page is never unmapped.
    let is_said = unsafe { is_said.as_ref() };
    if is_said.is_some_and(|is_said| !is_said.swap(true, Ordering::Relaxed)) {
        let mut line = Line::default();
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

/// A line that is made and written without memory or locks, which may be held since the fork.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }
}

impl std::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

impl Line {
    fn put(&self) {
        // If nobody listens there, nothing is lost, and the child goes on.
        let _shield = Shield::new();
        // SAFETY: `write` wants bytes to read.
        unsafe { libc::write(libc::STDERR_FILENO, self.bytes.as_ptr().cast(), self.len) };
    }
}

/// Whether a signal's handler may be running on this thread.
fn may_be_handler() -> bool {
    // SAFETY: a set of signals is numbers, for which zeros are values.
    let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `pthread_sigmask` wants no new set, and a place for the one that holds.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut blocked) };
    failed != 0 || (1..=libc::SIGRTMAX()).any(|signal| may_be_handler_of(signal, &blocked))
}

fn may_be_handler_of(signal: libc::c_int, blocked: &libc::sigset_t) -> bool {
    // SAFETY: the structure is numbers and pointers; zeros are the default action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `sigaction` wants no new action, and a place for the one that is set.
    if unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } != 0 {
        // Of libc's own.
        return false;
    }
    // One that serves once is off while it runs; its flags stay.
    let has_handler = ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
        || action.sa_flags & libc::SA_RESETHAND != 0;
    // SAFETY: `sigismember` wants a set.
    let is_blocked = unsafe { libc::sigismember(blocked, signal) } == 1;
    has_handler && (is_blocked || action.sa_flags & libc::SA_NODEFER != 0)
}
