//! Snapshots that the flight recorder writes by itself, when something has gone wrong: a task took
//! too long, a thread panics, a signal asks for it.
//!
//! A thread of its own writes them, so that nobody waits for a disk; only a panic is written by the
//! thread that panics, for the process may end with it. Not more often than allowed, and only the
//! newest are kept: a fault that comes a thousand times a second is told of once.
//!
//! A task may end in a signal handler that has interrupted the allocator. So what is slow is found
//! out without a lock, and that thread is told by a bit and by what may ring in a handler.
//!
//! Elsewhere: the files, and which of them are kept (`folder`).
//!
//! May contain `unsafe`: it registers a signal's handler, wakes a thread from there, and leaves a
//! lock behind at a fork.

use crate::annotate::open_tasks::{self, NameWords, Seen};
use crate::base::error::SnapshotError;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};
use crate::session::Session;
use crate::start::flight;
use crate::start::flight::folder;
use crate::sys::clock::{self, Instant};
use crate::thread::local;
use crate::thread::worker::Worker;
use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

/// A pause of two years is one for ever; in ticks it fits a word.
const NEVER_NANOS: u128 = 1 << 56;

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

/// Names of tasks that can be watched: a bit of a word each.
const RULES_MAX: usize = 64;

/// A task of this name that takes so long is worth a snapshot.
#[derive(Debug)]
struct Rule {
    ticks: AtomicU64,
    name_bytes: AtomicU64,
    name: [AtomicU64; size_of::<NameWords>() / 8],
}

/// The first [`RULE_COUNT`] are valid. They are written for a new recorder when the one before is
/// gone; whoever compares with one meanwhile may come to a snapshot too many, or to none.
static RULES: [Rule; RULES_MAX] = [const {
    Rule {
        ticks: AtomicU64::new(0),
        name_bytes: AtomicU64::new(0),
        name: [const { AtomicU64::new(0) }; size_of::<NameWords>() / 8],
    }
}; RULES_MAX];

/// 0 if no task may be too slow: asked at each end of one.
static RULE_COUNT: AtomicUsize = AtomicUsize::new(0);

/// A bit for each rule of which a task has been too slow.
static SLOW: AtomicU64 = AtomicU64::new(0);

/// When the next dump may be, in ticks: until then no slow task wakes anybody.
static NEXT_DUMP: AtomicU64 = AtomicU64::new(0);

/// What is watched for. One recorder runs in a process, so there is one of this.
#[derive(Debug)]
struct Watched {
    session: Arc<Session>,
    /// Where to write, by rule.
    slow: Vec<PathBuf>,
    panic: Option<PathBuf>,
    signal: Option<PathBuf>,
    limits: Limits,
    last: Option<Instant>,
}

/// Null until it is asked for, and again in a forked child, whose copy may be locked for ever. What
/// it points to is never freed.
static WATCHED: AtomicPtr<Mutex<Option<Watched>>> = AtomicPtr::new(ptr::null_mut());

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
    RULE_COUNT.store(0, Ordering::Relaxed);
}

/// Watches for something, on behalf of a recorder's session.
fn watch(
    session: &Arc<Session>,
    limits: Limits,
    dir: &Path,
    add: impl FnOnce(&mut Watched, PathBuf) -> io::Result<()>,
) -> io::Result<()> {
    let _quiet = local::quiet();
    fs::create_dir_all(dir)?;
    // The program may go to another folder, and means this one.
    let dir = path::absolute(dir)?;
    with(|watched| {
        let is_mine = |it: &&mut Watched| Arc::ptr_eq(&it.session, session);
        if watched.as_mut().filter(is_mine).is_none() {
            start_writer(session)?;
            RULE_COUNT.store(0, Ordering::Relaxed);
            // What came to an earlier recorder is over.
            SLOW.store(0, Ordering::Relaxed);
            NEXT_DUMP.store(0, Ordering::Relaxed);
            let session = Arc::clone(session);
            let (slow, panic, signal, last) = (Vec::new(), None, None, None);
            *watched = Some(Watched { session, slow, panic, signal, limits, last });
        }
        match watched {
            Some(watched) => add(watched, dir),
            None => Ok(()),
        }
    })
}

/// See `FlightRecorder::on_slow`.
pub(crate) fn on_slow(
    session: &Arc<Session>,
    limits: Limits,
    name: &str,
    at_least: Duration,
    dir: &Path,
) -> io::Result<()> {
    let ticks = clock::ticks_in(clock::nanos(at_least));
    watch(session, limits, dir, |watched, dir| {
        let at = watched.slow.len();
        let Some(rule) = RULES.get(at) else {
            let what = format!("`on_slow` can watch {RULES_MAX} names, and this is one more");
            return Err(io::Error::other(what));
        };
        let (words, bytes) = open_tasks::words_of(name.as_bytes());
        rule.ticks.store(ticks, Ordering::Relaxed);
        rule.name_bytes.store(bytes as u64, Ordering::Relaxed);
        rule.name.iter().zip(words).for_each(|(to, word)| to.store(word, Ordering::Relaxed));
        watched.slow.push(dir);
        // `Release` pairs with the `Acquire` in `look_at`: the rule is whole.
        RULE_COUNT.store(at + 1, Ordering::Release);
        Ok(())
    })
}

/// See `FlightRecorder::on_panic`.
pub(crate) fn on_panic(session: &Arc<Session>, limits: Limits, dir: &Path) -> io::Result<()> {
    if std::thread::panicking() {
        // The hook that runs can't be replaced: to try that would be a second panic.
        return Err(io::Error::other("this thread panics: set it up before"));
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            dump_panic();
            before(info);
        }));
    });
    watch(session, limits, dir, |watched, dir| {
        watched.panic = Some(dir);
        Ok(())
    })
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
        Ok(())
    })?;
    let handler = signalled as extern "C" fn(libc::c_int);
    // SAFETY: `signal` wants a handler that may run at any time: it stores to an atomic, and rings.
    let failed = unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
    if failed == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A task has ended.
#[inline]
pub(crate) fn task_ended(task: &Seen) {
    if RULE_COUNT.load(Ordering::Relaxed) > 0 {
        look_at(task);
    }
}

#[cold]
fn look_at(task: &Seen) {
    let now = clock::ticks();
    if now < NEXT_DUMP.load(Ordering::Relaxed) {
        return;
    }
    let took = now.saturating_sub(task.begin);
    let rules = RULES.iter().take(RULE_COUNT.load(Ordering::Acquire)).enumerate();
    for (at, rule) in rules {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let is_named = load(&rule.name_bytes) == task.name_bytes as u64
            && rule.name.iter().map(load).eq(task.name);
        if is_named && took >= load(&rule.ticks) {
            if SLOW.fetch_or(1 << at, Ordering::Relaxed) & 1 << at == 0 {
                bell::ring();
            }
            return;
        }
    }
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
        let may = self.last.is_none_or(|last| now.since(last) >= self.limits.every);
        if may {
            self.last = Some(now);
            let nanos = self.limits.every.as_nanos().min(NEVER_NANOS) as u64;
            let next = clock::ticks().saturating_add(clock::ticks_in(nanos));
            NEXT_DUMP.store(next, Ordering::Relaxed);
        }
        may
    }
}

/// The thread that writes; it ends when this recorder is watched for no more. The caller has the
/// lock, which is the first thing it wants.
fn start_writer(session: &Arc<Session>) -> io::Result<()> {
    let session = Arc::clone(session);
    bell::prepare();
    let write = move || {
        loop {
            let next = with(|watched| {
                let watched = watched.as_mut();
                let mine = watched.filter(|it| Arc::ptr_eq(&it.session, &session))?;
                Some(mine.next())
            });
            match next {
                // It may have rung for the next recorder's thread.
                None => return bell::ring(),
                Some(Next::Wait) => bell::wait(),
                Some(Next::TooSoon) => {}
                Some(Next::Dump { why, dir, kept }) => _ = dump(&session, why, &dir, kept),
            }
        }
    };
    Worker::spawn(c"exectrace dumps", write).map(drop)
}

/// What the thread that writes does next.
enum Next {
    /// Nothing has happened.
    Wait,
    /// What has happened is not worth a dump so soon after the last one.
    TooSoon,
    Dump {
        why: &'static str,
        dir: PathBuf,
        kept: usize,
    },
}

impl Watched {
    /// Takes what has happened, one thing at a time.
    fn next(&mut self) -> Next {
        let slow = SLOW.load(Ordering::Relaxed);
        let found = if slow != 0 {
            let at = slow.trailing_zeros();
            SLOW.fetch_and(!(1 << at), Ordering::Relaxed);
            self.slow.get(at as usize).map(|dir| ("slow", dir.clone()))
        } else if SIGNALLED.swap(false, Ordering::Relaxed) {
            self.signal.clone().map(|dir| ("signal", dir))
        } else {
            return Next::Wait;
        };
        match found {
            Some((why, dir)) if self.may_dump() => Next::Dump { why, dir, kept: self.limits.kept },
            _ => Next::TooSoon,
        }
    }
}

/// Writes one.
fn dump(session: &Arc<Session>, why: &str, dir: &Path, kept: usize) -> Result<(), SnapshotError> {
    folder::add(dir, why, kept, folder::wall, |file| flight::snapshot(session, file))
}

/// The recorder of this session is about to stop.
pub(crate) fn forget(session: &Arc<Session>) {
    with(|watched| {
        if watched.as_ref().is_some_and(|it| Arc::ptr_eq(&it.session, session)) {
            RULE_COUNT.store(0, Ordering::Relaxed);
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
            crate::sys::errno::keeping(|| {
                // SAFETY: `sem_post` wants one that was prepared, and may be called in a handler.
                unsafe { libc::sem_post(bell) };
            });
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
