//! Traced futures: one slice for each poll, and one begin and end, on any thread.

mod common;

use common::{alone, annotated, on_thread, record, record_here};
use exectrace::{Task, callsites, instant, trace_region, traced};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Pending once, then ready.
async fn pause() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn boxed<T>(future: impl Future<Output = T> + Send + 'static) -> Boxed<T> {
    Box::pin(future)
}

fn poll<T>(future: &mut Boxed<T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future to its end. Returns the output and the number of polls.
fn run<T>(future: impl Future<Output = T> + Send + 'static) -> (T, u32) {
    let mut future = boxed(future);
    let mut polls = 1;
    loop {
        match poll(&mut future) {
            Poll::Ready(output) => return (output, polls),
            Poll::Pending => polls += 1,
        }
    }
}

#[traced]
async fn simple() {
    pause().await;
}

#[traced(args(n, twice = n * 2), ret, err)]
async fn outcome(n: u8) -> Result<u8, String> {
    pause().await;
    if n == 0 { Err("zero".to_owned()) } else { Ok(n) }
}

#[traced]
async fn outer(n: u8) -> u8 {
    instant!("before");
    let _ = outcome(n).await;
    trace_region!("after" => n + 1)
}

#[traced]
async fn panics() {
    pause().await;
    panic!("on purpose");
}

#[test]
fn a_future_has_a_life_and_a_slice_for_each_poll() {
    let recorded = record(|| assert_eq!(run(simple()).1, 2));
    let expected = ["future simple", "poll simple", "poll simple", "future simple returned"];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_future_has_arguments_and_an_outcome() {
    let recorded = record(|| {
        let _ = run(outcome(3));
        let _ = run(outcome(0));
    });
    let expected = [
        "future outcome(n=3u, twice=6u)",
        "poll outcome",
        "poll outcome",
        "future outcome returned 3u",
        "future outcome(n=0u, twice=0u)",
        "poll outcome",
        "poll outcome",
        "future outcome failed `zero`",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn futures_nest() {
    let recorded = record(|| assert_eq!(run(outer(1)).0, 2));
    let expected = [
        "future outer",
        "+ poll outer",
        "! before",
        "future outcome(n=1u, twice=2u)",
        "poll outcome",
        "-",
        "+ poll outer",
        "poll outcome",
        "future outcome returned 1u",
        "after",
        "-",
        "future outer returned",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_future_that_is_never_polled_leaves_nothing() {
    assert_eq!(record(|| drop(simple())).report.events, 0);
}

#[test]
fn a_future_that_is_dropped_says_so() {
    let recorded = record(|| {
        let mut future = boxed(outer(1));
        assert!(poll(&mut future).is_pending());
    });
    let lines = recorded.lines();
    let expected = ["-", "future outcome dropped", "future outer dropped"];
    assert_eq!(lines[lines.len() - 3..], expected);
}

#[test]
fn a_future_that_panics_says_so() {
    let recorded = record(|| {
        let mut future = boxed(panics());
        assert!(poll(&mut future).is_pending());
        let panic = catch_unwind(AssertUnwindSafe(|| poll(&mut future)));
        assert!(panic.is_err());
        instant!("caught");
        drop(future);
    });
    let lines = recorded.lines();
    let expected =
        ["future panics", "poll panics", "poll panics", "future panics panicked", "! caught"];
    assert_eq!(lines, expected);
}

#[test]
fn a_future_may_be_polled_on_any_thread() {
    let recorded = record(|| {
        let mut future = boxed(outer(2));
        on_thread("one", || assert!(poll(&mut future).is_pending()));
        on_thread("two", || assert!(poll(&mut future).is_ready()));
    });
    let one =
        ["future outer", "+ poll outer", "! before", "future outcome(n=2u, twice=4u)"].into_iter();
    assert_eq!(recorded.lines_of("one"), one.chain(["poll outcome", "-"]).collect::<Vec<_>>());
    let two = ["+ poll outer", "poll outcome", "future outcome returned 2u", "after", "-"];
    assert_eq!(recorded.lines_of("two")[..5], two);
    assert_eq!(recorded.lines_of("two")[5..], ["future outer returned"]);
}

#[traced(args(n))]
fn in_a_box(n: u8) -> Pin<Box<dyn Future<Output = u8> + Send>> {
    Box::pin(async move {
        pause().await;
        n
    })
}

#[traced]
fn in_an_impl(n: u8) -> impl Future<Output = u8> + Send {
    instant!("made");
    std::future::ready(n)
}

#[test]
fn functions_that_return_futures_are_futures() {
    let recorded = record(|| {
        assert_eq!(run(in_a_box(1)).0, 1);
        let made = in_an_impl(2);
        instant!("not begun");
        assert_eq!(run(made).0, 2);
    });
    let expected = [
        "future in_a_box(n=1u)",
        "poll in_a_box",
        "poll in_a_box",
        "future in_a_box returned",
        "! made",
        "! not begun",
        "future in_an_impl",
        "poll in_an_impl",
        "future in_an_impl returned",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_future_works_for_the_task_it_began_in() {
    let recorded = record(|| {
        let task = Task::new("request");
        let mut future = boxed(simple());
        {
            let _working = task.enter();
            assert!(poll(&mut future).is_pending());
        }
        on_thread("other", || assert!(poll(&mut future).is_ready()));
        task.end();
    });
    let other = ["+ run request", "poll simple", "future simple returned", "-"];
    assert_eq!(recorded.lines_of("other"), other);
    let name = std::thread::current().name().unwrap().to_owned();
    let expected = [
        "task request",
        "+ run request",
        "future simple for request",
        "+ run request",
        "poll simple",
        "-",
        "-",
        "task request ends",
    ];
    assert_eq!(recorded.lines_of(&name), expected);
}

#[test]
fn a_future_that_outlives_its_trace_meets_the_next() {
    let _alone = alone();
    let mut kept: Vec<_> = (0..4).map(|_| boxed(simple())).collect();
    let first = record_here(annotated(), || {
        kept[..3].iter_mut().for_each(|future| assert!(poll(future).is_pending()));
    });
    assert_eq!(first.lines(), ["future simple", "poll simple"].repeat(3));
    // Ends while no trace runs.
    assert!(poll(&mut kept[0]).is_ready());
    let second = record_here(annotated(), || {
        // A future from before the trace is defined again, even if it is only dropped: readers may
        // know it as alive. A future that begins in the trace is recorded as usual.
        assert!(poll(&mut kept[1]).is_ready());
        drop(kept.remove(2));
        assert!(poll(&mut kept[2]).is_pending());
        instant!("end");
    });
    let expected = [
        "future simple",
        "poll simple",
        "future simple returned",
        "future simple",
        "future simple dropped",
        "future simple",
        "poll simple",
        "! end",
    ];
    assert_eq!(second.lines(), expected);
}

#[test]
fn a_future_whose_site_is_switched_off_is_silent_in_the_next_trace() {
    #[traced]
    async fn switched() {
        pause().await;
        pause().await;
    }
    let _alone = alone();
    let site = callsites().find(|site| site.name() == "switched").expect("it is listed");
    let mut future = boxed(switched());
    let first = record_here(annotated(), || {
        assert!(poll(&mut future).is_pending());
        // A live future is still recorded: its polls and its end.
        site.set_on(false);
        assert!(poll(&mut future).is_pending());
    });
    assert_eq!(first.lines(), ["future switched", "poll switched", "poll switched"]);
    let second = record_here(annotated(), || {
        instant!("begin");
        assert!(poll(&mut future).is_ready());
    });
    site.set_on(true);
    assert_eq!(second.lines(), ["! begin"]);
}

#[test]
fn arguments_are_not_evaluated_for_nobody() {
    #[traced(args(n = count(evaluated)))]
    async fn counted(evaluated: &std::sync::atomic::AtomicU32) {}
    fn count(evaluated: &std::sync::atomic::AtomicU32) -> u32 {
        evaluated.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
    let _alone = alone();
    static EVALUATED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    run(counted(&EVALUATED));
    assert_eq!(EVALUATED.load(std::sync::atomic::Ordering::Relaxed), 0);
    record_here(annotated(), || _ = run(counted(&EVALUATED)));
    assert_eq!(EVALUATED.load(std::sync::atomic::Ordering::Relaxed), 1);
}
