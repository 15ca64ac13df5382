//! The wrappers of futures: one that traces, and one whose polls are work for a task.
//!
//! Elsewhere: what is recorded (`wrapper`, `polling`).

use crate::annotate::future::polling::Polling;
use crate::annotate::future::wrapper::{FutureEnd, FutureGuard, Ignore};
use crate::annotate::task::Task;
use crate::callsite::CallsiteKind;
use crate::callsite::sites::SitePlace;
use pin_project_lite::pin_project;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use trace_format::event::Outcome;

pin_project! {
    /// A future that is traced.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Traced<F: Future, R = Ignore<<F as Future>::Output>> {
        // Dropped first: its drop belongs to its life.
        #[pin]
        pub(super) future: F,
        pub(super) report: Option<R>,
        pub(super) guard: FutureGuard,
    }
}

impl<F: Future, R> Traced<F, R> {
    /// [`FutureGuard::set_id`] of its guard.
    #[doc(hidden)]
    pub fn set_id(self: Pin<&mut Self>, id: impl FnOnce() -> u64, parent: u64) {
        self.project().guard.set_id(id, parent);
    }
}

impl<F: Future, R: FnOnce(&F::Output, &mut FutureEnd)> Future for Traced<F, R> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let guard = this.guard;
        let Some(site) = guard.site.filter(|_| guard.is_recorded()) else {
            return guard.poll_unrecorded(context, |context| this.future.poll(context));
        };
        let executors = context.waker();
        let mut polling = Polling::new(guard, site, executors);
        polling.open(executors);
        let polled = match polling.waker() {
            None => this.future.poll(context),
            Some(waker) => this.future.poll(&mut Context::from_waker(&waker)),
        };
        polling.close(polled.is_pending());
        if let Poll::Ready(output) = &polled {
            let mut end = FutureEnd::new(Outcome::Returned);
            if let (Some(report), true) = (this.report.take(), polling.guard.is_known()) {
                report(output, &mut end);
            }
            polling.guard.end(&end);
            // The work for the task ends before the task.
            drop(polling.task.take());
            polling.guard.end_task();
        }
        polled
    }
}

/// What [`TracedExt::traced`] takes: a name, or a task.
pub trait FutureName: sealed::Named {}

impl FutureName for &'static str {}
impl FutureName for Task {}
impl FutureName for &Task {}

mod sealed {
    use super::Task;

    /// The name of a future, and the task it works for.
    pub trait Named {
        /// Both.
        fn named(self) -> (&'static str, Task);
    }

    impl Named for &'static str {
        fn named(self) -> (&'static str, Task) {
            (self, Task::current())
        }
    }

    impl Named for Task {
        fn named(self) -> (&'static str, Task) {
            ("work", self)
        }
    }

    impl Named for &Task {
        fn named(self) -> (&'static str, Task) {
            self.clone().named()
        }
    }
}

/// Traces any future.
pub trait TracedExt: Future + Sized {
    /// This future, traced: it is recorded as spawned here, with this name or for this task. All
    /// its polls and wakes are recorded, wherever it is polled.
    ///
    /// With a name, it works for the task that the calling thread works for, if any.
    #[track_caller]
    fn traced(self, name: impl FutureName) -> Traced<Self> {
        let (name, task) = name.named();
        let place = SitePlace::of_caller(CallsiteKind::Future, name, Location::caller());
        FutureGuard::spawn(place.callsite(&[]), task).wrap(self)
    }
}

impl<F: Future> TracedExt for F {}

pin_project! {
    /// A future whose polls are all work for a task.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct InTask<F> {
        #[pin]
        future: F,
        task: Task,
    }
}

impl<F: Future> Future for InTask<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _working = this.task.enter();
        this.future.poll(context)
    }
}

impl Task {
    /// `future`, with all its polls being work for this task: so a task extends across awaits.
    pub fn wrap<F: Future>(&self, future: F) -> InTask<F> {
        InTask { future, task: self.clone() }
    }
}
