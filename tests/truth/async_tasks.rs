//! Tasks, and what they wait for.

use crate::answer::Answer;
use crate::common::in_own_process;
use crate::find;
use exectrace::{Task, TracedExt, traced};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::oneshot::{Receiver, Sender};
use tokio::sync::{mpsc, oneshot};
use trace_analysis::async_tasks::{AsyncTasks, AwaitGroup};
use trace_analysis::explain::{InsightKind, explain};
use trace_analysis::reason::Awaited;
use trace_analysis::slow_tasks::slow_tasks;
use trace_analysis::{Report, Summary, Trace, Wanted};
use trace_format::event::EventKind;
use trace_format::id::Open;
use trace_format::read::Window;

fn tasks(answer: &Answer) -> AsyncTasks {
    AsyncTasks::read(&Trace::new(&answer.file).named(&answer.symbols), |_| ())
}

/// The places where the task of this name waited, each with the number of waits, and whether the
/// place is certain.
fn places(answer: &Answer, tasks: &AsyncTasks, task: &str) -> Vec<(String, u64, bool)> {
    let is_its = |group: &&AwaitGroup| {
        let site = answer.file.tables().callsite(group.site);
        site.is_some_and(|site| site.name.ends_with(task))
    };
    let own = |group: &AwaitGroup| {
        let names = answer.names(Some(group.stack));
        let own = names.into_iter().find(|name| name.contains("truth::")).unwrap_or_default();
        let function = own.split("::{").next().unwrap_or_default().to_owned();
        (function, group.count, group.one_of.is_empty())
    };
    let mut places: Vec<_> = tasks.waits.iter().filter(is_its).map(own).collect();
    places.sort();
    places
}

#[traced]
async fn quick_part(from: Receiver<()>) {
    from.await.expect("it is sent");
}

#[traced]
async fn slow_part(from: Receiver<()>) {
    from.await.expect("it is sent");
}

#[traced]
async fn joins([one, two, three]: [Receiver<()>; 3]) {
    tokio::join!(quick_part(one), slow_part(two), quick_part(three));
}

#[traced]
async fn selects([one, two, _]: [Receiver<()>; 3]) {
    tokio::select! {
        () = slow_part(one) => {}
        () = quick_part(two) => {}
    }
}

/// Records a task that waits for three senders, which `send` uses.
fn record_waiting<F: Future<Output = ()> + Send + 'static>(
    wait: fn([Receiver<()>; 3]) -> F,
    send: impl AsyncFnOnce([Sender<()>; 3]),
) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it is built");
    Answer::record(|| {
        runtime.block_on(async {
            let [one, two, three] = [(); 3].map(|()| oneshot::channel());
            let task = exectrace::tokio::spawn(wait([one.1, two.1, three.1]));
            tokio::task::yield_now().await;
            send([one.0, two.0, three.0]).await;
            task.await.expect("no panic");
        });
    })
}

#[test]
fn of_futures_that_are_joined_each_has_the_waiting_that_was_for_it() {
    if !in_own_process(
        "async_tasks::of_futures_that_are_joined_each_has_the_waiting_that_was_for_it",
    ) {
        return;
    }
    let answer = record_waiting(joins, async |[one, two, three]| {
        for quick in [one, three] {
            quick.send(()).expect("it listens");
            tokio::task::yield_now().await;
        }
        two.send(()).expect("it listens");
    });
    let places = places(&answer, &tasks(&answer), "joins");
    let expected =
        [("truth::async_tasks::quick_part", 2, true), ("truth::async_tasks::slow_part", 1, true)];
    assert_eq!(places, expected.map(|(name, count, is_known)| (name.to_owned(), count, is_known)));
}

#[test]
fn of_a_selection_the_branch_that_was_woken_has_the_waiting() {
    if !in_own_process("async_tasks::of_a_selection_the_branch_that_was_woken_has_the_waiting") {
        return;
    }
    let answer = record_waiting(selects, async |[_one, two, _]| {
        two.send(()).expect("it listens");
        tokio::task::yield_now().await;
    });
    let places = places(&answer, &tasks(&answer), "selects");
    assert_eq!(places, [("truth::async_tasks::quick_part".to_owned(), 1, true)]);
}

type Message = (bool, Task, Sender<()>);

#[traced]
async fn compact_segment() {
    tokio::time::sleep(Duration::from_millis(400)).await;
}

#[traced]
async fn store(is_slow: bool, back: Sender<()>) {
    if is_slow {
        compact_segment().await;
    }
    back.send(()).expect("it listens");
}

#[traced]
async fn stores(mut requests: mpsc::Receiver<Message>) {
    while let Some((is_slow, task, back)) = requests.recv().await {
        exectrace::tokio::spawn(store(is_slow, back).traced(task));
    }
}

async fn request(is_slow: bool, to: mpsc::Sender<Message>) {
    let task = Task::new("request");
    let (back, answer) = oneshot::channel();
    to.send((is_slow, task.clone(), back)).await.expect("it listens");
    answer.await.expect("it answers");
    task.end();
}

#[test]
fn a_slow_request_is_followed_into_another_service() {
    if !in_own_process("async_tasks::a_slow_request_is_followed_into_another_service") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("it is built");
    let answer = Answer::record(|| {
        runtime.block_on(async {
            let (to, requests) = mpsc::channel(4);
            exectrace::tokio::spawn(stores(requests));
            for at in 0..20 {
                request(at == 11, to.clone()).await;
            }
        });
    });
    let trace = Trace::new(&answer.file).named(&answer.symbols);
    let slow_tasks = slow_tasks(&trace, &Summary::read(&trace, |_| ()));
    let wanted = Wanted { slow_tasks, async_tasks: true, ..Wanted::default() };
    let found = explain(&trace, &Report::read(&trace, wanted, |_| ()));
    let found = find(found, InsightKind::SlowTask);
    assert!(
        found.title.contains("for tokio timer at truth::async_tasks::compact_segment"),
        "{found:#?}"
    );
}

#[traced]
async fn only_sends(to: mpsc::Sender<u8>) {
    to.send(1).await.expect("it listens");
}

#[test]
fn a_wait_for_room_in_a_channel_is_a_channel_send() {
    if !in_own_process("async_tasks::a_wait_for_room_in_a_channel_is_a_channel_send") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it is built");
    let answer = Answer::record(|| {
        runtime.block_on(async {
            let (to, mut from) = mpsc::channel(1);
            to.send(0).await.expect("there is room");
            let task = exectrace::tokio::spawn(only_sends(to));
            tokio::task::yield_now().await;
            from.recv().await.expect("it was sent");
            task.await.expect("no panic");
        });
    });
    let tasks = tasks(&answer);
    let waits: Vec<_> = tasks.waits.iter().filter(|it| it.stack.0 != 0).collect();
    let [wait] = waits[..] else { panic!("it waited once: {waits:#?}") };
    assert_eq!((wait.awaited.awaited, wait.count), (Awaited::ChannelSend, 1), "{wait:#?}");
}

#[test]
fn on_one_thread_at_most_one_poll_is_open_at_any_time() {
    if !in_own_process("async_tasks::on_one_thread_at_most_one_poll_is_open_at_any_time") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("it is built");
    let answer = Answer::record(|| {
        runtime.block_on(async {
            for _ in 0..60 {
                let nap = tokio::time::sleep(Duration::from_millis(1));
                exectrace::tokio::spawn(nap).await.expect("no panic");
            }
        });
    });
    let all = Window::default();
    let mut polls = BTreeSet::new();
    let mut order = answer.file.in_order(all);
    while let Some(event) = order.next_event() {
        let event = event.expect("a trace without a fault");
        if matches!(event.event.kind, EventKind::Poll { .. } | EventKind::PollBegin { .. }) {
            polls.insert(event.event.ticks);
        }
    }
    assert!(polls.len() > 60, "each task is polled: {}", polls.len());
    for from in polls {
        let order = answer.file.in_order(Window { from: Some(from), ..all });
        let open = order.open_at_start().values().flatten();
        let open = open.filter(|it| matches!(it.open, Open::Poll(_))).count();
        assert!(open <= 1, "{open} polls are open at {from:?}");
    }
}
