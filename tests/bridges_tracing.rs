//! Spans and events of `tracing` in a trace: regions, tasks and messages, on any thread, and for
//! spans left in any order.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

mod common;

use common::{Recorded, alone, annotated, on_thread, record, record_here};
use exectrace::{CallsiteKind, callsites, instant, layer};
use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use tracing::dispatcher::{Dispatch, with_default};
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, debug, error, event, info, info_span, trace_span, warn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry;

/// A registry with the layer alone.
fn plain() -> Dispatch {
    Dispatch::new(registry().with(layer()))
}

/// Records `act` with `dispatch` as its subscriber; `act` gets it for other threads.
fn record_through(dispatch: &Dispatch, act: impl FnOnce(&Dispatch)) -> Recorded {
    record(|| with_default(dispatch, || act(dispatch)))
}

/// Pending once, then ready.
async fn pause() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

/// The name of the test's own thread.
fn here() -> String {
    std::thread::current().name().expect("tests have names").to_owned()
}

/// Counts how often it is printed.
#[derive(Default)]
struct Printed(Cell<u32>);

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.set(self.0.get() + 1);
        f.write_str("printed")
    }
}

/// A writer that keeps everything, for the text layer beside ours.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Text {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().expect("no panic"))).expect("UTF-8")
    }
}

#[test]
fn spans_nest_and_their_fields_keep_their_types() {
    let recorded = record_through(&plain(), |_| {
        let error = std::fmt::Error;
        let error: &(dyn std::error::Error + 'static) = &error;
        let _all = info_span!(
            "all", a = 1_u8, b = -1_i32, c = 0.5, d = true, e = "text", f = ?"debug", g = %"shown",
            h = u128::MAX, i = i128::MIN, j = error, k = Empty, l = &b"by"[..],
        )
        .entered();
        trace_span!("inner").in_scope(|| info_span!("innermost", n = 2).in_scope(|| ()));
        trace_span!("inner").in_scope(|| ());
    });
    let (u128, i128) = (u128::MAX, i128::MIN);
    let all = format!(
        "+ all(a=1u, b=-1i, c=0.5f, d=true, e=\"text\", f=`\"debug\"`, g=`shown`, h={u128}u128, \
         i={i128}i128, j=`{}`, k=none, l=b\"by\")",
        std::fmt::Error
    );
    let expected = [&all, "+ inner", "+ innermost(n=2i)", "-", "-", "inner", "-"];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn an_instrumented_future_is_a_region_for_each_poll() {
    let recorded = record_through(&plain(), |dispatch| {
        let work = async {
            info!("before");
            pause().await;
            info!("after");
        };
        let mut future = Box::pin(work.instrument(info_span!("work", id = 7)));
        for (thread, ready) in [("one", false), ("two", true)] {
            on_thread(thread, || {
                let mut context = Context::from_waker(Waker::noop());
                let polled =
                    with_default(dispatch, || future.as_mut().poll(&mut context).is_ready());
                assert_eq!(polled, ready);
            });
        }
    });
    let line = |text| format!("log bridges_tracing: INFO {text}");
    let one = ["+ work(id=7i)", &line("before"), "-"];
    let two = ["+ work(id=7i)", &line("after"), "-"];
    assert_eq!(recorded.lines_of("one"), one);
    assert_eq!(recorded.lines_of("two"), two);
    // `tracing` drops the content of the future inside the span.
    assert_eq!(recorded.lines_of(&here()), ["+ work(id=7i)", "-"]);
}

#[test]
fn a_span_that_is_left_before_those_inside_cuts_them() {
    let recorded = record_through(&plain(), |_| {
        let outer = info_span!("outer").entered();
        let middle = info_span!("middle", n = 1).entered();
        let inner = info_span!("inner").entered();
        drop(outer);
        instant!("between");
        drop(middle);
        drop(inner);
    });
    let expected = [
        "+ outer",
        "+ middle(n=1i)",
        "inner",
        "-",
        "-",
        "+ middle(n=1i)",
        "+ inner",
        "! between",
        "-",
        "-",
        "inner",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_span_may_be_entered_on_threads_at_once_and_twice_on_one() {
    let barrier = Barrier::new(2);
    let recorded = record_through(&plain(), |dispatch| {
        let shared = info_span!("shared", n = 1);
        let work = |name| {
            on_thread(name, || {
                with_default(dispatch, || {
                    let _first = shared.enter();
                    barrier.wait();
                    let _second = shared.enter();
                    barrier.wait();
                });
            });
        };
        std::thread::scope(|scope| {
            scope.spawn(|| work("one"));
            work("two");
        });
    });
    for thread in ["one", "two"] {
        assert_eq!(recorded.lines_of(thread), ["+ shared(n=1i)", "+ shared(n=1i)", "-", "-"]);
    }
}

#[test]
fn an_event_is_a_message_under_its_target() {
    let recorded = record_through(&plain(), |_| {
        info!("plain");
        warn!(target: "net", n = 1, name = "a b", shown = %"c", debug = ?"d", "with {}", "fields");
        error!(code = 5, r#type = true);
        event!(tracing::Level::TRACE, x = 1.5, message = "as a field", y = 2);
    });
    let expected = [
        "log bridges_tracing: INFO plain",
        "log net: WARN with fields n=1 name=\"a b\" shown=c debug=\"d\"",
        "log bridges_tracing: ERROR code=5 type=true",
        "log bridges_tracing: TRACE as a field x=1.5 y=2",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_record_of_log_that_comes_by_tracing_has_its_own_target() {
    let recorded = record_through(&plain(), |_| {
        let mut record = log::Record::builder();
        record.level(log::Level::Info).target("net").file(Some("a.rs")).line(Some(1));
        let record = record.args(format_args!("text")).build();
        log::Log::log(&tracing_log::LogTracer::new(), &record);
        info!(target: "log", "not one");
    });
    assert_eq!(recorded.lines(), ["log net: INFO text", "log log: INFO not one"]);
}

#[test]
fn other_layers_see_all_with_a_trace_and_without() {
    let text = Text::default();
    let writer = text.clone();
    let beside = tracing_subscriber::fmt::layer()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time();
    let dispatch =
        Dispatch::new(registry().with(layer().with_filter(LevelFilter::INFO)).with(beside));
    let work = || {
        let _span = info_span!("span", n = 1).entered();
        let _hidden = trace_span!("hidden").entered();
        info!("seen");
        debug!("not for us");
    };
    let expected = " INFO span{n=1}:hidden: bridges_tracing: seen\n\
        DEBUG span{n=1}:hidden: bridges_tracing: not for us\n";
    let recorded = record_through(&dispatch, |_| work());
    assert_eq!(text.take(), expected);
    assert_eq!(recorded.lines(), ["+ span(n=1i)", "log bridges_tracing: INFO seen", "-"]);
    with_default(&dispatch, work);
    assert_eq!(text.take(), expected);
    let recorded = record_through(&Dispatch::new(registry().with(layer())), |_| work());
    assert_eq!(recorded.lines().len(), 6, "without the filter there is more");
}

#[test]
fn traces_may_start_and_stop_inside_spans() {
    let _alone = alone();
    with_default(&plain(), || {
        let outer = info_span!("outer", n = 1);
        let entered = outer.enter();
        let older = record_here(annotated(), || {
            info_span!("inner", n = 2).in_scope(|| ());
            // The span was entered before the trace began, so leaving it is not recorded.
            drop(entered);
            outer.in_scope(|| ());
        });
        assert_eq!(older.lines(), ["+ inner(n=2i)", "-", "outer"], "outer's fields are older");
        let span = info_span!("span");
        let mut left = None;
        let stopped = record_here(annotated(), || {
            left = Some(span.enter());
            instant!("inside");
        });
        assert_eq!(stopped.lines(), ["+ span", "! inside"]);
        let next = record_here(annotated(), || {
            info_span!("next").in_scope(|| ());
            // Left over from the trace before.
            left = None;
            info_span!("next").in_scope(|| ());
        });
        assert_eq!(next.lines(), ["next", "next"]);
    });
}

#[test]
fn fields_recorded_later_are_in_later_regions_and_instants_inside() {
    let recorded = record_through(&plain(), |_| {
        let span = info_span!("span", early = 1, late = Empty);
        span.in_scope(|| ());
        span.record("late", "outside");
        span.in_scope(|| {
            span.record("late", 5);
        });
        span.in_scope(|| ());
    });
    let expected = [
        "+ span(early=1i, late=none)",
        "-",
        "+ span(early=1i, late=\"outside\")",
        "! span(early=none, late=5i)",
        "-",
        "+ span(early=1i, late=5i)",
        "-",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn nothing_is_recorded_or_printed_without_a_trace() {
    let _alone = alone();
    with_default(&plain(), || {
        let printed = Printed::default();
        let work = || {
            let span = info_span!("quiet", shown = %printed, late = Empty);
            span.in_scope(|| info!(shown = %printed, "event"));
            span.record("late", tracing::field::display(&printed));
        };
        work();
        assert_eq!(printed.0.get(), 0);
        let recorded = record_here(annotated(), work);
        assert_eq!(printed.0.get(), 3, "each is printed once");
        assert_eq!(recorded.lines().len(), 3);
        let ours = || callsites().filter(|site| site.module_path() == module_path!());
        let quiet = || ours().filter(|site| ["quiet", module_path!()].contains(&site.name()));
        assert!(quiet().count() >= 3);
        quiet().for_each(|site| site.set_on(false));
        assert_eq!(record_here(annotated(), work).report.events, 0);
        assert_eq!(printed.0.get(), 3, "what is switched off is not printed");
        quiet().for_each(|site| site.set_on(true));
    });
}

#[test]
fn a_place_is_one_call_site_however_often_it_is_met() {
    let line = line!() + 2;
    let recorded = record_through(&plain(), |_| {
        (0..3).for_each(|n| info_span!(target: "shop", "sale", n).in_scope(|| ()));
    });
    assert_eq!(recorded.lines().len(), 6);
    let sites: Vec<_> = callsites().filter(|site| site.name() == "sale").collect();
    let [site] = sites[..] else { panic!("one site, not {sites:?}") };
    assert_eq!((site.kind(), site.module_path()), (CallsiteKind::Region, "shop"));
    assert_eq!((site.file(), site.line()), (file!(), line));
    assert_eq!(site.arguments()[0].name(), "n");
}

#[test]
fn spans_can_be_tasks_that_threads_work_for() {
    let dispatch = Dispatch::new(registry().with(layer().with_tasks(|it| it.target() == "task")));
    let recorded = record_through(&dispatch, |dispatch| {
        let request = info_span!(target: "task", "request", id = 1);
        let step = info_span!(parent: &request, "step");
        let part = info_span!(target: "task", parent: &step, "part");
        on_thread("worker", || {
            with_default(dispatch, || part.in_scope(|| step.in_scope(|| info!("working"))));
        });
        drop(part);
        request.in_scope(|| ());
        request.record("id", 2);
        drop((step, request));
    });
    let expected = [
        "task request",
        "! request(id=1i)",
        "task part of request",
        "task part ends",
        "run request",
        "! request(id=2i)",
        "task request ends",
    ];
    assert_eq!(recorded.lines_of(&here()), expected);
    let expected = ["+ run part", "+ step", "log bridges_tracing: INFO working", "-", "-"];
    assert_eq!(recorded.lines_of("worker"), expected);
}

#[test]
fn a_task_older_than_the_trace_begins_when_it_is_entered() {
    let _alone = alone();
    let dispatch = Dispatch::new(registry().with(layer().with_tasks(|_| true)));
    with_default(&dispatch, || {
        let span = info_span!("job", id = 1);
        let recorded = record_here(annotated(), || {
            span.in_scope(|| ());
            span.in_scope(|| ());
            drop(span);
        });
        assert_eq!(recorded.lines(), ["task job", "run job", "run job", "task job ends"]);
    });
}

#[test]
fn what_is_never_left_ends_with_its_span_or_its_thread() {
    let recorded = record_through(&plain(), |dispatch| {
        on_thread("forgets", || {
            with_default(dispatch, || {
                let span = info_span!("forgotten");
                std::mem::forget(span.enter());
                std::mem::forget(span.enter());
                info!("inside");
                drop(span);
                info!("closed");
            });
        });
        on_thread("ends", || {
            with_default(dispatch, || {
                std::mem::forget(info_span!("first").entered());
                std::mem::forget(info_span!("second").entered());
            });
        });
    });
    let inside = ["log bridges_tracing: INFO inside", "log bridges_tracing: INFO closed"];
    let expected = ["+ forgotten", "+ forgotten", inside[0], "-", "-", inside[1]];
    assert_eq!(recorded.lines_of("forgets"), expected);
    assert_eq!(recorded.lines_of("ends"), ["+ first", "second", "-"]);
}

#[test]
fn a_thread_has_a_bounded_number_of_spans_that_it_is_in() {
    let recorded = record_through(&plain(), |_| {
        let span = info_span!("deep");
        let entered: Vec<_> = (0..1100).map(|_| span.enter()).collect();
        entered.into_iter().rev().for_each(drop);
        span.in_scope(|| info!("after"));
    });
    let lines = recorded.lines();
    assert_eq!(lines.iter().filter(|line| line.ends_with("deep")).count(), 1025);
    assert_eq!(lines[lines.len() - 3..], ["+ deep", "log bridges_tracing: INFO after", "-"]);
}

#[test]
fn spans_of_two_registries_are_told_apart() {
    // New registries give the same ids.
    let (one, other) = (plain(), plain());
    let recorded = record(|| {
        let outer = with_default(&one, || info_span!("outer").entered());
        let inner = with_default(&other, || info_span!("inner").entered());
        drop(inner);
        instant!("inside outer");
        drop(outer);
    });
    assert_eq!(recorded.lines(), ["+ outer", "inner", "! inside outer", "-"]);
}
