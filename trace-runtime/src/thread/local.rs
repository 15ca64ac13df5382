//! The way from running code to its thread's recording state, and the end of threads.
//!
//! The pointer is a plain thread-local without destructor, so it can be read at any time, also from
//! destructors of other thread-locals. A POSIX thread key's destructor, which runs after those of
//! Rust's thread-locals, lets go of it; an event that comes later still attaches the thread anew,
//! and the key's destructor runs again.
//!
//! A thread's first event, of its life or of a trace, may come in a signal handler that has
//! interrupted the allocator. So attaching allocates nothing, frees nothing, registers no
//! destructor, and takes no lock: the session is found in a word (`running`), the state and its
//! first batch lie in pages from the system, the collector learns of them by a list (`session`),
//! and what is let go of is freed by others (`limbo`). What can't be done without allocating is
//! done only where the thread is certainly not in a handler (`handler`): at once, or when it next
//! opens a batch ([`finish`]). Invariants:
//!
//! - **L1** The pointer is null or one from `ThreadRef::into_raw` that this thread owns.
//! - **L2** While `quiet` is not 0, the recorder itself is running on this thread: nothing is
//!   recorded, and annotations that would have been are counted.
//! - **L3** While `busy` is set, the state is in use by the code that set it. Whoever comes then is
//!   a signal's handler (or an allocator that is traced): it records nothing, and is counted. The
//!   pointer is read only after the mark is set, so no handler can have replaced it in between.
//!   A panic takes the mark off on its way out, and the state with it, which may be half changed.
//!
//! May contain `unsafe`: it keeps a counted reference in a thread-local pointer.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicU64, compiler_fence};
use crate::buffer::memory;
use crate::buffer::memory::BATCH_BYTES_MIN;
use crate::session::Session;
use crate::session::process;
use crate::sys::handler;
use crate::thread::exit;
use crate::thread::naming;
use crate::thread::refill::{Patience, WAIT};
use crate::thread::thread_ref::{Room, ThreadRef};
use crate::thread::{Identity, Thread};
use std::mem;
use std::ptr;
use trace_format::id::ThreadId;

/// Atomics, for signal handlers on the same thread look at them; nobody else does.
struct Local {
    thread: AtomicPtr<Thread>,
    busy: AtomicBool,
    /// 0, or one more than the events lost to quiet.
    quiet: AtomicU64,
}

thread_local! {
    static LOCAL: Local = const {
        Local {
            thread: AtomicPtr::new(ptr::null_mut()),
            busy: AtomicBool::new(false),
            quiet: AtomicU64::new(0),
        }
    };
}

/// What is this thread's, for `act`. `LocalKey::with` is asked for the place alone: where that is
/// not inlined, all that it is given goes by way of memory.
#[inline(always)]
fn here<T>(act: impl FnOnce(&Local) -> T) -> T {
    // SAFETY: a shared reference wants a live value: this one has no destructor, so it lives as
    // long as its thread, which is the one that runs `act`.
    act(unsafe { &*LOCAL.with(ptr::from_ref) })
}

/// Runs `act` with this thread's state, if it has one or can get one, and returns what it does: 0
/// for nothing recorded. If that is because the session has ended and another one runs, it is done
/// again with a state in that. `patience`: of the event that the thread would be attached for.
#[inline(always)]
pub(crate) fn with(patience: Patience, act: impl Fn(&Thread) -> u64) -> u64 {
    // A loop and no second call: `act` stands in one place, so it is inlined there.
    loop {
        let result = here(|local| {
            if local.is_busy() {
                local.lose();
                return 0;
            }
            let busy = Busy::new(local);
            let mut thread = local.thread.load(Ordering::Relaxed);
            if thread.is_null() {
                thread = attach(Arrival::default(), patience);
                if thread.is_null() {
                    busy.done();
                    return 0;
                }
            }
            // SAFETY: a shared reference wants a live `Thread`: L1, and nothing ends that before
            // the mark is taken off (L3).
            let result = act(unsafe { &*thread });
            busy.done();
            result
        });
        if result != 0 || !reattach(patience) {
            return result;
        }
    }
}

/// As [`with`], for what makes sense only if something was recorded before. Whether `act` has run.
#[inline(always)]
pub(crate) fn with_attached(act: impl FnOnce(&Thread)) -> bool {
    here(|local| {
        if local.is_busy() {
            // What began before the mark was set does not end while it is: ends nest.
            return false;
        }
        let busy = Busy::new(local);
        let thread = local.thread.load(Ordering::Relaxed);
        if !thread.is_null() {
            // SAFETY: as in `with`.
            act(unsafe { &*thread });
        }
        busy.done();
        !thread.is_null()
    })
}

/// The mark, while it is set. It is dropped by an unwinding only: a panic, or the system's when the
/// thread is cancelled.
struct Busy<'a>(&'a Local);

impl<'a> Busy<'a> {
    #[inline(always)]
    fn new(local: &'a Local) -> Self {
        local.set_busy();
        Self(local)
    }

    /// Takes it off.
    #[inline(always)]
    fn done(self) {
        self.0.set_idle();
        mem::forget(self);
    }
}

impl Drop for Busy<'_> {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        // The event that was being recorded, and begins that nobody has seen.
        self.0.lose();
        let thread = self.0.thread.load(Ordering::Relaxed);
        if !thread.is_null() {
            // SAFETY: a shared reference wants a live `Thread`: L1.
            let thread = unsafe { &*thread };
            // SAFETY: on the owning thread; whoever had the last result of this was unwound.
            let pending = unsafe { thread.own() }.pending;
            thread.interrupted.fetch_add(pending.into(), Ordering::Relaxed);
        }
        // The state may be half changed. The next event attaches the thread anew, under another
        // number; what is committed stays, and ends of what is open here are of an earlier time.
        release(self.0);
        self.0.set_idle();
    }
}

impl Local {
    #[inline(always)]
    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// A plain store: it is for this thread alone. The fence keeps the compiler from moving work
    /// in front of it.
    #[inline(always)]
    fn set_busy(&self) {
        self.busy.store(true, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    #[inline(always)]
    fn set_idle(&self) {
        compiler_fence(Ordering::SeqCst);
        self.busy.store(false, Ordering::Relaxed);
    }

    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed) > 0
    }

    /// An event is lost to the recorder's own work.
    #[cold]
    #[inline(never)]
    fn lose(&self) {
        let thread = self.thread.load(Ordering::Relaxed);
        if self.is_quiet() {
            self.quiet.fetch_add(1, Ordering::Relaxed);
        } else if thread.is_null() {
            process::lose_unattached(1);
        } else {
            // SAFETY: a shared reference wants a live `Thread`: L1.
            unsafe { &*thread }.interrupted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How a thread comes to be attached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// By whom it was made, if that was seen.
    pub(crate) spawn: Option<Spawn>,
    /// What the call has returned that the thread was in since before the trace, if it was.
    #[cfg(os_hooks)]
    pub(crate) result: i64,
}

/// How a thread was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spawn {
    pub(crate) parent: ThreadId,
    pub(crate) stack: u32,
    pub(crate) entry: u64,
    /// All threads that were there before the trace were known by then.
    pub(crate) is_known: bool,
}

/// Makes this thread known to the running session; null if there is none or it is quiet here. The
/// caller has set the mark.
#[cold]
#[inline(never)]
fn attach(arrival: Arrival, patience: Patience) -> *mut Thread {
    here(|local| {
        if local.is_quiet() {
            local.quiet.fetch_add(1, Ordering::Relaxed);
            return ptr::null_mut();
        }
        #[cfg(all(feature = "auto", target_os = "linux", not(exectrace_loom)))]
        crate::auto::forked::go_on();
        let found = {
            let _quiet = quiet();
            // One that has just been made is in no handler, and need not look.
            let may_allocate = arrival.spawn.is_some() || !handler::may_be_in_one();
            let is_new = arrival.spawn.is_some_and(|spawn| spawn.is_known);
            let claimed = crate::os::claim(is_new);
            let is_claimed = claimed.is_some();
            claimed.or_else(|| join(arrival.spawn, patience, may_allocate)).map(|thread| {
                #[cfg(os_hooks)]
                // SAFETY: nobody else has this state, and it will be ours.
                unsafe {
                    thread.end_call_before(arrival.result);
                }
                if may_allocate && is_claimed {
                    // It was made before the thread could be asked.
                    naming::tell(&thread, naming::Ask::Given);
                }
                let is_watched = exit::watch(may_allocate);
                thread.unfinished.store(!may_allocate || !is_watched, Ordering::Relaxed);
                thread.into_raw()
            })
        };
        let thread = found.unwrap_or(ptr::null_mut());
        if !thread.is_null() {
            local.thread.store(thread, Ordering::Relaxed);
        }
        thread
    })
}

/// Does what was left undone when the thread was attached in a signal handler, if it was, and if
/// this is none. The caller is quiet.
#[inline(always)]
pub(crate) fn finish(thread: &Thread) {
    if thread.unfinished.load(Ordering::Relaxed) {
        finish_now(thread);
    }
}

#[cold]
#[inline(never)]
fn finish_now(thread: &Thread) {
    if handler::may_be_in_one() {
        return;
    }
    thread.unfinished.store(false, Ordering::Relaxed);
    crate::stack::prepare_thread();
    exit::watch(true);
    naming::tell(thread, naming::Ask::Rust);
}

/// By ordinary code: [`detach`] will run when the calling thread ends.
pub(crate) fn watch_exit() {
    exit::prepare();
    exit::watch(true);
}

/// As [`watch_exit`], if that can be done without allocating.
pub(crate) fn watch_exit_if_possible() {
    exit::watch(false);
}

/// By whoever starts a trace, before threads may attach.
pub(crate) fn prepare() {
    exit::prepare();
    handler::look();
}

/// Attaches this thread, if it is not: a thread that has just begun, or has come back from a call
/// that it was in when the trace began. Not counted if it can't be.
#[cfg(os_hooks)]
pub(crate) fn arrive(arrival: Arrival) {
    here(|local| {
        if local.is_busy() || local.is_quiet() {
            return;
        }
        let busy = Busy::new(local);
        release_if_ended(local);
        if local.thread.load(Ordering::Relaxed).is_null() {
            attach(arrival, Patience::Never);
        }
        busy.done();
    });
}

/// Whether the recorder itself is at work on this thread.
#[inline(always)]
pub(crate) fn is_quiet() -> bool {
    here(Local::is_quiet)
}

/// A new state for this thread, in the running session.
fn join(spawn: Option<Spawn>, patience: Patience, may_allocate: bool) -> Option<ThreadRef> {
    let session = process::running()?;
    let joined = first_batch(session.get(), patience).and_then(|batch| {
        let Some(room) = Room::new() else {
            // SAFETY: `free` wants an owned batch from `allocate`: it is new.
            unsafe { memory::free(batch) };
            return None;
        };
        if may_allocate {
            crate::stack::prepare_thread();
        }
        // If it was just made, Rust's own state of the thread is not there yet, and to ask for its
        // name would make one.
        let name = spawn.map_or_else(|| naming::own(may_allocate), |_| naming::Name::default());
        let identity = Identity { os_id: system_id(), name, spawn: spawn.unwrap_or_default() };
        let (id, now) = (session.get().next_thread(), crate::sys::clock::ticks());
        let thread = room.fill(Thread::new(session.count(), id, batch, now, identity));
        session.get().join(&thread).then_some(thread)
    });
    if let Some(count) = session.give_back() {
        #[cfg(not(exectrace_loom))]
        crate::thread::limbo::put_session(count);
        #[cfg(exectrace_loom)]
        drop(count);
    }
    if joined.is_none() {
        process::lose_unattached(1);
    }
    joined
}

/// A thread's first batch.
fn first_batch(session: &Session, patience: Patience) -> Option<*mut crate::buffer::batch::Batch> {
    loop {
        if session.is_ended() {
            return None;
        }
        let batch = memory::allocate(BATCH_BYTES_MIN);
        if batch.is_some() || !session.ask_for_memory() || !patience.waits_here() {
            return batch;
        }
        std::thread::sleep(WAIT);
    }
}

/// If this thread's state is of a session that has ended, lets go of it and attaches to the
/// running one, if there is one. Whether that is so.
#[cold]
#[inline(never)]
fn reattach(patience: Patience) -> bool {
    here(|local| {
        if local.is_busy() || local.is_quiet() {
            return false;
        }
        let busy = Busy::new(local);
        let is_over = release_if_ended(local);
        let attached = is_over && !attach(Arrival::default(), patience).is_null();
        busy.done();
        attached
    })
}

/// Lets go of the state if it is of a session that has ended. The caller has set the mark.
fn release_if_ended(local: &Local) -> bool {
    let thread = local.thread.load(Ordering::Relaxed);
    // SAFETY: a shared reference wants a live `Thread`: L1.
    let is_stale = !thread.is_null() && unsafe { &*thread }.session.is_ended();
    if is_stale {
        release(local);
    }
    is_stale
}

/// In a forked child: the state belongs to the parent's trace. Its memory is left alone, for
/// locks and the collector of the parent do not exist here.
pub(crate) fn abandon() {
    here(|local| {
        local.thread.store(ptr::null_mut(), Ordering::Relaxed);
        local.set_idle();
    });
}

/// The thread ends. If it was cancelled in the recorder, the mark may still be set; it is taken
/// off.
pub(crate) fn detach() {
    crate::thread::working::forget();
    crate::thread::body::forget();
    here(|local| {
        local.set_busy();
        release(local);
        let quiet = quiet();
        naming::forget();
        #[cfg(not(exectrace_loom))]
        crate::thread::limbo::empty();
        drop(quiet);
        local.set_idle();
    });
}

/// Lets go of the state. The caller has set the mark.
fn release(local: &Local) {
    let thread = local.thread.swap(ptr::null_mut(), Ordering::Relaxed);
    if thread.is_null() {
        return;
    }
    // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: L1, and it is null now.
    let thread = unsafe { ThreadRef::from_raw(thread) };
    let cpu = crate::sys::thread_cpu_of(thread.identity.os_id).unwrap_or(0);
    thread.cpu_end.store(cpu, Ordering::Relaxed);
    thread.exited.store(crate::sys::clock::ticks(), Ordering::Release);
}

/// Silence on this thread while it lives.
#[derive(Debug)]
pub(crate) struct Quiet {
    outermost: bool,
    hidden: *mut Thread,
}

/// The recorder's own work begins: allocation, which may be the user's code, and writing.
pub(crate) fn quiet() -> Quiet {
    here(|local| {
        let outermost = !local.is_quiet();
        if outermost {
            local.quiet.store(1, Ordering::Relaxed);
        }
        // From here on no signal's handler replaces the pointer: `reattach` looks.
        compiler_fence(Ordering::SeqCst);
        Quiet { outermost, hidden: local.thread.swap(ptr::null_mut(), Ordering::Relaxed) }
    })
}

impl Drop for Quiet {
    fn drop(&mut self) {
        here(|local| {
            local.thread.store(self.hidden, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            if self.outermost {
                process::lose_unattached(local.quiet.swap(0, Ordering::Relaxed) - 1);
            }
        });
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn system_id() -> u64 {
    // Not `gettid`: std refers to that weakly, so in a static program that is optimised as a whole
    // it need not be there.
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
        let head = crate::thread::encoded::Head::region(1);
        let begin = record::begin(head, 1 << 2, 0, Patience::Waits);
        let panics = |_: &Thread| -> u64 { panic!("in the recorder") };
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
