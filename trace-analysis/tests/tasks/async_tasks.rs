//! Async tasks, from traces made by hand: one tick is a nanosecond.

use crate::executor::{
    BLOCK, Executor, HANDLER, LOCK, PARKED, PASS, QUERY, RELEASE, TIMER, WRITER, ended,
};
use trace_analysis::async_tasks::{
    AsyncTasks, AsyncWaker, Delay, Phase, SpawnSite, UNFINISHED_MAX,
};
use trace_analysis::reason::{Awaited, Reason};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Trace, Wanted};
use trace_format::definition::{Definition, OpenSince};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId, Open, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::open_call;
use trace_format::time::{Nanos, Ticks};

const MS: u64 = 1_000_000;

fn read(bytes: Vec<u8>) -> AsyncTasks {
    read_window(bytes, None, None)
}

fn read_window(bytes: Vec<u8>, from: Option<u64>, to: Option<u64>) -> AsyncTasks {
    let file = TraceFile::open(bytes).expect("a trace");
    assert!(file.faults().is_empty());
    let symbols = Symbols::of_trace(file.tables());
    let options = Options { from: from.map(Ticks), to: to.map(Ticks), ..Options::default() };
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    let report = Report::read(&Trace::new(&file).named(&symbols).with(options), wanted, |_| {});
    report.async_tasks.unwrap_or_default()
}

fn site(tasks: &AsyncTasks, site: u32) -> &SpawnSite {
    let found = tasks.sites.iter().find(|it| it.site == SiteId(site));
    found.expect("it is there")
}

/// A writer keeps a lock while it waits for a timer, and a handler waits for the lock.
fn across_await() -> Executor {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, WRITER);
    e.spawn(1, 5, 2, HANDLER);
    e.poll(1, 10, 1, TIMER, 10);
    e.poll(1, 30, 2, LOCK, 10);
    e.wake(2, 1000, 1, 0);
    e.begin_poll(1, 1010, 1);
    e.wake(1, 1020, 2, RELEASE);
    e.end(1, 1028, 1, Outcome::Returned);
    e.event(1, 1030, EventKind::End);
    e.poll(2, 1040, 2, 0, 10);
    e.end(2, 1050, 2, Outcome::Failed);
    e
}

#[test]
fn a_lock_that_is_held_across_an_await_is_found_with_the_place_of_that() {
    let tasks = read(across_await().stop(2000));
    let [handler, writer] = tasks.waits.as_slice() else { panic!("{:?}", tasks.waits) };
    assert_eq!((handler.site, handler.stack), (SiteId(HANDLER), StackId(LOCK)));
    assert_eq!(handler.awaited.name(), "tokio mutex");
    assert_eq!((handler.count, handler.total, handler.waiting), (1, Nanos(980), 0));
    let by = &handler.wakers[0];
    assert_eq!(by.of, (Some(SiteId(WRITER)), StackId(RELEASE)));
    let [holder] = handler.holders.as_slice() else { panic!("one holder") };
    assert_eq!((holder.site, holder.stack), (SiteId(WRITER), StackId(RELEASE)));
    assert_eq!((holder.held, holder.held_max, holder.idle), (Nanos(980), Nanos(980), Nanos(960)));
    assert_eq!((holder.idle_stack, holder.task), (StackId(TIMER), FutureId(1)));
    assert_eq!(holder.idle_awaited.awaited, Awaited::Timer);
    assert_eq!((writer.site, writer.total), (SiteId(WRITER), Nanos(980)));
    assert_eq!(writer.holders, [], "nobody holds a timer");
    let waker = handler.longest[0].waker;
    let (thread, task, stack) = (ThreadId(1), FutureId(1), StackId(RELEASE));
    assert_eq!(waker, Some(AsyncWaker { thread, task, stack }));
}

#[test]
fn whoever_waited_for_the_lock_itself_has_it_only_since_then() {
    let mut e = Executor::new();
    (1..=3).for_each(|id| e.spawn(1, 0, id, HANDLER));
    e.poll(1, 10, 1, TIMER, 10);
    e.poll(1, 20, 2, LOCK, 10);
    e.poll(1, 30, 3, LOCK, 10);
    for (at, id, next) in [(1000, 1, 2), (2000, 2, 3)] {
        e.begin_poll(1, at, id);
        e.wake(1, at + 10, next, RELEASE);
        e.event(1, at + 20, EventKind::EndPoll { waits_at: StackId(PASS) });
    }
    let tasks = read(e.stop(3000));
    let lock = tasks.waits.iter().find(|group| group.stack == StackId(LOCK)).expect("a lock");
    assert_eq!(lock.total, Nanos((1010 - 30) + (2010 - 40)));
    let [holder] = lock.holders.as_slice() else { panic!("one place") };
    // The second had it from its wake on, and was ready and running, never idle, meanwhile.
    assert_eq!((holder.count, holder.held), (2, Nanos((1010 - 30) + (2010 - 1010))));
    assert_eq!(holder.idle, Nanos(1000 - 30));
}

#[test]
fn a_task_is_polled_ready_or_idle_and_the_times_add_up() {
    let tasks = read(across_await().stop(2000));
    let handler = site(&tasks, HANDLER);
    assert_eq!((handler.count, handler.alive, handler.alive_max, handler.spawned), (1, 0, 1, true));
    assert_eq!((handler.polls, handler.busy), (2, Nanos(20)));
    assert_eq!((handler.ready_total, handler.ready.max), (Nanos(25 + 20), Nanos(25)));
    assert_eq!((handler.idle, handler.life.max), (Nanos(980), Nanos(1045)));
    assert_eq!(handler.life.max.0, 20 + 45 + 980);
    assert_eq!((handler.failed, handler.returned, handler.wakes), (1, 0, 1));
    let writer = site(&tasks, WRITER);
    assert_eq!((writer.returned, writer.busy, writer.idle), (1, Nanos(30), Nanos(980)));
    assert_eq!((writer.ready_total, writer.life.max), (Nanos(10 + 10), Nanos(1028)));
    assert_eq!(tasks.unfinished, []);
}

/// A task awaits two child futures at once: one at a lock, the other at a timer.
fn both() -> Executor {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.begin_poll(1, 10, 1);
    for (id, stack, at) in [(2, LOCK, 20), (3, TIMER, 30)] {
        e.begin(1, at, id, QUERY);
        e.poll(1, at, id, stack, 5);
    }
    e.event(1, 40, EventKind::EndPoll { waits_at: StackId(0) });
    e
}

fn waited(tasks: &AsyncTasks, stack: u32) -> Nanos {
    let group = tasks.waits.iter().find(|group| group.stack == StackId(stack));
    group.map_or(Nanos(0), |group| group.total)
}

#[test]
fn a_child_future_that_has_returned_is_waited_for_no_longer() {
    let mut e = both();
    // The timer, which took a waker last, is over first; the lock keeps the waker it has.
    e.wake(2, 100, 3, 0);
    e.begin_poll(1, 110, 1);
    e.begin_poll(1, 115, 3);
    e.end(1, 118, 3, Outcome::Returned);
    e.event(1, 120, EventKind::End);
    e.poll(1, 125, 2, 0, 1);
    e.event(1, 130, EventKind::EndPoll { waits_at: StackId(0) });
    let ended = {
        let mut e = both();
        e.wake(2, 100, 3, 0);
        e
    };
    assert_eq!(waited(&read(ended.stop(200)), TIMER), Nanos(60), "the one whose waker was used");
    // Nobody is seen to end it: only one can be meant all the same.
    let tasks = read(e.stop(1000));
    assert_eq!((waited(&tasks, TIMER), waited(&tasks, LOCK)), (Nanos(60), Nanos(870)));
    assert_eq!(tasks.unfinished[0].stack, StackId(LOCK));
}

#[test]
fn of_several_child_futures_the_one_whose_waker_is_used_is_waited_for() {
    let mut e = both();
    e.wake(2, 500, 2, RELEASE);
    e.poll(1, 510, 1, 0, 10);
    e.end(1, 515, 1, Outcome::Returned);
    let tasks = read(e.stop(1000));
    assert_eq!((waited(&tasks, LOCK), waited(&tasks, TIMER)), (Nanos(460), Nanos(0)));
}

/// A task sleeps in a poll; another, ready all the time, is polled behind it.
fn blocked() -> Executor {
    let mut e = Executor::new();
    e.spawn(2, 0, 1, HANDLER);
    e.spawn(2, MS, 2, WRITER);
    e.begin_poll(1, MS, 1);
    e.begin(1, 2 * MS, 3, QUERY);
    e.begin_poll(1, 2 * MS, 3);
    e.0.call(1, open_call(CallId::CLOCK_NANOSLEEP, 0, BLOCK), 3 * MS, 40 * MS, 0);
    e.event(1, 44 * MS, EventKind::EndPoll { waits_at: StackId(TIMER) });
    e.event(1, 45 * MS, EventKind::EndPoll { waits_at: StackId(0) });
    e.poll(1, 46 * MS, 2, TIMER, MS);
    e.region(1, 50 * MS, PARKED, 10 * MS);
    e
}

#[test]
fn a_poll_that_blocks_its_worker_is_named_with_what_it_did_and_who_waited() {
    let tasks = read(blocked().stop(100 * MS));
    let poll = &tasks.polls[0];
    assert_eq!((poll.task, poll.site, poll.thread), (FutureId(1), SiteId(HANDLER), ThreadId(1)));
    assert_eq!((poll.begin, poll.duration, poll.ended), (Nanos(MS).into(), Nanos(44 * MS), true));
    let [link] = poll.chain.as_slice() else { panic!("{:?}", poll.chain) };
    assert_eq!((link.site, link.duration), (SiteId(QUERY), Nanos(42 * MS)));
    assert_eq!((poll.delayed, poll.delayed_total), (1, Nanos(44 * MS)));
    assert_eq!(poll.delayed_most, Some((FutureId(2), SiteId(WRITER), Nanos(44 * MS))));
    let doing = poll.activity.expect("the thread is known");
    assert_eq!(doing.times.total(), poll.duration);
    assert_eq!(doing.times.blocked_by(Reason::Sleep), Nanos(40 * MS));
    assert_eq!((doing.slow_call, doing.slow), (CallId::CLOCK_NANOSLEEP, Nanos(40 * MS)));
    assert_eq!(doing.slow_stack, StackId(BLOCK));
    let Delay { task, ready, duration, behind, .. } = tasks.delays[0];
    assert_eq!((task, ready, duration), (FutureId(2), Nanos(MS), Nanos(45 * MS)));
    let behind = behind.expect("a poll was before it");
    assert_eq!((behind.task, behind.duration), (FutureId(1), Nanos(44 * MS)));
    let [worker] = tasks.workers.as_slice() else { panic!("{:?}", tasks.workers) };
    assert_eq!((worker.thread, worker.polls, worker.long_polls), (ThreadId(1), 2, 1));
    assert_eq!((worker.busy, worker.parked), (Nanos(45 * MS), Nanos(10 * MS)));
    assert_eq!((worker.longest, worker.starved), (Nanos(44 * MS), Nanos(44 * MS)));
}

#[test]
fn starving_is_counted_once_however_many_starve() {
    let mut e = Executor::new();
    (1..=3).for_each(|id| e.spawn(2, 0, id, HANDLER));
    e.poll(1, MS, 1, TIMER, 20 * MS);
    e.poll(1, 22 * MS, 2, TIMER, MS);
    e.poll(1, 24 * MS, 3, TIMER, MS);
    // It was not ready while the long poll was going on.
    e.wake(2, 30 * MS, 2, 0);
    e.poll(1, 31 * MS, 2, TIMER, MS);
    let tasks = read(e.stop(40 * MS));
    assert_eq!((tasks.polls[0].delayed, tasks.workers[0].starved), (2, Nanos(20 * MS)));
    assert_eq!(tasks.delays.len(), 4, "{:?}", tasks.delays);
}

#[test]
fn a_poll_that_never_ends_is_known_from_what_was_open() {
    let mut e = Executor::new();
    e.spawn(2, 0, 1, HANDLER);
    e.generation(5 * MS);
    let open = vec![OpenSince { open: Open::Poll(FutureId(1)), begin: Ticks(2 * MS) }];
    let (id, sequence, offset) = (ThreadId(1), 0, 0);
    e.0.define(&Definition::ThreadState { id, sequence, offset, more: false, open });
    let tasks = read(e.stop(100 * MS));
    let poll = &tasks.polls[0];
    assert_eq!((poll.task, poll.ended, poll.duration), (FutureId(1), false, Nanos(98 * MS)));
    assert_eq!(tasks.unfinished[0].phase, Phase::Polled);
    assert_eq!(tasks.unfinished[0].since, Nanos(2 * MS).into());
}

#[test]
fn what_is_unfinished_says_what_it_waits_for_and_how_deep() {
    let mut e = Executor::new();
    (1..=4).for_each(|id| e.spawn(1, 0, id, HANDLER));
    // The first is two child futures deep, and nobody can wake it any more.
    e.begin_poll(1, 10, 1);
    for child in [11, 12] {
        e.begin(1, 10, child, QUERY);
        e.begin_poll(1, 10, child);
    }
    e.event(1, 20, EventKind::EndPoll { waits_at: StackId(LOCK) });
    e.event(1, 21, EventKind::End);
    e.event(1, 22, EventKind::End);
    e.event(2, 30, EventKind::Unwakeable { future: FutureId(1) });
    // The second is awake, the third is polled, the fourth never was.
    e.poll(1, 40, 2, TIMER, 5);
    e.wake(2, 50, 2, 0);
    e.begin_poll(1, 60, 3);
    e.wake(1, 70, 3, 0);
    let tasks = read(e.stop(1000));
    let told: Vec<_> = tasks
        .unfinished
        .iter()
        .map(|it| (it.task.0, it.phase, it.since.0, it.unwakeable))
        .collect();
    let expected = [
        (4, Phase::New, 0, false),
        (1, Phase::Idle, 22, true),
        (2, Phase::Ready, 50, false),
        (3, Phase::Polled, 60, false),
    ];
    assert_eq!(told, expected);
    let first = &tasks.unfinished[1];
    let query = SiteId(QUERY);
    assert_eq!(first.chain, [(FutureId(11), query), (FutureId(12), query)]);
    assert_eq!((first.stack, first.awaited.awaited), (StackId(LOCK), Awaited::Mutex));
    let handler = site(&tasks, HANDLER);
    assert_eq!((handler.alive, handler.never_polled, handler.unwakeable), (4, 1, 1));
    assert_eq!((handler.wakes, handler.self_wakes), (2, 1));
    let lock = tasks.waits.iter().find(|group| group.stack == StackId(LOCK)).expect("a lock");
    assert_eq!((lock.waiting, lock.total), (1, Nanos(1000 - 22)));
    let [children] = tasks.children.as_slice() else { panic!("one call site") };
    assert_eq!((children.site, children.count, children.polls), (query, 2, 2));
}

#[test]
fn wakes_in_vain_and_after_the_end_are_told_apart() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.poll(1, 10, 1, TIMER, 5);
    // In vain: nothing is recorded inside, and it waits at the same place.
    e.wake(2, 20, 1, 0);
    e.poll(1, 30, 1, TIMER, 5);
    e.wake(2, 40, 1, 0);
    e.poll(1, 50, 1, 0, 5);
    // Not in vain: it goes on to another place, records something, or ends.
    e.wake(2, 60, 1, 0);
    e.poll(1, 70, 1, LOCK, 5);
    e.wake(2, 80, 1, 0);
    e.begin_poll(1, 90, 1);
    e.region(1, 91, PARKED, 1);
    e.event(1, 95, EventKind::EndPoll { waits_at: StackId(LOCK) });
    e.wake(2, 100, 1, 0);
    e.poll(1, 110, 1, 0, 5);
    e.end(1, 115, 1, Outcome::Panicked);
    e.wake(2, 120, 1, 0);
    e.wake(2, 121, 1, 0);
    // The second wake before a poll is one, and ends nothing.
    let tasks = read(e.stop(200));
    let told = site(&tasks, HANDLER);
    assert_eq!((told.wakes, told.futile_wakes, told.late_wakes), (5, 2, 2));
    assert_eq!((told.panicked, told.alive, told.polls), (1, 0, 6));
}

#[test]
fn a_child_is_woken_for_its_task_and_once_if_both_say_so() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.begin_poll(1, 10, 1);
    e.begin(1, 11, 2, QUERY);
    e.poll(1, 11, 2, LOCK, 2);
    e.event(1, 20, EventKind::End);
    e.wake(2, 100, 2, RELEASE);
    e.wake(2, 101, 1, RELEASE);
    e.poll(1, 150, 1, 0, 5);
    let tasks = read(e.stop(200));
    let told = site(&tasks, HANDLER);
    assert_eq!((told.wakes, told.ready.max, tasks.children[0].wakes), (1, Nanos(50), 1));
    let lock = &tasks.waits[0];
    assert_eq!(
        (lock.stack, lock.total),
        (StackId(LOCK), Nanos(80 + 45)),
        "it has its child's place"
    );
}

#[test]
fn what_the_runtime_says_of_readiness_is_taken() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    let ready = |since| EventKind::Ready { future: FutureId(1), since: Ticks(since) };
    e.event(1, 100, ready(30));
    e.poll(1, 100, 1, 0, 10);
    e.event(1, 300, ready(50));
    e.poll(1, 300, 1, 0, 10);
    let told = read(e.stop(400));
    let told = site(&told, HANDLER);
    assert_eq!((told.ready_total, told.ready.max), (Nanos(80), Nanos(50)));
    assert_eq!(told.idle, Nanos((250 - 110) + (400 - 310)));
}

#[test]
fn a_spawn_that_is_told_after_the_first_poll_has_that_poll() {
    let mut e = Executor::new();
    e.poll(1, 10, 1, TIMER, 10);
    e.spawn(2, 12, 1, HANDLER);
    e.begin(2, 13, 1, WRITER);
    let tasks = read(e.stop(100));
    let [told] = tasks.sites.as_slice() else { panic!("{:?}", tasks.sites) };
    assert_eq!((told.site, told.spawned, told.count, told.polls), (SiteId(HANDLER), true, 1, 1));
    assert_eq!((told.ready_total, told.alive_max), (Nanos(0), 1));
}

#[test]
fn a_spawned_task_is_nobodys_child_and_an_outermost_future_is_a_task() {
    let mut e = Executor::new();
    e.begin(1, 0, 1, HANDLER);
    e.begin_poll(1, 0, 1);
    e.spawn(1, 5, 2, WRITER);
    e.poll(1, 10, 2, TIMER, 10);
    e.event(1, 30, EventKind::End);
    let tasks = read(e.stop(100));
    assert_eq!((tasks.sites.len(), tasks.children.len()), (2, 0));
    assert!(!site(&tasks, HANDLER).spawned && site(&tasks, WRITER).spawned);
    // Polls inside another are in that one's time.
    assert_eq!((tasks.workers[0].polls, tasks.workers[0].busy), (1, Nanos(30)));
}

#[test]
fn a_window_has_the_times_that_lie_in_it_and_the_tasks_from_before() {
    let tasks = read_window(across_await().stop(2000), Some(500), Some(1025));
    let handler = site(&tasks, HANDLER);
    assert_eq!((handler.count, handler.alive, handler.polls), (1, 1, 0));
    assert_eq!((handler.idle, handler.wakes), (Nanos(1020 - 500), 1));
    let lock = tasks.waits.iter().find(|group| group.stack == StackId(LOCK)).expect("a lock");
    assert_eq!((lock.total, lock.holders[0].idle), (Nanos(520), Nanos(500)));
    assert_eq!(tasks.unfinished.len(), 2, "in the window neither had ended");
    let ended = read_window(across_await().stop(2000), Some(500), None);
    let (writer, handler) = (site(&ended, WRITER), site(&ended, HANDLER));
    assert_eq!((writer.life.max, handler.life.max), (Nanos(1028), Nanos(1045)), "all of it");
    let empty = read_window(across_await().stop(2000), Some(5000), None);
    assert_eq!((empty.unfinished.len(), empty.waits.len()), (0, 0));
}

#[test]
fn futures_that_lived_before_the_trace_are_known_by_their_definitions() {
    let mut e = Executor::new();
    e.0.define(&Definition::FutureState {
        id: FutureId(7),
        parent: FutureId(0),
        task: TaskId(0),
        site: SiteId(WRITER),
        begin: Ticks(100),
        spawned: true,
        waits_at: StackId(LOCK),
        since: Ticks(200),
    });
    e.region(1, 500, PARKED, 10);
    let tasks = read(e.stop(1000));
    let [task] = tasks.unfinished.as_slice() else { panic!("{:?}", tasks.unfinished) };
    assert_eq!((task.task, task.phase, task.since), (FutureId(7), Phase::Idle, Nanos(200).into()));
    assert_eq!((task.site, task.stack), (SiteId(WRITER), StackId(LOCK)));
    assert_eq!((tasks.waits[0].waiting, tasks.waits[0].total), (1, Nanos(800)));
}

#[test]
fn where_a_child_future_waited_before_the_trace_is_not_its_tasks_own_place() {
    let mut e = Executor::new();
    for (id, parent, site) in [(7, 0, WRITER), (8, 7, QUERY)] {
        e.0.define(&Definition::FutureState {
            id: FutureId(id),
            parent: FutureId(parent),
            task: TaskId(0),
            site: SiteId(site),
            begin: Ticks(100),
            spawned: parent == 0,
            waits_at: StackId(LOCK),
            since: Ticks(200),
        });
    }
    e.wake(2, 500, 7, 0);
    e.begin_poll(1, 510, 7);
    e.poll(1, 520, 8, TIMER, 5);
    e.event(1, 530, EventKind::EndPoll { waits_at: StackId(0) });
    let tasks = read(e.stop(1000));
    let [task] = tasks.unfinished.as_slice() else { panic!("{:?}", tasks.unfinished) };
    assert_eq!((task.stack, task.one_of.len()), (StackId(TIMER), 0));
    let waits: Vec<_> =
        tasks.waits.iter().map(|it| (it.stack, it.total, it.one_of.len())).collect();
    assert_eq!(waits, [(StackId(TIMER), Nanos(470), 0), (StackId(LOCK), Nanos(300), 0)]);
}

#[test]
fn lost_ends_leave_no_poll_that_lasts_for_ever() {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    e.begin_poll(1, 10, 1);
    let (from, to) = (Ticks(20), Ticks(30));
    e.event(1, 30, EventKind::Dropped { events: 5, ends: 1, from, to });
    e.event(1, 40, EventKind::End);
    let tasks = read(e.stop(100 * MS));
    assert_eq!(tasks.polls, []);
    assert_eq!(tasks.unfinished[0].phase, Phase::Idle);
}

#[test]
fn what_was_woken_in_a_poll_whose_end_is_lost_is_not_known_to_be_ready() {
    for wake_behind in [false, true] {
        let mut e = Executor::new();
        e.spawn(1, 0, 1, HANDLER);
        e.begin_poll(1, 10, 1);
        e.wake(2, 12, 1, 0);
        let (from, to) = (Ticks(20), Ticks(30));
        e.event(1, 30, EventKind::Dropped { events: 5, ends: 1, from, to });
        if wake_behind {
            e.wake(2, 40, 1, 0);
        }
        let tasks = read(e.stop(100));
        let told = site(&tasks, HANDLER);
        // It was ready for 10 ns before the poll; then only if it is woken where nothing is lost.
        let (phase, ready) = if wake_behind { (Phase::Ready, 60) } else { (Phase::Idle, 0) };
        assert_eq!((tasks.unfinished[0].phase, told.ready_total), (phase, Nanos(10 + ready)));
    }
}

/// A task that one thread spawns, while events of the other are missing that may have polled it;
/// and one that is spawned when all is known again.
fn spawned_beside_a_loss(lose: impl FnOnce(&mut Executor) -> Option<usize>) -> AsyncTasks {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, HANDLER);
    let damaged = lose(&mut e);
    e.spawn(1, 5_000, 2, WRITER);
    let mut bytes = e.stop(9_000);
    let is_damaged = damaged.is_some();
    damaged.into_iter().for_each(|at| bytes[at] ^= 1);
    let file = TraceFile::open(bytes).expect("a trace");
    let report = {
        let wanted = Wanted { async_tasks: true, ..Wanted::default() };
        Report::read(&Trace::new(&file), wanted, |_| {})
    };
    let tasks = report.async_tasks.unwrap_or_default();
    assert_eq!(tasks.unreadable > 0, is_damaged);
    tasks
}

/// A batch of the second thread of which nothing can be read.
fn damaged_batch(e: &mut Executor) -> usize {
    e.0.seal(2);
    e.0.write_definitions();
    let damaged = e.0.bytes() + 100;
    (0..100).for_each(|n| e.region(2, 1_000 + 2 * n, PARKED, 1));
    e.0.seal(2);
    damaged
}

#[test]
fn what_others_may_have_polled_whose_events_are_missing_is_not_ready_for_ever() {
    let dropped = |e: &mut Executor| {
        let (from, to) = (Ticks(100), Ticks(2_000));
        e.event(2, 2_000, EventKind::Dropped { events: 5, ends: 0, from, to });
        None
    };
    let damaged = |e: &mut Executor| {
        let damaged = damaged_batch(e);
        e.region(2, 2_000, PARKED, 10);
        Some(damaged)
    };
    for (tasks, surely) in
        [(spawned_beside_a_loss(dropped), Nanos(100)), (spawned_beside_a_loss(damaged), Nanos(0))]
    {
        assert_eq!(site(&tasks, HANDLER).ready_total, surely, "until events went missing");
        assert_eq!(site(&tasks, WRITER).ready_total, Nanos(4_000), "nothing was lost since");
        let delays: Vec<_> = tasks.delays.iter().map(|it| it.site).collect();
        assert!(delays.iter().all(|it| *it == SiteId(WRITER)), "{delays:?}");
    }
    // Nothing more is heard of the thread.
    let tasks = spawned_beside_a_loss(|e| Some(damaged_batch(e)));
    assert_eq!(site(&tasks, HANDLER).ready_total, Nanos(0));
    assert_eq!(site(&tasks, WRITER).ready_total, Nanos(0));
}

#[test]
fn a_forgotten_task_is_ready_until_its_poll_may_be_missing() {
    // The second thread polls tasks; the first one does not, and only spawns.
    for (thread, surely) in [(1, 90 * MS), (2, 60 * MS)] {
        let mut e = Executor::new();
        e.spawn(1, 0, 1, HANDLER);
        e.spawn(1, 10, 2, WRITER);
        e.poll(2, 100, 2, TIMER, 10);
        let (from, to) = (Ticks(60 * MS), Ticks(70 * MS));
        e.event(thread, 70 * MS, EventKind::Dropped { events: 5, ends: 0, from, to });
        let tasks = read(e.stop(90 * MS));
        let told = site(&tasks, HANDLER);
        assert_eq!((told.ready_total, told.never_polled), (Nanos(surely), 1), "thread {thread}");
        let unfinished = tasks.unfinished.iter().find(|it| it.task == FutureId(1));
        let unfinished = unfinished.expect("it has not ended");
        assert_eq!((unfinished.phase, unfinished.known_to), (Phase::New, Nanos(surely)));
        let [delay] = tasks.delays.as_slice() else { panic!("{:?}", tasks.delays) };
        assert_eq!((delay.site, delay.duration), (SiteId(HANDLER), Nanos(surely)));
    }
}

#[test]
fn nonsense_is_counted_and_does_not_last() {
    let mut e = Executor::new();
    // Wakes and ends of what was never there, polls after the end, two ends.
    e.wake(1, 1, 9, 0);
    e.end(1, 2, 9, Outcome::Returned);
    e.event(1, 3, EventKind::Unwakeable { future: FutureId(9) });
    e.spawn(1, 4, 1, HANDLER);
    e.spawn(1, 5, 1, WRITER);
    e.end(1, 6, 1, Outcome::Dropped);
    e.end(1, 7, 1, Outcome::Returned);
    e.poll(1, 8, 1, LOCK, 1);
    e.spawn(1, 10, 1, HANDLER);
    e.spawn(1, 11, 2, 99_999);
    e.event(1, 12, EventKind::EndPoll { waits_at: StackId(1) });
    e.event(
        1,
        13,
        EventKind::Poll { future: FutureId(2), waits_at: StackId(77), duration: Ticks(1 << 40) },
    );
    let tasks = read(e.stop(1000));
    let told = site(&tasks, HANDLER);
    assert_eq!((told.count, told.dropped, told.returned, told.never_polled), (1, 1, 0, 1));
    assert_eq!((told.polls, told.alive), (0, 0), "what is over is polled no more");
    assert_eq!((site(&tasks, 0).count, site(&tasks, 0).polls), (1, 1));
    assert_eq!(tasks.polls[0].duration, Nanos(1 << 40));
}

#[test]
fn a_million_futures_are_counted_and_some_are_kept() {
    let mut e = Executor::new();
    let count = 400_000;
    for id in 1..=count {
        e.spawn(1, id, 2 * id, HANDLER);
    }
    let tasks = read(e.stop(10 * count));
    assert_eq!(tasks.unfinished.len(), UNFINISHED_MAX);
    let told = site(&tasks, HANDLER);
    assert_eq!(told.count + tasks.untracked, count);
    assert_eq!((told.count, told.never_polled), (1 << 18, 1 << 18));
    // What has ended makes room.
    let mut e = Executor::new();
    for id in 1..=count {
        e.spawn(1, 2 * id, id, HANDLER);
        e.end(1, 2 * id + 1, id, Outcome::Returned);
    }
    let tasks = read(e.stop(10 * count));
    assert_eq!((site(&tasks, HANDLER).count, tasks.untracked), (count, 0));
    assert_eq!(ended(site(&tasks, HANDLER)), count);
}
