//! Regions and task runs whose guards are dropped in another order than they were made: what is
//! read in file order and what is walked in the order of time say the same of each.

use std::collections::BTreeMap;

use crate::random::Random;
use trace_analysis::life::Lives;
use trace_analysis::report::observe;
use trace_analysis::slow_tasks::slow_tasks;
use trace_analysis::timeline::{How, Observer, Who};
use trace_analysis::{Finding, FindingKind, Report, Summary, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::event::EventKind;
use trace_format::header::BatchKind;
use trace_format::id::{FutureId, Open, SiteId, TaskId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, os_id};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Text;

fn started(threads: u32) -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    for site in 1..=4 {
        trace.callsite(site, CallsiteKind::Region, &format!("site{site}"));
    }
    for thread in 1..=threads {
        trace.thread(thread, &format!("t{thread}"));
        trace.switch_in(thread - 1, 0, os_id(thread));
    }
    trace
}

fn detached(trace: &mut TraceBuilder, thread: u32, open: Open, (begin, at): (u64, u64)) {
    trace.event(thread, at, EventKind::EndDetached { open, since: Ticks(at - begin) });
}

/// Per call site: how many ended, how many are open at the end, and the time inside.
type Sums = Vec<(SiteId, [u64; 2], Nanos)>;

/// How many regions are open at the end, as an observer is told.
#[derive(Debug, Default)]
struct OpenAtEnd(BTreeMap<SiteId, u64>);

impl Observer for OpenAtEnd {
    fn end(&mut self, _: Who, open: Open, _: Nanos, how: How<'_>) {
        if let (Open::Region(site), How::Open) = (open, how) {
            *self.0.entry(site).or_default() += 1;
        }
    }
}

/// As both ways of reading have them, of a trace without faults.
fn both(bytes: Vec<u8>) -> [Sums; 2] {
    let file = TraceFile::open(bytes).expect("a trace");
    assert!(file.faults().is_empty());
    let summary = Summary::read(&Trace::new(&file), |_| {});
    let is_misnested = |it: &Finding| matches!(it.kind, FindingKind::Misnested { .. });
    assert!(summary.findings.iter().all(is_misnested), "no word of another thread");
    sums(&file, &summary)
}

fn sums(file: &TraceFile<Vec<u8>>, summary: &Summary) -> [Sums; 2] {
    let trace = Trace::new(file);
    let summary = summary.regions.iter();
    let summary = summary.map(|it| (it.site, [it.count, it.unfinished], it.total));
    let mut open = OpenAtEnd::default();
    observe(&trace, &mut open, |_| {});
    let lives = Lives::read(&trace, |_| {});
    let lives = lives.regions.iter().map(|it| {
        let parts = [it.cpu, it.ready, it.blocked, it.stopped, it.unknown];
        let total = Nanos(parts.iter().map(|part| part.0).sum());
        (it.site, [it.count, open.0.remove(&it.site).unwrap_or(0)], total)
    });
    let mut all = [summary.collect::<Vec<_>>(), lives.collect()];
    assert!(open.0.is_empty(), "{open:?}");
    for sums in &mut all {
        // What has lost its end has no other row.
        sums.retain(|(_, counts, total)| (*counts, *total) != ([0, 0], Nanos(0)));
        sums.sort();
    }
    all
}

#[test]
fn a_region_goes_on_when_what_was_around_it_ends() {
    let mut trace = started(1);
    trace.begin(1, 1, 1_000);
    trace.begin(1, 2, 2_000);
    detached(&mut trace, 1, Open::Region(SiteId(1)), (1_000, 3_000));
    trace.switch_out(0, 4_000, os_id(1), false);
    trace.switch_in(0, 5_000, os_id(1));
    detached(&mut trace, 1, Open::Region(SiteId(2)), (2_000, 9_000));
    let bytes = trace.stop(10_000);
    let [summary, lives] = both(bytes.clone());
    let right = [(SiteId(1), [1, 0], Nanos(2_000)), (SiteId(2), [1, 0], Nanos(7_000))];
    assert_eq!((summary.as_slice(), lives.as_slice()), (&right[..], &right[..]));
    let file = TraceFile::open(bytes).expect("a trace");
    let lives = Lives::read(&Trace::new(&file), |_| {});
    let second = lives.regions.iter().find(|it| it.site == SiteId(2)).expect("it ended");
    assert_eq!((second.cpu, second.blocked), (Nanos(6_000), Nanos(1_000)));
}

#[test]
fn one_whose_end_never_comes_ended_with_what_was_around_it() {
    let mut trace = started(1);
    trace.begin(1, 1, 1_000);
    trace.begin(1, 2, 2_000);
    detached(&mut trace, 1, Open::Region(SiteId(1)), (1_000, 3_000));
    let [summary, lives] = both(trace.stop(10_000));
    let right = [(SiteId(1), [1, 0], Nanos(2_000)), (SiteId(2), [1, 0], Nanos(1_000))];
    assert_eq!(summary, right);
    assert_eq!(lives, summary);
}

/// What a made trace is like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    /// What is open ends in any order, all of it.
    Mixed,
    /// In the right order, in many batches, so that what is open is restated. What is open at last
    /// stays so, and a generation says it.
    Nested,
    /// The same, with many generations: behind them pieces do not restate what is open.
    Pieces,
}

/// Two threads on CPUs of their own that open regions, and runs of tasks, and end them.
fn random(seed: u64, shape: Shape) -> Vec<u8> {
    let is_nested = shape != Shape::Mixed;
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed << 32);
    let mut trace = started(2);
    trace.batch_bytes_max(if is_nested { 100 } else { 1 << 16 });
    let (mut open, mut now, mut task) = ([Vec::new(), Vec::new()], 1_000, 0);
    for _ in 0..300 {
        let thread = random.below(2) as usize;
        now += 1 + random.below(20);
        let id = thread as u32 + 1;
        if shape == Shape::Pieces && random.below(40) == 0 {
            trace.generation(now);
        }
        match random.below(10) {
            0..=3 if open[thread].len() < 12 => {
                let site = 1 + random.below(4) as u32;
                trace.begin(id, site, now);
                open[thread].push((Open::Region(SiteId(site)), now));
            }
            4 => trace.switch_out(thread as u32, now, os_id(id), false),
            5 => trace.switch_in(thread as u32, now, os_id(id)),
            6 if open[thread].len() < 12 => {
                task += 1;
                trace.event(id, now, EventKind::TaskRunBegin { task: TaskId(task) });
                open[thread].push((Open::Task(TaskId(task)), now));
            }
            _ if open[thread].is_empty() => {}
            _ => {
                let last = open[thread].len() - 1;
                let any = random.below(last as u64 + 1) as usize;
                let (it, begin) = open[thread].remove(if is_nested { last } else { any });
                detached(&mut trace, id, it, (begin, now));
            }
        }
    }
    if is_nested {
        trace.generation(now + 1);
        return trace.stop(now + 1_000);
    }
    for (id, open) in (1..).zip(open) {
        for (it, begin) in open.into_iter().rev() {
            now += 1;
            detached(&mut trace, id, it, (begin, now));
        }
    }
    trace.stop(now + 1_000)
}

#[test]
fn whatever_the_order_both_ways_of_reading_count_the_same() {
    for seed in 1..60 {
        let [summary, lives] = both(random(seed, Shape::Mixed));
        assert_eq!(summary, lives, "seed {seed}");
    }
}

/// Damages one batch of events, and reads the rest both ways.
fn damaged(seed: u64, shape: Shape) -> [Sums; 2] {
    let mut bytes = random(seed, shape);
    let at = {
        let file = TraceFile::open(bytes.as_slice()).expect("a trace");
        let events = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
        let events: Vec<_> = events.collect();
        let entry = events[events.len() * seed as usize / 120];
        (entry.offset + u64::from(entry.bytes)) as usize - 1
    };
    bytes[at] ^= 0xff;
    let file = TraceFile::open(bytes).expect("a trace");
    let summary = Summary::read(&Trace::new(&file), |_| {});
    assert!(summary.findings.iter().any(|it| it.kind.is_loss()), "seed {seed}: at {at}");
    sums(&file, &summary)
}

#[test]
fn whatever_is_damaged_both_ways_of_reading_count_the_same() {
    for seed in 1..120 {
        for shape in [Shape::Nested, Shape::Pieces] {
            let [summary, lives] = damaged(seed, shape);
            assert_eq!(summary, lives, "seed {seed}, {shape:?}");
        }
    }
}

#[test]
fn a_run_of_a_task_goes_on_too() {
    let mut trace = started(1);
    let (task, name) = (TaskId(7), Text::cut(b"job", 256));
    trace.event(1, 500, EventKind::TaskBegin { task, parent: TaskId(0), name });
    trace.begin(1, 1, 1_000);
    trace.event(1, 2_000, EventKind::TaskRunBegin { task });
    detached(&mut trace, 1, Open::Region(SiteId(1)), (1_000, 3_000));
    trace.switch_out(0, 4_000, os_id(1), false);
    trace.switch_in(0, 5_000, os_id(1));
    detached(&mut trace, 1, Open::Task(task), (2_000, 9_000));
    trace.event(1, 9_500, EventKind::TaskEnd { task });
    let file = TraceFile::open(trace.stop(10_000)).expect("a trace");
    let trace = Trace::new(&file);
    let summary = Summary::read(&trace, |_| {});
    assert_eq!(summary.tasks.names[0].worked, Nanos(7_000));
    let wanted = Wanted { tasks_by_name: true, ..Wanted::default() };
    let report = Report::read(&trace, wanted, |_| {});
    let done = report.tasks_by_name["job"];
    assert_eq!((done.times.running, done.times.blocked()), (Nanos(6_000), Nanos(1_000)));
    assert!(slow_tasks(&trace, &summary).is_empty(), "there is nothing to compare it with");
}

#[test]
fn a_region_that_ends_on_another_thread_is_around_nothing_that_comes_later() {
    let mut trace = started(2);
    let future = FutureId(3);
    trace.event(1, 1_000, EventKind::PollBegin { future });
    trace.begin(1, 1, 1_500);
    // Its task is suspended, and goes on on the other thread, where the guard is dropped.
    detached(&mut trace, 1, Open::Poll(future), (1_000, 3_000));
    detached(&mut trace, 2, Open::Region(SiteId(1)), (1_500, 5_000));
    trace.region(1, 1, 6_000, 2_000);
    let file = TraceFile::open(trace.stop(10_000)).expect("a trace");
    let lives = Lives::read(&Trace::new(&file), |_| {});
    let [region] = lives.regions.as_slice() else { panic!("one call site") };
    assert_eq!((region.count, region.cpu), (2, Nanos(1_500 + 2_000)));
}
