//! Whole traces in, sums out: what a summary says of traces whose contents are known.

use crate::common::Builder;
use trace_analysis::findings::FindingKind;
use trace_analysis::{Options, Progress, Summary, Trace};
use trace_format::definition::CallsiteKind;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, Open, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{Text, Value, Values};

const NONE: Values<'static> = Values::new(&[]);

fn read_with(bytes: &[u8], options: &Options) -> Summary {
    let file = TraceFile::open(bytes.to_vec()).expect("the file begins like a trace");
    Summary::read(&Trace::new(&file).with(options.clone()), |_| {})
}

fn read(bytes: &[u8]) -> Summary {
    read_with(bytes, &Options::default())
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.site(1, CallsiteKind::Function, "app::outer", &["id"]);
    builder.site(2, CallsiteKind::Function, "app::inner", &["n"]);
    builder.site(3, CallsiteKind::Counter, "app::queue", &[]);
    builder.site(4, CallsiteKind::Log, "app::log", &[]);
    builder.site(5, CallsiteKind::Future, "app::fetch", &[]);
    builder.thread(1, "main");
    builder.thread(2, "worker");
    builder
}

fn names(summary: &Summary) -> Vec<&str> {
    summary.findings.iter().map(|finding| finding.kind.name()).collect()
}

#[test]
fn counts_totals_and_self_times_are_those_of_the_events() {
    let mut b = builder();
    for at in 0..10 {
        b.begin(1, at * 1000, 1, &[Value::U64(at)]);
        b.region_with(1, at * 1000 + 100, 2, 50 + at, &[Value::U64(at)]);
        b.end(1, at * 1000 + 500);
    }
    let summary = read(&b.stop(20_000));
    assert_eq!(names(&summary), [""; 0]);
    assert_eq!((summary.events, summary.wall()), (30, Nanos(20_000)));
    let [outer, inner] = summary.regions.as_slice() else { panic!("two call sites") };
    assert_eq!((outer.site, outer.count, outer.total), (SiteId(1), 10, Nanos(5000)));
    assert_eq!((outer.self_time, outer.mean), (Nanos(5000 - 545), Nanos(500)));
    assert_eq!((inner.site, inner.count, inner.total), (SiteId(2), 10, Nanos(545)));
    assert_eq!((inner.quantiles.p50, inner.quantiles.max), (Nanos(54), Nanos(59)));
    let worst = &inner.outliers[0];
    assert_eq!(
        (worst.thread, worst.begin, worst.duration),
        (ThreadId(1), Nanos(9100).into(), Nanos(59))
    );
    assert_eq!(worst.arguments.values().collect::<Vec<_>>(), [Value::U64(9)]);
    let main = &summary.threads[0];
    assert_eq!((main.busy, main.events, main.regions), (Nanos(5000), 30, 20));
    assert_eq!((main.first, main.last), (Nanos(0), Nanos(9500)));
}

#[test]
fn recursion_counts_once_in_the_total() {
    let mut b = builder();
    b.begin(1, 0, 1, &[]);
    b.begin(1, 10, 1, &[]);
    b.region(1, 20, 1, 30);
    b.end(1, 60);
    b.end(1, 100);
    let summary = read(&b.stop(100));
    let outer = &summary.regions[0];
    assert_eq!((outer.count, outer.total, outer.self_time), (3, Nanos(100), Nanos(100)));
}

/// Many batches, generations and threads: large enough for several bunches.
fn large() -> Vec<u8> {
    let mut b = builder();
    let mut generation = 0;
    for at in 0..400_000_u64 {
        let thread = 1 + (at % 5) as u32;
        let now = at * 100;
        if now / 1_000_000 > generation {
            generation = now / 1_000_000;
            b.generation(now);
        }
        if at % 50 < 5 {
            b.begin(thread, now, 1, &[Value::U64(at)]);
        } else if at % 50 >= 45 {
            b.end(thread, now);
        } else {
            b.region(thread, now, 2, at % 97);
        }
        if at % 1000 == 7 {
            b.task(thread, now, at, 0, "job");
            b.event(thread, now, EventKind::TaskRun { task: TaskId(at), duration: Ticks(3) });
        }
        if at % 1000 == 509 {
            b.event(thread, now, EventKind::TaskEnd { task: TaskId(at - 502) });
        }
    }
    b.stop(40_000_000)
}

/// Of equally long regions any may be among the longest.
fn comparable(mut summary: Summary) -> Summary {
    for region in &mut summary.regions {
        assert_eq!(region.outliers[0].duration, region.quantiles.max);
        region.outliers.clear();
    }
    summary
}

#[test]
fn any_number_of_workers_finds_the_same() {
    let bytes = large();
    let one = comparable(read(&bytes));
    assert_eq!(names(&one), [""; 0]);
    assert_eq!(one.tasks.names[0].count, 400);
    for workers in [2, 3, 7] {
        let many = read_with(&bytes, &Options { workers, ..Options::default() });
        assert_eq!(comparable(many), one, "{workers} workers");
    }
}

#[test]
fn windows_add_up_to_the_whole() {
    let bytes = large();
    let whole = read(&bytes);
    let (mut events, mut total, mut count, mut busy) = (0, 0, 0, 0);
    let cuts = [0, 1, 12_345_678, 12_345_679, 25_000_000, 39_999_999, 50_000_000];
    for pair in cuts.windows(2) {
        let (from, to) = (Some(Ticks(pair[0])), Some(Ticks(pair[1])));
        let part = read_with(&bytes, &Options { from, to, ..Options::default() });
        assert!(!part.findings.has_loss(), "{:?}", names(&part));
        events += part.events;
        count += part.regions.iter().map(|region| region.count).sum::<u64>();
        total += part.regions.iter().map(|region| region.total.0).sum::<u64>();
        busy += part.threads.iter().map(|thread| thread.busy.0).sum::<u64>();
    }
    let sum = |of: fn(&trace_analysis::regions::RegionSummary) -> u64| {
        whole.regions.iter().map(of).sum::<u64>()
    };
    assert_eq!(total, sum(|region| region.total.0));
    assert_eq!(count, sum(|region| region.count));
    assert_eq!(busy, whole.threads.iter().map(|thread| thread.busy.0).sum::<u64>());
    // Restating what is open at the front of a batch is an event too, at the batch's own time.
    assert_eq!(events, whole.events);
}

#[test]
fn one_threads_window_is_that_thread() {
    let bytes = large();
    let whole = read(&bytes);
    let threads = vec![ThreadId(3)];
    let part = read_with(&bytes, &Options { threads: threads.into(), ..Options::default() });
    let expected = whole.threads.iter().find(|thread| thread.thread == ThreadId(3));
    assert_eq!(part.threads.as_slice(), expected.map(std::slice::from_ref).unwrap_or_default());
}

#[test]
fn progress_reaches_the_total() {
    let file = TraceFile::open(large()).expect("a trace");
    let mut last = Progress { bytes: 0, bytes_total: 1 };
    Summary::read(&Trace::new(&file), |progress| last = progress);
    assert_eq!(last.bytes, last.bytes_total);
}

#[test]
fn what_is_open_at_the_end_is_unfinished_even_if_its_begin_was_never_written() {
    let mut b = builder();
    b.begin(1, 100, 1, &[]);
    b.generation(500);
    // Begun on thread 2, which wrote nothing: only the state at the stop knows.
    let open =
        trace_format::definition::OpenSince { open: Open::Region(SiteId(2)), begin: Ticks(300) };
    b.generation(900);
    let (sequence, offset) = (0, 0);
    b.define(&trace_format::definition::Definition::ThreadState {
        id: ThreadId(2),
        sequence,
        offset,
        more: false,
        open: vec![open],
    });
    let summary = read(&b.cut());
    let unfinished: Vec<_> = summary
        .findings
        .iter()
        .filter_map(|finding| match finding.kind {
            FindingKind::Unfinished { open, open_for } => Some((finding.thread, open, open_for)),
            _ => None,
        })
        .collect();
    assert_eq!(
        unfinished,
        [
            (Some(ThreadId(1)), Open::Region(SiteId(1)), Nanos(800)),
            (Some(ThreadId(2)), Open::Region(SiteId(2)), Nanos(600)),
        ]
    );
    assert_eq!(summary.regions.iter().map(|region| region.unfinished).sum::<u64>(), 2);
    assert_eq!(summary.findings.count("not_stopped"), 1);
}

#[test]
fn a_region_that_ends_on_another_thread_counts_once() {
    let mut b = builder();
    b.begin(1, 100, 1, &[]);
    b.region(1, 150, 2, 10);
    let kind = EventKind::EndDetached { open: Open::Region(SiteId(1)), since: Ticks(400) };
    b.event(2, 500, kind);
    let summary = read(&b.stop(1000));
    let outer = summary.regions.iter().find(|region| region.site == SiteId(1));
    let outer = outer.expect("it was seen");
    assert_eq!((outer.count, outer.total, outer.unfinished), (1, Nanos(400), 0));
    assert_eq!(names(&summary), ["ended_elsewhere"]);
}

#[test]
fn drops_are_told_with_their_time_and_thread() {
    let mut b = builder();
    b.region(1, 10, 2, 5);
    let (from, to) = (Ticks(20), Ticks(90));
    b.event(1, 100, EventKind::Dropped { events: 7, ends: 2, from, to });
    let summary = read(&b.stop(200));
    let finding = summary.findings.iter().next().expect("a finding");
    assert_eq!((finding.thread, finding.at), (Some(ThreadId(1)), Some(Nanos(20))));
    assert_eq!(finding.kind, FindingKind::Dropped { events: 7, ends: 2, to: Nanos(90) });
    assert!(summary.findings.has_loss());
    assert_eq!((summary.threads[0].dropped_events, summary.threads[0].dropped_ends), (7, 2));
}

#[test]
fn damage_costs_one_batch_and_says_so() {
    let bytes = large();
    let whole = read(&bytes);
    let file = TraceFile::open(bytes.clone()).expect("a trace");
    let victim = file.index().iter().filter(|e| e.thread == ThreadId(2)).nth(3).expect("a batch");
    let mut damaged = bytes;
    damaged[victim.offset as usize + 100] ^= 0x55;
    let part = read(&damaged);
    assert_eq!(part.events + u64::from(victim.events), whole.events);
    assert_eq!(part.findings.count("damage"), 1);
    let missing = part.findings.iter().find_map(|finding| match finding.kind {
        FindingKind::Missing { events } => Some((finding.thread, events)),
        _ => None,
    });
    assert_eq!(missing, Some((Some(ThreadId(2)), u64::from(victim.events))));
    // Other threads are as they were.
    let others = |summary: &Summary| -> Vec<_> {
        summary.threads.iter().filter(|t| t.thread != ThreadId(2)).copied().collect()
    };
    assert_eq!(others(&part), others(&whole));
}

#[test]
fn a_cut_trace_shows_what_is_left() {
    let bytes = large();
    for cut in [40, 200, bytes.len() / 3, bytes.len() - 1] {
        let summary = read(&bytes[..cut]);
        assert_eq!(summary.findings.count("not_stopped"), 1, "cut at {cut}");
    }
}

#[test]
fn any_flipped_byte_is_survived() {
    let mut b = builder();
    for at in 0..20 {
        b.begin(1, at * 100, 1, &[]);
        b.task(2, at * 100, at + 1, at, "job");
        b.end(1, at * 100 + 50);
    }
    let bytes = b.stop(5000);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        if let Ok(file) = TraceFile::open(flipped) {
            Summary::read(&Trace::new(&file), |_| {});
        }
    }
}

#[test]
fn futures_know_their_polls_on_any_thread() {
    let mut b = builder();
    let future = FutureId(1);
    let begin = EventKind::FutureBegin { future, task: TaskId(0), site: SiteId(5), values: NONE };
    b.event(1, 100, begin);
    b.event(1, 100, EventKind::Poll { future, waits_at: StackId(0), duration: Ticks(10) });
    b.event(2, 300, EventKind::Poll { future, waits_at: StackId(0), duration: Ticks(30) });
    let outcome = Outcome::Returned;
    b.event(2, 330, EventKind::FutureEnd { future, outcome, values: NONE });
    let dropped = FutureId(2);
    let begin =
        EventKind::FutureBegin { future: dropped, task: TaskId(0), site: SiteId(5), values: NONE };
    b.event(1, 400, begin);
    let (future, outcome) = (dropped, Outcome::Dropped);
    b.event(1, 450, EventKind::FutureEnd { future, outcome, values: NONE });
    let summary = read(&b.stop(500));
    let [fetch] = summary.futures.as_slice() else { panic!("one call site") };
    assert_eq!((fetch.site, fetch.count, fetch.polls), (SiteId(5), 2, 2));
    assert_eq!((fetch.returned, fetch.dropped, fetch.unfinished), (1, 1, 0));
    assert_eq!(
        (fetch.poll_total, fetch.poll.max, fetch.life.max),
        (Nanos(40), Nanos(30), Nanos(230))
    );
}

#[test]
fn a_spawn_that_is_told_late_or_twice_is_one_future() {
    let mut b = builder();
    let (future, site) = (FutureId(1), SiteId(5));
    let poll = |ticks| EventKind::Poll { future, waits_at: StackId(0), duration: Ticks(ticks) };
    b.event(2, 100, poll(10));
    let (parent, task, stack) = (FutureId(0), TaskId(0), StackId(0));
    b.event(1, 105, EventKind::FutureSpawn { future, parent, task, site, stack });
    b.event(2, 200, EventKind::FutureBegin { future, task, site: SiteId(1), values: NONE });
    b.event(2, 300, poll(30));
    let outcome = Outcome::Panicked;
    b.event(2, 330, EventKind::FutureEnd { future, outcome, values: NONE });
    let summary = read(&b.stop(500));
    let [fetch] = summary.futures.as_slice() else { panic!("one call site") };
    assert_eq!((fetch.site, fetch.count, fetch.polls), (site, 1, 2));
    assert_eq!((fetch.panicked, fetch.unfinished), (1, 0));
    assert_eq!((fetch.poll_total, fetch.life.max), (Nanos(40), Nanos(225)));
}

#[test]
fn counters_keep_their_range_and_logs_their_count() {
    let mut b = builder();
    for (at, value) in [(1, 5), (2, -3), (3, 9), (4, 2)] {
        let value = Value::I64(value);
        b.event(1, at, EventKind::Counter { site: SiteId(3), value });
        b.event(1, at, EventKind::Log { site: SiteId(4), text: Text::cut(b"hello", 100) });
    }
    let summary = read(&b.stop(10));
    let [queue] = summary.counters.as_slice() else { panic!("one counter") };
    assert_eq!((queue.count, queue.last_at), (4, Nanos(4)));
    assert_eq!((queue.min, queue.max, queue.last), (Value::I64(-3), Value::I64(9), Value::I64(2)));
    assert_eq!((summary.moments[0].site, summary.moments[0].count), (SiteId(4), 4));
}

#[test]
fn undefined_call_sites_share_a_row_and_a_finding() {
    let mut b = builder();
    b.region(1, 10, 77, 5);
    b.region(1, 20, u32::MAX, 5);
    b.begin(1, 30, 99, &[]);
    b.end(1, 40);
    let summary = read(&b.stop(100));
    assert_eq!((summary.regions[0].site, summary.regions[0].count), (SiteId(0), 3));
    assert_eq!(summary.findings.count("sites_undefined"), 1);
}

#[test]
fn a_task_begun_on_a_slow_thread_and_ended_on_a_fast_one_is_whole() {
    // Thread 1's batch with the begin lies in the file long after thread 2's with the end.
    let mut b = builder();
    b.0.batch_bytes_max(64);
    b.task(1, 100, 1, 0, "request");
    b.event(2, 200, EventKind::TaskRun { task: TaskId(1), duration: Ticks(50) });
    b.event(2, 300, EventKind::TaskEnd { task: TaskId(1) });
    for at in 0..100 {
        b.region(2, 400 + at, 2, 1);
    }
    let summary = read(&b.stop(1000));
    let [tree] = summary.tasks.slowest.as_slice() else { panic!("one tree") };
    assert_eq!((tree.latency, tree.worked, tree.unfinished), (Nanos(200), Nanos(50), false));
    assert_eq!(names(&summary), [""; 0]);
}

#[test]
fn what_one_thread_begins_and_another_ends_is_over_whichever_is_asked_for() {
    let mut b = builder();
    b.task(1, 100, 7, 0, "shared");
    b.event(2, 200, EventKind::TaskRun { task: TaskId(7), duration: Ticks(50) });
    b.event(2, 300, EventKind::TaskEnd { task: TaskId(7) });
    b.task(2, 400, 8, 0, "of the worker");
    b.event(2, 500, EventKind::TaskEnd { task: TaskId(8) });
    b.task(2, 600, 9, 0, "never over");
    let (task, site, values) = (TaskId(0), SiteId(5), Values::new(&[]));
    let future = FutureId(3);
    b.event(1, 700, EventKind::FutureBegin { future, task, site, values });
    b.event(2, 800, EventKind::FutureEnd { future, outcome: Outcome::Returned, values });
    let bytes = b.stop(1_000);
    let of = |thread| {
        read_with(&bytes, &Options { threads: vec![ThreadId(thread)].into(), ..Options::default() })
    };
    let rows = |summary: &Summary| -> Vec<_> {
        let names = summary.tasks.names.iter();
        names.map(|it| (it.name.clone(), it.count, it.unfinished, it.worked)).collect()
    };
    let main = of(1);
    assert_eq!(rows(&main), [("shared".to_owned(), 1, 0, Nanos(0))]);
    assert_eq!(names(&main), [""; 0], "nothing that it has to do with is open");
    let worker = of(2);
    assert_eq!(rows(&worker).len(), 3);
    assert!(rows(&worker).contains(&("shared".to_owned(), 1, 0, Nanos(50))));
    assert!(rows(&worker).contains(&("never over".to_owned(), 0, 1, Nanos(0))));
    for summary in [main, worker] {
        let [fetch] = summary.futures.as_slice() else { panic!("one call site") };
        assert_eq!((fetch.count, fetch.returned, fetch.unfinished), (1, 1, 0));
    }
}
