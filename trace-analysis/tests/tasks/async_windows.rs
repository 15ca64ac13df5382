//! What windows say of async tasks that are in the middle of things where one begins or ends. A
//! random program knows what each of its tasks did at every moment. One tick is a nanosecond.

use std::collections::BTreeMap;

use crate::executor::{Executor, HANDLER, PARKED, QUERY, TIMER, WRITER};
use crate::random::Random;
use trace_analysis::async_tasks::{AsyncTasks, Behind, Delay, Phase, SpawnSite};
use trace_analysis::explain::{InsightKind, explain};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Threads, Trace, Wanted};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::time::{Nanos, Ticks};

const MS: u64 = 1_000_000;

fn read(bytes: &[u8], from: Option<u64>, to: Option<u64>) -> AsyncTasks {
    let (from, to) = (from.map(Ticks), to.map(Ticks));
    read_with(bytes, Options { from, to, ..Options::default() })
}

fn read_with(bytes: &[u8], options: Options) -> AsyncTasks {
    let file = TraceFile::open(bytes).expect("a trace");
    assert!(file.faults().is_empty());
    let symbols = Symbols::of_trace(file.tables());
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    let report = Report::read(&Trace::new(&file).named(&symbols).with(options), wanted, |_| {});
    report.async_tasks.unwrap_or_default()
}

fn site(tasks: &AsyncTasks, site: u32) -> &SpawnSite {
    let found = tasks.sites.iter().find(|it| it.site == SiteId(site));
    found.expect("it is there")
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Ready,
    /// On which worker, since when, and whether it was woken meanwhile.
    Polled(u32, u64, bool),
    Idle,
    Over,
}

struct Task {
    site: u32,
    doing: Doing,
}

/// What the tasks of a spawn site did: ready, polled, idle; and how many polls ended.
type Sums = [u64; 4];

/// A program of two workers that do anything with tasks; a third thread polls none.
struct Program {
    executor: Executor,
    random: Random,
    now: u64,
    /// Of each thread, whether something was recorded in the poll that it is in.
    is_told: [bool; 4],
    tasks: Vec<Task>,
    sums: BTreeMap<u32, Sums>,
}

impl Program {
    fn new(seed: u64) -> Self {
        let mut executor = Executor::new();
        executor.0.thread(3, "main");
        let random = Random(0x9e37_79b9_7f4a_7c15 ^ seed << 32);
        let (tasks, sums) = Default::default();
        Self { executor, random, now: 0, is_told: [false; 4], tasks, sums }
    }

    fn step(&mut self) {
        let most = if self.random.below(20) == 0 { 30 * MS } else { MS };
        let nanos = 1 + self.random.below(most);
        self.now += nanos;
        for task in &self.tasks {
            let sums = self.sums.entry(task.site).or_default();
            match task.doing {
                Doing::Ready => sums[0] += nanos,
                Doing::Polled(..) => sums[1] += nanos,
                Doing::Idle => sums[2] += nanos,
                Doing::Over => {}
            }
        }
        let thread = 1 + self.random.below(3) as u32;
        let polled = |it: &Task| matches!(it.doing, Doing::Polled(on, ..) if on == thread);
        let polled = self.tasks.iter().position(polled);
        match (self.random.below(10), polled) {
            (0..=1, _) => self.spawn(thread),
            (2..=4, _) => self.wake(thread),
            (5, None) => self.drop_one(thread),
            (_, None) if thread < 3 => self.poll(thread),
            (_, Some(task)) => self.end_poll(thread, task),
            _ => {}
        }
    }

    fn pick(&mut self, is_wanted: impl Fn(Doing) -> bool) -> Option<usize> {
        let all: Vec<_> =
            (0..self.tasks.len()).filter(|at| is_wanted(self.tasks[*at].doing)).collect();
        let at = self.random.below(all.len().max(1) as u64) as usize;
        all.get(at).copied()
    }

    /// The recorder's own numbers are even.
    fn id(task: usize) -> u64 {
        2 * (task as u64 + 1)
    }

    /// Something is recorded on a thread: the poll that it is in can't be told whole any more.
    fn record(&mut self, thread: u32) {
        if std::mem::replace(&mut self.is_told[thread as usize], true) {
            return;
        }
        let polled = self.tasks.iter().enumerate().find_map(|(at, it)| match it.doing {
            Doing::Polled(on, since, _) if on == thread => Some((at, since)),
            _ => None,
        });
        if let Some((task, since)) = polled {
            self.executor.begin_poll(thread, since, Self::id(task));
        }
    }

    fn spawn(&mut self, thread: u32) {
        self.record(thread);
        let site = [HANDLER, WRITER][self.random.below(2) as usize];
        self.tasks.push(Task { site, doing: Doing::Ready });
        let id = Self::id(self.tasks.len() - 1);
        self.executor.spawn(thread, self.now, id, site);
    }

    fn wake(&mut self, thread: u32) {
        let Some(at) = self.pick(|it| it != Doing::Over) else { return };
        self.record(thread);
        self.executor.wake(thread, self.now, Self::id(at), 0);
        let doing = &mut self.tasks[at].doing;
        *doing = match *doing {
            Doing::Idle => Doing::Ready,
            Doing::Polled(on, since, _) => Doing::Polled(on, since, true),
            other => other,
        };
    }

    fn drop_one(&mut self, thread: u32) {
        let is_still = |it| matches!(it, Doing::Ready | Doing::Idle);
        let Some(at) = self.pick(is_still).filter(|_| self.random.below(4) == 0) else { return };
        self.record(thread);
        self.executor.end(thread, self.now, Self::id(at), Outcome::Dropped);
        self.tasks[at].doing = Doing::Over;
    }

    fn poll(&mut self, thread: u32) {
        let Some(at) = self.pick(|it| it == Doing::Ready) else { return };
        self.tasks[at].doing = Doing::Polled(thread, self.now, false);
        self.is_told[thread as usize] = false;
    }

    fn end_poll(&mut self, thread: u32, at: usize) {
        let Doing::Polled(_, since, is_woken) = self.tasks[at].doing else { panic!("polled") };
        let is_over = self.random.below(8) == 0;
        if is_over {
            self.record(thread);
            self.executor.end(thread, self.now, Self::id(at), Outcome::Returned);
        }
        if self.is_told[thread as usize] {
            self.executor.event(thread, self.now, EventKind::EndPoll { waits_at: StackId(TIMER) });
        } else {
            self.executor.poll(thread, since, Self::id(at), TIMER, self.now - since);
        }
        self.tasks[at].doing = match (is_over, is_woken) {
            (true, _) => Doing::Over,
            (_, true) => Doing::Ready,
            _ => Doing::Idle,
        };
        self.sums.entry(self.tasks[at].site).or_default()[3] += 1;
    }

    /// Polls that go on are in the trace, too.
    fn finish(mut self) -> (Vec<u8>, BTreeMap<u32, Sums>, u64) {
        (1..=3).for_each(|thread| self.record(thread));
        (self.executor.stop(self.now), self.sums, self.now)
    }
}

fn add(sums: &mut BTreeMap<u32, Sums>, tasks: &AsyncTasks) {
    for it in &tasks.sites {
        let sums = sums.entry(it.site.0).or_default();
        let found = [it.ready_total.0, it.busy.0, it.idle.0, it.polls];
        sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
    }
    let sum = |of: fn(&SpawnSite) -> Nanos| tasks.sites.iter().map(|it| of(it).0).sum::<u64>();
    let polled: u64 = tasks.workers.iter().map(|worker| worker.busy.0).sum();
    assert_eq!(polled, sum(|it| it.busy), "workers and spawn sites agree");
    let waited: u64 = tasks.waits.iter().map(|group| group.total.0).sum();
    assert_eq!(waited, sum(|it| it.idle), "places and spawn sites agree");
    assert!(sum(|it| it.delayed_total) <= sum(|it| it.ready_total), "each waits behind one thread");
}

#[test]
fn times_of_tasks_are_as_they_were_and_windows_add_up_to_them() {
    for seed in 1..40 {
        let mut program = Program::new(seed);
        (0..600).for_each(|_| program.step());
        let mut random = Random(seed << 24 | 1);
        let (bytes, truth, end) = program.finish();
        let mut whole = BTreeMap::new();
        add(&mut whole, &read(&bytes, None, None));
        assert_eq!(whole, truth, "seed {seed}, all of it");
        let mut cuts: Vec<_> = (0..12).map(|_| 1 + random.below(end - 1)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let from = std::iter::once(None).chain(cuts.iter().copied().map(Some));
        let to = cuts.iter().copied().map(Some).chain([None]);
        let mut parts = BTreeMap::new();
        from.zip(to).for_each(|(from, to)| add(&mut parts, &read(&bytes, from, to)));
        assert_eq!(parts, truth, "seed {seed}, cut at {cuts:?}");
    }
}

/// Both workers, or one, are in polls that never end when another task is spawned.
fn hang(both: bool) -> Executor {
    let mut e = Executor::new();
    e.0.thread(3, "main");
    (1..=2).for_each(|id| e.spawn(3, 0, id, HANDLER));
    e.begin_poll(1, MS, 1);
    match both {
        true => e.begin_poll(2, 2 * MS, 2),
        false => e.poll(2, 2 * MS, 2, TIMER, MS),
    }
    e.spawn(3, 4 * MS, 3, HANDLER);
    e
}

#[test]
fn a_task_that_is_never_polled_waits_behind_the_poll_that_keeps_its_worker() {
    let bytes = hang(true).stop(100 * MS);
    let first = 3 * MS;
    for (from, to, ready) in [(None, None, 96), (Some(50), Some(60), 10), (Some(2), Some(54), 50)] {
        let tasks = read(&bytes, from.map(|it| it * MS), to.map(|it| it * MS));
        let handler = site(&tasks, HANDLER);
        // Before the first polls of the others.
        let others = if from.is_none() { first } else { 0 };
        let ready = ready * MS;
        assert_eq!(handler.ready_total, Nanos(ready + others));
        assert_eq!(handler.ready.max, Nanos(ready));
        assert_eq!((handler.delayed, handler.delayed_total), (1, Nanos(ready)));
        let poll = &tasks.polls[0];
        assert_eq!((poll.task, poll.ended), (FutureId(1), false));
        assert_eq!(poll.delayed_most, Some((FutureId(3), SiteId(HANDLER), Nanos(ready))));
        let starved: Vec<_> = tasks.workers.iter().map(|it| it.starved).collect();
        assert_eq!(starved, [Nanos(ready), Nanos(0)], "one of the threads is to blame");
        let Delay { task, thread, duration, behind, .. } = tasks.delays[0];
        assert_eq!((task, thread, duration), (FutureId(3), ThreadId(1), Nanos(ready)));
        let Behind { task, begin, .. } = behind.expect("a poll");
        assert_eq!((task, begin), (FutureId(1), Nanos(MS).into()));
    }
}

#[test]
fn a_poll_that_only_computes_is_blamed_for_those_that_still_wait_behind_it() {
    let file = TraceFile::open(hang(true).stop(100 * MS)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let options =
        Options { from: Some(Ticks(50 * MS)), to: Some(Ticks(90 * MS)), ..Options::default() };
    let trace = Trace::new(&file).named(&symbols).with(options);
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    let insights = explain(&trace, &Report::read(&trace, wanted, |_| {}));
    let blocked = insights.iter().find(|it| it.kind == InsightKind::BlockedWorker);
    let evidence = &blocked.expect("somebody waits").evidence;
    let line = "1 time a ready task waited behind it, 40.0 ms in all: up to 40.0 ms, ";
    assert!(evidence.iter().any(|it| it.starts_with(line)), "{evidence:?}");
}

#[test]
fn a_task_that_was_woken_before_its_first_poll_was_ready_before_that() {
    let mut e = Executor::new();
    e.spawn(1, 10 * MS, 1, HANDLER);
    e.wake(2, 30 * MS, 1, 0);
    let tasks = read(&e.stop(40 * MS), None, None);
    assert_eq!(site(&tasks, HANDLER).ready_total, Nanos(30 * MS));
    let told = (tasks.unfinished[0].phase, tasks.unfinished[0].since);
    assert_eq!(told, (Phase::New, Nanos(10 * MS).into()));
}

#[test]
fn what_is_open_inside_a_poll_that_does_not_end_is_in_its_chain_and_counts() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.begin_poll(1, MS, 1);
    e.begin(1, 2 * MS, 2, QUERY);
    e.begin_poll(1, 3 * MS, 2);
    e.0.begin(1, PARKED, 5 * MS);
    let bytes = e.stop(100 * MS);
    for (from, to) in [(0, 100), (0, 60), (20, 60)] {
        let tasks = read(&bytes, Some(from * MS), Some(to * MS));
        let chain: Vec<_> = tasks.polls[0].chain.iter().map(|it| (it.site, it.future)).collect();
        let expected = [(SiteId(QUERY), FutureId(2)), (SiteId(PARKED), FutureId(0))];
        assert_eq!(chain, expected, "{from} to {to}");
        let of = |begin: u64| Nanos((to - from.max(begin)) * MS);
        assert_eq!((tasks.children[0].busy, tasks.workers[0].parked), (of(3), of(5)));
    }
}

#[test]
fn a_task_that_another_worker_could_poll_waits_behind_no_poll() {
    let tasks = read(&hang(false).stop(100 * MS), None, None);
    let handler = site(&tasks, HANDLER);
    assert_eq!((handler.ready_total, handler.delayed), (Nanos(99 * MS), 0));
    assert_eq!(tasks.workers.iter().map(|it| it.starved.0).sum::<u64>(), 0);
    let Delay { task, thread, behind, .. } = tasks.delays[0];
    assert_eq!((task, thread, behind), (FutureId(3), ThreadId(0), None));
}

#[test]
fn a_task_waits_for_the_worker_that_woke_it() {
    let mut e = hang(false);
    e.wake(1, 10 * MS, 2, 0);
    let tasks = read(&e.stop(100 * MS), None, None);
    let handler = site(&tasks, HANDLER);
    assert_eq!((handler.delayed, handler.delayed_total), (1, Nanos(90 * MS)));
    assert_eq!(tasks.polls[0].delayed_most, Some((FutureId(2), SiteId(HANDLER), Nanos(90 * MS))));
}

#[test]
fn what_threads_that_were_chosen_are_to_poll_counts_for_them() {
    let bytes = hang(true).stop(100 * MS);
    let of = |thread: u32| {
        let threads = Threads::from(vec![ThreadId(thread)]);
        let tasks = read_with(&bytes, Options { threads, ..Options::default() });
        let handler = site(&tasks, HANDLER);
        (handler.ready_total, handler.delayed)
    };
    assert_eq!([of(1), of(2)], [(Nanos(97 * MS), 1), (Nanos(2 * MS), 0)]);
}

#[test]
fn a_task_that_is_dropped_was_ready_until_then() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.end(1, 30 * MS, 1, Outcome::Dropped);
    let tasks = read(&e.stop(40 * MS), None, None);
    assert_eq!(site(&tasks, HANDLER).ready_total, Nanos(30 * MS));
    assert_eq!((tasks.delays[0].task, tasks.delays[0].duration), (FutureId(1), Nanos(30 * MS)));
}

#[test]
fn what_was_late_is_so_though_its_poll_goes_on_when_the_window_ends() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.begin_poll(1, 10 * MS, 1);
    e.event(1, 20 * MS, EventKind::EndPoll { waits_at: StackId(TIMER) });
    let bytes = e.stop(40 * MS);
    let first = read(&bytes, None, Some(15 * MS));
    assert_eq!(site(&first, HANDLER).ready_total, Nanos(10 * MS));
    let second = read(&bytes, Some(15 * MS), None);
    let second = site(&second, HANDLER);
    assert_eq!((second.ready_total, second.ready.max), (Nanos(0), Nanos(0)));
}

#[test]
fn a_poll_is_long_by_all_of_its_time_for_those_behind_it_as_well() {
    let mut e = Executor::new();
    (1..=2).for_each(|id| e.spawn(2, 0, id, HANDLER));
    e.begin_poll(1, MS, 1);
    e.event(1, 25 * MS, EventKind::EndPoll { waits_at: StackId(TIMER) });
    e.poll(1, 25 * MS, 2, TIMER, MS);
    let tasks = read(&e.stop(40 * MS), Some(20 * MS), None);
    let handler = site(&tasks, HANDLER);
    assert_eq!((handler.long_polls, handler.delayed), (1, 1));
    assert_eq!(handler.delayed_total, Nanos(5 * MS));
    assert_eq!(tasks.workers[0].starved, Nanos(5 * MS));
}
