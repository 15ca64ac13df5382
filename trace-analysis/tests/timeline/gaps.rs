//! What goes on behind a damaged batch, and what is known of the time in it. One tick is a
//! nanosecond.

use trace_analysis::life::Lives;
use trace_analysis::reason::Reason;
use trace_analysis::regions::RegionSummary;
use trace_analysis::report::observe;
use trace_analysis::symbols::Symbols;
use trace_analysis::timeline::{Begun, Edge, How, Interval, Observer, ThreadState, Who};
use trace_analysis::{Moment, Options, Summary, Trace};
use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::{CallsiteKind, Definition, OpenSince, ResourceKind};
use trace_format::event::{Event, EventKind, put_event};
use trace_format::header::{BatchKind, TRAILER_BYTES};
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
    assert!(times.running <= Nanos(1_200), "{times:?}");
    assert!(times.unknown >= Nanos(98_800), "{times:?}");
}

/// Which numbers of edges were told with what began, and with what they ended; and of what has no
/// end, whether it is open.
#[derive(Default)]
struct Edges {
    begun: Vec<u64>,
    ended: Vec<u64>,
    without_end: Vec<(Open, bool)>,
}

impl Observer for Edges {
    fn begin(&mut self, _: Who, begun: &Begun<'_>) {
        self.begun.extend(Some(begun.edge).filter(|edge| *edge != 0));
    }

    fn edge(&mut self, edge: &Edge) {
        self.ended.push(edge.number);
    }

    fn end(&mut self, _: Who, open: Open, _: Nanos, how: How<'_>) {
        if matches!(how, How::Open | How::Lost) {
            self.without_end.push((open, matches!(how, How::Open)));
        }
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
    assert_eq!(blocked, Nanos(51_000 + 20_000));
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
    let inside = Nanos(9_990 + 5_000);
    assert_eq!((wait.inside, wait.duration), (inside, Nanos(4_000 * MS + inside.0)));
}

/// What the last generation says of a thread: what is open, and whether more is.
type State<'s> = Option<(&'s [OpenSince], bool)>;

/// A thread on a CPU begins a region and a read in it; its next batch, the last one, is damaged.
///
/// - `state`: if a generation lies behind.
fn damaged_at_the_end(state: State<'_>) -> Vec<u8> {
    let mut trace = started();
    trace.switch_in(0, START, os_id(1));
    trace.begin(1, 1, START + 1_000);
    trace.begin_call(1, READ, START + 2_000);
    trace.generation(START + 2_500);
    let damaged = unreadable(&mut trace, 1, START + 3_000);
    if let Some((open, more)) = state {
        let (number, ticks, open) = (9, Ticks(START + 50_000), open.to_vec());
        trace.define(&Definition::Generation { number, ticks });
        let id = ThreadId(1);
        trace.define(&Definition::ThreadState { id, sequence: 9, offset: 0, more, open });
        trace.write_definitions();
    }
    trace.switch_out(0, START + 60_000, os_id(1), false);
    stop(trace, START + 100_000, damaged)
}

#[test]
fn what_was_open_before_a_damaged_batch_that_is_the_last_is_so_only_if_a_state_behind_says_it() {
    let since = |open, at| OpenSince { open, begin: Ticks(START + at) };
    let region = since(Open::Region(SiteId(1)), 1_000);
    let (read, other) = (since(Open::Call(READ), 2_000), since(Open::Region(SiteId(1)), 3_500));
    // For each: whether the region is open, whether the read is, and whether another region is that
    // began in what is lost.
    let cases: [(State<'_>, [bool; 3]); 6] = [
        (None, [false, false, false]),
        (Some((&[], false)), [false, false, false]),
        (Some((&[], true)), [false, false, false]),
        (Some((&[region], true)), [true, false, false]),
        (Some((&[region, other], false)), [true, false, true]),
        (Some((&[region, read], false)), [true, true, false]),
    ];
    for (state, [is_region_open, is_read_open, has_other]) in cases {
        let bytes = damaged_at_the_end(state);
        let file = TraceFile::open(bytes).expect("a trace");
        let (symbols, mut observer) = (Symbols::of_trace(file.tables()), Edges::default());
        let trace = Trace::new(&file).named(&symbols);
        let lives = observe(&trace, &mut observer, |_| {});
        let mut right = vec![(region.open, is_region_open), (read.open, is_read_open)];
        right.extend(has_other.then_some((other.open, true)));
        let mut told = observer.without_end;
        right.sort_by_key(|it| (it.0.to_word(), it.1));
        told.sort_by_key(|it| (it.0.to_word(), it.1));
        assert_eq!(told, right, "{state:?}");

        // Only one that is known to be open takes its time; the other one lies in it.
        let total = 99_000 * u64::from(is_region_open);
        let summary = Summary::read(&trace, |_| {});
        let [sum] = summary.regions.as_slice() else { panic!("{:?}", summary.regions) };
        let unfinished = u64::from(is_region_open) + u64::from(has_other);
        let counts = (sum.count, sum.unfinished, sum.lost_ends);
        assert_eq!(counts, (0, unfinished, u64::from(!is_region_open)), "{state:?}");
        assert_eq!(sum.total, Nanos(total), "{state:?}");
        let in_life = lives.regions.iter().map(|it| {
            let parts = [it.cpu, it.ready, it.blocked, it.stopped, it.unknown];
            parts.iter().map(|part| part.0).sum::<u64>()
        });
        assert_eq!(in_life.sum::<u64>(), total, "{state:?}");

        // It went off its CPU in the read, if that was open.
        let unended: Vec<_> = lives.unended.iter().map(|it| (it.reason, it.wait.inside)).collect();
        let right = [(Reason::PipeRead, Nanos(40_000))];
        assert_eq!(unended, right[..usize::from(is_read_open)], "{state:?}");
    }
}

#[test]
fn a_thread_that_waits_to_the_end_is_stuck_though_its_last_batch_is_damaged() {
    let mut trace = started();
    trace.begin_call(1, WAIT, START + 1_000);
    // The second damaged batch follows the first.
    let damaged = unreadable(&mut trace, 1, START + 3_000);
    let damaged_next = unreadable(&mut trace, 1, START + 4_000);
    trace.generation(START + 50_000);
    let mut bytes = stop(trace, START + 100_000, damaged);
    bytes[damaged_next] ^= 1;
    let lives = lives(&bytes);
    let [unended] = lives.unended.as_slice() else { panic!("{:?}", lives.unended) };
    assert_eq!((unended.call, unended.wait.begin), (WAIT.call, Moment(1_000)));
    let waited = unended.wait.inside;
    assert!((Nanos(90_000)..=Nanos(99_000)).contains(&waited), "{waited:?}");
}

/// Two threads with a region and a read each; their last batches are damaged, and nothing in the
/// file says whose these are.
#[derive(Clone, Copy, Debug)]
struct Unowned {
    /// Whether all that is open ends in the damaged batches.
    ends: bool,
    /// Whether a generation before them says what is open, and one behind them.
    states: [bool; 2],
    /// Whether the trace was stopped, and its index is cut off.
    is_stopped: bool,
}

impl Unowned {
    fn trace(self) -> Vec<u8> {
        let mut trace = started();
        for thread in [1, 2] {
            trace.begin(thread, 1, START + 1_000);
            trace.begin_call(thread, READ, START + 2_000);
        }
        if self.states[0] {
            trace.generation(START + 2_500);
        }
        [1, 2].into_iter().for_each(|thread| trace.seal(thread));
        let mut damaged = Vec::new();
        for thread in [1, 2] {
            damaged.push(trace.bytes());
            let (future, stack) = (FutureId(9), StackId(0));
            trace.event(thread, START + 3_000, EventKind::Wake { future, stack });
            if self.ends {
                trace.end_call(thread, START + 3_100, 1);
                trace.end(thread, START + 3_200);
            }
            trace.seal(thread);
        }
        if self.states[1] {
            trace.generation(START + 50_000);
        }
        let end = START + 100_000;
        let mut bytes = if self.is_stopped { trace.stop(end) } else { trace.killed() };
        if self.is_stopped {
            let trailer = bytes.len() - TRAILER_BYTES;
            let index = bytes[trailer + 8..trailer + 16].try_into().expect("eight bytes");
            bytes.truncate(u64::from_le_bytes(index) as usize);
        }
        // The number of the batch, in its header.
        damaged.into_iter().for_each(|at| bytes[at + 20] ^= 1);
        bytes
    }

    fn all() -> impl Iterator<Item = Self> {
        let bits = (0..16_u32).map(|bits| [1, 2, 4, 8].map(|bit| bits & bit != 0));
        bits.map(|[ends, before, behind, is_stopped]| Self {
            ends,
            states: [before, behind],
            is_stopped,
        })
    }
}

#[test]
fn what_may_have_ended_in_damage_that_may_be_any_thread_s_is_not_open() {
    for case in Unowned::all() {
        let file = TraceFile::open(case.trace()).expect("a trace");
        let events = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
        assert_eq!(events.count(), 2, "{case:?}");
        let (symbols, mut observer) = (Symbols::of_trace(file.tables()), Edges::default());
        let trace = Trace::new(&file).named(&symbols);
        let lives = observe(&trace, &mut observer, |_| {});
        // Only a state that lies behind the damage says so.
        let is_open = case.states[1] && !case.ends;
        let told: Vec<_> = observer.without_end.iter().map(|(_, is_open)| *is_open).collect();
        assert_eq!(told, [is_open; 4], "{case:?}: {:?}", observer.without_end);
        assert_eq!(lives.unended.len(), if is_open { 2 } else { 0 }, "{case:?}");
        let summary = Summary::read(&trace, |_| {});
        let [region] = summary.regions.as_slice() else { panic!("{:?}", summary.regions) };
        let counts = (region.count, region.unfinished, region.lost_ends);
        assert_eq!(counts, if is_open { (0, 2, 0) } else { (0, 0, 2) }, "{case:?}");
        assert_eq!(summary.findings.count("unfinished"), region.unfinished, "{case:?}");
    }
}

#[test]
fn a_damaged_first_batch_of_definitions_takes_no_time_away() {
    let mut trace = started();
    trace.write_definitions();
    let definitions = trace.bytes();
    trace.switch_in(0, START, os_id(1));
    trace.begin(1, 1, START + 1_000);
    trace.end(1, START + 30_000);
    trace.generation(START + 40_000);
    trace.region(1, 1, START + 50_000, 5_000);
    let whole = trace.stop(START + 100_000);
    let mut damaged = whole.clone();
    damaged[definitions - 1] ^= 1;
    for is_cut in [false, true] {
        // Without the index, too.
        let bytes = if is_cut { damaged[..damaged.len() - 1].to_vec() } else { damaged.clone() };
        let (file, good) = (TraceFile::open(bytes), TraceFile::open(whole.as_slice()));
        let (file, good) = (file.expect("a trace"), good.expect("a trace"));
        let right = Summary::read(&Trace::new(&good), |_| {});
        let summary = Summary::read(&Trace::new(&file), |_| {});
        // The clock's first snapshot is lost: the trace begins with its first event.
        assert_eq!(file.tables().clock.origin().ticks, Ticks(START));
        assert_eq!(summary.wall(), right.wall());
        let ([found], [right]) = (summary.regions.as_slice(), right.regions.as_slice()) else {
            panic!("{:?}", summary.regions)
        };
        assert_eq!((found.count, found.total), (2, right.total));
        let lives = Lives::read(&Trace::new(&file), |_| {});
        let [region] = lives.regions.as_slice() else { panic!("{:?}", lives.regions) };
        let parts = [region.cpu, region.ready, region.blocked, region.stopped, region.unknown];
        let total = Nanos(parts.iter().map(|part| part.0).sum());
        assert_eq!((region.count, total), (2, right.total), "{region:?}");
    }
}

/// What a thread did, as far as it lies between two moments.
#[derive(Default)]
struct States(Vec<(ThreadState, u64, u64)>);

impl Observer for States {
    fn interval(&mut self, interval: &Interval) {
        if interval.who.thread == ThreadId(1) {
            self.0.push((interval.state, interval.from.0, interval.to.0));
        }
    }
}

impl States {
    fn between(&self, from: u64, to: u64) -> Vec<(ThreadState, u64, u64)> {
        let mut cut: Vec<(ThreadState, u64, u64)> = Vec::new();
        for &(state, begin, end) in &self.0 {
            let (begin, end) = (begin.max(from), end.min(to));
            match cut.last_mut() {
                _ if begin >= end => {}
                Some(last) if last.0 == state && last.2 == begin => last.2 = end,
                _ => cut.push((state, begin, end)),
            }
        }
        cut
    }
}

/// What one way of reading finds in a part of a trace.
fn part(file: &TraceFile<Vec<u8>>, from: u64, to: u64) -> (States, [u64; 2], [u64; 3]) {
    let (from, to) = (Some(Ticks(START + from)), Some(Ticks(START + to)));
    let symbols = Symbols::of_trace(file.tables());
    let options = Options { from, to, ..Options::default() };
    let trace = Trace::new(file).named(&symbols).with(options);
    let mut states = States::default();
    let lives = observe(&trace, &mut states, |_| {});
    let in_lives = lives.regions.iter().map(|it| {
        let parts = [it.cpu, it.ready, it.blocked, it.stopped, it.unknown];
        parts.iter().map(|part| part.0).sum::<u64>()
    });
    let summary = Summary::read(&trace, |_| {});
    let total = summary.regions.iter().map(|it| it.total.0).sum();
    let sum = |of: fn(&RegionSummary) -> u64| summary.regions.iter().map(of).sum();
    let counts = [sum(|it| it.count), sum(|it| it.unfinished), sum(|it| it.lost_ends)];
    (states, [total, in_lives.sum()], counts)
}

#[test]
fn a_window_that_ends_between_damage_and_what_is_restated_then_knows_what_goes_on() {
    let mut trace = started();
    trace.switch_in(0, START, os_id(1));
    trace.begin(1, 1, START + 1_000);
    trace.begin_call(1, READ, START + 2_000);
    trace.switch_out(0, START + 2_100, os_id(1), false);
    let damaged = unreadable(&mut trace, 1, START + 3_000);
    trace.switch_in(0, START + 79_000, os_id(1));
    trace.end_call(1, START + 80_000, 1);
    trace.end(1, START + 90_000);
    let file = TraceFile::open(stop(trace, START + 100_000, damaged)).expect("a trace");
    let (whole, ..) = part(&file, 0, 100_000);
    // In the window the region is open, and not lost; in what is behind it, it ends.
    for to in [2_500, 3_001, 50_000, 80_000] {
        let (states, totals, counts) = part(&file, 0, to);
        assert_eq!(totals, [to - 1_000; 2], "to {to}");
        assert_eq!(counts, [0, 1, 0], "to {to}");
        assert_eq!(states.between(0, to), whole.between(0, to), "to {to}");
        let (_, totals, counts) = part(&file, to, 100_000);
        assert_eq!(totals, [90_000 - to; 2], "from {to}");
        assert_eq!(counts, [1, 0, 0], "from {to}");
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
