//! Which signals reach the threads that do the recorder's work.
//!
//! - Its own threads block every signal that another thread can take instead: a signal sent to the
//!   process then goes to a thread of the program, as it does without a trace. Signals that a fault
//!   raises are not blocked: no other thread can take them, the kernel kills a process whose thread
//!   blocks them, and handlers for them (of a sandbox, of code that the writer calls) must run.
//! - Writes on the program's own threads are *shielded*: a limit on file sizes, or a pipe without a
//!   reader, makes the write return an error, and raises no signal that would end the program.
//!
//! May contain `unsafe`: it changes signal masks.

#[cfg(unix)]
pub(crate) use unix::{Blocked, Shield};

/// Runs `act` with the signals blocked that the recorder's own threads block. Threads that are made
/// meanwhile block them, too.
pub fn without_signals<T>(act: impl FnOnce() -> T) -> T {
    let _blocked = Blocked::all();
    act()
}

/// Where there are no signals, there is nothing to block.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Blocked;

#[cfg(not(unix))]
impl Blocked {
    pub(crate) fn all() -> Self {
        Self
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Shield;

#[cfg(not(unix))]
impl Shield {
    pub(crate) fn new() -> Self {
        Self
    }
}

#[cfg(unix)]
mod unix {
    use libc::{c_int, sigset_t};
    use std::fmt;
    use std::marker::PhantomData;
    use std::mem::MaybeUninit;

    /// The signals that a fault of the thread itself raises, and hardly anything else.
    const FAULTS: [c_int; 6] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

    /// The signals that a write raises.
    const OF_WRITES: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

    /// The calling thread's mask as it was, restored when dropped. Threads made meanwhile begin
    /// with the new mask, so none of their instructions runs without it.
    pub(crate) struct Blocked {
        before: sigset_t,
        /// The mask belongs to one thread.
        _stays: PhantomData<*const ()>,
    }

    impl fmt::Debug for Blocked {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Blocked")
        }
    }

    impl Blocked {
        /// Blocks all signals but those of faults.
        pub(crate) fn all() -> Self {
            let mut wanted = full();
            for signal in FAULTS {
                // SAFETY: `sigdelset` wants an initialised set.
                unsafe { libc::sigdelset(&raw mut wanted, signal) };
            }
            Self::these(&wanted)
        }

        fn these(wanted: &sigset_t) -> Self {
            let mut before = empty();
            // SAFETY: `pthread_sigmask` wants a set, and a place for the one before. The C library
            // keeps its own signals out of it.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, wanted, &raw mut before) };
            Self { before, _stays: PhantomData }
        }
    }

    impl Drop for Blocked {
        fn drop(&mut self) {
            let none = std::ptr::null_mut();
            // SAFETY: `pthread_sigmask` wants a set: the one it has returned; `self` never leaves
            // the thread.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, none) };
        }
    }

    /// While it lives, no write of the calling thread raises a signal. A signal that was pending
    /// before, or that another process sends meanwhile, is delivered when the shield ends.
    #[derive(Debug)]
    pub(crate) struct Shield {
        /// Which of [`OF_WRITES`] were pending before.
        was_pending: [bool; OF_WRITES.len()],
        _blocked: Blocked,
    }

    impl Shield {
        pub(crate) fn new() -> Self {
            let mut wanted = empty();
            for signal in OF_WRITES {
                // SAFETY: `sigaddset` wants an initialised set.
                unsafe { libc::sigaddset(&raw mut wanted, signal) };
            }
            let blocked = Blocked::these(&wanted);
            // Asked only now: an earlier signal was delivered, unless the program itself blocks it.
            Self { was_pending: OF_WRITES.map(is_pending), _blocked: blocked }
        }
    }

    impl Drop for Shield {
        fn drop(&mut self) {
            for (signal, was_pending) in OF_WRITES.into_iter().zip(self.was_pending) {
                // The system keeps at most one pending signal of a kind, so one that was pending
                // before stays.
                if !was_pending && is_pending(signal) {
                    consume(signal);
                }
            }
            // The mask goes back when the field is dropped.
        }
    }

    fn is_pending(signal: c_int) -> bool {
        let mut pending = empty();
        // SAFETY: `sigpending` wants a place for a set.
        unsafe { libc::sigpending(&raw mut pending) };
        // SAFETY: `sigismember` wants an initialised set.
        unsafe { libc::sigismember(&raw const pending, signal) == 1 }
    }

    /// Consumes a pending signal, unless another process has sent it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn consume(signal: c_int) {
        let set = only(signal);
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `sigtimedwait` wants a set, a place for what it finds, and a time.
        let found = unsafe { libc::sigtimedwait(&raw const set, info.as_mut_ptr(), &at_once) };
        if found != signal {
            return;
        }
        // SAFETY: it was zeroed, which is a valid value, and has been filled in.
        let info = unsafe { info.assume_init() };
        // SAFETY: signals of writes and of `kill` have a sender: for a write, the kernel names the
        // process that wrote.
        let sender = unsafe { info.si_pid() };
        // SAFETY: `getpid` wants nothing.
        let own = unsafe { libc::getpid() };
        if sender != own {
            // SAFETY: `kill` takes numbers. The signal goes to the process again, as when it was
            // sent.
            unsafe { libc::kill(own, signal) };
        }
    }

    /// Consumes a pending signal.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn consume(signal: c_int) {
        let set = only(signal);
        let mut found = 0;
        // SAFETY: `sigwait` wants a set and a place for a number. It returns at once: the signal is
        // pending, and blocked here.
        unsafe { libc::sigwait(&raw const set, &raw mut found) };
    }

    fn empty() -> sigset_t {
        let mut set = MaybeUninit::zeroed();
        // SAFETY: `sigemptyset` wants a place for a set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: it is initialised now.
        unsafe { set.assume_init() }
    }

    fn full() -> sigset_t {
        let mut set = MaybeUninit::zeroed();
        // SAFETY: `sigfillset` wants a place for a set.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
        // SAFETY: it is initialised now.
        unsafe { set.assume_init() }
    }

    fn only(signal: c_int) -> sigset_t {
        let mut set = empty();
        // SAFETY: `sigaddset` wants an initialised set.
        unsafe { libc::sigaddset(&raw mut set, signal) };
        set
    }
}
