//! What an observer sees of a trace: it nests, leaves no time out, points forward in time, and adds
//! up to what the reports say of the same trace.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::machine::random::Random;
use crate::machine::{Machine, THREADS};
use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::life::{Lives, Times};
use trace_analysis::report::observe;
use trace_analysis::symbols::Symbols;
use trace_analysis::timeline::{
    Begun, Edge, EdgeKind, FutureBegun, How, Interval, Observer, TaskInterval, TaskState,
    ThreadState, Who,
};
use trace_analysis::{Moment, Options, Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId, Open, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, everything, open_call, os_id, tight_loops};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{Text, Values};

/// Checks what must be true of every trace, and keeps the rest.
#[derive(Default)]
struct Checks {
    open: HashMap<usize, Vec<Open>>,
    intervals: BTreeMap<usize, Vec<Interval>>,
    tasks: BTreeMap<FutureId, Vec<TaskInterval>>,
    futures: HashMap<FutureId, Moment>,
    edges: Vec<Edge>,
    /// The numbers of the edges that were told with what began.
    begun_edges: HashSet<u64>,
    calls: u64,
    /// Futures whose poll's end was lost just now: how long it was is in no sum.
    lost: HashSet<FutureId>,
    /// Time in these.
    lost_polls: u64,
}

impl Observer for Checks {
    fn begin(&mut self, who: Who, begun: &Begun<'_>) {
        self.open.entry(who.number).or_default().push(begun.open);
        self.begun_edges.insert(begun.edge);
    }

    fn end(&mut self, who: Who, open: Open, _: Nanos, how: How<'_>) {
        let innermost = self.open.entry(who.number).or_default().pop();
        assert_eq!(innermost, Some(open), "T1: what ends is the innermost");
        let is_over = !matches!(how, How::Lost | How::Open);
        self.calls += u64::from(is_over && matches!(open, Open::Call(_)));
        if let (Open::Poll(future), How::Lost) = (open, how) {
            self.lost.insert(future);
        }
    }

    fn future(&mut self, begun: &FutureBegun<'_>) {
        let again = self.futures.insert(begun.future, begun.at);
        assert_eq!(again, None, "a future begins once: {begun:?}");
    }

    fn interval(&mut self, interval: &Interval) {
        assert!(interval.from < interval.to, "{interval:?}");
        let all = self.intervals.entry(interval.who.number).or_default();
        if let Some(last) = all.last() {
            assert_eq!(last.to, interval.from, "T2: no gap and no overlap: {last:?}, {interval:?}");
        }
        all.push(*interval);
    }

    fn task_interval(&mut self, interval: &TaskInterval) {
        let begun = self.futures.get(&interval.task).expect("it was told of before");
        assert!(*begun <= interval.from, "T4: not before its begin: {interval:?}");
        let all = self.tasks.entry(interval.task).or_default();
        if let Some(last) = all.last() {
            let end = last.to.map(Moment::from).expect("nothing follows what has no end");
            assert!(end <= interval.from, "T4: no overlap: {last:?}, {interval:?}");
        }
        all.push(*interval);
        if let (TaskState::Polled(_), Some(to)) = (interval.state, interval.to)
            && self.lost.remove(&interval.task)
        {
            self.lost_polls += interval.from.until(to).0;
        }
    }

    fn edge(&mut self, edge: &Edge) {
        assert!(edge.at <= edge.end, "T3: {edge:?}");
        let is_begun = edge.kind == EdgeKind::Join || self.begun_edges.contains(&edge.number);
        assert!(is_begun, "something that was told leads there: {edge:?}");
        self.edges.push(*edge);
    }
}

impl Checks {
    /// What the intervals of a thread add up to.
    fn times(&self, number: usize) -> Times {
        let mut times = Times::default();
        for interval in self.intervals.get(&number).into_iter().flatten() {
            let sum = match interval.state {
                ThreadState::Running(_) => &mut times.running,
                ThreadState::InCall(_) => &mut times.in_calls,
                ThreadState::Ready => &mut times.ready,
                ThreadState::Unknown => &mut times.unknown,
                ThreadState::Stopped => &mut times.stopped,
                ThreadState::Blocked(reason) => &mut times.blocked[reason as usize],
            };
            sum.0 += interval.to.0 - interval.from.0;
        }
        times
    }

    /// What the intervals of all tasks add up to: ready, polled, idle; without what goes on.
    fn tasks(&self) -> [u64; 3] {
        let mut sums = [0; 3];
        for interval in self.tasks.values().flatten() {
            let Some(to) = interval.to else { continue };
            let sum = match interval.state {
                TaskState::Ready => 0,
                TaskState::Polled(_) => 1,
                TaskState::Idle(_) => 2,
            };
            sums[sum] += interval.from.until(to).0;
        }
        sums
    }
}

/// Observes a trace, and compares with what is read without an observer.
fn observed(bytes: &[u8]) -> (Checks, Lives, AsyncTasks) {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let mut checks = Checks::default();
    let lives = observe(&Trace::new(&file).named(&symbols), &mut checks, |_| {});
    assert!(checks.open.values().all(Vec::is_empty), "all that began has ended, or is told open");
    let report = Lives::read(&Trace::new(&file).named(&symbols), |_| {});
    assert_eq!(lives.threads, report.threads);
    assert_eq!((&lives.waits, &lives.calls), (&report.waits, &report.calls));
    assert_eq!((&lives.cpus, &lives.concurrency), (&report.cpus, &report.concurrency));
    // Without an observer no time is spent on what only regions do.
    assert_eq!(lives.regions, report.regions);
    assert_eq!((lives.unreadable, lives.too_deep), (report.unreadable, report.too_deep));
    let mut threads: HashMap<_, _> =
        lives.threads.iter().map(|life| ((life.thread, life.os_id), life.times)).collect();
    for (number, all) in &checks.intervals {
        let who = all[0].who;
        let times = threads.remove(&(who.thread, who.os_id));
        assert_eq!(Some(checks.times(*number)), times, "T2: {who:?}");
    }
    assert!(threads.values().all(|times| times.total() == Nanos(0)), "{threads:?}");
    let tasks = AsyncTasks::read(&Trace::new(&file).named(&symbols), |_| {});
    (checks, lives, tasks)
}

#[test]
fn intervals_and_edges_are_what_the_machine_did() {
    for seed in 1..30 {
        let mut machine = Machine::new(0x51ed_270b_a5a7_9c15 ^ seed << 32);
        (0..3_000).for_each(|_| machine.step());
        let (bytes, threads, end, wakes) = machine.finish();
        let (checks, lives, _) = observed(&bytes);
        for (number, thread) in threads.iter().enumerate() {
            let times = checks.times(number);
            let spent = [times.running.0, times.in_calls.0, times.ready.0, times.blocked().0];
            assert_eq!(spent, thread.spent, "seed {seed}, thread {number}");
            let all = &checks.intervals[&number];
            assert_eq!((all[0].from, all[all.len() - 1].to), (Nanos(0), Nanos(end)));
        }
        assert_eq!(threads.len(), THREADS as usize);
        assert_eq!(checks.edges.len() as u64, wakes, "each wake ended a wait");
        assert_eq!(checks.calls, lives.calls.count);
        for edge in &checks.edges {
            // Who was woken is ready from then on, or runs already.
            let woken = checks.intervals[&edge.to.number].iter();
            let mut after = woken.filter(|it| it.to > edge.at && it.from < edge.end);
            assert!(after.all(|it| !matches!(it.state, ThreadState::Blocked(_))), "{edge:?}");
            assert!(edge.from.number != edge.to.number && edge.kind == EdgeKind::Wake);
        }
    }
}

#[test]
fn the_end_of_a_thread_is_an_edge_to_who_joins_it() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.thread(2, "worker");
    trace.resource(1, ResourceKind::Thread, os_id(2), "");
    trace.callsite(1, CallsiteKind::Region, "work");
    trace.region(2, 1, 10, 49_000);
    trace.call(1, open_call(CallId::PTHREAD_JOIN, 1, 0), 100, 55_000, 0);
    let (checks, lives, _) = observed(&trace.stop(100_000));
    assert_eq!(checks.edges.len(), 1);
    let edge = checks.edges[0];
    assert_eq!(
        (edge.kind, edge.from.thread, edge.to.thread),
        (EdgeKind::Join, ThreadId(2), ThreadId(1))
    );
    let wakers = &lives.waits.by_reason[0].wakers;
    assert_eq!((wakers.len(), wakers[0].of.0), (1, ThreadId(2)), "the report says the same");
}

/// Any event about few things, so that they meet: begins and ends in any order, ids that mean
/// nothing, begins that never were.
fn any_event(random: &mut Random, ticks: u64) -> EventKind<'static> {
    let values = Values::new(&[]);
    let (site, task) = (SiteId(random.below(5) as u32), TaskId(random.below(4)));
    let (future, duration) = (FutureId(1 + random.below(4)), Ticks(random.below(20)));
    let since = Ticks(random.below(ticks.min(200)));
    let stack = StackId(random.below(3) as u32);
    let call = [CallId::READ, CallId::FUTEX_WAIT, CallId::FUTEX_WAKE][random.below(3) as usize];
    let call = open_call(call, 1 + random.below(2) as u32, 0);
    let open = [Open::Region(site), Open::Poll(future), Open::Task(task), Open::Call(call)];
    let open = open[random.below(4) as usize];
    let result = random.below(3) as i64 - 1;
    match random.below(36) {
        0 => EventKind::Region { site, duration, values },
        1..=3 => EventKind::RegionBegin { site, values },
        4 | 5 => EventKind::Poll { future, waits_at: stack, duration },
        6 | 7 => EventKind::PollBegin { future },
        8 => EventKind::TaskRun { task, duration },
        9 => EventKind::TaskRunBegin { task },
        10 | 11 => EventKind::Call { call, result, duration },
        12 | 13 => EventKind::CallBegin { call },
        14..=16 => EventKind::EndCall { result },
        17..=19 => EventKind::End,
        20 | 21 => EventKind::EndDetached { open, since },
        22 => EventKind::FutureBegin { future, task, site, values },
        23 => {
            let outcome = Outcome::ALL[random.below(Outcome::ALL.len() as u64) as usize];
            EventKind::FutureEnd { future, outcome, values }
        }
        24 => EventKind::EndPoll { waits_at: stack },
        25 => EventKind::FutureSpawn { future, parent: future, task, site, stack },
        26..=28 => EventKind::Wake { future, stack },
        29 => EventKind::Ready { future, since },
        30 => EventKind::Unwakeable { future },
        31..=33 => EventKind::Reopen { open, since },
        34 => EventKind::TaskBegin { task, parent: TaskId(0), name: Text::cut(b"job", 256) },
        _ => EventKind::Dropped {
            events: 1,
            ends: random.below(3),
            from: Ticks(ticks - since.0),
            to: Ticks(ticks),
        },
    }
}

/// Threads and CPUs that write anything, and sometimes a batch that is damaged.
fn nonsense(seed: u64) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed << 32);
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Region, "work");
    trace.callsite(2, CallsiteKind::Future, "fetch");
    for thread in 1..=3 {
        trace.thread(thread, "t");
        trace.resource(thread, ResourceKind::Address, 0x100 * u64::from(thread), "");
    }
    let (mut clocks, mut now) = ([1_000_u64; 3], 1_000);
    let mut damaged = None;
    for _ in 0..400 {
        let thread = random.below(3) as usize;
        clocks[thread] += random.below(5);
        let ticks = clocks[thread];
        let kind = any_event(&mut random, ticks);
        clocks[thread] += kind.duration().map_or(0, |it| it.0);
        trace.event(thread as u32 + 1, ticks, kind);
        now += random.below(4);
        match random.below(12) {
            0 => trace.switch_in(random.below(2) as u32, now, os_id(1 + random.below(3) as u32)),
            1 => {
                let os_thread = os_id(1 + random.below(3) as u32);
                trace.switch_out(random.below(2) as u32, now, os_thread, random.below(2) == 0);
            }
            2 => {
                trace.seal(thread as u32 + 1);
                if damaged.is_none() && random.below(4) == 0 {
                    damaged = Some(trace.bytes() + 64);
                }
            }
            _ => {}
        }
    }
    let mut bytes = trace.stop(10_000);
    if let Some(at) = damaged.filter(|at| *at < bytes.len()) {
        bytes[at] ^= 1;
    }
    bytes
}

#[test]
fn whatever_is_in_a_trace_it_nests_leaves_no_time_out_and_adds_up() {
    let mut faults = 0;
    for seed in 1..200 {
        let (checks, lives, tasks) = observed(&nonsense(seed));
        faults += u64::from(lives.unreadable > 0);
        assert_eq!(checks.calls, lives.calls.count, "seed {seed}");
        let woken = lives.waits.by_reason.iter().flat_map(|group| &group.wakers);
        let woken: u64 = woken.map(|share| share.count).sum();
        // A wait that took no time has an end, and is in no sum.
        assert!(checks.edges.len() as u64 >= woken, "seed {seed}");
        let [_, polled, _] = checks.tasks();
        let busy: u64 = tasks.sites.iter().map(|site| site.busy.0).sum();
        let known = polled - checks.lost_polls;
        assert!(known <= busy, "seed {seed}: {known} of {busy}");
    }
    assert!(faults > 10, "{faults} of the traces were damaged");
}

#[test]
fn every_window_of_whatever_is_in_a_trace_adds_up() {
    for seed in 1..200 {
        let bytes = nonsense(seed);
        let file = TraceFile::open(bytes).expect("a trace");
        let symbols = Symbols::of_trace(file.tables());
        let end = Lives::read(&Trace::new(&file), |_| {}).to;
        for (from, to) in [(1, 4), (2, 4), (3, 4), (1, 2), (2, 3)] {
            let ticks = |part: u64| Some(file.tables().clock.ticks(Nanos(end.0 * part / 4)));
            let options = Options { from: ticks(from), to: ticks(to), ..Options::default() };
            let trace = Trace::new(&file).named(&symbols).with(options);
            let wanted = Wanted { async_tasks: true, ..Wanted::default() };
            let lives = Report::read(&trace, wanted, |_| {}).lives;
            for life in &lives.threads {
                let length = life.end.0 - life.begin.0;
                assert_eq!(life.times.total(), Nanos(length), "seed {seed}, {from}: {life:?}");
            }
        }
    }
}

#[test]
fn every_golden_kind_of_trace_adds_up() {
    for bytes in [everything(Compression::Lz4), tight_loops(3, 1_000, Compression::None)] {
        let (checks, lives, _) = observed(&bytes);
        assert_eq!(checks.calls, lives.calls.count);
        assert!(!checks.intervals.is_empty());
    }
}

/// Sees nothing, and so must change nothing.
struct Blind;

impl Observer for Blind {}

#[test]
fn what_is_found_does_not_depend_on_whether_somebody_looks() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../trace-format/testdata/golden");
    let mut read = 0;
    for path in std::fs::read_dir(golden).expect("golden traces") {
        let path = path.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let bytes = trace_format::text::from_text(&text).expect("a trace as text");
        let Ok(file) = TraceFile::open(bytes) else { continue };
        let symbols = Symbols::of_trace(file.tables());
        let trace = Trace::new(&file).named(&symbols);
        // Nobody looks: what says nothing of calls is passed over.
        let sums = |mut lives: Lives| {
            // Who made no call, and of whom no definition tells when it began, is passed over.
            lives.threads.retain(|life| life.calls > 0);
            (lives.threads, lives.waits, lives.calls, lives.unended)
        };
        let found = sums(Lives::read(&trace, |_| {}));
        let seen = sums(observe(&trace, &mut Blind, |_| {}));
        assert_eq!(found, seen, "{}", path.display());
        read += 1;
    }
    assert!(read > 20, "{read} golden traces");
}

#[test]
fn what_async_tasks_do_adds_up_to_their_report() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Future, "serve");
    (1..=2).for_each(|thread| trace.thread(thread, "worker"));
    let (site, task, stack) = (SiteId(1), TaskId(0), StackId(0));
    let mut random = Random(7);
    for id in 1..=50 {
        let (future, parent) = (FutureId(id), FutureId(0));
        let mut at = id * 1_000;
        trace.event(1, at, EventKind::FutureSpawn { future, parent, task, site, stack });
        for _ in 0..random.below(8) {
            at += 1 + random.below(20);
            let duration = Ticks(1 + random.below(30));
            let (thread, waits_at) = (1 + random.below(2) as u32, StackId(0));
            trace.event(thread, at, EventKind::Poll { future, waits_at, duration });
            at += duration.0 + random.below(20);
            trace.event(1, at, EventKind::Wake { future, stack });
        }
        let values = Values::new(&[]);
        at += 5;
        let outcome = match id % 2 {
            0 => Outcome::Dropped,
            _ => {
                trace.event(2, at, EventKind::PollBegin { future });
                at += 10;
                Outcome::Ended
            }
        };
        // Executors' hooks tell of the end inside the last poll.
        trace.event(2, at, EventKind::FutureEnd { future, outcome, values });
        if outcome == Outcome::Ended {
            trace.event(2, at, EventKind::EndPoll { waits_at: StackId(0) });
        }
    }
    let (checks, _, tasks) = observed(&trace.stop(100_000));
    let [_, polled, idle] = checks.tasks();
    let site = &tasks.sites[0];
    assert_eq!((polled, idle), (site.busy.0, site.idle.0));
    assert_eq!(site.count, 50);
    let polls = checks.tasks.values().flatten();
    let polls = polls.filter(|it| matches!(it.state, TaskState::Polled(_))).count();
    assert_eq!(polls as u64, site.polls);
}
