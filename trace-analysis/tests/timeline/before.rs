//! What is said of what began before the trace: how long it really was.

use trace_analysis::async_tasks::{AsyncTasks, Phase};
use trace_analysis::explain::{InsightKind, explain};
use trace_analysis::findings::FindingKind;
use trace_analysis::life::Lives;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Moment, Options, Report, Summary, Trace};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, Definition, OpenSince, ResourceKind};
use trace_format::event::EventKind;
use trace_format::id::{
    CallId, FutureId, Open, OpenCall, ResourceId, SiteId, StackId, TaskId, ThreadId,
};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Values;

const MS: u64 = 1_000_000;
/// When the trace begins, on the clock of the machine.
const START: u64 = 5_000 * MS;

const LOCK: OpenCall = open_call(CallId::FUTEX_WAIT, 1, 1);
const READ: OpenCall = open_call(CallId::READ, 2, 2);

/// A trace of two threads. One has waited for a lock for four seconds, in a region; the other has
/// been in a read for one.
fn late() -> TraceBuilder {
    let mut trace = TraceBuilder::started_at(Compression::None, START);
    trace.callsite(1, CallsiteKind::Region, "work");
    trace.callsite(2, CallsiteKind::Future, "handler");
    trace.thread(1, "stuck");
    trace.thread(2, "reader");
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.resource(2, ResourceKind::Pipe, 3, "");
    for (stack, name) in
        [(1, "std::sys::sync::mutex::futex::Mutex::lock_contended"), (2, "std::io::Read::read")]
    {
        trace.stack(stack, &[u64::from(stack) * 0x100]);
        trace.symbol(u64::from(stack) * 0x100, &[(name, "", 0)]);
    }
    let call = OpenSince { open: Open::Call(LOCK), begin: Ticks(START - 4_000 * MS) };
    let region = OpenSince { open: Open::Region(SiteId(1)), begin: Ticks(START - 4_500 * MS) };
    state(&mut trace, 1, vec![region, call]);
    let read = OpenSince { open: Open::Call(READ), begin: Ticks(START - 1_000 * MS) };
    state(&mut trace, 2, vec![read]);
    trace
}

fn state(trace: &mut TraceBuilder, thread: u32, open: Vec<OpenSince>) {
    let (id, sequence, offset) = (ThreadId(thread), 0, 0);
    trace.define(&Definition::ThreadState { id, sequence, offset, more: false, open });
}

fn lives(bytes: Vec<u8>) -> (TraceFile<Vec<u8>>, Symbols, Lives) {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let lives = Lives::read(&Trace::new(&file).named(&symbols), |_| {});
    (file, symbols, lives)
}

#[test]
fn a_wait_has_its_true_length_and_its_thread_only_the_traces() {
    let mut trace = late();
    // Threads that recorded something restate what is open.
    let (open, since) = (Open::Call(READ), Ticks(1_100 * MS));
    trace.event(2, START + 100 * MS, EventKind::Reopen { open, since });
    trace.end_call(2, START + 500 * MS, 1);
    let (file, symbols, lives) = lives(trace.stop(START + 2_000 * MS));
    let wait = lives.unended[0].wait;
    assert_eq!((wait.begin, wait.duration), (Moment(-4_000 * MS as i64), Nanos(6_000 * MS)));
    let of = |id| lives.threads.iter().find(|life| life.thread == ThreadId(id)).expect("a life");
    assert_eq!((of(1).begin, of(1).times.total()), (Nanos(0), Nanos(2_000 * MS)));
    let group = &lives.waits.by_resource[0];
    assert_eq!((group.total, group.quantiles.max), (Nanos(2_000 * MS), Nanos(6_000 * MS)));
    // A call that has ended, too.
    let read = lives.calls.by_call.iter().find(|it| it.call == READ.call).expect("it ended");
    assert_eq!((read.total, read.quantiles.max), (Nanos(500 * MS), Nanos(1_500 * MS)));
    assert_eq!(read.longest[0].begin, Moment(-1_000 * MS as i64));
    let report = Report { lives, ..Report::default() };
    let found = explain(&Trace::new(&file).named(&symbols), &report);
    assert_eq!((found.len(), found[0].kind), (1, InsightKind::Stuck));
    let evidence = &found[0].evidence[0];
    assert!(evidence.ends_with("since 4.00 s before the trace, for 6.00 s"), "{evidence}");
}

#[test]
fn findings_say_how_long_something_has_been_open() {
    let mut trace = late();
    trace.define(&Definition::TaskState {
        id: TaskId(7),
        parent: TaskId(0),
        begin: Ticks(START - 3_000 * MS),
        name: b"request",
    });
    let file = TraceFile::open(trace.stop(START + 2_000 * MS)).expect("a trace");
    let options = Options { trees: 1, ..Options::default() };
    let summary = Summary::read(&Trace::new(&file).with(options), |_| {});
    let open: Vec<_> = summary
        .findings
        .iter()
        .filter_map(|finding| match &finding.kind {
            FindingKind::Unfinished { open_for, .. } => Some(*open_for),
            FindingKind::TaskUnfinished { open_for, .. } => Some(*open_for),
            _ => None,
        })
        .collect();
    assert_eq!(open, [Nanos(6_500 * MS), Nanos(5_000 * MS)]);
    assert_eq!(summary.tasks.slowest[0].begin, Moment(-3_000 * MS as i64));
}

#[test]
fn async_tasks_have_waited_for_as_long_as_they_have() {
    let mut trace = late();
    for (id, since) in [(1, 3_000), (2, 1_000)] {
        trace.define(&Definition::FutureState {
            id: FutureId(id),
            parent: FutureId(0),
            task: TaskId(0),
            site: SiteId(2),
            begin: Ticks(START - 4_000 * MS),
            spawned: true,
            waits_at: StackId(0),
            since: Ticks(START - since * MS),
        });
    }
    let poll = OpenSince { open: Open::Poll(FutureId(3)), begin: Ticks(START - 2_000 * MS) };
    state(&mut trace, 1, vec![poll]);
    let wake = EventKind::Wake { future: FutureId(2), stack: StackId(0) };
    trace.event(2, START + 500 * MS, wake);
    let site = SiteId(1);
    let (duration, values) = (Ticks(MS), Values::new(&[]));
    trace.event(2, START + 600 * MS, EventKind::Region { site, duration, values });
    let file = TraceFile::open(trace.stop(START + 1_000 * MS)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let tasks = AsyncTasks::read(&Trace::new(&file).named(&symbols), |_| {});
    let idle = tasks.unfinished.iter().find(|task| task.task == FutureId(1)).expect("it is idle");
    assert_eq!((idle.phase, idle.since), (Phase::Idle, Moment(-3_000 * MS as i64)));
    assert_eq!(idle.begin, Moment(-4_000 * MS as i64));
    let group = &tasks.waits[0];
    assert_eq!((group.total, group.quantiles.max), (Nanos(1_500 * MS), Nanos(4_000 * MS)));
    assert_eq!(group.longest[1].duration, Nanos(1_500 * MS));
    let poll = &tasks.polls[0];
    assert_eq!((poll.begin, poll.duration), (Moment(-2_000 * MS as i64), Nanos(3_000 * MS)));
    assert_eq!(tasks.workers[0].busy, Nanos(1_000 * MS));
}

#[test]
fn a_window_leaves_a_wait_its_begin() {
    let mut trace = late();
    trace.call(2, READ, START + 100 * MS, 10 * MS, 1);
    let file = TraceFile::open(trace.stop(START + 2_000 * MS)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let options = Options { from: Some(Ticks(START + 1_000 * MS)), ..Options::default() };
    let lives = Lives::read(&Trace::new(&file).named(&symbols).with(options), |_| {});
    let wait = lives.unended[0].wait;
    assert_eq!(wait.resource, ResourceId(1));
    assert_eq!((wait.duration, wait.inside), (Nanos(6_000 * MS), Nanos(1_000 * MS)));
}
