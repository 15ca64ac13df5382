//! States of threads that were there when the trace began. The thread that starts the trace makes
//! them, so that threads that never run again are in the trace, too, and so that a thread whose
//! first event comes in a signal handler need not allocate.
//!
//! A state waits in a table under its thread's id until that thread takes it. Invariants:
//!
//! - **O1** A place's id is stored once in a trace, by the starter or by the thread itself,
//!   whichever comes first; only the thread that stored it, or the thread with that id, goes on to
//!   the state.
//! - **O2** The thread that exchanges a state's pointer out of the table owns the state.
//!
//! A thread that looks itself up while the starter is still looking marks its place as taken, and
//! the starter drops the state that it has made for it: no thread is in a trace twice.
//!
//! May contain `unsafe`: the table holds counted references as pointers.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicU32};
use crate::buffer::memory::{self, BATCH_BYTES_MIN};
use crate::os::sync::SeenCall;
use crate::session::Session;
use crate::source::proc_folder::threads;
use crate::sys::clock;
use crate::sys::raw;
use crate::thread::local;
use crate::thread::naming::ThreadName;
use crate::thread::thread_ref::{StateRoom, ThreadRef};
use crate::thread::{RecordingThread, ThreadIdentity};
use std::ptr;
use std::sync::Arc;
use trace_format::id::{OpenCall, ResourceId, StackId};

/// Threads beyond these are known from their first event on.
const THREADS_MAX: usize = 1024;

/// Twice as many, so that a search ends soon.
const PLACES: usize = THREADS_MAX * 2;

/// The ids of threads; 0 for a free place.
static IDS: [AtomicU32; PLACES] = [const { AtomicU32::new(0) }; PLACES];

/// The states that wait for these threads.
static STATES: [AtomicPtr<RecordingThread>; PLACES] =
    [const { AtomicPtr::new(ptr::null_mut()) }; PLACES];

/// The starter is looking at the system's list of threads.
static LOOKING: AtomicBool = AtomicBool::new(false);

/// In place of a state that was taken, or that must not be put there any more.
const TAKEN: *mut RecordingThread = ptr::without_provenance_mut(1);

/// Whether some threads may not be in the table yet.
pub(super) fn is_looking() -> bool {
    LOOKING.load(Ordering::Acquire)
}

/// A trace is about to begin.
pub(super) fn begin_looking() {
    clear();
    LOOKING.store(true, Ordering::Release);
}

/// Makes states for all threads except the calling one and the collector. The hooks are on.
pub(super) fn look(session: &Arc<Session>) {
    let own = local::system_id();
    let mut left = THREADS_MAX;
    for id in threads().unwrap_or_default() {
        if left > 0 && u64::from(id) != own && id != session.collector_id() {
            left -= 1;
            prepare(session, id);
        }
    }
    LOOKING.store(false, Ordering::Release);
}

/// The trace has ended: drops the states that no thread has taken.
pub(super) fn clear() {
    for (at, id) in IDS.iter().enumerate() {
        drop(take(at, ptr::null_mut()));
        id.store(0, Ordering::Release);
    }
}

/// In a forked child: the states are the parent's. They are not dropped, as their locks may be held
/// forever.
pub(super) fn forget() {
    LOOKING.store(false, Ordering::Relaxed);
    for (id, state) in IDS.iter().zip(&STATES) {
        state.store(ptr::null_mut(), Ordering::Relaxed);
        id.store(0, Ordering::Relaxed);
    }
}

/// The calling thread's state, if there is one for it.
pub(super) fn claim() -> Option<ThreadRef> {
    let place = find(local::system_id() as u32, is_looking())?;
    take(place, TAKEN).filter(|state| !state.session.is_ended())
}

/// An earlier thread with the calling thread's id has ended.
pub(super) fn bury() {
    if let Some(state) = find(local::system_id() as u32, false).and_then(|at| take(at, TAKEN)) {
        state.exited.store(clock::ticks(), Ordering::Release);
    }
}

/// By the collector: finds threads that have ended without taking their state.
pub(super) fn bury_dead() {
    let process = std::process::id();
    for at in 0..PLACES {
        let id = IDS[at].load(Ordering::Acquire);
        if id == 0 || STATES[at].load(Ordering::Relaxed).addr() <= TAKEN.addr() {
            continue;
        }
        let words = [process as usize, id as usize, 0, 0, 0, 0];
        // SAFETY: signal 0 is not delivered: the call only asks whether the thread is there.
        let answer = unsafe { raw::bare(libc::SYS_tgkill, words) };
        if answer == -(libc::ESRCH as isize)
            && let Some(state) = take(at, TAKEN)
        {
            state.exited.store(clock::ticks(), Ordering::Release);
        }
    }
}

/// The place of this thread; if there is none and `makes`, a new one.
fn find(id: u32, makes: bool) -> Option<usize> {
    let first = id.wrapping_mul(0x9e37_79b9) as usize;
    for at in (0..PLACES).map(|step| first.wrapping_add(step) % PLACES) {
        let mut found = IDS[at].load(Ordering::Acquire);
        if found == 0 && makes {
            let order = (Ordering::AcqRel, Ordering::Acquire);
            found = match IDS[at].compare_exchange(0, id, order.0, order.1) {
                Ok(_) => id,
                Err(other) => other,
            };
        }
        if found == id {
            return Some(at);
        }
        if found == 0 {
            return None;
        }
    }
    None
}

/// Takes the state at this place, if there is one, and puts `then` there.
fn take(place: usize, then: *mut RecordingThread) -> Option<ThreadRef> {
    let state = STATES[place].swap(then, Ordering::AcqRel);
    // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: only such pointers are put
    // there, and O2.
    (state.addr() > TAKEN.addr()).then(|| unsafe { ThreadRef::from_raw(state) })
}

/// Makes a state for a thread, with the call that it is in.
fn prepare(session: &Arc<Session>, id: u32) {
    let Some(place) = find(id, true) else { return };
    if !STATES[place].load(Ordering::Acquire).is_null() {
        return;
    }
    let call = blocked_in(id);
    let identity = ThreadIdentity { os_id: id.into(), name: name(id), ..ThreadIdentity::default() };
    let Some(batch) = memory::allocate(BATCH_BYTES_MIN) else { return };
    let Some(room) = StateRoom::new() else {
        // SAFETY: `free` wants an owned batch from `allocate`: this one is new.
        return unsafe { memory::free(batch) };
    };
    let (number, now) = (session.next_thread(), clock::ticks());
    let made = room.fill(RecordingThread::new(Arc::clone(session), number, batch, now, identity));
    if let Some(call) = call {
        // SAFETY: it was made just now, so no other thread has it.
        unsafe { made.begin_call_before(call) };
    }
    let state = made.clone().into_raw();
    let order = (Ordering::AcqRel, Ordering::Acquire);
    if STATES[place].compare_exchange(ptr::null_mut(), state, order.0, order.1).is_err() {
        // SAFETY: as in `take`: it was not put there.
        drop(unsafe { ThreadRef::from_raw(state) });
        return;
    }
    // If the session has ended meanwhile, no thread takes the state.
    session.join(&made);
}

fn name(id: u32) -> ThreadName {
    // Rust's name for it; the system has the program's name there.
    if id == std::process::id() {
        return ThreadName::new(b"main");
    }
    let name = std::fs::read(format!("/proc/self/task/{id}/comm"));
    ThreadName::new(name.unwrap_or_default().trim_ascii_end())
}

/// The call that a thread is in: its number and arguments, as the system says. `None` for a thread
/// that runs, and where the system does not say.
fn blocked_in(id: u32) -> Option<OpenCall> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{id}/syscall")).ok()?;
    let mut words = text.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut argument =
        || words.next().and_then(|word| usize::from_str_radix(word.get(2..)?, 16).ok());
    let seen = SeenCall::new(number, argument()?, argument()?)?;
    let resource = ResourceId(seen.resource());
    Some(OpenCall { call: seen.call, stack: StackId(0), resource })
}
