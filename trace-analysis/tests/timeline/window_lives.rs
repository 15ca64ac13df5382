//! What a window that begins or ends in the middle of things knows of the threads. One tick is a
//! nanosecond.

use std::collections::BTreeMap;

use trace_analysis::life::{Lives, ThreadLife};
use trace_analysis::reason::Reason;
use trace_analysis::{Options, Summary, Trace};
use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::{CallsiteKind, Definition, OpenSince, ResourceKind};
use trace_format::event::{Event, EventKind, put_event};
use trace_format::header::{BatchKind, FLAG_RESTATED};
use trace_format::id::{CallId, Open, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Region, "work");
    (1..=2).for_each(|thread| trace.thread(thread, "t"));
    trace.resource(1, ResourceKind::Thread, os_id(2), "");
    trace.resource(2, ResourceKind::File, 3, "f");
    trace
}

fn lives(bytes: &[u8], from: Option<u64>, to: Option<u64>) -> Lives {
    let file = TraceFile::open(bytes).expect("a trace");
    let (from, to) = (from.map(Ticks), to.map(Ticks));
    let options = Options { from, to, ..Options::default() };
    Lives::read(&Trace::new(&file).with(options), |_| {})
}

fn life(lives: &Lives, thread: u32) -> &ThreadLife {
    let life = lives.threads.iter().find(|life| life.thread == ThreadId(thread));
    life.expect("it is there")
}

/// A thread joins another one, which sleeps meanwhile.
fn joined() -> Vec<u8> {
    let mut trace = started();
    let (one, two) = (os_id(1), os_id(2));
    trace.switch_in(0, 100, one);
    trace.call(1, open_call(CallId::PTHREAD_JOIN, 1, 0), 10_000, 190_000, 0);
    trace.switch_out(0, 10_500, one, false);
    trace.switch_in(1, 1_000, two);
    trace.call(2, open_call(CallId::NANOSLEEP, 0, 0), 49_000, 102_000, 0);
    trace.switch_out(1, 50_000, two, false);
    trace.switch_in(1, 150_000, two);
    trace.switch_out(1, 190_000, two, false);
    trace.switch_in(0, 199_000, one);
    trace.stop(300_000)
}

#[test]
fn a_wait_that_goes_on_beyond_the_window_is_no_less_a_wait() {
    let bytes = joined();
    let whole = lives(&bytes, None, None);
    assert_eq!(life(&whole, 1).times.ready, Nanos(9_000), "it was woken, and had no CPU");
    let part = lives(&bytes, None, Some(100_000));
    let times = life(&part, 1).times;
    assert_eq!((times.ready, times.blocked_by(Reason::Join)), (Nanos(0), Nanos(89_500)));
    // How long a call took is not known in a window in which it did not end.
    assert_eq!((part.calls.count, life(&part, 1).calls), (0, 0));
    assert_eq!(part.unended, [], "beyond the window they may end");
}

/// By call: how many ended, how long threads were in them, and of that off their CPUs.
fn calls(lives: &Lives) -> BTreeMap<CallId, (u64, u64, u64)> {
    let groups = lives.calls.by_call.iter();
    groups.map(|it| (it.call, (it.count, it.total.0, it.off_cpu.0))).collect()
}

#[test]
fn the_times_in_calls_of_windows_add_up_to_that_of_the_trace() {
    let bytes = joined();
    let mut sums: BTreeMap<CallId, (u64, u64, u64)> = BTreeMap::new();
    let cuts = [30_000, 60_000, 100_000, 160_000, 199_500].map(Some);
    let (begins, ends) = ([None].into_iter().chain(cuts), cuts.into_iter().chain([None]));
    for (from, to) in begins.zip(ends) {
        for (call, (count, total, off_cpu)) in calls(&lives(&bytes, from, to)) {
            let sum = sums.entry(call).or_default();
            *sum = (sum.0 + count, sum.1 + total, sum.2 + off_cpu);
        }
    }
    assert_eq!(sums, calls(&lives(&bytes, None, None)));
    let join = sums[&CallId::PTHREAD_JOIN];
    assert_eq!(join, (1, 190_000, 188_500), "one call, in all windows but none twice");
}

#[test]
fn of_a_call_that_goes_on_beyond_the_window_only_the_time_inside_counts() {
    let part = lives(&joined(), None, Some(100_000));
    let [join, sleep] = part.calls.by_call.as_slice() else { panic!("{:?}", part.calls) };
    assert_eq!((join.call, join.count, join.open), (CallId::PTHREAD_JOIN, 0, 1));
    assert_eq!((join.total, join.off_cpu), (Nanos(90_000), Nanos(89_500)));
    assert_eq!((join.quantiles.max, &join.longest[..]), (Nanos(0), &[][..]));
    assert_eq!((sleep.total, part.calls.total), (Nanos(51_000), Nanos(141_000)));
    assert_eq!((part.calls.count, part.calls.open), (0, 2));
}

/// A thread goes off its CPU in a sleep, the other one runs on; both did so before a generation if
/// there is one.
fn asleep(generation: Option<u64>) -> Vec<u8> {
    let mut trace = started();
    let (one, two) = (os_id(1), os_id(2));
    trace.switch_in(0, 100, one);
    trace.switch_in(1, 500, two);
    trace.switch_out(0, 1_000, one, false);
    if let Some(at) = generation {
        trace.generation(at);
    }
    trace.call(1, open_call(CallId::NANOSLEEP, 0, 0), 900, 5_200, 0);
    trace.switch_in(0, 6_000, one);
    trace.switch_out(1, 8_000, two, true);
    trace.switch_out(0, 9_000, one, false);
    trace.stop(10_000)
}

#[test]
fn who_ran_and_who_waited_when_a_window_began_is_known_in_it() {
    for generation in [None, Some(1_500)] {
        let lives = lives(&asleep(generation), Some(2_000), None);
        let (one, two) = (life(&lives, 1), life(&lives, 2));
        assert_eq!(one.times.blocked_by(Reason::Sleep), Nanos(4_000));
        assert_eq!((one.times.in_calls, one.times.running), (Nanos(100), Nanos(2_900)));
        assert_eq!((two.times.running, two.times.ready), (Nanos(6_000), Nanos(2_000)));
        assert_eq!((one.yields, one.preemptions, two.preemptions), (1, 0, 1));
        let sleep = &lives.calls.by_call[0];
        assert_eq!((sleep.count, sleep.off_cpu), (1, Nanos(4_000)), "{generation:?}");
        let running = [Nanos(1_000), Nanos(5_000), Nanos(2_000)];
        assert_eq!(lives.concurrency.running, running);
        let busy: Vec<_> = lives.cpus.iter().map(|cpu| cpu.busy).collect();
        assert_eq!(busy, [Nanos(3_000), Nanos(6_000)]);
    }
}

#[test]
fn a_call_that_waits_for_nobody_is_no_time_on_a_cpu_if_the_thread_was_off_it() {
    let mut trace = started();
    trace.switch_in(0, 100, os_id(1));
    trace.switch_out(0, 1_000, os_id(1), true);
    trace.generation(1_500);
    trace.call(1, open_call(CallId::FSYNC, 2, 0), 900, 6_000, 0);
    trace.switch_in(0, 6_000, os_id(1));
    let bytes = trace.stop(10_000);
    // That it was put off it lies before the generation, and less than a second before the window.
    let part = lives(&bytes, Some(2_000), None);
    let times = life(&part, 1).times;
    assert_eq!((times.in_calls, times.ready), (Nanos(900), Nanos(4_000)));
    assert_eq!(part.calls.by_call[0].off_cpu, Nanos(4_000));
    let whole = lives(&bytes, None, None);
    assert_eq!(life(&whole, 1).times.ready, Nanos(5_000));
}

/// Beyond what is read for a window, a thread goes off its CPU in a call that may not wait.
#[test]
fn a_thread_without_a_cpu_is_in_no_call_on_one_though_its_going_off_was_not_read() {
    const SECOND: u64 = 1_000_000_000;
    let mut trace = started();
    trace.switch_in(0, 100, os_id(1));
    trace.switch_in(1, 200, os_id(2));
    trace.begin_call(1, open_call(CallId::PREAD64, 2, 0), 500);
    trace.switch_out(0, 1_000, os_id(1), false);
    trace.generation(SECOND / 2);
    let (id, sequence, offset) = (ThreadId(1), 0, 0);
    let open = Open::Call(open_call(CallId::PREAD64, 2, 0));
    let open = vec![OpenSince { open, begin: Ticks(500) }];
    trace.define(&Definition::ThreadState { id, sequence, offset, more: false, open });
    let bytes = trace.stop(4 * SECOND);
    let part = lives(&bytes, Some(2 * SECOND), Some(3 * SECOND));
    let (one, two) = (life(&part, 1).times, life(&part, 2).times);
    assert_eq!((one.in_calls, one.unknown), (Nanos(0), Nanos(SECOND)));
    assert_eq!(two.running, Nanos(SECOND), "who was on a CPU still is");
}

/// Two threads read from a pipe; only the first read comes to an end.
#[test]
fn a_read_that_never_ends_is_rest_in_every_window_and_another_in_none() {
    let mut trace = started();
    trace.thread(3, "t");
    trace.resource(3, ResourceKind::Pipe, 4, "");
    trace.begin_call(2, open_call(CallId::READ, 3, 0), 1_000);
    trace.begin_call(3, open_call(CallId::READ, 3, 0), 2_000);
    trace.end_call(2, 80_000, 1);
    let bytes = trace.stop(100_000);
    let ends = [(None, None), (None, Some(50_000)), (Some(10_000), Some(60_000))];
    for (from, to) in ends.into_iter().chain([(Some(10_000), None)]) {
        let waits = lives(&bytes, from, to).waits.by_thread;
        let mut told: Vec<_> = waits.iter().map(|it| (it.thread.0, it.is_endless)).collect();
        told.sort_unstable();
        assert_eq!(told, [(2, false), (3, true)], "{from:?} to {to:?}");
    }
}

#[test]
fn a_read_never_ends_though_its_batch_may_reach_beyond_the_window() {
    let mut trace = started();
    trace.resource(3, ResourceKind::Pipe, 4, "");
    trace.write_definitions();
    let (call, at) = (open_call(CallId::READ, 3, 0), Ticks(2_000));
    let (mut payload, mut clock) = (Vec::new(), at);
    put_event(&mut payload, &mut clock, &Event { ticks: at, kind: EventKind::CallBegin { call } });
    let info = BatchInfo {
        kind: BatchKind::Events,
        thread: ThreadId(2),
        sequence: 0,
        offset: 0,
        generation: 1,
        base_ticks: at,
        // When the recorder looked.
        last_ticks: Ticks(90_000),
        events: 1,
        flags: FLAG_RESTATED,
    };
    trace.batch(&info, &payload);
    let bytes = trace.stop(100_000);
    for to in [None, Some(50_000), Some(95_000)] {
        let waits = lives(&bytes, None, to).waits.by_thread;
        let told: Vec<_> = waits.iter().map(|it| (it.thread.0, it.is_endless)).collect();
        assert_eq!(told, [(2, true)], "to {to:?}");
    }
}

#[test]
fn a_thread_that_ended_before_a_window_is_not_in_it() {
    let mut trace = started();
    trace.switch_in(0, 100, os_id(1));
    trace.switch_out(0, 1_000, os_id(1), false);
    trace.switch_in(0, 1_100, os_id(2));
    trace.define(&Definition::ThreadEnd {
        id: ThreadId(1),
        ended: true,
        ticks: Ticks(1_050),
        events: 0,
        dropped_events: 0,
        dropped_ends: 0,
    });
    let lives = lives(&trace.stop(10_000), Some(2_000), None);
    assert_eq!(lives.threads.iter().map(|life| life.thread).collect::<Vec<_>>(), [ThreadId(2)]);
}

#[test]
fn regions_that_are_open_at_the_end_have_their_times() {
    let mut trace = started();
    trace.switch_in(0, 0, os_id(1));
    trace.begin(1, 1, 3_000);
    trace.switch_out(0, 5_000, os_id(1), true);
    trace.switch_in(0, 6_000, os_id(1));
    trace.region(1, 1, 6_500, 1_000);
    trace.end(1, 9_000);
    trace.region(1, 1, 9_100, 600);
    let bytes = trace.stop(10_000);
    for to in [4_000, 5_500, 7_000, 8_000, 9_500] {
        let times = lives(&bytes, None, Some(to)).regions[0];
        let file = TraceFile::open(bytes.as_slice()).expect("a trace");
        let options = Options { to: Some(Ticks(to)), ..Options::default() };
        let summary = Summary::read(&Trace::new(&file).with(options), |_| {});
        let region = &summary.regions[0];
        let sum = times.cpu.0 + times.ready.0 + times.blocked.0 + times.unknown.0;
        assert_eq!((times.count, sum), (region.count, region.total.0), "to {to}");
        let ready = to.clamp(5_000, 6_000) - 5_000;
        assert_eq!((times.ready, times.unknown), (Nanos(ready), Nanos(0)), "to {to}");
    }
}

#[test]
fn what_a_thread_does_behind_its_last_event_of_a_cut_trace_is_unknown() {
    let mut trace = started();
    trace.switch_in(0, 100, os_id(1));
    trace.switch_in(1, 150, os_id(2));
    trace.region(1, 1, 200, 100);
    trace.begin_call(2, open_call(CallId::NANOSLEEP, 0, 0), 200);
    trace.switch_out(0, 400, os_id(1), false);
    trace.switch_out(1, 500, os_id(2), false);
    trace.generation(1_000);
    trace.switch_in(0, 2_000, os_id(1));
    trace.switch_out(0, 3_000, os_id(1), false);
    // The last that is in the file is of a CPU.
    trace.switch_in(1, 9_000, 77);
    let lives = lives(&trace.killed(), None, None);
    let times = life(&lives, 1).times;
    // What was written before a generation is in the file, so until then it was in no call.
    assert_eq!(times.blocked_by(Reason::Unseen), Nanos(601));
    assert_eq!((times.blocked(), times.running), (Nanos(601), Nanos(1_300)));
    assert_eq!(times.unknown, Nanos(9_000 - 601 - 1_300));
    let asleep = life(&lives, 2).times.blocked_by(Reason::Sleep);
    assert_eq!(asleep, Nanos(8_500), "what is known to be open goes on");
}
