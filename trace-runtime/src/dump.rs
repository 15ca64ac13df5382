//! Snapshots that the flight recorder writes by itself, when something has gone wrong: a task took
//! too long, a thread panics, a signal asks for it.
//!
//! A thread of its own writes them, so that nobody waits for a disk; only a panic is written by the
//! thread that panics, for the process may end with it. Not more often than allowed, and only the
//! newest are kept: a fault that comes a thousand times a second is told of once.
//!
//! Elsewhere: the files, and which of them are kept (`folder`).
//!
//! May contain `unsafe`: it registers a signal's handler, wakes a thread from there, and leaves a
//! lock behind at a fork.

use crate::clock;
use crate::error::SnapshotError;
use crate::flight;
use crate::folder;
use crate::local;
use crate::primitive::Ordering;
use crate::primitive::global::{AtomicBool, AtomicPtr, AtomicU32};
use crate::session::Session;
use crate::worker::Worker;
use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};
use std::ptr;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// How often a dump may be, and how many are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) every: Duration,
    pub(crate) kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { every: Duration::from_secs(10), kept: 10 }
    }
}

/// A task that takes so long is worth a snapshot.
#[derive(Debug)]
struct Slow {
    name: Box<[u8]>,
    ticks: u64,
    dir: PathBuf,
}

/// What is watched for. One recorder runs in a process, so there is one of this.
#[derive(Debug)]
struct Watched {
    session: Arc<Session>,
    slow: Vec<Slow>,
    panic: Option<PathBuf>,
    signal: Option<PathBuf>,
    /// To the thread that writes.
    wanted: Sender<(&'static str, PathBuf)>,
    limits: Limits,
    last: Option<Instant>,
}

/// Null until it is asked for, and again in a forked child, whose copy may be locked for ever. What
/// it points to is never freed.
static WATCHED: AtomicPtr<Mutex<Option<Watched>>> = AtomicPtr::new(ptr::null_mut());

/// Whether any task may be too slow: asked at each end of one.
static ANY_SLOW: AtomicBool = AtomicBool::new(false);

/// The system's id of the thread that writes, or of the last one; 0 if there was none.
static WRITER: AtomicU32 = AtomicU32::new(0);

/// A signal has come.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

fn with<T>(act: impl FnOnce(&mut Option<Watched>) -> T) -> T {
    let mut watched = WATCHED.load(Ordering::Acquire);
    if watched.is_null() {
        let fresh = Box::into_raw(Box::default());
        let order = Ordering::AcqRel;
        watched = match WATCHED.compare_exchange(watched, fresh, order, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(other) => other,
        };
    }
    // SAFETY: a shared reference wants a live object: it came from `Box::into_raw` and is never
    // freed. (One that lost the exchange is leaked, at most one per racing thread.)
    let watched = unsafe { &*watched };
    act(&mut watched.lock().unwrap_or_else(PoisonError::into_inner))
}

/// In a forked child: what is watched for is the parent's, and so is the thread that writes.
pub(crate) fn forked() {
    WATCHED.store(ptr::null_mut(), Ordering::Relaxed);
    ANY_SLOW.store(false, Ordering::Relaxed);
}

/// Watches for something, on behalf of a recorder's session.
fn watch(
    session: &Arc<Session>,
    limits: Limits,
    dir: &Path,
    add: impl FnOnce(&mut Watched, PathBuf),
) -> io::Result<()> {
    let _quiet = local::quiet();
    fs::create_dir_all(dir)?;
    // The program may go to another folder, and means this one.
    let dir = path::absolute(dir)?;
    with(|watched| {
        let is_mine = |it: &&mut Watched| Arc::ptr_eq(&it.session, session);
        if watched.as_mut().filter(is_mine).is_none() {
            let wanted = start_writer(session)?;
            let session = Arc::clone(session);
            let (slow, panic, signal, last) = (Vec::new(), None, None, None);
            *watched = Some(Watched { session, slow, panic, signal, wanted, limits, last });
        }
        if let Some(watched) = watched {
            add(watched, dir);
        }
        Ok(())
    })
}

/// The system's id of the thread that writes, if there is one: what it does is no part of the
/// program's life.
#[cfg(all(feature = "sched", stacks))]
pub(crate) fn writer() -> u32 {
    WRITER.load(Ordering::Relaxed)
}

/// See `FlightRecorder::on_slow`.
pub(crate) fn on_slow(
    session: &Arc<Session>,
    limits: Limits,
    name: &str,
    at_least: Duration,
    dir: &Path,
) -> io::Result<()> {
    let ticks = clock::ticks_in(at_least.as_nanos() as u64);
    watch(session, limits, dir, |watched, dir| {
        watched.slow.push(Slow { name: name.as_bytes().into(), ticks, dir });
        ANY_SLOW.store(true, Ordering::Relaxed);
    })
}

/// See `FlightRecorder::on_panic`.
pub(crate) fn on_panic(session: &Arc<Session>, limits: Limits, dir: &Path) -> io::Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            dump_panic();
            before(info);
        }));
    });
    watch(session, limits, dir, |watched, dir| watched.panic = Some(dir))
}

/// See `FlightRecorder::on_signal`.
#[cfg(unix)]
pub(crate) fn on_signal(session: &Arc<Session>, limits: Limits, dir: &Path) -> io::Result<()> {
    extern "C" fn signalled(_: libc::c_int) {
        SIGNALLED.store(true, Ordering::Relaxed);
        bell::ring();
    }
    watch(session, limits, dir, |watched, dir| {
        // One that came to an earlier recorder is over.
        SIGNALLED.store(false, Ordering::Relaxed);
        watched.signal = Some(dir);
    })?;
    let handler = signalled as extern "C" fn(libc::c_int);
    // SAFETY: `signal` wants a handler that may run at any time: it stores to an atomic, and rings.
    let failed = unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
    if failed == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A task has ended that began then.
#[inline]
pub(crate) fn task_ended(name: &[u8], begin: u64) {
    if ANY_SLOW.load(Ordering::Relaxed) {
        look_at(name, begin);
    }
}

#[cold]
fn look_at(name: &[u8], begin: u64) {
    let _quiet = local::quiet();
    let took = clock::ticks().saturating_sub(begin);
    with(|watched| {
        let Some(watched) = watched else { return };
        let slow = watched.slow.iter().find(|slow| *slow.name == *name && took >= slow.ticks);
        if let Some(slow) = slow {
            // A thread that is gone is no reason to fail.
            let _ = watched.wanted.send(("slow", slow.dir.clone()));
            bell::ring();
        }
    });
}

/// The calling thread panics.
fn dump_panic() {
    if local::is_quiet() {
        // In the recorder itself, or in a writer of the user's that it calls: whoever takes
        // snapshots would wait for itself.
        return;
    }
    let _quiet = local::quiet();
    let wanted = with(|watched| {
        let watched = watched.as_mut()?;
        let dir = watched.panic.clone()?;
        watched.may_dump().then(|| (Arc::clone(&watched.session), dir, watched.limits.kept))
    });
    if let Some((session, dir, kept)) = wanted {
        // There is nobody to tell that it failed.
        let _ = dump(&session, "panic", &dir, kept);
    }
}

impl Watched {
    fn may_dump(&mut self) -> bool {
        let now = Instant::now();
        let may = self.last.is_none_or(|last| now.duration_since(last) >= self.limits.every);
        if may {
            self.last = Some(now);
        }
        may
    }
}

/// The thread that writes; it ends when nothing is watched for any more.
fn start_writer(session: &Arc<Session>) -> io::Result<Sender<(&'static str, PathBuf)>> {
    let (wanted, is_wanted) = channel::<(&'static str, PathBuf)>();
    let session = Arc::clone(session);
    bell::prepare();
    let write = move || {
        loop {
            let (why, dir) = match is_wanted.try_recv() {
                Ok(wanted) => wanted,
                Err(TryRecvError::Empty) => match signalled() {
                    Some(dir) => ("signal", dir),
                    None => {
                        bell::wait();
                        continue;
                    }
                },
                Err(TryRecvError::Disconnected) => {
                    // It may have rung for the next recorder's thread.
                    return bell::ring();
                }
            };
            let kept = with(|watched| {
                let watched = watched.as_mut()?;
                watched.may_dump().then_some(watched.limits.kept)
            });
            if let Some(kept) = kept {
                let _ = dump(&session, why, &dir, kept);
            }
        }
    };
    let worker = Worker::spawn(c"exectrace dumps", write)?;
    WRITER.store(worker.system_id(), Ordering::Relaxed);
    Ok(wanted)
}

fn signalled() -> Option<PathBuf> {
    if !SIGNALLED.swap(false, Ordering::Relaxed) {
        return None;
    }
    with(|watched| watched.as_ref()?.signal.clone())
}

/// Writes one.
fn dump(session: &Arc<Session>, why: &str, dir: &Path, kept: usize) -> Result<(), SnapshotError> {
    folder::add(dir, why, kept, folder::wall, |file| flight::snapshot(session, file))
}

/// The recorder of this session is about to stop.
pub(crate) fn forget(session: &Arc<Session>) {
    with(|watched| {
        if watched.as_ref().is_some_and(|it| Arc::ptr_eq(&it.session, session)) {
            ANY_SLOW.store(false, Ordering::Relaxed);
            *watched = None;
            bell::ring();
        }
    });
}

/// What wakes the thread that writes. A signal's handler may do little, but it may do this.
#[cfg(target_os = "linux")]
mod bell {
    use super::{AtomicPtr, Ordering};
    use std::ptr;

    /// Null until it is prepared. What it points to is never freed.
    static BELL: AtomicPtr<libc::sem_t> = AtomicPtr::new(ptr::null_mut());

    /// Before the first thread waits.
    pub(super) fn prepare() {
        if !BELL.load(Ordering::Acquire).is_null() {
            return;
        }
        // SAFETY: `sem_t` is numbers.
        let fresh: Box<libc::sem_t> = Box::new(unsafe { std::mem::zeroed() });
        let fresh = Box::into_raw(fresh);
        // SAFETY: `sem_init` wants a place of its own; 0 and 0: for this process, and not rung.
        unsafe { libc::sem_init(fresh, 0, 0) };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        if BELL.compare_exchange(ptr::null_mut(), fresh, order.0, order.1).is_err() {
            // SAFETY: `from_raw` wants the pointer of `into_raw`: nobody else has seen it.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }

    pub(super) fn ring() {
        let bell = BELL.load(Ordering::Acquire);
        if !bell.is_null() {
            // SAFETY: `sem_post` wants one that was prepared, and may be called in a handler.
            unsafe { libc::sem_post(bell) };
        }
    }

    /// Until it is rung, or has been since the last time; or for no reason.
    pub(super) fn wait() {
        // SAFETY: `sem_wait` wants one that was prepared: so it is before a thread waits.
        unsafe { libc::sem_wait(BELL.load(Ordering::Acquire)) };
    }
}

/// Elsewhere that thread looks now and then.
#[cfg(not(target_os = "linux"))]
mod bell {
    pub(super) fn prepare() {}

    pub(super) fn ring() {}

    pub(super) fn wait() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
