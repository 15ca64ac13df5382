//! Start and stop: the one trace that can run in a process.
//!
//! All state is of one process: after `fork` the child finds it off, and begins with nothing. The
//! child's handler only stores plain words; whatever was locked at the fork is left behind.
//!
//! May contain `unsafe`: what is locked per process is behind a pointer that a fork resets.

use crate::base::error::{Report, StartError, StopError};
use crate::base::options::Options;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicPtr;
use crate::buffer::memory::BUDGET;
use crate::callsite::{Callsite, callsites, linked};
use crate::collect::Collector;
use crate::output::beginning::beginning;
use crate::output::outlet::{File, Outlet};
use crate::output::sink::Sink;
use crate::session::process;
use crate::session::{Request, Session, SwitchEvent};
use crate::stack;
#[cfg(all(unix, not(exectrace_loom)))]
use crate::start::kept;
use crate::start::kept::Kept;
use crate::start::sources::sources;
use crate::sys;
use crate::sys::clock;
use crate::sys::headroom;
use crate::sys::signals::Shield;
use crate::thread::local;
use crate::thread::worker::Worker;
use std::io::{self, Write};
use std::ptr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Null until it is asked for, and again in a forked child, whose copy may be locked for ever.
/// What it points to is never freed.
static STATE: AtomicPtr<Locks> = AtomicPtr::new(ptr::null_mut());

#[derive(Debug, Default)]
struct Locks {
    state: Mutex<State>,
    /// Held while a session begins or ends, or an outlet of it does. Taken first.
    changes: Mutex<Option<Collecting>>,
    /// Taken while `changes` is, or alone.
    #[cfg(all(unix, not(exectrace_loom)))]
    kept: Mutex<kept::Shared>,
}

/// The collector of the session that runs.
#[derive(Debug)]
struct Collecting {
    session: Arc<Session>,
    worker: Worker<(Report, Option<io::Error>)>,
}

#[derive(Debug, Default)]
struct State {
    /// By [`Party`], from its start to the end of its stop.
    occupied: [bool; 2],
    /// Threads may attach.
    session: Option<Arc<Session>>,
}

/// Who shares a session: each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// A trace into the user's writer.
    Trace,
    /// The flight recorder.
    Recorder,
}

impl Party {
    const fn other(self) -> Self {
        match self {
            Self::Trace => Self::Recorder,
            Self::Recorder => Self::Trace,
        }
    }
}

fn lock_state() -> MutexGuard<'static, State> {
    locks().state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock_changes() -> MutexGuard<'static, Option<Collecting>> {
    locks().changes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file in which batches are, if they are to survive the process.
#[cfg(all(unix, not(exectrace_loom)))]
pub(crate) fn lock_kept() -> MutexGuard<'static, kept::Shared> {
    locks().kept.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Starts a trace that is written to `writer`, with the default [`Options`].
///
/// The writer is used on the collector's thread only, and dropped there when the trace stops. That
/// thread blocks all signals but those of faults, and so do threads that the writer starts. A file
/// needs no buffer around it: it gets pieces of some 64 KiB.
///
/// # Errors
/// [`StartError::AlreadyRunning`] if there is a trace in this process; [`StartError::Memory`] if
/// the system gives none; others if the writer fails at once or no thread can be started. No trace
/// is running then.
pub fn start(writer: impl Write + Send + 'static) -> Result<Trace, StartError> {
    start_with(Options::default(), writer)
}

/// As [`start`], with options.
///
/// # Errors
/// Those of [`start`].
pub fn start_with(
    options: Options,
    writer: impl Write + Send + 'static,
) -> Result<Trace, StartError> {
    let trace = start_quietly(&options, writer)?;
    #[cfg(os_hooks)]
    if options.os {
        // What this thread waits for is seen from now on.
        local::arrive(local::Arrival::default());
    }
    Ok(trace)
}

fn start_quietly(
    options: &Options,
    writer: impl Write + Send + 'static,
) -> Result<Trace, StartError> {
    // A signal's handler that traces must not come in here again while this holds locks.
    let _quiet = local::quiet();
    let place = Occupied::new(Party::Trace)?;
    let sink = || Sink::new(Box::new(writer), options.compression);
    let session = join(place, options, || {
        Ok(Outlet::File(Box::new(File::new(sink()).named(options.names))))
    })?;
    Ok(Trace::new(session, None))
}

/// A party gets its outlet, in the session that runs or in a new one. The caller is quiet.
pub(crate) fn join(
    place: Occupied,
    options: &Options,
    outlet: impl FnOnce() -> Result<Outlet, StartError>,
) -> Result<Arc<Session>, StartError> {
    // What is written first is written here, and files get their room.
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
            session.ask(Request::Attach(outlet()?, done));
            // If the collector is gone, so is the session, and stopping says so. If it has not
            // begun yet, stopping says how the first write went.
            if let Some(Some(failed)) = session.wait_for_answer(&is_done) {
                return Err(StartError::Write(failed));
            }
            session
        }
        None => {
            let started = begin(options, outlet()?)?;
            let session = Arc::clone(&started.session);
            *collecting = Some(started);
            publish(options, &session);
            session
        }
    };
    std::mem::forget(place);
    Ok(session)
}

/// Threads may attach from now on.
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

/// A party's one place, given back when dropped: also by a panic on the way.
#[derive(Debug)]
pub(crate) struct Occupied(Party);

impl Occupied {
    /// Each start begins here, before it asks the system for anything.
    pub(crate) fn new(party: Party) -> Result<Self, StartError> {
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

/// A party goes: its outlet ends, and with the last one the session. What the trace came to, if it
/// is the trace that goes.
pub(crate) fn leave(
    party: Party,
    session: &Arc<Session>,
) -> Result<(Report, Option<io::Error>), StopError> {
    if session.process != std::process::id() {
        // There is nobody here to ask.
        return Err(StopError::Forked);
    }
    // As in `start_with`; and how long stopping takes is not the program's.
    let _quiet = local::quiet();
    let _place = Occupied(party);
    let mut collecting = lock_changes();
    let is_shared = lock_state().occupied[party.other() as usize];
    if is_shared && !session.is_ended() {
        return match party {
            Party::Trace => {
                let (done, is_done) = mpsc::sync_channel(1);
                session.ask(Request::EndFile(done));
                let ended = session.wait_for_answer(&is_done);
                ended.ok_or_else(|| unanswered(session))
            }
            Party::Recorder => {
                let (done, is_done) = mpsc::sync_channel(1);
                session.ask(Request::EndRing(done));
                let _ = session.wait_for_answer(&is_done);
                Ok((Report::default(), None))
            }
        };
    }
    let is_of_it = |it: &Collecting| Arc::ptr_eq(&it.session, session);
    let Some(Collecting { worker, .. }) = collecting.take_if(|it| is_of_it(it)) else {
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
        let ended = worker.join().map_err(|_| StopError::Collector);
        #[cfg(not(exectrace_loom))]
        crate::thread::limbo::empty();
        ended
    } else {
        // It ends the trace when it begins.
        Err(unanswered(session))
    }
}

/// Why the collector does not answer.
fn unanswered(session: &Session) -> StopError {
    if session.has_begun() { StopError::Collector } else { StopError::Loading }
}

fn begin(options: &Options, outlet: Outlet) -> Result<Collecting, StartError> {
    let _quiet = local::quiet();
    clock::prepare();
    local::prepare();
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
    let collector = Collector::begin(shared, outlet, sources, options.generation, &beginning())
        .map_err(StartError::Write)?;
    // What was there at first may have been too little.
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
    // Nobody waits until it runs: in a constructor of a library it does not, before that returns.
    let worker = Worker::spawn(c"exectrace", collect).map_err(StartError::Thread)?;
    session.set_collector_id(worker.system_id());
    Ok(Collecting { session, worker })
}

/// Nobody waits for a collector that is gone: without one the session is over.
struct EndOnDrop(Arc<Session>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
        self.0.refuse();
    }
}

/// A running trace. Dropping it stops it, without a word about how that went.
#[derive(Debug)]
#[must_use = "dropping a trace stops it"]
pub struct Trace {
    /// None once it is stopped.
    session: Option<Arc<Session>>,
    /// What is there only while it runs.
    kept: Option<Kept>,
}

impl Trace {
    pub(crate) fn new(session: Arc<Session>, kept: Option<Kept>) -> Self {
        Self { session: Some(session), kept }
    }

    /// Stops recording, and returns when everything is written.
    ///
    /// # Errors
    /// [`StopError::Write`] with the first failure of the writer and what was lost;
    /// [`StopError::Forked`] in a forked child; [`StopError::Collector`] if dropping the writer
    /// panicked. A panic while writing is a failure of the writer's.
    pub fn stop(mut self) -> Result<Report, StopError> {
        self.end()
    }

    fn end(&mut self) -> Result<Report, StopError> {
        let Some(session) = self.session.take() else { return Ok(Report::default()) };
        let left = leave(Party::Trace, &session);
        // All is written, or never will be.
        let _quiet = local::quiet();
        drop(self.kept.take());
        match left? {
            (report, None) => Ok(report),
            (report, Some(error)) => Err(StopError::Write { error, report }),
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Whoever wants to know calls `stop`.
        let _ = self.end();
    }
}

/// A call site was switched by the user.
pub(crate) fn switched(site: &'static Callsite, on: bool) {
    // An allocator that is traced must not come in here again while this holds locks.
    let _quiet = local::quiet();
    let state = lock_state();
    if let Some(session) = &state.session {
        site.set_live(on);
        session.note_switch(SwitchEvent { site: site.id(), on, ticks: clock::ticks() });
    }
}

/// In the child, after a fork: there is no trace.
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
    local::abandon();
    #[cfg(all(feature = "heap", not(exectrace_loom)))]
    crate::heap::forked();
    if !goes_on {
        callsites().for_each(|site| site.set_live(false));
    }
}

/// In the child: whether it may get a trace of its own with what it does next.
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
