//! The way from running code to its thread's recording state, and the marks on a thread.
//!
//! The pointer is a plain thread-local without destructor, so it can be read at any time, also from
//! destructors of other thread-locals. Invariants:
//!
//! - **L1** The pointer is null or one from `ThreadRef::into_raw` that this thread owns.
//! - **L2** While `suppressed` is not 0, the recorder itself is running on this thread: nothing is
//!   recorded, and annotations that would have been are counted.
//! - **L3** While the mark `in_recorder` is set, the state is in use by the code that set it. Code
//!   that finds the mark set is a signal handler (or a traced allocator): it records nothing, and
//!   its events are counted. The pointer is read only after the mark is set, so no handler can have
//!   replaced it in between. A panic on its way out clears the mark and gives up the state, which
//!   may be half changed.
//!
//! Elsewhere: attaching and detaching threads (`attach`).
//!
//! May contain `unsafe`: it keeps a counted reference in a thread-local pointer.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicU64, compiler_fence};
use crate::session::process;
use crate::thread::RecordingThread;
use crate::thread::attach::{Arrival, attach, reattach};
use crate::thread::refill::Patience;
use crate::thread::thread_ref::ThreadRef;
use std::mem;
use std::ptr;

/// One thread's pointer and marks. They are atomics because signal handlers on the same thread read
/// them; no other thread does.
pub(super) struct Local {
    pub(super) thread: AtomicPtr<RecordingThread>,
    in_recorder: AtomicBool,
    /// 0, or one more than the number of events lost while recording was suppressed.
    pub(super) suppressed: AtomicU64,
}

thread_local! {
    static LOCAL: Local = const {
        Local {
            thread: AtomicPtr::new(ptr::null_mut()),
            in_recorder: AtomicBool::new(false),
            suppressed: AtomicU64::new(0),
        }
    };
}

/// Calls `act` with the calling thread's `Local`. `LocalKey::with` only returns the address: where
/// it is not inlined, all that its closure captures would go through memory.
#[inline(always)]
pub(super) fn here<T>(act: impl FnOnce(&Local) -> T) -> T {
    // SAFETY: a shared reference wants a live value: this one has no destructor, so it lives as
    // long as its thread, which is the one that runs `act`.
    act(unsafe { &*LOCAL.with(ptr::from_ref) })
}

/// Calls `act` with the calling thread's state, if it has one or can get one. Returns the result of
/// `act`; 0 stands for nothing recorded. If the result is 0 because the session has ended and
/// another one runs, `act` is called again with a state in that one.
///
/// - `patience`: that of the event for which the thread would be attached.
#[inline(always)]
pub(crate) fn with(patience: Patience, act: impl Fn(&RecordingThread) -> u64) -> u64 {
    // A loop, and not a second call: `act` is called in one place, so it is inlined there.
    loop {
        let result = here(|local| {
            if local.is_in_recorder() {
                local.lose();
                return 0;
            }
            let mark = InRecorder::new(local);
            let mut thread = local.thread.load(Ordering::Relaxed);
            if thread.is_null() {
                thread = attach(Arrival::default(), patience);
                if thread.is_null() {
                    mark.done();
                    return 0;
                }
            }
            // SAFETY: a shared reference wants a live `RecordingThread`: L1, and the state stays
            // until the mark is cleared (L3).
            let result = act(unsafe { &*thread });
            mark.done();
            result
        });
        if result != 0 || !reattach(patience) {
            return result;
        }
    }
}

/// As [`with`], for events that make sense only if something was recorded before. Returns whether
/// `act` was called.
#[inline(always)]
pub(crate) fn with_attached(act: impl FnOnce(&RecordingThread)) -> bool {
    here(|local| {
        if local.is_in_recorder() {
            // What began before the mark was set does not end while it is: ends nest.
            return false;
        }
        let mark = InRecorder::new(local);
        let thread = local.thread.load(Ordering::Relaxed);
        if !thread.is_null() {
            // SAFETY: as in `with`.
            act(unsafe { &*thread });
        }
        mark.done();
        !thread.is_null()
    })
}

/// The mark `in_recorder`, while it is set. It is dropped only by unwinding: after a panic, or by
/// the system when the thread is cancelled.
pub(super) struct InRecorder<'a>(&'a Local);

impl<'a> InRecorder<'a> {
    #[inline(always)]
    pub(super) fn new(local: &'a Local) -> Self {
        local.enter_recorder();
        Self(local)
    }

    /// Clears the mark.
    #[inline(always)]
    pub(super) fn done(self) {
        self.0.leave_recorder();
        mem::forget(self);
    }
}

impl Drop for InRecorder<'_> {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        // Counts the event that was being recorded, and the pending begins.
        self.0.lose();
        let thread = self.0.thread.load(Ordering::Relaxed);
        if !thread.is_null() {
            // SAFETY: a shared reference wants a live `RecordingThread`: L1.
            let thread = unsafe { &*thread };
            // SAFETY: on the owning thread; the code that had the last result of `own` was unwound.
            let pending = unsafe { thread.own() }.pending;
            thread.interrupted.fetch_add(pending.into(), Ordering::Relaxed);
        }
        // The state may be half changed. The next event attaches the thread anew, under another
        // number. What is committed stays; ends of what was open are ignored.
        release(self.0);
        self.0.leave_recorder();
    }
}

impl Local {
    #[inline(always)]
    pub(super) fn is_in_recorder(&self) -> bool {
        self.in_recorder.load(Ordering::Relaxed)
    }

    /// A relaxed store, as only this thread reads it. The fence keeps the compiler from moving work
    /// in front of it.
    #[inline(always)]
    pub(super) fn enter_recorder(&self) {
        self.in_recorder.store(true, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    #[inline(always)]
    pub(super) fn leave_recorder(&self) {
        compiler_fence(Ordering::SeqCst);
        self.in_recorder.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_suppressed(&self) -> bool {
        self.suppressed.load(Ordering::Relaxed) > 0
    }

    /// Counts an event that is lost because the recorder itself is at work on this thread.
    #[cold]
    #[inline(never)]
    fn lose(&self) {
        let thread = self.thread.load(Ordering::Relaxed);
        if self.is_suppressed() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        } else if thread.is_null() {
            process::lose_unattached(1);
        } else {
            // SAFETY: a shared reference wants a live `RecordingThread`: L1.
            unsafe { &*thread }.interrupted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether recording is suppressed on the calling thread.
#[inline(always)]
pub(crate) fn is_suppressed() -> bool {
    here(Local::is_suppressed)
}

/// While it lives, recording is suppressed on its thread.
#[derive(Debug)]
pub(crate) struct Suppressed {
    outermost: bool,
    hidden: *mut RecordingThread,
}

/// Suppresses recording on the calling thread, for the recorder's own work: it allocates, which may
/// be the user's code, and writes.
pub(crate) fn suppress() -> Suppressed {
    here(|local| {
        let outermost = !local.is_suppressed();
        if outermost {
            local.suppressed.store(1, Ordering::Relaxed);
        }
        // From here on no signal handler replaces the pointer: `reattach` reads `suppressed`.
        compiler_fence(Ordering::SeqCst);
        Suppressed { outermost, hidden: local.thread.swap(ptr::null_mut(), Ordering::Relaxed) }
    })
}

impl Drop for Suppressed {
    fn drop(&mut self) {
        here(|local| {
            local.thread.store(self.hidden, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            if self.outermost {
                process::lose_unattached(local.suppressed.swap(0, Ordering::Relaxed) - 1);
            }
        });
    }
}

/// Gives up the thread's state. The caller has set the mark.
pub(super) fn release(local: &Local) {
    let thread = local.thread.swap(ptr::null_mut(), Ordering::Relaxed);
    if thread.is_null() {
        return;
    }
    // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: L1, and the pointer is null
    // now.
    let thread = unsafe { ThreadRef::from_raw(thread) };
    let cpu = crate::sys::thread_cpu_of(thread.identity.os_id).unwrap_or(0);
    thread.cpu_end.store(cpu, Ordering::Relaxed);
    thread.exited.store(crate::sys::clock::ticks(), Ordering::Release);
}

#[cfg(target_os = "linux")]
pub(crate) fn system_id() -> u64 {
    // Not `gettid`: std refers to it weakly, so it may be missing in a static program with
    // link-time optimisation.
    //
    // SAFETY: the call takes nothing and cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    id as u64
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn system_id() -> u64 {
    0
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;
    use crate::thread::record;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use trace_format::event::opcode;

    fn own_number() -> u32 {
        let mut number = 0;
        with_attached(|thread| number = thread.id.0);
        number
    }

    #[test]
    fn after_a_panic_the_thread_records_again_and_the_loss_is_counted() {
        if !crate::alone::is_alone(
            module_path!(),
            "after_a_panic_the_thread_records_again_and_the_loss_is_counted",
        ) {
            return;
        }
        let options = crate::Options::default().os(false).sched(false).heap(false);
        let trace = crate::start_with(options, std::io::sink()).expect("none is running");
        assert_ne!(record::append(opcode::READY, &[1, 1]), 0, "the first event");
        let before = own_number();
        // A region that is open, of which nothing is written yet.
        let head = crate::thread::encoded::EventHead::region(1);
        let begin = record::begin(head, 1 << 2, 0, Patience::Waits);
        let panics = |_: &RecordingThread| -> u64 { panic!("in the recorder") };
        let act = AssertUnwindSafe(|| with(Patience::Never, panics));
        assert!(catch_unwind(act).is_err(), "the panic goes on");
        assert_ne!(record::append(opcode::READY, &[2, 1]), 0, "the next event is recorded");
        assert_ne!(own_number(), before, "with a new state");
        record::end(begin, 1 << 2);
        let act = AssertUnwindSafe(|| with_attached(|_| panic!("in the recorder")));
        assert!(catch_unwind(act).is_err(), "the panic goes on");
        assert_ne!(record::append(opcode::READY, &[3, 1]), 0, "and recorded again");
        let report = trace.stop().expect("the trace is whole");
        // The two that panicked, and the region.
        assert_eq!((report.events, report.dropped_events), (3, 3), "{report:?}");
    }
}
