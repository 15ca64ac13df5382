//! An executor's traces in the making: sites and stacks that tests of async tasks share.

#![allow(dead_code, reason = "every test uses a part of it")]

use trace_analysis::async_tasks::SpawnSite;
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::testgen::TraceBuilder;
use trace_format::time::Ticks;
use trace_format::value::Values;

/// Call sites.
pub(crate) const HANDLER: u32 = 1;
pub(crate) const WRITER: u32 = 2;
pub(crate) const QUERY: u32 = 3;
pub(crate) const PARKED: u32 = 4;

/// Stacks: where a lock, a timer and a channel are awaited, where the lock is given up, and where
/// a thread sleeps, as it is and inside `block_in_place`; where room in a channel and an answer
/// are awaited; where a thread waits in `block_on`, and where a runtime wakes it as a task has
/// ended, or as time is up; where a socket is awaited, and where a runtime wakes a task as one is
/// ready; where a runtime's socket is written to.
pub(crate) const LOCK: u32 = 1;
pub(crate) const TIMER: u32 = 2;
pub(crate) const RELEASE: u32 = 3;
pub(crate) const BLOCK: u32 = 4;
pub(crate) const PASS: u32 = 5;
pub(crate) const IN_PLACE: u32 = 6;
pub(crate) const ROOM: u32 = 7;
pub(crate) const ANSWER: u32 = 8;
pub(crate) const BLOCK_ON: u32 = 9;
pub(crate) const ENDED: u32 = 10;
pub(crate) const TIME_UP: u32 = 11;
pub(crate) const SOCKET: u32 = 12;
pub(crate) const IO_READY: u32 = 13;
pub(crate) const WRITE: u32 = 14;

pub(crate) const NONE: Values<'static> = Values::new(&[]);

/// A trace in the making: two workers, and what they poll.
pub(crate) struct Executor(pub(crate) TraceBuilder);

impl Executor {
    pub(crate) fn new() -> Self {
        let mut trace = TraceBuilder::started(Compression::None);
        for (id, kind, name) in [
            (HANDLER, CallsiteKind::Future, "handler"),
            (WRITER, CallsiteKind::Future, "writer"),
            (QUERY, CallsiteKind::Future, "query"),
            (PARKED, CallsiteKind::Region, "parked"),
        ] {
            trace.callsite(id, kind, name);
        }
        trace.thread(1, "worker-0");
        trace.thread(2, "worker-1");
        let acquire = "<tokio::sync::batch_semaphore::Acquire as core::future::Future>::poll";
        let lock = "<tokio::sync::mutex::Mutex<u8>>::lock::{closure#0}";
        let sleep = "<tokio::time::sleep::Sleep as core::future::Future>::poll";
        let guard = "<tokio::sync::mutex::MutexGuard<u8> as core::ops::drop::Drop>::drop";
        let receive = "tokio::sync::mpsc::chan::Rx::recv";
        let in_place = "tokio::task::blocking::block_in_place";
        let send = "<tokio::sync::mpsc::bounded::Sender<u8>>::send::{closure#0}";
        let answer = "<tokio::sync::oneshot::Receiver<u8> as core::future::Future>::poll";
        let park = "tokio::runtime::park::CachedParkThread::block_on";
        let block_on = "tokio::runtime::runtime::Runtime::block_on";
        let unpark = "tokio::runtime::park::unpark";
        let ended = "tokio::runtime::task::harness::Harness<T,S>::complete";
        let time_up = "tokio::runtime::time::handle::Handle::process_at_time";
        let socket = "<tokio::net::tcp::stream::TcpStream as tokio::io::AsyncRead>::poll_read";
        let wake_all = "tokio::util::wake_list::WakeList::wake_all";
        let ready = "tokio::runtime::io::scheduled_io::ScheduledIo::wake";
        for (stack, inner, own, line) in [
            (LOCK, [acquire, lock], "app::handler::{closure#0}", 88),
            (TIMER, [sleep, sleep], "app::writer::{closure#0}", 66),
            (RELEASE, [guard, guard], "app::writer::{closure#0}", 70),
            (BLOCK, ["std::thread::sleep", "std::thread::sleep"], "app::query::{closure#0}", 12),
            (PASS, [receive, receive], "app::handler::{closure#0}", 95),
            (IN_PLACE, ["std::thread::sleep", in_place], "app::query::{closure#0}", 12),
            (ROOM, [send, send], "app::handler::{closure#0}", 101),
            (ANSWER, [answer, answer], "app::handler::{closure#0}", 107),
            (BLOCK_ON, [park, block_on], "app::main", 5),
            (ENDED, [unpark, ended], "std::thread::spawn", 0),
            (TIME_UP, [unpark, time_up], "std::thread::spawn", 0),
            (SOCKET, [socket, socket], "app::handler::{closure#0}", 113),
            (
                WRITE,
                ["mio::net::tcp::stream::TcpStream::write", socket],
                "app::query::{closure#0}",
                14,
            ),
            // The driver of timers calls the other.
            (IO_READY, [wake_all, ready], "tokio::runtime::time::Driver::park_internal", 0),
        ] {
            let address = u64::from(stack) * 0x100;
            trace.stack(stack, &[address, address + 1, address + 2]);
            trace.symbol(address, &[(inner[0], "", 0)]);
            trace.symbol(address + 1, &[(inner[1], "", 0)]);
            trace.symbol(address + 2, &[(own, "src/app.rs", line)]);
        }
        Self(trace)
    }

    pub(crate) fn event(&mut self, thread: u32, at: u64, kind: EventKind<'_>) {
        self.0.event(thread, at, kind);
    }

    pub(crate) fn spawn(&mut self, thread: u32, at: u64, future: u64, site: u32) {
        let (future, site) = (FutureId(future), SiteId(site));
        let (parent, task, stack) = (FutureId(0), TaskId(0), StackId(0));
        self.event(thread, at, EventKind::FutureSpawn { future, parent, task, site, stack });
    }

    pub(crate) fn begin(&mut self, thread: u32, at: u64, future: u64, site: u32) {
        let (future, task, site) = (FutureId(future), TaskId(0), SiteId(site));
        self.event(thread, at, EventKind::FutureBegin { future, task, site, values: NONE });
    }

    pub(crate) fn poll(&mut self, thread: u32, at: u64, future: u64, stack: u32, ticks: u64) {
        let (future, waits_at, duration) = (FutureId(future), StackId(stack), Ticks(ticks));
        self.event(thread, at, EventKind::Poll { future, waits_at, duration });
    }

    pub(crate) fn begin_poll(&mut self, thread: u32, at: u64, future: u64) {
        self.event(thread, at, EventKind::PollBegin { future: FutureId(future) });
    }

    pub(crate) fn wake(&mut self, thread: u32, at: u64, future: u64, stack: u32) {
        let (future, stack) = (FutureId(future), StackId(stack));
        self.event(thread, at, EventKind::Wake { future, stack });
    }

    pub(crate) fn end(&mut self, thread: u32, at: u64, future: u64, outcome: Outcome) {
        let future = FutureId(future);
        self.event(thread, at, EventKind::FutureEnd { future, outcome, values: NONE });
    }

    pub(crate) fn region(&mut self, thread: u32, at: u64, site: u32, ticks: u64) {
        self.0.region(thread, site, at, ticks);
    }

    pub(crate) fn generation(&mut self, at: u64) {
        self.0.generation(at);
    }

    pub(crate) fn stop(self, at: u64) -> Vec<u8> {
        self.0.stop(at)
    }

    /// As a crash would leave it.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0.killed()
    }
}

/// How many ended, in whatever way.
pub(crate) fn ended(site: &SpawnSite) -> u64 {
    site.returned + site.failed + site.dropped + site.panicked
}
