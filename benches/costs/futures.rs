//! What async tasks cost: a poll, a wait, a wake, a spawn, with and without stacks.

use crate::floor::{Floors, Table};
use criterion::Criterion;
use exectrace::TracedExt;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// An executor's waker that does nothing, but is not [`Waker::noop`].
struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}

    fn wake_by_ref(self: &Arc<Self>) {}
}

/// Stays pending; each poll clones the waker, and the last clone is left behind.
fn waits(left: &mut Option<Waker>) -> impl Future<Output = ()> {
    poll_fn(|context| {
        *left = Some(context.waker().clone());
        Poll::Pending
    })
}

/// Stays pending; only the first poll clones the waker.
fn waits_once() -> impl Future<Output = ()> {
    let mut taken = None;
    poll_fn(move |context| {
        taken.get_or_insert_with(|| context.waker().clone());
        Poll::Pending
    })
}

fn poll_it(future: &mut Pin<&mut impl Future<Output = ()>>, waker: &Waker) {
    let mut context = Context::from_waker(waker);
    // The compiler would remove a future that does nothing.
    assert!(black_box(future).as_mut().poll(&mut context).is_pending());
}

pub(crate) fn measure(criterion: &mut Criterion<Floors>, table: &mut Table) {
    off(criterion, table);
    for with_stacks in [false, true] {
        let options = crate::annotated().async_stacks(with_stacks);
        let trace = exectrace::start_with(options, std::io::sink()).expect("no trace is running");
        recording(criterion, table, with_stacks);
        let report = trace.stop().expect("nothing can't fail");
        table.row("dropped in the rows above", &report.dropped_events.to_string(), "", "events");
    }
    bytes(table);
}

fn off(criterion: &mut Criterion<Floors>, table: &mut Table) {
    let waker = Waker::from(Arc::new(Nothing));
    let mut plain = pin!(waits_once());
    table.ratio(criterion, "poll, not traced", "", 1, || poll_it(&mut plain, &waker));
    let mut traced = pin!(waits_once().traced("off"));
    table.ratio(criterion, "poll of a traced task, not started", "", 1, || {
        poll_it(&mut traced, &waker);
    });
}

fn recording(criterion: &mut Criterion<Floors>, table: &mut Table, with_stacks: bool) {
    let named = |name: &str| if with_stacks { format!("{name}, stacks") } else { name.to_owned() };
    let waker = Waker::from(Arc::new(Nothing));
    if !with_stacks {
        let mut task = pin!(waits_once().traced("task"));
        table.ratio(criterion, "poll of a task", "<= 1.3", 1, || poll_it(&mut task, &waker));
    }
    let mut left = None;
    let mut task = pin!(waits(&mut left).traced("task"));
    table.ratio(criterion, &named("poll of a task that takes a waker"), "", 1, || {
        poll_it(&mut task, &waker);
    });
    let mut left = None;
    {
        let mut task = Box::pin(waits(&mut left).traced("task"));
        poll_it(&mut task.as_mut(), &waker);
        std::mem::forget(task);
    }
    let left = left.expect("a waker was left");
    let goal = if with_stacks { "" } else { "<= 2" };
    table.ratio(criterion, &named("wake"), goal, 1, || left.wake_by_ref());
    let goal = if with_stacks { "" } else { "<= 5" };
    table.ratio(criterion, &named("spawn, and its end"), goal, 1, || {
        drop(black_box(std::future::ready(()).traced("spawned")));
    });
}

/// Number of bytes of a wake and a poll in a trace.
fn bytes(table: &mut Table) {
    const RUNS: u64 = 200_000;
    let waker = Waker::from(Arc::new(Nothing));
    for (with_stacks, note) in [(false, "whole file"), (true, "whole file, with stacks")] {
        let file = tempfile::tempfile().expect("there is a folder for temporary files");
        let options = crate::annotated().async_stacks(with_stacks);
        let trace = exectrace::start_with(options, file).expect("no trace is running");
        let mut task = pin!(
            poll_fn(|context| {
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            })
            .traced("yields")
        );
        for _ in 0..RUNS {
            poll_it(&mut task, &waker);
        }
        let report = trace.stop().expect("a temporary file takes it");
        let each = report.bytes as f64 / RUNS as f64;
        table.row("bytes per wake and poll", &format!("{each:.1} bytes"), "", note);
    }
}
