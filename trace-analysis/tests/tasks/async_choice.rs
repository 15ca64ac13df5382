//! For which of several futures a task waited that were open at once, from traces made by hand: one
//! tick is a nanosecond.

use crate::executor::{
    Executor, HANDLER, IO_READY, LOCK, PASS, QUERY, RELEASE, SOCKET, TIME_UP, TIMER, WRITER,
};
use trace_analysis::async_tasks::{AsyncTasks, AwaitGroup};
use trace_analysis::reason::Await;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, StackId};
use trace_format::read::TraceFile;
use trace_format::time::Nanos;

const ROOT: u64 = 1;

fn read(e: Executor, end: u64) -> AsyncTasks {
    let file = TraceFile::open(e.stop(end)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    let report = Report::read(&Trace::new(&file).named(&symbols), wanted, |_| {});
    report.async_tasks.expect("there are some")
}

/// What was waited for: where, for how long, and where else it may have been.
fn waits(tasks: &AsyncTasks) -> Vec<(u32, u64, Vec<u32>)> {
    let numbers = |all: &[(StackId, Await)]| all.iter().map(|(stack, _)| stack.0).collect();
    let one = |group: &AwaitGroup| (group.stack.0, group.total.0, numbers(&group.one_of));
    tasks.waits.iter().map(one).collect()
}

fn end_poll(e: &mut Executor, at: u64, stack: u32) {
    e.event(1, at, EventKind::EndPoll { waits_at: StackId(stack) });
}

/// A task whose first poll ends at 100: its own code took a waker at `own`, 0 for nowhere, and
/// child futures, 2 and so on, at these.
fn waiting(own: u32, children: &[u32]) -> Executor {
    let mut e = Executor::new();
    e.spawn(1, 0, ROOT, HANDLER);
    e.begin_poll(1, 10, ROOT);
    for (child, at, stack) in (0..).zip(children).map(|(n, &stack)| (n + 2, 20 + 10 * n, stack)) {
        e.begin(1, at, child, QUERY);
        e.poll(1, at, child, stack, 5);
    }
    end_poll(&mut e, 100, own);
    e
}

#[test]
fn the_child_future_that_returns_next_is_what_was_waited_for() {
    let mut e = waiting(0, &[TIMER, PASS, PASS]);
    e.wake(2, 200, ROOT, 0);
    e.begin_poll(1, 210, ROOT);
    e.poll(1, 220, 2, 0, 5);
    for child in [3, 4] {
        e.begin_poll(1, 230 + child, child);
        end_poll(&mut e, 230 + child, 0);
        e.end(1, 230 + child, child, Outcome::Returned);
    }
    end_poll(&mut e, 250, 0);
    // The one that is left is polled with the waker it has.
    e.wake(2, 1_000, ROOT, 0);
    e.begin_poll(1, 1_010, ROOT);
    e.begin_poll(1, 1_020, 2);
    end_poll(&mut e, 1_030, 0);
    e.end(1, 1_030, 2, Outcome::Returned);
    end_poll(&mut e, 1_040, 0);
    e.end(1, 1_040, ROOT, Outcome::Returned);
    let waits = waits(&read(e, 2_000));
    assert_eq!(waits, [(TIMER, 1_000 - 250, vec![]), (PASS, 200 - 100, vec![])]);
}

#[test]
fn of_a_selection_it_is_the_branch_that_was_not_dropped() {
    // The task's own code took a waker as well: that branch wins, and the child future is dropped.
    let mut e = waiting(LOCK, &[TIMER]);
    e.wake(2, 500, ROOT, 0);
    e.begin_poll(1, 510, ROOT);
    e.end(1, 520, 2, Outcome::Dropped);
    end_poll(&mut e, 530, 0);
    e.end(1, 530, ROOT, Outcome::Returned);
    assert_eq!(waits(&read(e, 2_000)), [(LOCK, 400, vec![])]);

    // The child future wins.
    let mut e = waiting(LOCK, &[TIMER]);
    e.wake(2, 500, ROOT, 0);
    e.begin_poll(1, 510, ROOT);
    e.begin_poll(1, 515, 2);
    end_poll(&mut e, 520, 0);
    e.end(1, 520, 2, Outcome::Returned);
    end_poll(&mut e, 530, 0);
    e.end(1, 530, ROOT, Outcome::Returned);
    assert_eq!(waits(&read(e, 2_000)), [(TIMER, 400, vec![])]);

    // Of two child futures one is dropped.
    let mut e = waiting(0, &[TIMER, PASS]);
    e.wake(2, 500, ROOT, 0);
    e.begin_poll(1, 510, ROOT);
    e.end(1, 520, 2, Outcome::Dropped);
    end_poll(&mut e, 530, 0);
    e.wake(2, 600, ROOT, 0);
    e.poll(1, 610, ROOT, 0, 5);
    assert_eq!(waits(&read(e, 615))[0], (PASS, 400 + 70, vec![]));
}

#[test]
fn where_nothing_tells_it_was_one_of_them() {
    let mut e = waiting(0, &[TIMER, PASS]);
    e.wake(2, 500, ROOT, 0);
    e.begin_poll(1, 510, ROOT);
    // It takes the same waker again: no progress.
    e.poll(1, 515, 2, TIMER, 1);
    end_poll(&mut e, 520, 0);
    e.wake(2, 700, ROOT, 0);
    e.poll(1, 710, ROOT, 0, 10);
    let tasks = read(e, 1_000);
    let all = vec![(TIMER, 400 + 180 + 280, vec![PASS])];
    assert_eq!(waits(&tasks), all);
    let [task] = tasks.unfinished.as_slice() else { panic!("one task") };
    let [(other, awaited)] = task.one_of.as_slice() else { panic!("one other place") };
    assert_eq!((task.stack, *other), (StackId(TIMER), StackId(PASS)));
    assert_eq!(awaited.name(), "tokio channel receive");
    assert_eq!(tasks.sites[0].idle, Nanos(400 + 180 + 280));
}

#[test]
fn who_is_woken_by_the_runtime_waited_for_what_it_sees_to() {
    for (waker, place) in [(IO_READY, SOCKET), (TIME_UP, TIMER)] {
        let mut e = waiting(0, &[PASS, SOCKET, TIMER]);
        e.wake(2, 500, ROOT, waker);
        e.poll(1, 510, ROOT, 0, 10);
        assert_eq!(waits(&read(e, 520))[0], (place, 400, vec![]));
    }
    // Nothing there is of that kind.
    let mut e = waiting(0, &[PASS, LOCK]);
    e.wake(2, 500, ROOT, IO_READY);
    e.poll(1, 510, ROOT, 0, 10);
    assert_eq!(waits(&read(e, 520)), [(LOCK, 400, vec![PASS])]);
}

#[test]
fn a_selection_that_polls_its_branches_in_any_order_waits_at_all_of_them() {
    // Each poll tells the branch that took the last waker; nothing is ever sent.
    let mut e = waiting(SOCKET, &[]);
    for (round, last) in [PASS, SOCKET, PASS, PASS].into_iter().enumerate() {
        let at = 1_000 * (round as u64 + 1);
        e.wake(2, at - 100, ROOT, IO_READY);
        e.poll(1, at - 50, ROOT, last, 50);
    }
    e.wake(2, 4_900, ROOT, IO_READY);
    e.poll(1, 4_950, ROOT, 0, 50);
    e.end(1, 5_000, ROOT, Outcome::Returned);
    assert_eq!(waits(&read(e, 5_100)), [(SOCKET, 800 + 4 * 900, vec![])]);
}

#[test]
fn a_child_future_that_waits_elsewhere_now_went_on() {
    let mut e = waiting(0, &[TIMER, PASS]);
    e.wake(2, 500, ROOT, 0);
    e.begin_poll(1, 510, ROOT);
    e.poll(1, 515, 3, LOCK, 1);
    end_poll(&mut e, 520, 0);
    let waits = waits(&read(e, 1_000));
    assert_eq!(waits[0], (LOCK, 480, vec![TIMER]), "these two are open at the end");
    assert_eq!(waits[1], (PASS, 400, vec![]));
}

#[test]
fn what_was_awaited_before_a_child_future_began_is_over() {
    let mut e = waiting(TIMER, &[]);
    e.wake(2, 200, ROOT, 0);
    e.begin_poll(1, 210, ROOT);
    e.begin(1, 220, 2, QUERY);
    e.poll(1, 230, 2, LOCK, 5);
    end_poll(&mut e, 240, 0);
    e.wake(2, 900, ROOT, 0);
    e.poll(1, 910, ROOT, 0, 5);
    assert_eq!(waits(&read(e, 915)), [(LOCK, 660, vec![]), (TIMER, 100, vec![])]);
}

#[test]
fn a_future_far_inside_waits_for_all_around_it() {
    // A child future's child took the waker: one place, told once.
    let mut e = Executor::new();
    e.spawn(1, 0, ROOT, HANDLER);
    e.begin_poll(1, 10, ROOT);
    e.begin(1, 20, 2, QUERY);
    e.begin_poll(1, 20, 2);
    e.begin(1, 30, 3, WRITER);
    e.poll(1, 30, 3, LOCK, 5);
    end_poll(&mut e, 40, 0);
    end_poll(&mut e, 100, 0);
    let tasks = read(e, 1_000);
    assert_eq!(waits(&tasks), [(LOCK, 900, vec![])]);
    let chain: Vec<_> = tasks.unfinished[0].chain.iter().map(|(future, _)| *future).collect();
    assert_eq!(chain, [FutureId(2), FutureId(3)]);
}

#[test]
fn a_locks_holder_is_known_though_it_is_gone_when_the_wait_is_decided() {
    let mut e = Executor::new();
    e.spawn(1, 0, 9, WRITER);
    e.poll(1, 1, 9, TIMER, 2);
    e.spawn(1, 5, ROOT, HANDLER);
    e.begin_poll(1, 10, ROOT);
    for (child, stack) in [(2, LOCK), (3, PASS)] {
        e.begin(1, 10 + child, child, QUERY);
        e.poll(1, 10 + child, child, stack, 0);
    }
    end_poll(&mut e, 20, 0);
    e.wake(2, 500, 9, 0);
    e.begin_poll(1, 510, 9);
    e.wake(1, 520, ROOT, RELEASE);
    end_poll(&mut e, 530, 0);
    e.end(1, 530, 9, Outcome::Returned);
    e.begin_poll(1, 540, ROOT);
    e.begin_poll(1, 545, 2);
    end_poll(&mut e, 550, 0);
    e.end(1, 550, 2, Outcome::Returned);
    end_poll(&mut e, 560, 0);
    let tasks = read(e, 600);
    let lock = tasks.waits.iter().find(|it| it.stack == StackId(LOCK)).expect("a lock");
    assert_eq!((lock.total, lock.one_of.len()), (Nanos(500), 0));
    let [holder] = lock.holders.as_slice() else { panic!("{:?}", lock.holders) };
    assert_eq!((holder.site.0, holder.task), (WRITER, FutureId(9)));
    assert_eq!((holder.held, holder.idle), (Nanos(500), Nanos(480)));
}
