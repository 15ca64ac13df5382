//! Start and stop: the one session that can run in a process, and the parties that share it.
//!
//! All state belongs to one process: after `fork` it is reset in the child, which begins with
//! nothing. The child's handler only stores plain words; locks that were held at the fork are left
//! behind.
//!
//! May contain `unsafe`: the locks of a process are behind a pointer that a fork resets.

use crate::base::error::{Report, StartError, StopError};
use crate::base::options::Options;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicPtr;
use crate::buffer::memory::BUDGET;
use crate::callsite::{Callsite, callsites, linked};
use crate::collect::Collector;
use crate::output::Output;
use crate::output::beginning::beginning;
use crate::session::process;
use crate::session::{Request, Session, SwitchEvent};
use crate::stack;
#[cfg(all(unix, not(exectrace_loom)))]
use crate::start::backing_file::SharedFile;
use crate::start::sources::sources;
use crate::sys;
use crate::sys::clock;
use crate::sys::headroom;
use crate::sys::signals::Shield;
use crate::thread::attach;
use crate::thread::local;
use crate::thread::recorder_thread::RecorderThread;
use std::io;
use std::ptr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Null until it is first used, and again in a forked child, whose copy may stay locked. What it
/// points to is never freed.
static STATE: AtomicPtr<Locks> = AtomicPtr::new(ptr::null_mut());

#[derive(Debug, Default)]
struct Locks {
    state: Mutex<ProcessState>,
    /// Held while a session, or an output of it, begins or ends. Taken first.
    changes: Mutex<Option<Collecting>>,
    /// Taken while `changes` is held, or alone.
    #[cfg(all(unix, not(exectrace_loom)))]
    backing_file: Mutex<SharedFile>,
}

/// The collector of the session that runs.
#[derive(Debug)]
struct Collecting {
    session: Arc<Session>,
    thread: RecorderThread<(Report, Option<io::Error>)>,
}

#[derive(Debug, Default)]
struct ProcessState {
    /// By [`SessionParty`], from its start to the end of its stop.
    occupied: [bool; 2],
    /// The session that threads may attach to.
    session: Option<Arc<Session>>,
}

/// The parties that share a session. Each takes part at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionParty {
    /// A trace into the user's writer.
    Trace,
    /// The flight recorder.
    Recorder,
}

impl SessionParty {
    const fn other(self) -> Self {
        match self {
            Self::Trace => Self::Recorder,
            Self::Recorder => Self::Trace,
        }
    }
}

fn lock_state() -> MutexGuard<'static, ProcessState> {
    locks().state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock_changes() -> MutexGuard<'static, Option<Collecting>> {
    locks().changes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file in which batches lie that are to survive the process.
#[cfg(all(unix, not(exectrace_loom)))]
pub(crate) fn lock_backing_file() -> MutexGuard<'static, SharedFile> {
    locks().backing_file.lock().unwrap_or_else(PoisonError::into_inner)
}

fn locks() -> &'static Locks {
    let mut state = STATE.load(Ordering::Acquire);
    if state.is_null() {
        forget_at_fork();
        let fresh = Box::into_raw(Box::default());
        let order = Ordering::AcqRel;
        state = match STATE.compare_exchange(state, fresh, order, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(other) => other,
        };
    }
    // SAFETY: a shared reference wants a live object: it came from `Box::into_raw` and is never
    // freed. (One that lost the exchange is leaked, at most one per racing thread.)
    unsafe { &*state }
}

/// Adds a party's output to the session that runs, or begins one with it. The caller has suppressed
/// recording.
pub(crate) fn join(
    place: Occupied,
    options: &Options,
    output: impl FnOnce() -> Result<Output, StartError>,
) -> Result<Arc<Session>, StartError> {
    // This thread writes the beginning, and reserves space in files.
    let _shield = Shield::new();
    if !headroom::has_for_start(linked().count()) {
        return Err(StartError::Memory);
    }
    let mut collecting = lock_changes();
    let running = collecting.as_ref().filter(|it| !it.session.is_ended());
    let session = match running {
        Some(running) => {
            let session = Arc::clone(&running.session);
            let (done, is_done) = mpsc::sync_channel(1);
            session.ask(Request::Attach(output()?, done));
            // If the collector has ended, so has the session, and stopping says so. If it has not
            // begun yet, stopping says how the first write went.
            if let Some(Some(failed)) = session.wait_for_answer(&is_done) {
                return Err(StartError::Write(failed));
            }
            session
        }
        None => {
            let started = begin(options, output()?)?;
            let session = Arc::clone(&started.session);
            *collecting = Some(started);
            publish(options, &session);
            session
        }
    };
    std::mem::forget(place);
    Ok(session)
}

/// Lets threads attach from now on.
fn publish(options: &Options, session: &Arc<Session>) {
    #[cfg(all(feature = "auto", target_os = "linux", not(exectrace_loom)))]
    crate::auto::forked::note_start();
    let mut state = lock_state();
    state.session = Some(Arc::clone(session));
    process::begin(session);
    callsites().for_each(|site| site.set_live(true));
    drop(state);
    #[cfg(os_hooks)]
    if options.os {
        crate::os::begin(session);
    }
    let _ = options;
}

/// A party's one place. It is given back when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Occupied(SessionParty);

impl Occupied {
    /// Takes the party's place. Each start begins with this, before it asks the system for
    /// anything.
    pub(crate) fn new(party: SessionParty) -> Result<Self, StartError> {
        if !sys::IS_SUPPORTED {
            return Err(StartError::Unsupported);
        }
        let mut state = lock_state();
        let occupied = &mut state.occupied[party as usize];
        if std::mem::replace(occupied, true) {
            return Err(StartError::AlreadyRunning);
        }
        Ok(Self(party))
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        lock_state().occupied[self.0 as usize] = false;
    }
}

/// Ends a party's output, and with the last one the session. Returns the report on the trace, if
/// the party is the trace.
pub(crate) fn leave(
    party: SessionParty,
    session: &Arc<Session>,
) -> Result<(Report, Option<io::Error>), StopError> {
    if session.process != std::process::id() {
        // A forked child has no collector that it could ask.
        return Err(StopError::Forked);
    }
    // As when a party starts. Also, the time that stopping takes is not the program's.
    let _suppressed = local::suppress();
    let _place = Occupied(party);
    let mut collecting = lock_changes();
    let is_shared = lock_state().occupied[party.other() as usize];
    if is_shared && !session.is_ended() {
        return match party {
            SessionParty::Trace => {
                let (done, is_done) = mpsc::sync_channel(1);
                session.ask(Request::EndFile(done));
                let ended = session.wait_for_answer(&is_done);
                ended.ok_or_else(|| unanswered(session))
            }
            SessionParty::Recorder => {
                let (done, is_done) = mpsc::sync_channel(1);
                session.ask(Request::EndRing(done));
                let _ = session.wait_for_answer(&is_done);
                Ok((Report::default(), None))
            }
        };
    }
    let is_of_it = |it: &Collecting| Arc::ptr_eq(&it.session, session);
    let Some(Collecting { thread, .. }) = collecting.take_if(|it| is_of_it(it)) else {
        return Err(StopError::Collector);
    };
    {
        let mut state = lock_state();
        process::end(|| {
            callsites().for_each(|site| site.set_live(false));
            state.session = None;
        });
    }
    #[cfg(os_hooks)]
    crate::os::end();
    let has_begun = session.wait_for_begin();
    session.end();
    session.wake_collector();
    if has_begun {
        let ended = thread.join().map_err(|_| StopError::Collector);
        #[cfg(not(exectrace_loom))]
        crate::thread::limbo::empty();
        ended
    } else {
        // The collector ends the trace when it begins.
        Err(unanswered(session))
    }
}

/// Why the collector did not answer.
fn unanswered(session: &Session) -> StopError {
    if session.has_begun() { StopError::Collector } else { StopError::Loading }
}

fn begin(options: &Options, output: Output) -> Result<Collecting, StartError> {
    let _suppressed = local::suppress();
    clock::prepare();
    attach::prepare();
    if !stack::prepare() {
        return Err(StartError::Memory);
    }
    for site in linked().filter(|site| site.id() == 0) {
        site.prepare(process::next_site());
    }
    BUDGET.begin(options.memory_max);
    stack::begin();
    stack::want_for_regions(options.stacks);
    stack::want_for_async(options.async_stacks);
    process::forget_unattached();
    let session = Arc::new(Session::new(options));
    let (shared, sources) = (Arc::clone(&session), sources(options));
    let collector = Collector::begin(shared, output, sources, options.generation, &beginning())
        .map_err(StartError::Write)?;
    // Checked again, as the start itself has used memory.
    if !headroom::has_for_start(0) {
        return Err(StartError::Memory);
    }
    let guard = EndOnDrop(Arc::clone(&session));
    let known = Arc::clone(&session);
    let collect = move || {
        let _guard = guard;
        known.set_collector(std::thread::current());
        collector.run()
    };
    // Not waited for: in a constructor of a library the thread does not run before the constructor
    // returns.
    let thread = RecorderThread::spawn(c"exectrace", collect).map_err(StartError::Thread)?;
    session.set_collector_id(thread.system_id());
    Ok(Collecting { session, thread })
}

/// Ends the session with its collector, so that no thread waits for a collector that has ended.
struct EndOnDrop(Arc<Session>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
        self.0.refuse();
    }
}

/// The program has switched a call site on or off.
pub(crate) fn switched(site: &'static Callsite, on: bool) {
    // A traced allocator must not come in here again while this holds locks.
    let _suppressed = local::suppress();
    let state = lock_state();
    if let Some(session) = &state.session {
        site.set_live(on);
        session.note_switch(SwitchEvent { site: site.id(), on, ticks: clock::ticks() });
    }
}

/// Called in a forked child: no trace runs there.
extern "C" fn forked() {
    STATE.store(ptr::null_mut(), Ordering::Relaxed);
    process::forked();
    BUDGET.forget();
    #[cfg(not(exectrace_loom))]
    crate::thread::limbo::forget();
    #[cfg(all(unix, not(exectrace_loom)))]
    crate::buffer::arena::forked();
    let goes_on = may_go_on();
    #[cfg(os_hooks)]
    crate::os::forked(goes_on);
    crate::start::flight::dump::forked();
    #[cfg(all(feature = "sched", stacks))]
    crate::thread::own_threads::OWN_THREADS.forked();
    attach::abandon();
    #[cfg(all(feature = "heap", not(exectrace_loom)))]
    crate::heap::forked();
    if !goes_on {
        callsites().for_each(|site| site.set_live(false));
    }
}

/// In a forked child: whether it may get its own trace with a later call.
fn may_go_on() -> bool {
    #[cfg(all(feature = "auto", target_os = "linux", not(exectrace_loom)))]
    return crate::auto::forked::forked();
    #[cfg(not(all(feature = "auto", target_os = "linux", not(exectrace_loom))))]
    false
}

fn forget_at_fork() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| sys::at_fork(forked));
}
