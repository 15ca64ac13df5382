//! Traces that no recorder of ours writes and the format allows, or that are small and ask for
//! much: sums are of the trace alone, and all readers say the same of a file.

use crate::common::Builder;
use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::life::Lives;
use trace_analysis::{FindingKind, Moment, Options, Summary, Trace};
use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::{CallsiteKind, Definition, put_definition};
use trace_format::event::{Event, EventKind, put_event};
use trace_format::header::{BatchKind, FLAG_FIRST, FLAG_RESTATED};
use trace_format::id::{FutureId, Open, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::{NESTING_MAX, TraceFile, Window};
use trace_format::testgen::{TraceBuilder, os_id};
use trace_format::time::{ClockKind, ClockSnapshot, Nanos, Ticks};
use trace_format::value::Values;

const SECOND: u64 = 1_000_000_000;

/// A trace that begins an hour after the machine.
fn late() -> TraceBuilder {
    let start = 3_600 * SECOND;
    let mut trace = TraceBuilder::new(Compression::None);
    trace.define(&Definition::Process {
        pid: 1,
        executable: b"late",
        os: b"linux",
        arch: b"x86_64",
        clock: ClockKind::Tsc,
        tracer: b"0.1.0",
    });
    let ticks = Ticks(start);
    trace.define(&Definition::Generation { number: 1, ticks });
    let (monotonic, wall) = (Nanos(start), Nanos(start));
    trace.define(&Definition::Clock(ClockSnapshot { ticks, monotonic, wall }));
    trace.callsite(1, CallsiteKind::Region, "hung");
    trace.callsite(2, CallsiteKind::Future, "handler");
    trace.thread(1, "main");
    trace
}

/// Events of a thread in a batch of their own.
fn batch(
    trace: &mut TraceBuilder,
    thread: ThreadId,
    (sequence, flags): (u32, u32),
    base: u64,
    events: &[(u64, EventKind<'_>)],
) {
    let (mut payload, mut clock) = (Vec::new(), Ticks(base));
    for &(ticks, kind) in events {
        put_event(&mut payload, &mut clock, &Event { ticks: Ticks(ticks), kind });
    }
    trace.write_definitions();
    let info = BatchInfo {
        kind: BatchKind::Events,
        thread,
        sequence,
        offset: 0,
        generation: 1,
        base_ticks: Ticks(base),
        last_ticks: clock,
        events: events.len() as u32,
        flags,
    };
    trace.batch(&info, &payload);
}

fn region(site: u32, duration: u64) -> EventKind<'static> {
    let (site, duration, values) = (SiteId(site), Ticks(duration), Values::new(&[]));
    EventKind::Region { site, duration, values }
}

fn summary(file: &TraceFile<Vec<u8>>, options: &Options) -> Summary {
    Summary::read(&Trace::new(file).with(options.clone()), |_| {})
}

#[test]
fn no_sum_has_time_from_before_the_trace() {
    let (mut trace, start) = (late(), 3_600 * SECOND);
    let open = Open::Region(SiteId(1));
    let poll = Open::Poll(FutureId(9));
    let events = [
        (start, EventKind::Reopen { open, since: Ticks(3_599 * SECOND) }),
        (start, EventKind::Reopen { open: poll, since: Ticks(3_000 * SECOND) }),
        (start + SECOND / 2, EventKind::EndPoll { waits_at: StackId(0) }),
        (start + SECOND, EventKind::End),
    ];
    batch(&mut trace, ThreadId(1), (7, FLAG_RESTATED | FLAG_FIRST), start, &events);
    let file = TraceFile::open(trace.stop(start + SECOND)).expect("a trace");
    // The last event is at the end, and a window's end is not in it.
    let end = Ticks(start + SECOND + 1);
    let part = Options { from: Some(Ticks(start)), to: Some(end), ..Options::default() };
    for options in [Options::default(), part] {
        let summary = summary(&file, &options);
        let [region] = summary.regions.as_slice() else { panic!("{:?}", summary.regions) };
        assert_eq!(region.total, Nanos(SECOND), "{options:?}");
        assert_eq!(region.self_time, Nanos(SECOND / 2));
        assert_eq!(summary.threads[0].busy, Nanos(SECOND));
        assert_eq!(summary.wall(), Nanos(SECOND));
        assert_eq!(summary.futures[0].poll_total, Nanos(SECOND / 2));
        // How long the whole was is not a sum.
        assert_eq!(region.quantiles.max, Nanos(3_600 * SECOND));
    }
}

/// One thread's three batches with a region each, and what all readers make of them: the regions'
/// number, and how many events are missing.
fn in_three_batches(bases: [u64; 3], times: [u64; 3]) -> (u64, u64) {
    let mut trace = Builder::new().0;
    trace.callsite(1, CallsiteKind::Region, "one");
    trace.thread(1, "t");
    for (sequence, (base, at)) in (0..).zip(bases.into_iter().zip(times)) {
        batch(&mut trace, ThreadId(1), (sequence, FLAG_RESTATED), base, &[(at, region(1, 5))]);
    }
    let file = TraceFile::open(trace.stop(10_000)).expect("a trace");
    let summary = summary(&file, &Options::default());
    let count = summary.regions.iter().map(|region| region.count).sum();
    let missing = summary.findings.iter().map(|finding| match finding.kind {
        FindingKind::Missing { events } => events,
        _ => 0,
    });
    let missing: u64 = missing.sum();
    let mut order = file.in_order(Window::default());
    let (mut events, mut faults) = (0, 0);
    while let Some(event) = order.next_event() {
        (events, faults) = if event.is_ok() { (events + 1, faults) } else { (events, faults + 1) };
    }
    assert_eq!((events, order.events_lost()), (count, missing), "all readers agree");
    assert_eq!(summary.findings.count("damage"), faults);
    (count, missing)
}

#[test]
fn a_batch_that_runs_back_in_time_is_damage_and_a_loose_base_is_none() {
    assert_eq!(in_three_batches([0, 0, 0], [1_000, 2_000, 3_000]), (3, 0));
    assert_eq!(in_three_batches([3_000, 2_000, 1_000], [3_000, 2_000, 1_000]), (1, 2));
    assert_eq!(in_three_batches([1_000, 0, 500], [1_000, 900, 1_005]), (2, 1));
}

#[test]
fn a_piece_that_is_missing_is_damage() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Region, "one");
    trace.thread(1, "t");
    batch(&mut trace, ThreadId(1), (0, FLAG_RESTATED), 0, &[(10, region(1, 5))]);
    let (mut payload, mut clock) = (Vec::new(), Ticks(100));
    put_event(&mut payload, &mut clock, &Event { ticks: Ticks(100), kind: region(1, 5) });
    let info = BatchInfo {
        kind: BatchKind::Events,
        thread: ThreadId(1),
        sequence: 0,
        offset: 50,
        generation: 1,
        base_ticks: Ticks(100),
        last_ticks: clock,
        events: 1,
        flags: 0,
    };
    trace.batch(&info, &payload);
    let file = TraceFile::open(trace.stop(1_000)).expect("a trace");
    assert!(file.faults().is_empty(), "the index does not show it");
    let summary = summary(&file, &Options::default());
    assert_eq!(summary.regions[0].count, 2);
    assert_eq!(summary.findings.count("damage"), 1);
    let mut order = file.in_order(Window::default());
    let faults = std::iter::from_fn(|| order.next_event().map(|it| it.is_err()));
    assert_eq!(faults.filter(|is_fault| *is_fault).count(), 1);
}

#[test]
fn what_began_before_the_first_clock_counts_wherever_cpus_begin() {
    let start = 3_600 * SECOND;
    for ago in [300, 600, 5_000] {
        let mut trace = late();
        let begin = Ticks(start - ago);
        let (id, parent, name) = (TaskId(7), TaskId(0), b"job");
        trace.define(&Definition::TaskState { id, parent, name, begin });
        trace.define(&Definition::FutureState {
            id: FutureId(3),
            parent: FutureId(0),
            task: TaskId(0),
            site: SiteId(2),
            begin,
            spawned: true,
            waits_at: StackId(0),
            since: begin,
        });
        // The CPU was looked at before the clocks were.
        let switches = [(start - 500, EventKind::SwitchIn { os_thread: 5 })];
        let first = FLAG_RESTATED | FLAG_FIRST;
        batch(&mut trace, ThreadId::cpu(0), (3, first), start - 500, &switches);
        let events =
            [(start + 100, EventKind::TaskEnd { task: TaskId(7) }), (start + 110, region(1, 10))];
        batch(&mut trace, ThreadId(1), (5, first), start, &events);
        let file = TraceFile::open(trace.stop(start + SECOND)).expect("a trace");
        let tasks = summary(&file, &Options::default()).tasks;
        assert_eq!(tasks.names[0].count, 1, "{ago} ns before");
        assert_eq!(tasks.names[0].slowest[0].begin, Moment(-(ago as i64)));
        let tasks = AsyncTasks::read(&Trace::new(&file), |_| {});
        assert_eq!(tasks.unfinished.len(), 1, "{ago} ns before");
        assert_eq!(tasks.unfinished[0].begin, Moment(-(ago as i64)));
    }
}

#[test]
fn a_task_that_a_state_and_an_event_tell_of_is_one() {
    let mut trace = Builder::new();
    trace.site(3, CallsiteKind::Function, "app::job", &[]);
    trace.thread(1, "main");
    let state = |begin| Definition::TaskState {
        id: TaskId(7),
        parent: TaskId(0),
        name: b"job",
        begin: Ticks(begin),
    };
    trace.define(&state(40));
    let (task, parent, site) = (TaskId(7), TaskId(0), SiteId(3));
    let begin = EventKind::TaskBeginSite { task, parent, site, values: Values::new(&[]) };
    trace.event(1, 40, begin);
    trace.event(1, 100, EventKind::TaskEnd { task });
    let file = TraceFile::open(trace.stop(1_000)).expect("a trace");
    let tasks = summary(&file, &Options::default()).tasks;
    assert_eq!(tasks.names.len(), 1, "{:?}", tasks.names);
    assert_eq!((tasks.names[0].count, tasks.names[0].total), (1, Nanos(60)));
}

#[test]
fn an_old_future_is_known_by_its_events_alone() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Future, "handler");
    trace.thread(1, "main");
    trace.write_definitions();
    let state = |id| Definition::FutureState {
        id: FutureId(id),
        parent: FutureId(0),
        task: TaskId(0),
        site: SiteId(1),
        begin: Ticks(0),
        spawned: true,
        waits_at: StackId(0),
        since: Ticks(5),
    };
    let mut payload = Vec::new();
    [1, 2].into_iter().for_each(|id| put_definition(&mut payload, &state(id)));
    let info = BatchInfo { generation: 0, ..BatchInfo::of_definitions(1, 1, Ticks(0), 2) };
    trace.batch(&info, &payload);
    let future = FutureId(2);
    trace.event(1, 1_000, EventKind::Poll { future, waits_at: StackId(0), duration: Ticks(10) });
    trace.region(1, 1, 2_000, 10);
    let file = TraceFile::open(trace.killed()).expect("a trace");
    let tasks = AsyncTasks::read(&Trace::new(&file), |_| {});
    let unfinished: Vec<_> = tasks.unfinished.iter().map(|it| (it.task.0, it.site.0)).collect();
    assert_eq!(unfinished, [(2, 1)], "it was polled, and its definition says what it is");
    assert_eq!(tasks.unfinished[0].since, Moment(1_010), "it waits since its poll");
    let idle: Vec<_> = tasks.waits.iter().flat_map(|group| &group.longest).collect();
    assert!(idle.iter().all(|idle| idle.begin == Moment(1_010)), "{idle:?}");
}

#[test]
fn begins_without_end_are_counted_beyond_the_limit() {
    let mut trace = Builder::new();
    trace.0.batch_bytes_max(512 << 10);
    trace.site(1, CallsiteKind::Function, "app::deep", &[]);
    trace.thread(1, "main");
    let most = NESTING_MAX as u64;
    (0..most + 3).for_each(|at| trace.begin(1, at, 1, &[]));
    (0..3).for_each(|at| trace.end(1, most + 10 + at));
    trace.end(1, most + 20);
    let file = TraceFile::open(trace.stop(most + 100)).expect("a trace");
    let summary = summary(&file, &Options::default());
    assert_eq!(summary.findings.count("too_deep"), 3);
    assert!(summary.findings.has_loss());
    assert_eq!((summary.regions[0].count, summary.regions[0].unfinished), (1, most - 1));
    // Others that follow a stack keep as much, and end without a word about it.
    let lives = Lives::read(&Trace::new(&file), |_| {});
    assert_eq!(lives.threads.len(), 1);
}

#[test]
fn an_event_on_the_wrong_lane_is_counted_and_says_nothing() {
    let mut trace = Builder::new();
    trace.site(1, CallsiteKind::Function, "app::f", &[]);
    trace.thread(1, "main");
    trace.region(1, 10, 1, 5);
    trace.event(1, 20, EventKind::SwitchIn { os_thread: 1_001 });
    let mut trace = trace.0;
    let cpu = ThreadId::cpu(0).0;
    trace.event(cpu, 10, EventKind::SwitchIn { os_thread: 1_001 });
    trace.region(cpu, 1, 20, 5);
    trace.begin(cpu, 1, 30);
    trace.event(cpu, 40, EventKind::SwitchOut { os_thread: 1_001, preempted: false });
    let file = TraceFile::open(trace.stop(100)).expect("a trace");
    let summary = summary(&file, &Options::default());
    assert_eq!((summary.events, summary.regions[0].count), (6, 1));
    assert_eq!((summary.regions[0].unfinished, summary.findings.count("damage")), (0, 0));
    let lives = Lives::read(&Trace::new(&file), |_| {});
    assert_eq!(lives.threads[0].times.running, Nanos(30), "the CPU says when it ran");
}

#[test]
fn what_ran_when_a_window_began_is_unknown_if_a_batch_of_the_cpu_is_missing_before() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    let (lane, os_thread) = (ThreadId::cpu(0), os_id(1));
    let sample = EventKind::Sample { os_thread, stack: StackId(0) };
    batch(&mut trace, lane, (0, FLAG_FIRST), 100, &[(100, EventKind::SwitchIn { os_thread })]);
    // The second one is missing.
    batch(&mut trace, lane, (2, 0), 3_000, &[(3_000, sample)]);
    let off = EventKind::SwitchOut { os_thread, preempted: false };
    batch(&mut trace, lane, (3, 0), 8_000, &[(8_000, off)]);
    let file = TraceFile::open(trace.stop(10_000)).expect("a trace");
    let options = Options { from: Some(Ticks(5_000)), ..Options::default() };
    let lives = Lives::read(&Trace::new(&file).with(options), |_| {});
    let times = lives.threads[0].times;
    assert_eq!((times.running, times.unknown), (Nanos(0), Nanos(3_000)));
}
