//! Traces that have too much of something: what is limited stays true. One tick is a nanosecond.

use crate::executor::{Executor, HANDLER, LOCK, QUERY, TIMER};
use trace_analysis::async_tasks::{AsyncTasks, Phase};
use trace_analysis::life::Lives;
use trace_analysis::report::observe;
use trace_analysis::symbols::Symbols;
use trace_analysis::timeline::{Interval, Note, Observer, TaskInterval, ThreadState, Who};
use trace_analysis::{Moment, Trace};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, Definition, ResourceKind};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId, StackId, ThreadId};
use trace_format::read::{NESTING_MAX, TraceFile};
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

const MS: u64 = 1_000_000;

/// Something that goes on while the process is stopped again and again.
#[derive(Default)]
struct Intervals(Vec<Interval>);

impl Observer for Intervals {
    fn interval(&mut self, interval: &Interval) {
        self.0.push(*interval);
    }
}

#[test]
fn no_interval_is_lost_among_many_stops() {
    let stops = 100;
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "sleeper");
    trace.begin_call(1, open_call(CallId::NANOSLEEP, 0, 0), 0);
    for stop in 1..=stops {
        let (from, to) = (Ticks(10 * stop * MS), Ticks((10 * stop + 1) * MS));
        trace.define(&Definition::Stopped { from, to, suspended: Nanos(0) });
    }
    let end = 10 * (stops + 1) * MS;
    let bytes = trace.stop(end);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let mut told = Intervals::default();
    observe(&Trace::new(&file), &mut told, |_| {});
    let all = told.0;
    assert_eq!(all.len() as u64, 2 * stops + 1);
    assert_eq!((all[0].from, all[all.len() - 1].to), (Nanos(0), Nanos(end)));
    assert!(all.windows(2).all(|pair| pair[0].to == pair[1].from), "without a gap");
}

#[test]
fn a_wait_that_was_over_long_ago_is_told_as_it_is_summed() {
    let mut trace = TraceBuilder::started(Compression::None);
    (1..=2).for_each(|thread| trace.thread(thread, "t"));
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.switch_in(0, 0, os_id(1));
    trace.begin_call(1, open_call(CallId::FUTEX_WAIT, 1, 0), 100);
    trace.switch_out(0, 200, os_id(1), false);
    trace.call(2, open_call(CallId::FUTEX_WAKE, 1, 0), 900, 50, 1);
    // Ready since 900, it then gets its CPU a little at a time.
    for n in 1..=300 {
        trace.switch_in(0, 1_000 * n, os_id(1));
        trace.switch_out(0, 1_000 * n + 500, os_id(1), true);
    }
    trace.end_call(1, 301_000, 0);
    let bytes = trace.stop(400_000);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let mut told = Intervals::default();
    let lives = observe(&Trace::new(&file), &mut told, |_| {});
    assert_eq!(lives.threads, Lives::read(&Trace::new(&file), |_| {}).threads);
    let blocked = told.0.iter().filter(|it| matches!(it.state, ThreadState::Blocked(_)));
    let blocked: u64 = blocked.map(|it| it.to.0 - it.from.0).sum();
    let life = lives.threads.iter().find(|life| life.thread == ThreadId(1)).expect("it ran");
    assert_eq!(life.times.blocked(), Nanos(blocked));
}

/// As many regions as are kept, one in another, on thread 1 in one batch: each batch restates what
/// is open.
fn nest(trace: &mut TraceBuilder, site: u32) {
    trace.batch_bytes_max(usize::MAX);
    (0..NESTING_MAX as u64).for_each(|at| trace.begin(1, site, at));
}

#[test]
fn calls_that_lie_too_deep_wait_for_nobody() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Region, "deep");
    (1..=3).for_each(|thread| trace.thread(thread, "t"));
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.stack(1, &[0x100]);
    trace.symbol(0x100, &[("std::sys::sync::mutex::futex::Mutex::lock_contended", "", 0)]);
    // Only with CPUs regions are followed.
    trace.switch_in(0, 0, os_id(1));
    nest(&mut trace, 1);
    let (wait, wake) = (open_call(CallId::FUTEX_WAIT, 1, 1), open_call(CallId::FUTEX_WAKE, 1, 0));
    for n in 0..5 {
        trace.call(1, wait, 100_000 + 100 * n, 10, 0);
        trace.begin_call(1, wake, 101_000 + 100 * n);
        trace.end_call(1, 101_010 + 100 * n, 0);
    }
    trace.call(3, wait, 200_000, 100_000, 0);
    trace.call(2, wake, 290_000, 1_000, 1);
    let bytes = trace.stop(400_000);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let lives = Lives::read(&Trace::new(&file).named(&symbols), |_| {});
    assert_eq!(lives.too_deep, 10);
    let [lock] = lives.waits.by_resource.as_slice() else { panic!("{:?}", lives.waits) };
    let caused: Vec<_> = lock.holders.iter().map(|holder| holder.caused).collect();
    assert_eq!((lock.waiters_max, caused), (1, vec![Nanos(90_000)]));
}

#[test]
fn a_poll_that_lies_too_deep_does_not_last() {
    let mut e = Executor::new();
    e.spawn(2, 0, 1, HANDLER);
    nest(&mut e.0, QUERY);
    e.begin_poll(1, 100_000, 1);
    e.event(1, 100_010, EventKind::EndPoll { waits_at: StackId(LOCK) });
    let file = TraceFile::open(e.stop(200_000)).expect("a trace");
    let tasks = AsyncTasks::read(&Trace::new(&file), |_| {});
    assert_eq!(tasks.too_deep, 1);
    let [task] = tasks.unfinished.as_slice() else { panic!("{:?}", tasks.unfinished) };
    assert_eq!((task.phase, task.since), (Phase::New, Moment(0)));
}

/// How many intervals of tasks were told by the time of the last wake.
#[derive(Default)]
struct Lag {
    told: usize,
    by_last_wake: usize,
}

impl Observer for Lag {
    fn task_interval(&mut self, _: &TaskInterval) {
        self.told += 1;
    }

    fn event(&mut self, _: Who, _: Nanos, kind: &EventKind<'_>, _: Note) {
        if let EventKind::Wake { .. } = kind {
            self.by_last_wake = self.told;
        }
    }
}

#[test]
fn what_a_busy_task_does_is_told_soon_though_it_is_unclear_what_it_waited_for() {
    let polls = 1_000;
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.begin_poll(1, 10, 1);
    for (child, stack) in [(2, TIMER), (3, LOCK)] {
        e.begin(1, 10 + child, child, QUERY);
        e.poll(1, 10 + child, child, stack, 0);
    }
    e.event(1, 20, EventKind::EndPoll { waits_at: StackId(0) });
    e.wake(2, 500, 1, 0);
    // It is woken in each poll, and so never idle again.
    for at in (1..=polls).map(|n| 1_000 * n) {
        e.begin_poll(1, at, 1);
        e.wake(1, at + 10, 1, 0);
        e.event(1, at + 100, EventKind::EndPoll { waits_at: StackId(0) });
    }
    let bytes = e.stop(2_000_000);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let mut lag = Lag::default();
    observe(&Trace::new(&file).named(&symbols), &mut lag, |_| {});
    assert!(lag.by_last_wake as u64 > 2 * polls - 100, "{} by then", lag.by_last_wake);
}

/// Wants no sums.
struct Unsummed;

impl Observer for Unsummed {
    const WANTS_SUMS: bool = false;
}

#[test]
fn who_wants_no_sums_gets_no_waits() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "t");
    trace.switch_in(0, 10, os_id(1));
    trace.switch_out(0, 1_000, os_id(1), false);
    trace.switch_in(0, 900_000, os_id(1));
    let bytes = trace.stop(1_000_000);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let trace = Trace::new(&file);
    assert_eq!(Lives::read(&trace, |_| {}).waits.by_reason.len(), 1, "there is one");
    assert_eq!(observe(&trace, &mut Unsummed, |_| {}).waits.by_reason, []);
}

#[test]
fn a_task_that_has_ended_in_its_poll_is_polled_no_longer() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.begin_poll(1, 10, 1);
    e.end(1, 20, 1, Outcome::Ended);
    let bytes = e.stop(1_000);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let mut tasks = Tasks::default();
    observe(&Trace::new(&file), &mut tasks, |_| {});
    let told: Vec<_> = tasks.0.iter().map(|it| (it.task, it.from, it.to)).collect();
    let (ready, polled) = ((Moment(0), Some(Nanos(10))), (Moment(10), Some(Nanos(20))));
    assert_eq!(told, [(FutureId(1), ready.0, ready.1), (FutureId(1), polled.0, polled.1)]);
}

/// What tasks did.
#[derive(Default)]
struct Tasks(Vec<TaskInterval>);

impl Observer for Tasks {
    fn task_interval(&mut self, interval: &TaskInterval) {
        self.0.push(*interval);
    }
}
