//! The merge by time, windows, generations: against a plain sort of everything.

use crate::common::{Kept, in_order, in_order_by_steps, stream};
use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::{CallsiteKind, OpenSince};
use trace_format::event::{Event, EventKind, Outcome, put_event};
use trace_format::header::{BatchKind, FLAG_RESTATED};
use trace_format::id::{CallId, FutureId, Open, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::{TraceFile, Window};
use trace_format::testgen::{TraceBuilder, everything, open_call, tight_loops};
use trace_format::time::Ticks;
use trace_format::value::Values;

const ALL: Window = Window { from: None, to: None, thread: None };

fn without_reopens(events: Vec<Kept>) -> Vec<Kept> {
    events.into_iter().filter(|event| !event.is_reopen()).collect()
}

#[test]
fn order_is_time_then_thread_then_the_threads_own() {
    for bytes in [everything(Compression::None), tight_loops(5, 20_000, Compression::Lz4)] {
        let mut expected = without_reopens(stream(&bytes).events);
        expected.sort_by_key(|event| (event.ticks, event.thread));
        let outcome = in_order(&bytes, ALL);
        assert!(outcome.faults.is_empty(), "{:?}", outcome.faults);
        assert!(outcome.events == expected, "the merge is not the sort");
        assert!(in_order_by_steps(&bytes, ALL).events == expected, "steps are not the sort");
    }
}

#[test]
fn a_window_is_what_overlaps_it() {
    let bytes = everything(Compression::None);
    let all = in_order(&bytes, ALL).events;
    let times: Vec<u64> = (990..1_320).chain(9_990..10_200).chain(10_990..11_010).collect();
    for &from in &times {
        for to in [from, from + 1, from + 100, 50_000] {
            for thread in [None, Some(ThreadId(1)), Some(ThreadId(9))] {
                let window = Window { from: Some(Ticks(from)), to: Some(Ticks(to)), thread };
                let overlaps = |event: &&Kept| {
                    let late = event.ticks >= from || event.end > from;
                    late && event.ticks < to && thread.is_none_or(|thread| thread == event.thread)
                };
                let expected: Vec<Kept> = all.iter().filter(overlaps).cloned().collect();
                let outcome = in_order(&bytes, window);
                assert_eq!(outcome.events, expected, "{window:?}");
                assert_eq!(outcome.faults, [""; 0]);
            }
        }
    }
}

#[test]
fn what_has_ended_before_a_window_is_not_open_in_it() {
    let future = FutureId(7);
    let call = open_call(CallId::READ, 1, 1);
    let values = Values::new(&[]);
    let region = EventKind::RegionBegin { site: SiteId(1), values };
    let pairs = [
        (EventKind::PollBegin { future }, EventKind::EndPoll { waits_at: StackId(0) }),
        (EventKind::CallBegin { call }, EventKind::EndCall { result: 0 }),
        (region, EventKind::EndValue { outcome: Outcome::Returned, values }),
        (EventKind::TaskRunBegin { task: TaskId(1) }, EventKind::End),
    ];
    for (begin, end) in pairs {
        let mut trace = TraceBuilder::started(Compression::None);
        trace.begin(1, 1, 100);
        trace.event(1, 200, begin);
        trace.region(1, 2, 210, 5);
        trace.event(1, 300, end);
        trace.region(1, 2, 400, 5);
        trace.end(1, 500);
        let bytes = trace.stop(1_000);
        let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
        let order = file.in_order(Window { from: Some(Ticks(350)), ..ALL });
        let begins: Vec<_> =
            order.open_at_start()[&ThreadId(1)].iter().map(|it| it.begin).collect();
        assert_eq!(begins, [Ticks(100)], "{begin:?}");
    }
}

/// Three batches of one region each, at 1,000, 2,000 and 3,000, all with the base 0.
fn loose_bases() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Function, "one");
    trace.thread(1, "t");
    trace.write_definitions();
    for sequence in 0..3 {
        let (mut payload, mut clock) = (Vec::new(), Ticks(0));
        let (site, values) = (SiteId(1), Values::new(&[]));
        let kind = EventKind::Region { site, duration: Ticks(5), values };
        let ticks = Ticks(1_000 * (u64::from(sequence) + 1));
        put_event(&mut payload, &mut clock, &Event { ticks, kind });
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: ThreadId(1),
            sequence,
            offset: 0,
            generation: 1,
            base_ticks: Ticks(0),
            last_ticks: clock,
            events: 1,
            flags: FLAG_RESTATED,
        };
        trace.batch(&info, &payload);
    }
    trace.stop(10_000)
}

#[test]
fn a_base_may_be_earlier_than_the_events_before() {
    let bytes = loose_bases();
    for (from, to, expected) in [
        (0, 10_000, vec![1_000, 2_000, 3_000]),
        (1_500, 10_000, vec![2_000, 3_000]),
        (2_003, 10_000, vec![2_000, 3_000]),
        (0, 2_500, vec![1_000, 2_000]),
    ] {
        let window = Window { from: Some(Ticks(from)), to: Some(Ticks(to)), thread: None };
        let outcome = in_order(&bytes, window);
        let times: Vec<_> = outcome.events.iter().map(|event| event.ticks).collect();
        assert_eq!((times, outcome.faults.len()), (expected, 0), "from {from} to {to}");
    }
    assert_eq!(in_order(&bytes, ALL).events.len(), 3);
}

#[test]
fn what_is_open_at_a_windows_begin_is_known() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.begin(1, 1, 100);
    trace.begin(1, 2, 200);
    trace.seal(1);
    trace.region(1, 3, 300, 50);
    trace.seal(1);
    trace.begin(1, 4, 400);
    trace.end(1, 500);
    trace.end(1, 600);
    trace.begin(2, 5, 450);
    let bytes = trace.stop(1_000);
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    let open = |from: u64| {
        let window = Window { from: Some(Ticks(from)), ..ALL };
        let order = file.in_order(window);
        let open = order.open_at_start().clone();
        let begins = |open: Vec<OpenSince>| open.iter().map(|it| it.begin.0).collect::<Vec<_>>();
        open.into_iter().map(|(thread, open)| (thread.0, begins(open))).collect::<Vec<_>>()
    };
    assert_eq!(open(50), []);
    assert_eq!(open(101), [(1, vec![100])]);
    assert_eq!(open(325), [(1, vec![100, 200])]);
    assert_eq!(open(401), [(1, vec![100, 200, 400])]);
    assert_eq!(open(501), [(1, vec![100, 200]), (2, vec![450])]);
    assert_eq!(open(99_999), [(1, vec![100]), (2, vec![450])]);
}

#[test]
fn reopens_are_handed_out_behind_a_fault_only() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.begin(1, 1, 100);
    trace.seal(1);
    let damaged = trace.bytes();
    trace.region(1, 2, 200, 10);
    trace.seal(1);
    trace.region(1, 3, 300, 10);
    let mut bytes = trace.stop(1_000);
    let reopens = |bytes: &[u8]| {
        let events = in_order(bytes, ALL).events;
        events.into_iter().filter(|event| event.is_reopen()).collect::<Vec<_>>()
    };
    assert_eq!(reopens(&bytes), []);
    bytes[damaged + 64] ^= 1;
    let found = reopens(&bytes);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].thread, found[0].ticks), (ThreadId(1), 300));
}

#[test]
fn the_fault_names_the_thread_it_cost() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.region(1, 1, 100, 10);
    trace.seal(1);
    let damaged = trace.bytes();
    trace.region(2, 2, 200, 10);
    let mut bytes = trace.stop(1_000);
    bytes[damaged + 64] ^= 1;
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    let mut order = file.in_order(ALL);
    assert!(order.next_event().expect("an event").is_ok());
    assert_eq!(order.fault_thread(), None);
    assert!(order.next_event().expect("a fault").is_err());
    assert_eq!(order.fault_thread(), Some(ThreadId(2)));
    assert!(order.next_event().is_none() && order.next_event().is_none());
}

#[test]
fn states_are_found_by_generation() {
    let bytes = everything(Compression::None);
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    assert_eq!(file.tables().generations.len(), 2);
    let first = file.state_at(1).expect("whole").expect("there");
    assert!(first.threads.is_empty() && first.tasks.is_empty());
    let second = file.state_at(2).expect("whole").expect("there");
    assert_eq!((second.number, second.ticks), (2, Ticks(10_000)));
    assert_eq!((second.threads.len(), second.tasks.len()), (3, 1), "a CPU has no state");
    assert_eq!(
        (second.tasks[0].name.as_str(), second.tasks[0].begin),
        ("background", Ticks(2_000))
    );
    let open: Vec<OpenSince> = second.threads[0].open.clone();
    let region = |site, begin| {
        let (open, begin) = (Open::Region(SiteId(site)), Ticks(begin));
        OpenSince { open, begin }
    };
    assert_eq!(open, [region(1, 1_000), region(3, 2_000)]);
    let wait = Open::Call(open_call(CallId::FUTEX_WAIT, 1, 1));
    assert_eq!(second.threads[2].open, [OpenSince { open: wait, begin: Ticks(9_000) }]);
    assert_eq!(file.state_at(3).expect("whole"), None);
}

#[test]
fn a_visitor_can_stop_and_go_on() {
    let bytes = tight_loops(3, 1_000, Compression::None);
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    let mut order = file.in_order(ALL);
    let mut times = Vec::new();
    loop {
        let flow = order.for_each(|timed| {
            times.push(timed.event.ticks.0);
            std::ops::ControlFlow::Break(())
        });
        if flow.expect("whole").is_continue() {
            break;
        }
    }
    assert_eq!(times.len(), 3_000);
    assert!(times.is_sorted());
}

#[test]
fn shares_hold_every_batch_once() {
    let bytes = tight_loops(5, 60_000, Compression::None);
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    for (count, whole_threads) in [(1, true), (2, true), (2, false), (3, false), (9, true)] {
        let shares = file.shares(count, whole_threads);
        assert_eq!(shares.len(), count);
        let mut all: Vec<u64> = shares.iter().flatten().map(|entry| entry.offset).collect();
        all.sort_unstable();
        let events = file.index().iter().filter(|entry| entry.thread != ThreadId(0));
        assert!(all.iter().copied().eq(events.map(|entry| entry.offset)));
        for (at, share) in shares.iter().enumerate().filter(|_| whole_threads) {
            let elsewhere = shares.iter().enumerate().filter(|other| other.0 != at);
            let others: Vec<ThreadId> = elsewhere.flat_map(|it| it.1).map(|it| it.thread).collect();
            assert!(share.iter().all(|entry| !others.contains(&entry.thread)));
        }
    }
}

#[test]
fn a_file_has_cpus_where_a_cpu_has_events() {
    let has_cpus =
        |trace: TraceBuilder| TraceFile::open(trace.stop(100)).expect("a trace").has_cpus();
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.call(1, open_call(CallId::READ, 0, 0), 1, 2, 3);
    assert!(!has_cpus(trace), "threads alone");
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.switch_in(0, 1, 1);
    assert!(has_cpus(trace));
}

#[test]
fn what_is_complete_ends_later_than_it_begins() {
    let (duration, values) = (Ticks(20), Values::new(&[]));
    let call = open_call(CallId::READ, 1, 1);
    for (kind, end) in [
        (EventKind::Region { site: SiteId(1), duration, values }, 120),
        (EventKind::Poll { future: FutureId(1), waits_at: StackId(0), duration }, 120),
        (EventKind::TaskRun { task: TaskId(1), duration }, 120),
        (EventKind::Call { call, result: 0, duration }, 120),
        (EventKind::Region { site: SiteId(1), duration: Ticks(u64::MAX), values }, u64::MAX),
        (EventKind::RegionBegin { site: SiteId(1), values }, 100),
        (EventKind::CallBegin { call }, 100),
        (EventKind::End, 100),
    ] {
        assert_eq!(Event { ticks: Ticks(100), kind }.end(), Ticks(end), "{kind:?}");
    }
}
