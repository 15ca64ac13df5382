//! What goes on behind a damaged batch, and what is known of the time in it. One tick is a
//! nanosecond.

use trace_analysis::life::Lives;
use trace_analysis::reason::Reason;
use trace_analysis::report::observe;
use trace_analysis::symbols::Symbols;
use trace_analysis::timeline::{Begun, Edge, Observer, Who};
use trace_analysis::{Moment, Options, Summary, Trace};
use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::event::{Event, EventKind, put_event};
use trace_format::header::BatchKind;
use trace_format::id::{CallId, FutureId, Open, OpenCall, SiteId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Values;

const MS: u64 = 1_000_000;
/// When the trace begins, on the clock of the machine.
const START: u64 = 5_000 * MS;

const WAIT: OpenCall = open_call(CallId::FUTEX_WAIT, 1, 0);
const WAKE: OpenCall = open_call(CallId::FUTEX_WAKE, 1, 0);
const READ: OpenCall = open_call(CallId::READ, 2, 0);

fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started_at(Compression::None, START);
    trace.callsite(1, CallsiteKind::Region, "work");
    (1..=2).for_each(|thread| trace.thread(thread, "t"));
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    trace.resource(2, ResourceKind::Pipe, 3, "");
    trace
}

/// Writes a batch of a thread of which nothing can be read. Returns where it is to be damaged.
fn unreadable(trace: &mut TraceBuilder, thread: u32, at: u64) -> usize {
    trace.seal(thread);
    trace.write_definitions();
    let damaged = trace.bytes() + 100;
    (0..100).for_each(|n| trace.region(thread, 1, at + 2 * n, 1));
    trace.seal(thread);
    damaged
}

fn stop(trace: TraceBuilder, end: u64, damaged: usize) -> Vec<u8> {
    let mut bytes = trace.stop(end);
    bytes[damaged] ^= 1;
    bytes
}

fn lives(bytes: &[u8]) -> Lives {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    // With an observer all events count, not those of calls alone.
    let lives = observe(&Trace::new(&file).named(&symbols), &mut Edges::default(), |_| {});
    assert!(lives.unreadable > 0, "the batch is damaged");
    lives
}

fn reopen(trace: &mut TraceBuilder, thread: u32, at: u64, open: Open, begin: u64) {
    trace.event(thread, at, EventKind::Reopen { open, since: Ticks(at - begin) });
}

#[test]
fn the_end_of_a_poll_before_a_gap_does_not_end_the_gap() {
    let mut trace = started();
    let (future, waits_at, duration) = (FutureId(1), StackId(0), Ticks(100));
    trace.event(1, START + 1_000, EventKind::Poll { future, waits_at, duration });
    let damaged = unreadable(&mut trace, 1, START + 1_200);
    trace.region(2, 1, START + 2_000, 10);
    // The first switch says what the thread did since it was heard of last: nobody knows when that
    // was.
    trace.switch_out(0, START + 100_000, os_id(1), false);
    let times = lives(&stop(trace, START + 200_000, damaged)).threads[0].times;
    assert!(times.running <= Nanos(1_100), "{times:?}");
    assert!(times.unknown >= Nanos(98_900), "{times:?}");
}

/// Which numbers of edges were told with what began, and with what they ended.
#[derive(Default)]
struct Edges {
    begun: Vec<u64>,
    ended: Vec<u64>,
}

impl Observer for Edges {
    fn begin(&mut self, _: Who, begun: &Begun<'_>) {
        self.begun.extend(Some(begun.edge).filter(|edge| *edge != 0));
    }

    fn edge(&mut self, edge: &Edge) {
        self.ended.push(edge.number);
    }
}

#[test]
fn a_wake_that_goes_on_behind_a_gap_has_the_edge_it_began_with() {
    let mut trace = started();
    trace.call(2, WAIT, START + 500, 9_000, 0);
    trace.begin_call(1, WAKE, START + 1_000);
    let damaged = unreadable(&mut trace, 1, START + 1_200);
    trace.end_call(1, START + 9_900, 1);
    let bytes = stop(trace, START + 20_000, damaged);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let mut edges = Edges::default();
    observe(&Trace::new(&file), &mut edges, |_| {});
    assert_eq!((edges.begun, edges.ended), (vec![1], vec![1]));
}

#[test]
fn a_wait_that_goes_on_behind_a_gap_has_what_it_waited_before() {
    let mut trace = started();
    trace.begin_call(1, READ, START + 10_000);
    // Something is heard of it in between.
    let (future, stack) = (FutureId(9), StackId(0));
    trace.event(1, START + 60_000, EventKind::Wake { future, stack });
    let damaged = unreadable(&mut trace, 1, START + 61_000);
    trace.event(1, START + 70_000, EventKind::Wake { future, stack });
    trace.end_call(1, START + 90_000, 1);
    let lives = lives(&stop(trace, START + 100_000, damaged));
    let blocked = lives.threads[0].times.blocked_by(Reason::PipeRead);
    assert_eq!(blocked, Nanos(50_000 + 20_000));
    assert_eq!(lives.waits.by_reason[0].total, blocked);
}

#[test]
fn what_a_gap_brings_beyond_the_begin_of_a_window_is_unknown() {
    let mut trace = started();
    // Its end is known with its begin, and events are missing in it.
    trace.call(1, READ, START + 10_000, 50_000, 1);
    let damaged = unreadable(&mut trace, 1, START + 20_000);
    trace.region(1, 1, START + 21_000, 1);
    trace.region(1, 1, START + 90_000, 1);
    let bytes = stop(trace, START + 100_000, damaged);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let options = Options { from: Some(Ticks(START + 40_000)), ..Options::default() };
    let trace = Trace::new(&file).with(options);
    let lives = observe(&trace, &mut Edges::default(), |_| {});
    let life = lives.threads.iter().find(|it| it.thread == ThreadId(1)).expect("it has a life");
    assert_eq!((life.begin, life.end), (Nanos(40_000), Nanos(100_000)));
    assert_eq!(life.times.total(), Nanos(60_000));
    assert!(life.times.unknown >= Nanos(20_000), "{life:?}");
}

#[test]
fn what_a_thread_could_not_restate_is_as_old_as_it_was() {
    let mut trace = started();
    let begin = START - 4_000 * MS;
    let regions = 32;
    for _ in 0..regions {
        reopen(&mut trace, 1, START + 10, Open::Region(SiteId(1)), begin);
    }
    reopen(&mut trace, 1, START + 10, Open::Call(READ), begin);
    let (future, stack) = (FutureId(9), StackId(0));
    trace.event(1, START + 9_000, EventKind::Wake { future, stack });
    let damaged = unreadable(&mut trace, 1, START + 10_000);
    // As many as a thread restates: the call lies further in.
    for _ in 0..regions {
        reopen(&mut trace, 1, START + 20_000, Open::Region(SiteId(1)), begin);
    }
    trace.event(1, START + 25_000, EventKind::Wake { future, stack });
    trace.event(1, START + 30_000, EventKind::EndCall { result: 1 });
    let lives = lives(&stop(trace, START + 40_000, damaged));
    let wait = &lives.waits.by_reason[0].longest[0];
    assert_eq!(wait.begin, Moment(-4_000 * MS as i64));
    // Nobody knows what it did in the gap.
    let inside = Nanos(8_990 + 5_000);
    assert_eq!((wait.inside, wait.duration), (inside, Nanos(4_000 * MS + inside.0)));
}

#[test]
fn what_was_open_before_a_damaged_batch_that_is_the_last_has_lost_its_end() {
    for (state_before, state_behind, counts) in
        [(false, false, (0, 1)), (true, false, (0, 1)), (true, true, (1, 0))]
    {
        let mut trace = started();
        trace.begin(1, 1, START + 1_000);
        if state_before {
            trace.generation(START + 2_000);
        }
        let damaged = unreadable(&mut trace, 1, START + 3_000);
        if state_behind {
            trace.generation(START + 50_000);
        }
        let bytes = stop(trace, START + 100_000, damaged);
        let file = TraceFile::open(bytes).expect("a trace");
        let summary = Summary::read(&Trace::new(&file), |_| {});
        let [region] = summary.regions.as_slice() else { panic!("{:?}", summary.regions) };
        assert_eq!((region.unfinished, region.lost_ends), counts);
        // Only one that is known to be open takes its time.
        let total = if state_behind { Nanos(99_000) } else { Nanos(0) };
        assert_eq!((region.count, region.total), (0, total));
    }
}

#[test]
fn what_is_open_stays_so_over_pieces_that_are_not_restated() {
    let mut trace = started();
    trace.write_definitions();
    let (site, values) = (SiteId(1), Values::new(&[]));
    let events = [
        (100, EventKind::RegionBegin { site, values }),
        (200, EventKind::Region { site, duration: Ticks(10), values }),
        (300, EventKind::End),
    ];
    for (sequence, (at, kind)) in (0..).zip(events) {
        let (mut payload, base_ticks) = (Vec::new(), Ticks(START + at));
        let mut clock = base_ticks;
        put_event(&mut payload, &mut clock, &Event { ticks: base_ticks, kind });
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: ThreadId(1),
            sequence,
            offset: 0,
            generation: 1,
            base_ticks,
            last_ticks: clock,
            events: 1,
            flags: 0,
        };
        trace.batch(&info, &payload);
    }
    let file = TraceFile::open(trace.stop(START + 1_000)).expect("a trace");
    let summary = Summary::read(&Trace::new(&file), |_| {});
    let [region] = summary.regions.as_slice() else { panic!("{:?}", summary.regions) };
    assert_eq!((region.count, region.unfinished, region.lost_ends), (2, 0, 0));
    assert_eq!(region.quantiles.max, Nanos(200), "it ended, and lasted all the time");
}
