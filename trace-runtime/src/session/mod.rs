//! One trace from start to stop, as the recording threads see it: is it still on, who collects,
//! which thread am I.
//!
//! `process` is what outlives a session, and `running` finds the one that threads may attach to.
//!
//! May contain `unsafe`: references to threads lie in an inbox as pointers.

pub(crate) mod process;
pub(crate) mod running;

use crate::base::error::Report;
use crate::base::options::{OnFull, Options};
use crate::base::primitive::global::{AtomicU32, fence};
use crate::base::primitive::{AtomicBool, AtomicUsize, Ordering};
use crate::buffer::inbox::Inbox;
use crate::output::outlet::{Outlet, Snapshot};
use crate::sys::clock::Instant;
use crate::thread::Thread;
use crate::thread::thread_ref::ThreadRef;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use trace_format::id::ThreadId;

/// That a site was switched while a trace ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwitchEvent {
    pub(crate) site: u32,
    pub(crate) on: bool,
    pub(crate) ticks: u64,
}

/// The collector is woken once this much is sealed: a few batches, so that a wake-up, some
/// microseconds long, is paid for by milliseconds of recording, and the batches in flight still
/// fit a core's cache.
const WAKE_BYTES: usize = 256 << 10;

/// After so many sweeps that have found nothing, all memory is in batches that threads have open:
/// asking again is pointless until the collector has moved something.
const BARREN_SWEEPS_MAX: usize = 3;

/// How often threads wait for memory before the collector has begun: for about a second in all. It
/// begins at once, except while a library is being loaded that starts the trace: its thread then
/// waits for the loader's lock, and the thread that has that lock must not wait for it.
const EARLY_WAITS_MAX: u32 = 20_000;

/// How long a request waits for a collector that has not begun, for the same reason.
const EARLY_ANSWER: Duration = Duration::from_secs(1);

/// One trace. Its alignment leaves room in a pointer to count who is about to attach (`running`).
#[derive(Debug)]
#[repr(align(4096))]
pub(crate) struct Session {
    ended: AtomicBool,
    /// Sealed since the collector last looked.
    sealed_bytes: AtomicUsize,
    /// A thread has found no memory: the collector is to sweep.
    wanted: AtomicBool,
    /// Names of resources have little room left: the collector is to make some.
    crowded: AtomicBool,
    /// Sweeps in a row that have freed nothing.
    barren_sweeps: AtomicUsize,
    on_full: OnFull,
    /// There are requests.
    asked: AtomicBool,
    /// Set by the collector when it begins.
    collector: OnceLock<std::thread::Thread>,
    /// The system's id of the collector's thread, from before threads may attach.
    collector_id: AtomicU32,
    /// Threads that have attached since the collector last looked: references, as pointers. No
    /// lock, for a thread may attach in a signal handler.
    joined: Inbox<Thread>,
    /// Threads that have attached.
    threads: AtomicU32,
    /// How often a thread has waited for memory before the collector began.
    early_waits: AtomicU32,
    /// What else is new for the collector. Locked by ordinary code only, which may allocate
    /// meanwhile.
    news: Mutex<News>,
    /// Counts traces: what [`process::number`] is while this one runs.
    pub(crate) number: u64,
    /// Started in this process; a forked child has another id.
    pub(crate) process: u32,
}

/// What threads tell the collector beside their batches.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) threads: Vec<ThreadRef>,
    pub(crate) switches: Vec<SwitchEvent>,
    /// Threads, since when, and their new names.
    pub(crate) names: Vec<(ThreadId, u64, String)>,
    /// What the collector is asked for.
    pub(crate) requests: Vec<Request>,
}

/// What whoever starts, stops or wants to see something asks of the collector. An answer that
/// nobody waits for is thrown away.
#[derive(Debug)]
pub(crate) enum Request {
    /// Another outlet; why it could not begin, if it could not.
    Attach(Outlet, SyncSender<Option<io::Error>>),
    /// The file is to be ended, while the session goes on.
    EndFile(SyncSender<(Report, Option<io::Error>)>),
    /// The ring is to go, while the session goes on.
    EndRing(SyncSender<()>),
    /// What the ring has.
    Snapshot(SyncSender<Snapshot>),
}

impl Session {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            ended: AtomicBool::new(false),
            sealed_bytes: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            barren_sweeps: AtomicUsize::new(0),
            on_full: options.on_full,
            asked: AtomicBool::new(false),
            collector: OnceLock::new(),
            collector_id: AtomicU32::new(0),
            joined: Inbox::new(),
            threads: AtomicU32::new(0),
            early_waits: AtomicU32::new(0),
            news: Mutex::default(),
            number: process::number() + 1,
            process: std::process::id(),
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// From here on no thread opens a batch. `Release`: see `Thread::retire`, which follows.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// There is no memory: asks the collector to sweep for some. Whether to wait for it.
    pub(crate) fn ask_for_memory(&self) -> bool {
        if self.is_ended() || self.barren_sweeps.load(Ordering::Relaxed) >= BARREN_SWEEPS_MAX {
            return false;
        }
        if !self.wanted.swap(true, Ordering::Relaxed) {
            self.wake_collector();
        }
        self.on_full == OnFull::Wait && (self.has_begun() || self.may_wait_early())
    }

    fn may_wait_early(&self) -> bool {
        self.early_waits.fetch_add(1, Ordering::Relaxed) < EARLY_WAITS_MAX
    }

    /// By the collector, before it sweeps.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Names of resources have little room left.
    #[cfg(os_hooks)]
    pub(crate) fn note_crowded(&self) {
        if !self.crowded.swap(true, Ordering::Relaxed) {
            self.wake_collector();
        }
    }

    /// By the collector, before it makes room.
    pub(crate) fn take_crowded(&self) -> bool {
        self.crowded.swap(false, Ordering::Relaxed)
    }

    /// By the collector: it has swept, or moved batches on the way.
    pub(crate) fn note_sweep(&self, freed: bool) {
        let before = self.barren_sweeps.load(Ordering::Relaxed);
        self.barren_sweeps.store(if freed { 0 } else { before + 1 }, Ordering::Relaxed);
    }

    /// A batch of so many bytes is sealed.
    pub(crate) fn note_sealed(&self, bytes: usize) {
        let before = self.sealed_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before < WAKE_BYTES && before + bytes >= WAKE_BYTES {
            self.wake_collector();
        }
    }

    /// By the collector, before it looks.
    pub(crate) fn take_sealed(&self) -> usize {
        self.sealed_bytes.swap(0, Ordering::Relaxed)
    }

    /// By the collector, when it begins.
    pub(crate) fn set_collector(&self, thread: std::thread::Thread) {
        // It calls this once.
        let _ = self.collector.set(thread);
        // Goes with the one in `wake_collector`: what was said before is seen when it looks first.
        fence(Ordering::SeqCst);
    }

    /// Whether the collector's thread has begun to work.
    pub(crate) fn has_begun(&self) -> bool {
        self.collector.get().is_some()
    }

    /// What the collector answers. `None` if it is gone, or has not begun in time.
    pub(crate) fn wait_for_answer<T>(&self, answer: &Receiver<T>) -> Option<T> {
        if !self.has_begun() {
            match answer.recv_timeout(EARLY_ANSWER) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if !self.has_begun() => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        answer.recv().ok()
    }

    /// Waits for the collector to begin, within reason. Whether it has.
    pub(crate) fn wait_for_begin(&self) -> bool {
        let end = Instant::now() + EARLY_ANSWER;
        while !self.has_begun() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        true
    }

    pub(crate) fn set_collector_id(&self, system_id: u32) {
        self.collector_id.store(system_id, Ordering::Relaxed);
    }

    /// The system's id of the collector's thread, which is no thread of the program's.
    #[cfg(os_hooks)]
    pub(crate) fn collector_id(&self) -> u32 {
        self.collector_id.load(Ordering::Relaxed)
    }

    pub(crate) fn wake_collector(&self) {
        fence(Ordering::SeqCst);
        if let Some(thread) = self.collector.get() {
            thread.unpark();
        }
    }

    /// The id of a thread that attaches.
    pub(crate) fn next_thread(&self) -> ThreadId {
        ThreadId(self.threads.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes a thread known. False if the session has ended: nobody would look at what it records.
    pub(crate) fn join(&self, thread: &ThreadRef) -> bool {
        let thread = thread.clone().into_raw();
        // SAFETY: `push` wants an item of the caller's that is in no inbox and stays: it is new,
        // and the reference is the inbox's from now on.
        let is_known = unsafe { self.joined.push(thread) };
        if !is_known {
            // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: it was not pushed.
            drop(unsafe { ThreadRef::from_raw(thread) });
        }
        is_known
    }

    /// By the collector: threads that have attached since the last call; from the end of the
    /// session on, the last that can.
    fn take_joined(&self) -> Vec<ThreadRef> {
        let joined = if self.is_ended() { self.joined.close() } else { self.joined.take() };
        // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: only such are pushed.
        joined.map(|thread| unsafe { ThreadRef::from_raw(thread) }).collect()
    }

    /// Asks something of the collector. If the session has ended, or does before it is answered,
    /// the request is thrown away, and whoever waits for an answer is told so by that.
    pub(crate) fn ask(&self, request: Request) {
        let mut news = self.lock();
        if self.is_ended() {
            return;
        }
        news.requests.push(request);
        drop(news);
        self.asked.store(true, Ordering::Release);
        self.wake_collector();
    }

    /// The session has ended, and nobody will answer.
    pub(crate) fn refuse(&self) {
        drop(self.take_joined());
        // Who asks from here on sees, under this lock, that it has ended.
        let requests = std::mem::take(&mut self.lock().requests);
        drop(requests);
    }

    /// By the collector: what it is asked for.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        if !self.asked.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut self.lock().requests)
    }

    pub(crate) fn note_switch(&self, event: SwitchEvent) {
        self.lock().switches.push(event);
    }

    /// A thread has a new name.
    pub(crate) fn note_name(&self, thread: ThreadId, ticks: u64, name: String) {
        self.lock().names.push((thread, ticks, name));
    }

    /// By the collector: what is new since the last call.
    pub(crate) fn take_news(&self) -> News {
        let threads = self.take_joined();
        let mut news = self.lock();
        let requests = std::mem::take(&mut news.requests);
        let news = std::mem::replace(&mut *news, News { requests, ..News::default() });
        News { threads, ..news }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, News> {
        // A panic while it was held leaves lists that are still lists.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn nobody_waits_for_ever_for_a_collector_that_does_not_begin() {
        let session = Session::new(&Options::new().on_full(OnFull::Wait));
        let waits = (0..=EARLY_WAITS_MAX).take_while(|_| session.ask_for_memory()).count();
        assert_eq!(waits, EARLY_WAITS_MAX as usize);
        let (_done, is_done) = mpsc::sync_channel::<()>(1);
        assert_eq!(session.wait_for_answer(&is_done), None);
        assert!(!session.wait_for_begin());
        session.set_collector(std::thread::current());
        assert!(session.ask_for_memory() && session.wait_for_begin());
    }
}
