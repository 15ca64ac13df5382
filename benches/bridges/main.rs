//! What `tracing` and `log` cost through our bridges: `cargo bench --bench bridges` prints one
//! table.
//!
//! The peers are `tracing` with only its registry, on which every layer builds, and with the text
//! layer of `tracing_subscriber` that writes to a sink. A sample runs the floor (two bare clock
//! reads) and its subject in turn, as in `costs`, whose `floor` is used here. Subscribers are set
//! for the thread, not for the process, which costs all of them the same few nanoseconds.

#[path = "../costs/floor.rs"]
mod floor;

use exectrace::{Logger, layer};
use floor::{Floors, Table};
use std::hint::black_box;
use tracing::dispatcher::{Dispatch, set_default};
use tracing::{Span, info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

type Criterion = criterion::Criterion<Floors>;

fn main() {
    let mut criterion = criterion::Criterion::default()
        .with_measurement(Floors)
        .without_plots()
        .sample_size(40)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(1500))
        .configure_from_args();
    let mut table = Table::default();
    spans_and_events(&mut criterion, &mut table, "bare registry", registry());
    let text = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::sink);
    spans_and_events(&mut criterion, &mut table, "text to a sink", registry().with(text));
    spans_and_events(&mut criterion, &mut table, "layer, no trace", registry().with(layer()));
    recording(&mut table, |table| {
        spans_and_events(&mut criterion, table, "layer, recording", registry().with(layer()));
    });
    Logger::install(log::LevelFilter::Info).expect("the only logger");
    let mut record = |table: &mut Table, name: &str| {
        table.ratio(&mut criterion, &format!("log record, integer: {name}"), "", 1, || {
            log::info!("message {}", black_box(7_u64));
        });
    };
    record(&mut table, "no trace");
    recording(&mut table, |table| record(table, "recording"));
    if std::env::args().any(|word| word == "--test") {
        println!("each ran once; nothing was measured");
    } else {
        table.print();
    }
}

/// Runs `act` under a trace, and adds a row with the dropped events.
fn recording(table: &mut Table, act: impl FnOnce(&mut Table)) {
    let options = exectrace::Options::new().os(false).sched(false).heap(false);
    let trace = exectrace::start_with(options, std::io::sink()).expect("no trace is running");
    act(table);
    let report = trace.stop().expect("a sink takes everything");
    table.row("dropped in the rows above", &report.dropped_events.to_string(), "", "events");
}

fn spans_and_events(
    criterion: &mut Criterion,
    table: &mut Table,
    name: &str,
    subscriber: impl Into<Dispatch>,
) {
    let _set = set_default(&subscriber.into());
    let mut row = |what: &str, act: &mut dyn FnMut()| {
        table.ratio(criterion, &format!("{what}: {name}"), "", 1, act);
    };
    let (plain, typed): (Span, Span) = (info_span!("plain"), info_span!("typed", n = 7_u64));
    row("enter, leave", &mut || drop(plain.enter()));
    row("enter, leave, integer", &mut || drop(typed.enter()));
    row("make, enter, close", &mut || drop(info_span!("made").entered()));
    row("make, enter, close, integer", &mut || {
        drop(info_span!("made", n = black_box(7_u64)).entered());
    });
    row("event", &mut || info!("message"));
    row("event, integer", &mut || info!(n = black_box(7_u64), "message"));
}
