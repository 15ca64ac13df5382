//! User tasks: they begin once, end once, and go across threads, awaits and traces.

mod common;

use common::{alone, annotated, on_thread, record, record_here};
use exectrace::{Task, Traceparent, instant, trace_region, traced};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use trace_format::event::EventKind;
use trace_format::id::TaskId;

#[test]
fn a_task_ends_with_its_last_handle() {
    let recorded = record(|| {
        let task = Task::new("request");
        assert_ne!(task.id(), 0);
        let other = task.clone();
        assert_eq!(task.id(), other.id());
        drop(task);
        instant!("still there");
        drop(other);
    });
    assert_eq!(recorded.lines(), ["task request", "! still there", "task request ends"]);
}

#[test]
fn a_task_ends_once() {
    let recorded = record(|| {
        let task = Task::new("request");
        let other = task.clone();
        task.end();
        task.end();
        other.end();
        drop((task, other));
    });
    assert_eq!(recorded.lines(), ["task request", "task request ends"]);
}

#[test]
fn tasks_have_parents() {
    let recorded = record(|| {
        let request = Task::new("request");
        let parse = request.subtask("parse");
        drop(parse);
        let _working = request.enter();
        let step = Task::new("step");
        assert_eq!(Task::current().id(), request.id());
        let _deeper = step.enter();
        assert_eq!(Task::current().id(), step.id());
        drop(Task::current().subtask("smallest"));
    });
    let expected = [
        "task request",
        "task parse of request",
        "task parse ends",
        "+ run request",
        "task step of request",
        "+ run step",
        "task smallest of step",
        "task smallest ends",
        "-",
        "task step ends",
        "-",
        "task request ends",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn work_without_events_is_one_event() {
    let recorded = record(|| {
        let task = Task::new("request");
        drop(task.enter());
        let working = task.enter();
        drop(task.enter());
        drop(working);
        assert_eq!(Task::current().id(), 0, "nobody's work now");
    });
    let expected =
        ["task request", "run request", "+ run request", "run request", "-", "task request ends"];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_task_goes_across_threads() {
    let recorded = record(|| {
        let task = Task::new("request");
        on_thread("worker", || {
            let task = task.clone();
            let _working = task.enter();
            trace_region!("work");
            assert_eq!(Task::current().id(), task.id());
        });
        on_thread("last", move || {
            instant!("has it");
            task.end();
        });
    });
    assert_eq!(recorded.lines_of("worker"), ["+ run request", "work", "-"]);
    assert_eq!(recorded.lines_of("last"), ["! has it", "task request ends"]);
}

#[traced(task, args(n))]
fn call(n: u8) {
    trace_region!("inside");
    if n > 0 {
        call(n - 1);
    }
}

#[traced(task, ret, err)]
fn fallible(fail: bool) -> Result<u8, String> {
    if fail { Err("no".into()) } else { Ok(Task::current().id().min(1) as u8) }
}

#[test]
fn a_call_is_a_task_of_its_own() {
    let recorded = record(|| {
        call(1);
        let _ = fallible(false);
        let _ = fallible(true);
        assert_eq!(Task::current().id(), 0);
    });
    let expected = [
        "task call(n=1u)",
        "+ run call",
        "+ inside",
        "task call(n=0u) of call",
        "+ run call",
        "inside",
        "-",
        "task call ends",
        "-",
        "-",
        "task call ends",
        "task fallible",
        "+ run fallible",
        "- returned 1u",
        "task fallible ends",
        "task fallible",
        "+ run fallible",
        "- failed `no`",
        "task fallible ends",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[traced(task)]
fn panics() {
    panic!("on purpose")
}

#[test]
fn a_panic_ends_a_task() {
    let recorded = record(|| {
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(Task::current().id(), 0);
    });
    assert_eq!(recorded.lines(), ["task panics", "run panics", "task panics ends"]);
}

/// Pending once, then ready.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn a_task_goes_across_awaits_and_threads() {
    let recorded = record(|| {
        let task = Task::new("request");
        let mut future = Box::pin(task.wrap(async {
            instant!("first");
            pause().await;
            instant!("second");
            Task::current().id()
        }));
        drop(task);
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert_eq!(Task::current().id(), 0, "the task left with the poll");
        on_thread("other", || {
            let mut context = Context::from_waker(Waker::noop());
            assert!(matches!(future.as_mut().poll(&mut context), Poll::Ready(id) if id != 0));
        });
        drop(future);
    });
    let name = std::thread::current().name().unwrap().to_owned();
    let expected = ["task request", "+ run request", "! first", "-", "task request ends"];
    assert_eq!(recorded.lines_of(&name), expected);
    assert_eq!(recorded.lines_of("other"), ["+ run request", "! second", "-"]);
}

#[test]
fn a_wrapped_future_that_panics_leaves_its_task() {
    let recorded = record(|| {
        let task = Task::new("request");
        let mut future = pin!(task.wrap(async { panic!("on purpose") }));
        let mut context = Context::from_waker(Waker::noop());
        let poll = std::panic::AssertUnwindSafe(|| future.as_mut().poll(&mut context));
        assert!(std::panic::catch_unwind(poll).is_err());
        assert_eq!(Task::current().id(), 0);
    });
    assert_eq!(recorded.lines(), ["task request", "run request", "task request ends"]);
}

#[test]
fn guards_in_the_wrong_order_end_what_they_began() {
    let recorded = record(|| {
        let (one, two) = (Task::new("one"), Task::new("two"));
        let in_one = one.enter();
        let in_two = two.enter();
        drop(in_one);
        instant!("between");
        drop(in_two);
        instant!("after");
    });
    let lines = recorded.lines();
    let expected = [
        "task one",
        "task two",
        "+ run one",
        "+ run two",
        "- elsewhere run one",
        "! between",
        "- elsewhere run two",
        "! after",
        "task two ends",
        "task one ends",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_task_made_while_no_trace_runs_does_nothing() {
    let _alone = alone();
    let early = Task::new("early");
    assert_eq!(early.id(), 0);
    let recorded = record_here(annotated(), || {
        let _working = early.enter();
        assert_eq!(Task::current().id(), 0);
        drop(early.subtask("late"));
        early.end();
    });
    assert_eq!(recorded.lines(), ["task late", "task late ends"]);
}

#[test]
fn a_task_that_outlives_its_trace_ends_in_silence_or_in_the_next() {
    let _alone = alone();
    let mut kept = Vec::new();
    let first = record_here(annotated(), || {
        kept.extend(["one", "two", "three"].map(Task::new));
    });
    assert_eq!(first.lines(), ["task one", "task two", "task three"]);
    // No trace runs now.
    kept.remove(0).end();
    drop(kept[0].enter());
    drop(kept.remove(0));
    let second = record_here(annotated(), || {
        instant!("next");
        let three = kept.remove(0);
        let _working = three.enter();
    });
    // The checks of every trace demand that a task that is used is defined.
    assert_eq!(second.lines(), ["! next", "run three", "task three ends"]);
}

#[test]
fn open_tasks_are_told_with_every_generation() {
    use trace_format::definition::Definition;
    let recorded = record(|| {
        let one = Task::new("one");
        let two = one.subtask("two");
        std::mem::forget(two);
        drop(one);
    });
    let states = recorded.trace.definitions().filter_map(|definition| match definition {
        Definition::TaskState { id, parent, name, begin } => {
            Some((id.0, parent.0, String::from_utf8_lossy(name).into_owned(), begin))
        }
        _ => None,
    });
    let states: Vec<_> = states.filter(|state| state.2 == "two").collect();
    assert_eq!(states.len(), 1, "the last generation tells it: {states:?}");
    assert_ne!(states[0].1, 0);
    assert!(recorded.trace.tables.stop.unwrap().ticks > states[0].3);
}

#[traced(task)]
async fn asynchronous() -> u64 {
    pause().await;
    Task::current().id()
}

#[test]
fn a_call_of_an_async_function_is_a_task_of_its_own() {
    let recorded = record(|| {
        let mut future = pin!(asynchronous());
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert!(matches!(future.as_mut().poll(&mut context), Poll::Ready(id) if id != 0));
    });
    let expected = [
        "task asynchronous",
        "future asynchronous for asynchronous",
        "+ run asynchronous",
        "poll asynchronous",
        "-",
        "+ run asynchronous",
        "poll asynchronous",
        "future asynchronous returned",
        "-",
        "task asynchronous ends",
    ];
    assert_eq!(recorded.lines(), expected);
}

/// All links of tasks to distributed traces: the task's name, its trace, its span, the parent span.
fn links(recorded: &common::Recorded) -> Vec<(String, u128, u64, u64)> {
    let trace = &recorded.trace;
    let events = || trace.tables.threads.keys().flat_map(|&thread| trace.events(thread));
    let name = |wanted: TaskId| {
        events().find_map(|event| match event.kind {
            EventKind::TaskBegin { task, name, .. } if task == wanted => {
                Some(String::from_utf8_lossy(name.bytes).into_owned())
            }
            _ => None,
        })
    };
    let links = events().filter_map(|event| match event.kind {
        EventKind::TaskLink { task, trace, span, parent } => {
            Some((name(task).expect("it has begun"), trace, span, parent))
        }
        _ => None,
    });
    links.collect()
}

#[test]
fn a_request_goes_on_in_another_process() {
    let mut header = None;
    let client = record(|| {
        let request = Task::new("request");
        let sent = request.traceparent().expect("a trace runs");
        assert_eq!(request.traceparent(), Some(sent), "asked again, it is the same");
        header = Some(sent.to_string());
        // A subtask, which belongs to the same trace.
        let part = request.subtask("retry").traceparent().expect("a trace runs");
        assert_eq!(part.trace_id(), sent.trace_id());
        assert_ne!(part.span_id(), sent.span_id());
    });
    let header = header.expect("it was sent");
    let sent = Traceparent::parse(&header).expect("it is one");
    let links_of_client = links(&client);
    assert_eq!(links_of_client[0], ("request".to_owned(), sent.trace_id(), sent.span_id(), 0));
    let (name, trace, _, parent) = &links_of_client[1];
    assert_eq!((name.as_str(), *trace, *parent), ("retry", sent.trace_id(), sent.span_id()));
    assert_eq!(links_of_client.len(), 2);
    let server = record(|| {
        let handled = Task::from_traceparent("handle", &header);
        let next = handled.traceparent().expect("a trace runs");
        assert_eq!(next.trace_id(), sent.trace_id());
        assert_ne!(next.span_id(), sent.span_id(), "its own span is to be sent on");
        let odd = Task::from_traceparent("odd", "00-what-ever-01");
        assert_ne!(odd.traceparent().expect("one of its own").trace_id(), sent.trace_id());
    });
    let links_of_server = links(&server);
    let (name, trace, _, parent) = &links_of_server[0];
    assert_eq!((name.as_str(), *trace, *parent), ("handle", sent.trace_id(), sent.span_id()));
    assert_eq!((links_of_server[1].0.as_str(), links_of_server[1].3), ("odd", 0));
    // Nor does a task of another test.
    let _alone = alone();
    assert_eq!(Task::from_traceparent("off", &header).traceparent(), None, "no trace runs");
}
