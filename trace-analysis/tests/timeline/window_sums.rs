//! What a summary of any window counts, against a naive pass over what a random program did.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::Random;
use trace_analysis::{Options, Summary, Trace};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, Definition};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::read::TraceFile;
use trace_format::testgen::TraceBuilder;
use trace_format::time::Ticks;
use trace_format::value::{Text, Values};

const THREADS: usize = 3;
const REGIONS: [u32; 2] = [1, 2];
const JOB: u32 = 3;
const HANDLER: u32 = 4;
const NONE: Values<'static> = Values::new(&[]);

/// Something that began, and perhaps ended.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: u64,
    end: Option<u64>,
}

impl Span {
    /// What of it lies in a window.
    fn inside(&self, window: Window) -> u64 {
        let end = self.end.unwrap_or(u64::MAX).min(window.to).min(window.stop);
        end.saturating_sub(self.begin.max(window.from))
    }

    fn began_in(&self, window: Window) -> bool {
        (window.from..window.to).contains(&self.begin)
    }

    fn ended_in(&self, window: Window) -> bool {
        self.end.is_some_and(|end| (window.from..window.to).contains(&end))
    }

    fn is_open_at_end_of(&self, window: Window) -> bool {
        self.begin < window.to && self.end.is_none_or(|end| end >= window.to)
    }

    fn overlaps(&self, window: Window) -> bool {
        self.begin < window.to && self.end.is_none_or(|end| end >= window.from)
    }
}

#[derive(Clone, Copy, Debug)]
struct Window {
    from: u64,
    to: u64,
    stop: u64,
}

/// A task or a future.
#[derive(Clone, Copy, Debug)]
struct Life {
    span: Span,
    /// Until when a thread works for it or polls it.
    busy_until: u64,
    /// Of a task, whether it is a call.
    is_job: bool,
    /// Of a future, whether a generation has named it.
    is_told: bool,
}

#[derive(Clone, Copy, Debug)]
enum Frame {
    Region(usize),
    Poll(usize),
}

/// A program that does anything.
struct Program {
    trace: TraceBuilder,
    random: Random,
    now: u64,
    free_at: [u64; THREADS + 1],
    stacks: [Vec<Frame>; THREADS + 1],
    /// Thread and call site, and when.
    regions: Vec<(usize, u32, Span)>,
    tasks: Vec<Life>,
    /// The task, and when.
    runs: Vec<(usize, Span)>,
    futures: Vec<Life>,
    /// The future, and when.
    polls: Vec<(usize, Span)>,
}

impl Program {
    fn new(seed: u64) -> Self {
        let mut trace = TraceBuilder::started(Compression::None);
        trace.batch_bytes_max(150);
        REGIONS.into_iter().for_each(|site| trace.callsite(site, CallsiteKind::Region, "r"));
        trace.callsite(JOB, CallsiteKind::Function, "job");
        trace.callsite(HANDLER, CallsiteKind::Future, "handler");
        (1..=THREADS as u32).for_each(|thread| trace.thread(thread, "t"));
        let (free_at, stacks) = (Default::default(), Default::default());
        let (regions, tasks, runs) = Default::default();
        let (futures, polls) = Default::default();
        let random = Random(0x9e37_79b9_7f4a_7c15 ^ seed << 32);
        Self { trace, random, now: 0, free_at, stacks, regions, tasks, runs, futures, polls }
    }

    fn event(&mut self, thread: usize, kind: EventKind<'_>) {
        self.trace.event(thread as u32, self.now, kind);
    }

    fn step(&mut self) {
        self.now += 1 + self.random.below(20);
        let thread = 1 + self.random.below(THREADS as u64) as usize;
        if self.free_at[thread] > self.now {
            return;
        }
        let (now, site) = (self.now, REGIONS[self.random.below(2) as usize]);
        let nanos = self.random.below(60);
        let whole = Span { begin: now, end: Some(now + nanos) };
        let open = Span { begin: now, end: None };
        match self.random.below(15) {
            0..=1 => {
                self.trace.region(thread as u32, site, now, nanos);
                self.regions.push((thread, site, whole));
                self.free_at[thread] = now + nanos;
            }
            2..=3 => {
                self.trace.begin(thread as u32, site, now);
                self.stacks[thread].push(Frame::Region(self.regions.len()));
                self.regions.push((thread, site, open));
            }
            4..=6 => self.end(thread),
            7 => self.begin_task(thread),
            8 => self.end_task(thread),
            9 => {
                let Some(at) = self.pick_idle(false) else { return };
                let (task, duration) = (TaskId(at as u64 + 1), Ticks(nanos));
                self.event(thread, EventKind::TaskRun { task, duration });
                self.runs.push((at, whole));
                self.tasks[at].busy_until = now + nanos;
                self.free_at[thread] = now + nanos;
            }
            10 => self.begin_future(thread),
            11 => {
                let Some(at) = self.pick_idle(true) else { return };
                let (future, waits_at) = (FutureId(at as u64 + 1), StackId(0));
                self.event(thread, EventKind::Poll { future, waits_at, duration: Ticks(nanos) });
                self.polls.push((at, whole));
                self.futures[at].busy_until = now + nanos;
                self.free_at[thread] = now + nanos;
            }
            12 => {
                let Some(at) = self.pick_idle(true) else { return };
                self.event(thread, EventKind::PollBegin { future: FutureId(at as u64 + 1) });
                self.stacks[thread].push(Frame::Poll(self.polls.len()));
                self.polls.push((at, open));
                self.futures[at].busy_until = u64::MAX;
            }
            13 => {
                let Some(at) = self.pick_idle(true) else { return };
                let (future, outcome) = (FutureId(at as u64 + 1), Outcome::Returned);
                self.event(thread, EventKind::FutureEnd { future, outcome, values: NONE });
                self.futures[at].span.end = Some(now);
            }
            _ if self.random.below(20) == 0 => self.generation(),
            _ => self.trace.seal(thread as u32),
        }
    }

    /// A task, or a future, that is open and for which no thread is at work.
    fn pick_idle(&mut self, is_future: bool) -> Option<usize> {
        let lives = if is_future { &self.futures } else { &self.tasks };
        let is_idle = |it: &Life| it.span.end.is_none() && it.busy_until <= self.now;
        let idle: Vec<_> = (0..lives.len()).filter(|at| is_idle(&lives[*at])).collect();
        let at = self.random.below(idle.len().max(1) as u64) as usize;
        idle.get(at).copied()
    }

    fn end(&mut self, thread: usize) {
        let Some(frame) = self.stacks[thread].pop() else { return };
        self.trace.end(thread as u32, self.now);
        match frame {
            Frame::Region(at) => self.regions[at].2.end = Some(self.now),
            Frame::Poll(at) => {
                let (future, span) = &mut self.polls[at];
                span.end = Some(self.now);
                self.futures[*future].busy_until = self.now;
            }
        }
    }

    fn life(&self, is_job: bool) -> Life {
        let span = Span { begin: self.now, end: None };
        Life { span, busy_until: 0, is_job, is_told: false }
    }

    fn begin_task(&mut self, thread: usize) {
        let is_job = self.random.below(2) == 0;
        self.tasks.push(self.life(is_job));
        let (task, parent) = (TaskId(self.tasks.len() as u64), TaskId(0));
        self.event(
            thread,
            match is_job {
                true => EventKind::TaskBeginSite { task, parent, site: SiteId(JOB), values: NONE },
                false => EventKind::TaskBegin { task, parent, name: Text::cut(b"request", 9) },
            },
        );
    }

    fn end_task(&mut self, thread: usize) {
        let Some(at) = self.pick_idle(false) else { return };
        self.event(thread, EventKind::TaskEnd { task: TaskId(at as u64 + 1) });
        self.tasks[at].span.end = Some(self.now);
    }

    fn begin_future(&mut self, thread: usize) {
        self.futures.push(self.life(false));
        let (future, task) = (FutureId(self.futures.len() as u64), TaskId(0));
        let site = SiteId(HANDLER);
        self.event(thread, EventKind::FutureBegin { future, task, site, values: NONE });
    }

    /// What is open is stated, as a recorder does.
    fn generation(&mut self) {
        self.trace.generation(self.now);
        for (id, task) in (1..).zip(&self.tasks).filter(|(_, it)| it.span.end.is_none()) {
            let name: &[u8] = if task.is_job { b"job" } else { b"request" };
            let (id, parent, begin) = (TaskId(id), TaskId(0), Ticks(task.span.begin));
            self.trace.define(&Definition::TaskState { id, parent, begin, name });
        }
        let is_news = |it: &&mut Life| it.span.end.is_none() && !it.is_told;
        for (id, future) in (1..).zip(&mut self.futures) {
            let Some(future) = Some(future).filter(is_news) else { continue };
            future.is_told = true;
            self.trace.define(&Definition::FutureState {
                id: FutureId(id),
                parent: FutureId(0),
                task: TaskId(0),
                site: SiteId(HANDLER),
                begin: Ticks(future.span.begin),
                spawned: false,
                waits_at: StackId(0),
                since: Ticks(0),
            });
        }
        self.trace.write_definitions();
    }

    /// What a summary of a window must say.
    fn expected(&self, window: Window) -> Sums {
        let mut sums = Sums::default();
        for site in REGIONS {
            let of = || self.regions.iter().filter(|it| it.1 == site).map(|it| it.2);
            let count = of().filter(|it| it.ended_in(window)).count() as u64;
            let unfinished = of().filter(|it| it.is_open_at_end_of(window)).count() as u64;
            let threads = (1..=THREADS).map(|thread| {
                let own = self.regions.iter().filter(|it| it.0 == thread && it.1 == site);
                covered(own.map(|it| it.2), window)
            });
            sums.regions.insert(site, (count, unfinished, threads.sum()));
        }
        for (at, task) in self.tasks.iter().enumerate() {
            let row = sums.tasks.entry(if task.is_job { "job" } else { "request" }).or_default();
            row.0 += u64::from(task.span.ended_in(window));
            row.1 += u64::from(task.span.is_open_at_end_of(window));
            let runs = self.runs.iter().filter(|(task, _)| *task == at);
            row.2 += runs.map(|(_, span)| span.inside(window)).sum::<u64>();
            if task.span.overlaps(window) {
                sums.roots.insert(at as u64 + 1);
            }
        }
        let mut seen = BTreeSet::new();
        for (future, span) in self.polls.iter().filter(|(_, span)| span.overlaps(window)) {
            seen.insert(*future);
            sums.polls.0 += u64::from(span.ended_in(window));
            sums.polls.1 += span.inside(window);
        }
        for (at, future) in self.futures.iter().enumerate() {
            if future.span.began_in(window) || future.span.ended_in(window) {
                seen.insert(at);
            }
            sums.futures.1 += u64::from(future.span.ended_in(window));
        }
        sums.futures.0 = seen.len() as u64;
        sums
    }
}

/// How long at least one of them was open in the window.
fn covered(spans: impl Iterator<Item = Span>, window: Window) -> u64 {
    let (mut sum, mut until) = (0, 0);
    for span in spans {
        let rest = Span { begin: span.begin.max(until), ..span };
        sum += rest.inside(window);
        until = until.max(span.end.unwrap_or(u64::MAX));
    }
    sum
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    /// By call site: ended, open at the end, time.
    regions: BTreeMap<u32, (u64, u64, u64)>,
    /// By name: ended, open at the end, time that threads worked.
    tasks: BTreeMap<&'static str, (u64, u64, u64)>,
    roots: BTreeSet<u64>,
    /// Those that did something, and those that ended.
    futures: (u64, u64),
    /// Those that ended, and the time in polls.
    polls: (u64, u64),
}

fn found(file: &TraceFile<Vec<u8>>, options: Options) -> Sums {
    let summary = Summary::read(&Trace::new(file).with(options), |_| {});
    let mut sums = Sums::default();
    for site in REGIONS {
        let region = summary.regions.iter().find(|region| region.site == SiteId(site));
        let of = region.map_or((0, 0, 0), |it| (it.count, it.unfinished, it.total.0));
        sums.regions.insert(site, of);
    }
    for task in &summary.tasks.names {
        let name = if task.name == "job" { "job" } else { "request" };
        let row = (task.count, task.unfinished, task.worked.0);
        assert_eq!(sums.tasks.insert(name, row), None, "one row for each name");
    }
    sums.roots = summary.tasks.slowest.iter().map(|tree| tree.id.0).collect();
    for future in &summary.futures {
        assert_eq!(future.site, SiteId(HANDLER), "every future has its name");
        sums.futures = (future.count, future.returned);
        sums.polls = (future.polls, future.poll_total.0);
        assert_eq!(future.unfinished, future.count - future.returned);
    }
    sums
}

#[test]
fn a_window_counts_what_a_pass_over_all_events_counts_in_it() {
    for seed in 1..60 {
        let mut program = Program::new(seed);
        (0..1_500).for_each(|_| program.step());
        let stop = program.free_at.into_iter().max().unwrap_or(0).max(program.now) + 10;
        let trace = std::mem::take(&mut program.trace);
        let file = TraceFile::open(trace.stop(stop)).expect("a trace");
        assert!(file.faults().is_empty(), "{:?}", file.faults());
        for number in 0..10 {
            let mut random = Random(seed << 8 | number | 1 << 40);
            let from = random.below(program.now);
            let to = from + 1 + random.below(program.now);
            let from = Some(from).filter(|_| number % 4 > 0);
            let to = Some(to).filter(|_| number % 3 > 0);
            let options = Options {
                from: from.map(Ticks),
                to: to.map(Ticks),
                workers: 1 + number as usize % 3,
                trees: usize::MAX / 4,
                ..Options::default()
            };
            let window = Window { from: from.unwrap_or(0), to: to.unwrap_or(u64::MAX), stop };
            let mut expected = program.expected(window);
            expected.tasks.retain(|_, row| *row != (0, 0, 0));
            assert_eq!(found(&file, options), expected, "seed {seed}, window {from:?} to {to:?}");
        }
    }
}
