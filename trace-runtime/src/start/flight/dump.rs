//! Snapshots that the flight recorder writes by itself when something has gone wrong: a task took
//! too long, a thread panics, or a signal asks for one.
//!
//! Its own thread writes them, so that no thread of the program waits for a disk. Only the snapshot
//! for a panic is written by the thread that panics, as the process may end with it. The time
//! between two snapshots has a minimum, and only the newest are kept: a fault that happens a
//! thousand times a second causes one snapshot.
//!
//! A task may end in a signal handler that has interrupted the allocator. So slow tasks are found
//! without a lock, and the writing thread gets a bit and is woken by a `bell`, which may be rung in
//! a handler.
//!
//! Elsewhere: the files, and which of them are kept (`folder`).
//!
//! May contain `unsafe`: it registers a signal handler, and leaves a lock behind at a fork.

use crate::annotate::open_tasks::{self, ListedTask, NameWords};
use crate::base::error::SnapshotError;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};
use crate::session::Session;
use crate::start::flight;
use crate::start::flight::{bell, folder};
use crate::sys::clock::{self, Instant};
use crate::thread::local;
use crate::thread::recorder_thread::RecorderThread;
use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

/// Longer pauses are cut to this, about two years, which fits a word in ticks.
const NEVER_NANOS: u128 = 1 << 56;

/// Minimum time between two dumps, and how many are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DumpLimits {
    pub(crate) every: Duration,
    pub(crate) kept: usize,
}

impl Default for DumpLimits {
    fn default() -> Self {
        Self { every: Duration::from_secs(10), kept: 10 }
    }
}

/// How many names of tasks can be watched: each has a bit of a word.
const RULES_MAX: usize = 64;

/// A task of this name that takes at least this long causes a snapshot.
#[derive(Debug)]
struct SlowRule {
    ticks: AtomicU64,
    name_bytes: AtomicU64,
    name: [AtomicU64; size_of::<NameWords>() / 8],
}

/// The first [`RULE_COUNT`] are valid. They are written for a new recorder when the one before has
/// stopped; a thread that compares with one meanwhile may cause a snapshot too many, or none.
static RULES: [SlowRule; RULES_MAX] = [const {
    SlowRule {
        ticks: AtomicU64::new(0),
        name_bytes: AtomicU64::new(0),
        name: [const { AtomicU64::new(0) }; size_of::<NameWords>() / 8],
    }
}; RULES_MAX];

/// 0 if no task is watched. Read at each end of a task.
static RULE_COUNT: AtomicUsize = AtomicUsize::new(0);

/// A bit for each rule that a task has exceeded.
static SLOW: AtomicU64 = AtomicU64::new(0);

/// When the next dump may be, in ticks: until then no slow task wakes the writing thread.
static NEXT_DUMP: AtomicU64 = AtomicU64::new(0);

/// What is watched. One recorder runs in a process, so there is at most one.
#[derive(Debug)]
struct WatchedEvents {
    session: Arc<Session>,
    /// The folder of each rule.
    slow: Vec<PathBuf>,
    panic: Option<PathBuf>,
    signal: Option<PathBuf>,
    limits: DumpLimits,
    last: Option<Instant>,
}

/// Null until it is first used, and again in a forked child, whose copy may stay locked. What it
/// points to is never freed.
static WATCHED: AtomicPtr<Mutex<Option<WatchedEvents>>> = AtomicPtr::new(ptr::null_mut());

/// Whether a signal has come.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

fn with_watched<T>(act: impl FnOnce(&mut Option<WatchedEvents>) -> T) -> T {
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

/// In a forked child: nothing is watched, and there is no thread that writes.
pub(crate) fn forked() {
    WATCHED.store(ptr::null_mut(), Ordering::Relaxed);
    RULE_COUNT.store(0, Ordering::Relaxed);
}

/// Adds something to be watched for the recorder of this session.
fn watch(
    session: &Arc<Session>,
    limits: DumpLimits,
    dir: &Path,
    add: impl FnOnce(&mut WatchedEvents, PathBuf) -> io::Result<()>,
) -> io::Result<()> {
    let _suppressed = local::suppress();
    fs::create_dir_all(dir)?;
    // The program may change its working folder later.
    let dir = path::absolute(dir)?;
    with_watched(|watched| {
        let is_mine = |it: &&mut WatchedEvents| Arc::ptr_eq(&it.session, session);
        if watched.as_mut().filter(is_mine).is_none() {
            start_writer(session)?;
            RULE_COUNT.store(0, Ordering::Relaxed);
            // What happened under an earlier recorder does not count.
            SLOW.store(0, Ordering::Relaxed);
            NEXT_DUMP.store(0, Ordering::Relaxed);
            let session = Arc::clone(session);
            let (slow, panic, signal, last) = (Vec::new(), None, None, None);
            *watched = Some(WatchedEvents { session, slow, panic, signal, limits, last });
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
    limits: DumpLimits,
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
        // `Release` pairs with the `Acquire` in `check_rules`: the rule is whole.
        RULE_COUNT.store(at + 1, Ordering::Release);
        Ok(())
    })
}

/// See `FlightRecorder::on_panic`.
pub(crate) fn on_panic(session: &Arc<Session>, limits: DumpLimits, dir: &Path) -> io::Result<()> {
    if std::thread::panicking() {
        // A panic hook can't be replaced while it runs: that would panic again.
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
pub(crate) fn on_signal(session: &Arc<Session>, limits: DumpLimits, dir: &Path) -> io::Result<()> {
    extern "C" fn signalled(_: libc::c_int) {
        SIGNALLED.store(true, Ordering::Relaxed);
        bell::ring();
    }
    watch(session, limits, dir, |watched, dir| {
        // A signal under an earlier recorder does not count.
        SIGNALLED.store(false, Ordering::Relaxed);
        watched.signal = Some(dir);
        Ok(())
    })?;
    let handler = signalled as extern "C" fn(libc::c_int);
    // SAFETY: `signal` wants a handler that may run at any time: this one stores to an atomic, and
    // rings the bell.
    let failed = unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
    if failed == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A task has ended.
#[inline]
pub(crate) fn task_ended(task: &ListedTask) {
    if RULE_COUNT.load(Ordering::Relaxed) > 0 {
        check_rules(task);
    }
}

#[cold]
fn check_rules(task: &ListedTask) {
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
    if local::is_suppressed() {
        // The panic is in the recorder itself, or in the user's writer that it calls: the
        // collector, which takes snapshots, would wait for itself.
        return;
    }
    let _suppressed = local::suppress();
    let wanted = with_watched(|watched| {
        let watched = watched.as_mut()?;
        let dir = watched.panic.clone()?;
        watched.may_dump().then(|| (Arc::clone(&watched.session), dir, watched.limits.kept))
    });
    if let Some((session, dir, kept)) = wanted {
        // Nothing can be done about a failure here.
        let _ = dump(&session, "panic", &dir, kept);
    }
}

impl WatchedEvents {
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

/// Starts the thread that writes. It ends when nothing is watched for this recorder any more. The
/// caller holds the lock, which the thread takes first.
fn start_writer(session: &Arc<Session>) -> io::Result<()> {
    let session = Arc::clone(session);
    bell::prepare();
    let write = move || {
        loop {
            let next = with_watched(|watched| {
                let watched = watched.as_mut();
                let mine = watched.filter(|it| Arc::ptr_eq(&it.session, &session))?;
                Some(mine.next())
            });
            match next {
                // The bell may have been rung for the next recorder's thread.
                None => return bell::ring(),
                Some(NextDump::Wait) => bell::wait(),
                Some(NextDump::TooSoon) => {}
                Some(NextDump::Dump { why, dir, kept }) => _ = dump(&session, why, &dir, kept),
            }
        }
    };
    RecorderThread::spawn(c"exectrace dumps", write).map(drop)
}

/// What the writing thread does next.
enum NextDump {
    /// Nothing has happened.
    Wait,
    /// Something has happened, but too soon after the last dump.
    TooSoon,
    Dump {
        why: &'static str,
        dir: PathBuf,
        kept: usize,
    },
}

impl WatchedEvents {
    /// Takes one thing that has happened.
    fn next(&mut self) -> NextDump {
        let slow = SLOW.load(Ordering::Relaxed);
        let found = if slow != 0 {
            let at = slow.trailing_zeros();
            SLOW.fetch_and(!(1 << at), Ordering::Relaxed);
            self.slow.get(at as usize).map(|dir| ("slow", dir.clone()))
        } else if SIGNALLED.swap(false, Ordering::Relaxed) {
            self.signal.clone().map(|dir| ("signal", dir))
        } else {
            return NextDump::Wait;
        };
        match found {
            Some((why, dir)) if self.may_dump() => {
                NextDump::Dump { why, dir, kept: self.limits.kept }
            }
            _ => NextDump::TooSoon,
        }
    }
}

/// Writes a dump.
fn dump(session: &Arc<Session>, why: &str, dir: &Path, kept: usize) -> Result<(), SnapshotError> {
    folder::add(dir, why, kept, folder::wall, |file| flight::snapshot(session, file))
}

/// Watches nothing any more for the recorder of this session, which is about to stop.
pub(crate) fn forget(session: &Arc<Session>) {
    with_watched(|watched| {
        if watched.as_ref().is_some_and(|it| Arc::ptr_eq(&it.session, session)) {
            RULE_COUNT.store(0, Ordering::Relaxed);
            *watched = None;
            bell::ring();
        }
    });
}
