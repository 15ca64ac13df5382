//! A server of async tasks, made by hand: everything that can be wrong with one is, and every time
//! is known.
//!
//! Two workers. Every 20 ms a `writer` takes a lock, and waits for a timer for 10 ms with it; each
//! of three `handler`s, spawned 2 ms later, waits for that lock. Every 100 ms a `report` sleeps for
//! 30 ms in its poll on `worker-0`, and a handler that is ready meanwhile is polled behind it. One
//! `orphan` waits for a message, and nobody is left to send it; one `listener` waits for a socket.

use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId, SiteId, StackId, TaskId};
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::Ticks;
use trace_format::value::Values;

use super::Words;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

const HANDLER: u32 = 1;
const WRITER: u32 = 2;
const REPORT: u32 = 3;
const ORPHAN: u32 = 4;
const LISTENER: u32 = 5;
const RENDER: u32 = 6;
const PARKED: u32 = 7;

const LOCK: u32 = 1;
const TIMER: u32 = 2;
const RELEASE: u32 = 3;
const SLEEP: u32 = 4;
const RECEIVE: u32 = 5;
const ACCEPT: u32 = 6;
const PASS: u32 = 7;

/// How many rounds there are.
pub(crate) const ROUNDS: u64 = 25;
/// How long one is.
pub(crate) const ROUND: u64 = 20 * MS;

struct Server {
    trace: TraceBuilder,
    next: u64,
}

/// The trace.
pub(crate) fn server() -> Vec<u8> {
    let mut server = Server { trace: started(), next: 10 };
    server.spawn(1, 100 * US, 1, ORPHAN);
    server.spawn(1, 110 * US, 2, LISTENER);
    server.poll(2, 200 * US, 1, RECEIVE, 50 * US);
    server.trace.event(2, 260 * US, EventKind::Unwakeable { future: FutureId(1) });
    server.poll(2, 300 * US, 2, ACCEPT, 50 * US);
    for round in 0..ROUNDS {
        server.round(MS + round * ROUND);
        if round % 5 == 0 {
            server.report(MS + round * ROUND + 14 * MS);
        }
    }
    server.trace.stop(MS + ROUNDS * ROUND + 40 * MS)
}

impl Server {
    fn round(&mut self, from: u64) {
        let writer = self.id();
        self.spawn(2, from, writer, WRITER);
        self.poll(2, from + 100 * US, writer, TIMER, 100 * US);
        let handlers: Vec<_> = (0..3).map(|_| self.id()).collect();
        for (&handler, at) in handlers.iter().zip(1..) {
            self.spawn(2, from + 2 * MS + at * 10 * US, handler, HANDLER);
            self.poll(2, from + 2 * MS + at * 100 * US, handler, LOCK, 50 * US);
        }
        self.trace.region(2, PARKED, from + 3 * MS, 7 * MS);
        self.wake(2, from + 10_100 * US, writer, 0);
        self.begin_poll(2, from + 10_150 * US, writer);
        self.wake(2, from + 10_200 * US, handlers[0], RELEASE);
        self.finish(2, from + 10_250 * US, writer);
        // Each hands it on to the next.
        for (at, &handler) in handlers.iter().enumerate() {
            let begin = from + 10_500 * US + at as u64 * 500 * US;
            self.begin_poll(2, begin, handler);
            if let Some(&next) = handlers.get(at + 1) {
                self.wake(2, begin + 100 * US, next, PASS);
            }
            self.finish(2, begin + 200 * US, handler);
        }
    }

    /// A poll that sleeps, and whoever is polled behind it.
    fn report(&mut self, from: u64) {
        let (report, render, late) = (self.id(), self.id(), self.id());
        self.spawn(2, from, report, REPORT);
        self.spawn(2, from + 50 * US, late, HANDLER);
        self.begin_poll(1, from + 20 * US, report);
        let (future, site, values) = (FutureId(render), SiteId(RENDER), Values::new(&[]));
        let begin = EventKind::FutureBegin { future, task: TaskId(0), site, values };
        self.trace.event(1, from + 30 * US, begin);
        self.begin_poll(1, from + 40 * US, render);
        let sleep = open_call(CallId::CLOCK_NANOSLEEP, 0, SLEEP);
        self.trace.call(1, sleep, from + 100 * US, 30 * MS, 0);
        self.trace.switch_out(0, from + 110 * US, os_id(1), false);
        self.trace.switch_in(0, from + 30_090 * US, os_id(1));
        self.finish(1, from + 30_200 * US, render);
        self.finish(1, from + 30_300 * US, report);
        self.begin_poll(1, from + 30_500 * US, late);
        self.finish(1, from + 30_600 * US, late);
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn spawn(&mut self, thread: u32, at: u64, future: u64, site: u32) {
        let (future, site) = (FutureId(future), SiteId(site));
        let (parent, task, stack) = (FutureId(0), TaskId(0), StackId(0));
        self.trace.event(thread, at, EventKind::FutureSpawn { future, parent, task, site, stack });
    }

    fn poll(&mut self, thread: u32, at: u64, future: u64, stack: u32, ticks: u64) {
        let (future, waits_at, duration) = (FutureId(future), StackId(stack), Ticks(ticks));
        self.trace.event(thread, at, EventKind::Poll { future, waits_at, duration });
    }

    fn begin_poll(&mut self, thread: u32, at: u64, future: u64) {
        self.trace.event(thread, at, EventKind::PollBegin { future: FutureId(future) });
    }

    fn wake(&mut self, thread: u32, at: u64, future: u64, stack: u32) {
        let (future, stack) = (FutureId(future), StackId(stack));
        self.trace.event(thread, at, EventKind::Wake { future, stack });
    }

    /// A future returns, and so does its poll.
    fn finish(&mut self, thread: u32, at: u64, future: u64) {
        let (outcome, values) = (Outcome::Returned, Values::new(&[]));
        self.trace.event(
            thread,
            at,
            EventKind::FutureEnd { future: FutureId(future), outcome, values },
        );
        self.trace.event(thread, at, EventKind::EndPoll { waits_at: StackId(0) });
    }
}

fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    for (id, name) in (1..).zip(["handler", "writer", "report", "orphan", "listener", "render"]) {
        trace.site(id, CallsiteKind::Future, &format!("app::{name}"), &[]);
    }
    trace.site(PARKED, CallsiteKind::Region, "app::parked", &[]);
    trace.thread(1, "worker-0");
    trace.thread(2, "worker-1");
    trace.switch_in(0, 0, os_id(1));
    trace.switch_in(1, 0, os_id(2));
    let registry = "/x/registry/src/index-1/tokio-1.48.0/src";
    let lock = "<tokio::sync::mutex::Mutex<u8>>::lock::{closure#0}";
    let sleep = "<tokio::time::sleep::Sleep as core::future::future::Future>::poll";
    let guard = "<tokio::sync::mutex::MutexGuard<u8> as core::ops::drop::Drop>::drop";
    let ready = "tokio::runtime::io::scheduled_io::ScheduledIo::poll_readiness";
    for (stack, library, own, line) in [
        (LOCK, lock, "app::handler::{closure#0}", 88),
        (TIMER, sleep, "app::writer::{closure#0}", 66),
        (RELEASE, guard, "app::writer::{closure#0}", 70),
        (SLEEP, "std::thread::sleep", "app::render::{closure#0}", 31),
        (RECEIVE, "tokio::sync::oneshot::Receiver::poll", "app::orphan::{closure#0}", 12),
        (ACCEPT, ready, "app::listener::{closure#0}", 20),
        (PASS, guard, "app::handler::{closure#0}", 91),
    ] {
        let address = u64::from(stack) * 0x100;
        trace.stack(stack, &[address, address + 1]);
        trace.symbol(address, &[(library, &format!("{registry}/lib.rs"), 1)]);
        trace.symbol(address + 1, &[(own, "src/app.rs", line)]);
    }
    trace.facility("os", true, "");
    trace.facility("sched", true, "perf_event_open");
    trace
}
