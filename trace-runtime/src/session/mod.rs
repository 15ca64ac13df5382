//! One session, from start to stop, as the recording threads see it: whether it still runs, which
//! thread collects, and what the collector has to be told.
//!
//! `process` has what outlives a session; `running` finds the session that threads may attach to.
//!
//! May contain `unsafe`: references to threads lie in an inbox as pointers.

pub(crate) mod process;
pub(crate) mod running;

use crate::base::error::Report;
use crate::base::options::{OnFull, Options};
use crate::base::primitive::global::{AtomicU32, fence};
use crate::base::primitive::{AtomicBool, AtomicUsize, Ordering};
use crate::buffer::inbox::Inbox;
use crate::output::{Output, Snapshot};
use crate::sys::clock::Instant;
use crate::thread::RecordingThread;
use crate::thread::thread_ref::ThreadRef;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use trace_format::id::ThreadId;

/// A call site was switched on or off while a trace ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwitchEvent {
    pub(crate) site: u32,
    pub(crate) on: bool,
    pub(crate) ticks: u64,
}

/// The collector is woken once this much is sealed: a few batches, so that a wake-up, which takes
/// some microseconds, comes only after milliseconds of recording, and the batches on their way
/// still fit a core's cache.
const WAKE_BYTES: usize = 256 << 10;

/// Number of sweeps without result after which threads ask for no more: all memory is then in
/// batches that threads have open, until the collector has freed something.
const BARREN_SWEEPS_MAX: usize = 3;

/// Maximum number of times that threads wait for memory before the collector has begun; about a
/// second in all. The collector begins at once, except if a library starts the trace while it is
/// being loaded: then the collector's thread waits for the loader's lock, and the thread that holds
/// that lock must not wait for the collector.
const EARLY_WAITS_MAX: u32 = 20_000;

/// Maximum time that a request waits for a collector that has not begun, for the same reason.
const EARLY_ANSWER: Duration = Duration::from_secs(1);

/// One session. Its alignment leaves bits of a pointer free, which count the threads that are
/// attaching (`running`).
#[derive(Debug)]
#[repr(align(4096))]
pub(crate) struct Session {
    ended: AtomicBool,
    /// Bytes sealed since the collector last asked.
    sealed_bytes: AtomicUsize,
    /// A thread has found no memory: asks the collector to sweep.
    wanted: AtomicBool,
    /// The table of resources is nearly full: asks the collector to make room.
    crowded: AtomicBool,
    /// Number of sweeps in a row that freed nothing.
    barren_sweeps: AtomicUsize,
    on_full: OnFull,
    /// Whether there are requests.
    asked: AtomicBool,
    /// Set by the collector when it begins.
    collector: OnceLock<std::thread::Thread>,
    /// The system's id of the collector's thread. Set before threads may attach.
    collector_id: AtomicU32,
    /// Threads that have attached since the collector last asked: references, as pointers. Without
    /// a lock, as a thread may attach in a signal handler.
    joined: Inbox<RecordingThread>,
    /// Number of threads that have attached.
    threads: AtomicU32,
    /// Number of times that threads have waited for memory before the collector began.
    early_waits: AtomicU32,
    /// Other news for the collector. Locked by ordinary code only, never in a signal handler, so
    /// its lists may allocate.
    news: Mutex<ThreadNews>,
    /// The trace's number: [`process::number`] while it runs.
    pub(crate) number: u64,
    /// The id of the process that started it; a forked child has another one.
    pub(crate) process: u32,
}

/// What threads tell the collector in addition to their batches.
#[derive(Debug, Default)]
pub(crate) struct ThreadNews {
    pub(crate) threads: Vec<ThreadRef>,
    pub(crate) switches: Vec<SwitchEvent>,
    /// Threads, the ticks of their renaming, and their new names.
    pub(crate) names: Vec<(ThreadId, u64, String)>,
    /// What the collector shall do.
    pub(crate) requests: Vec<Request>,
}

/// What the collector shall do, and the channel for its answer. An answer that no thread waits for
/// is dropped.
#[derive(Debug)]
pub(crate) enum Request {
    /// Begin another output. Answer: the error, if it could not begin.
    Attach(Output, SyncSender<Option<io::Error>>),
    /// End the file, while the session goes on. Answer: what it came to.
    EndFile(SyncSender<(Report, Option<io::Error>)>),
    /// End the ring, while the session goes on.
    EndRing(SyncSender<()>),
    /// Take a snapshot of the ring.
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

    /// Ends the session: from here on no thread opens a batch. For the `Release` see
    /// `RecordingThread::retire`, which follows.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Asks the collector to free memory. Returns whether the caller should wait for it.
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

    /// Whether a thread has asked for memory since the last call. By the collector, before it
    /// sweeps.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Tells the collector that the table of resources is nearly full.
    #[cfg(os_hooks)]
    pub(crate) fn note_crowded(&self) {
        if !self.crowded.swap(true, Ordering::Relaxed) {
            self.wake_collector();
        }
    }

    /// Whether [`Session::note_crowded`] was called since the last call. By the collector.
    pub(crate) fn take_crowded(&self) -> bool {
        self.crowded.swap(false, Ordering::Relaxed)
    }

    /// By the collector: it has swept, or freed batches while it collected.
    pub(crate) fn note_sweep(&self, freed: bool) {
        let before = self.barren_sweeps.load(Ordering::Relaxed);
        self.barren_sweeps.store(if freed { 0 } else { before + 1 }, Ordering::Relaxed);
    }

    /// A batch of `bytes` is sealed.
    pub(crate) fn note_sealed(&self, bytes: usize) {
        let before = self.sealed_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before < WAKE_BYTES && before + bytes >= WAKE_BYTES {
            self.wake_collector();
        }
    }

    /// The bytes sealed since the last call. By the collector, before it collects.
    pub(crate) fn take_sealed(&self) -> usize {
        self.sealed_bytes.swap(0, Ordering::Relaxed)
    }

    /// By the collector, when it begins.
    pub(crate) fn set_collector(&self, thread: std::thread::Thread) {
        // The collector calls this once.
        let _ = self.collector.set(thread);
        // Pairs with the fence in `wake_collector`: what was stored before that wake is seen by the
        // collector's first look.
        fence(Ordering::SeqCst);
    }

    /// Whether the collector's thread has begun to work.
    pub(crate) fn has_begun(&self) -> bool {
        self.collector.get().is_some()
    }

    /// Waits for the collector's answer. `None` if the collector is gone, or has not begun in time.
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

    /// Waits up to [`EARLY_ANSWER`] for the collector to begin. Returns whether it has.
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

    /// The system's id of the collector's thread, which is not one of the program's.
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

    /// A new id, for a thread that attaches.
    pub(crate) fn next_thread(&self) -> ThreadId {
        ThreadId(self.threads.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes a thread known to the collector. Returns false if the session has ended: its events
    /// would not be collected.
    pub(crate) fn join(&self, thread: &ThreadRef) -> bool {
        let thread = thread.clone().into_raw();
        // SAFETY: `push` wants an item of the caller's that is in no inbox and lives on: it is new,
        // and its reference belongs to the inbox from now on.
        let is_known = unsafe { self.joined.push(thread) };
        if !is_known {
            // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: it was not pushed.
            drop(unsafe { ThreadRef::from_raw(thread) });
        }
        is_known
    }

    /// By the collector: the threads that have attached since the last call. After the session's
    /// end this also closes the inbox, so no thread attaches later.
    fn take_joined(&self) -> Vec<ThreadRef> {
        let joined = if self.is_ended() { self.joined.close() } else { self.joined.take() };
        // SAFETY: `from_raw` wants the pointer of one `into_raw`, once: only such are pushed.
        joined.map(|thread| unsafe { ThreadRef::from_raw(thread) }).collect()
    }

    /// Hands a request to the collector. If the session has ended, or ends before the answer, the
    /// request is dropped, and with it the channel, which tells the waiting thread.
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

    /// Drops what was asked: the session has ended, and no collector will answer.
    pub(crate) fn refuse(&self) {
        drop(self.take_joined());
        // A later `ask` sees, under this lock, that the session has ended.
        let requests = std::mem::take(&mut self.lock().requests);
        drop(requests);
    }

    /// By the collector: the requests since the last call.
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

    /// By the collector: the news since the last call, without requests.
    pub(crate) fn take_news(&self) -> ThreadNews {
        let threads = self.take_joined();
        let mut news = self.lock();
        let requests = std::mem::take(&mut news.requests);
        let news = std::mem::replace(&mut *news, ThreadNews { requests, ..ThreadNews::default() });
        ThreadNews { threads, ..news }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ThreadNews> {
        // A panic while it was held leaves the lists valid.
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
