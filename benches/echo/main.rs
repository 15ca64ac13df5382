//! What tracing everything costs a server: `cargo bench --bench echo`.
//!
//! A tokio echo server is loaded by a second process over loopback. Stretches with a trace
//! (threads, blocking, system calls, CPUs, heap, all with stacks) and without one alternate in one
//! run, so a machine that slows down slows both. The table has the median of the ratios of
//! neighbours, for everything at once and for each part alone. The server and its load are in
//! `load`.
//!
//! Elsewhere: the same for traces over HTTP (`trace-http/benches/fetched.rs`).

mod load;

use exectrace::Options;
use load::{CONNECTIONS, Loaded};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: exectrace::Heap = exectrace::Heap::system();

const STRETCH: Duration = Duration::from_millis(500);
const PAIRS: usize = 20;

fn main() {
    let Some(loaded) = Loaded::start() else { return };
    let pairs = if std::env::args().any(|word| word == "--test") { 1 } else { PAIRS };
    std::thread::sleep(STRETCH);
    measure(pairs, &loaded);
}

/// One row: the ratios, and the totals of the traces.
#[derive(Debug, Default)]
struct Row {
    ratios: Vec<f64>,
    bytes: u64,
    events: u64,
    dropped: u64,
}

fn measure(pairs: usize, loaded: &Loaded) {
    let none = || Options::new().os(false).sched(false).heap(false);
    let kinds = [
        ("everything", Options::new()),
        ("threads, blocking, calls", none().os(true)),
        ("CPUs", none().sched(true)),
        ("heap", none().heap(true)),
    ];
    let stretch = || {
        let (before, begin) = (loaded.served(), Instant::now());
        std::thread::sleep(STRETCH);
        (loaded.served() - before) as f64 / begin.elapsed().as_secs_f64()
    };
    let mut plain = Vec::new();
    let mut rows: [Row; 4] = Default::default();
    for pair in 0..pairs {
        for ((_, options), row) in kinds.iter().zip(&mut rows) {
            // The order alternates, because a drift would favour the one that is always first.
            let off_first = (pair % 2 == 0).then(&stretch);
            let trace = exectrace::start_with(options.clone(), std::io::sink());
            let trace = trace.expect("no trace is running");
            let on = stretch();
            let report = trace.stop().expect("a sink takes everything");
            let off = off_first.unwrap_or_else(&stretch);
            row.ratios.push(on / off);
            row.bytes += report.bytes;
            row.events += report.events;
            row.dropped += report.dropped_events;
            plain.push(off);
        }
    }
    print(pairs, plain, kinds.map(|kind| kind.0), rows);
}

fn print(pairs: usize, mut plain: Vec<f64>, names: [&str; 4], rows: [Row; 4]) {
    plain.sort_by(f64::total_cmp);
    println!("echo server, {CONNECTIONS} connections of one client process, {pairs} pairs each");
    println!("{:.0} requests/s without a trace", plain[plain.len() / 2]);
    println!(
        "{:26} {:>10} {:>16} {:>10} {:>12} {:>8}",
        "recorded", "requests", "quartiles", "events/s", "bytes/event", "dropped"
    );
    for (name, mut row) in names.into_iter().zip(rows) {
        row.ratios.sort_by(f64::total_cmp);
        let at = |part: usize| row.ratios[(row.ratios.len() * part / 4).min(row.ratios.len() - 1)];
        println!(
            "{name:26} {:>8.3} x {:>7.3} to {:.3} {:>10.0} {:>12.1} {:>8}",
            at(2),
            at(1),
            at(3),
            row.events as f64 / (pairs as f64 * STRETCH.as_secs_f64()),
            row.bytes as f64 / row.events.max(1) as f64,
            row.dropped
        );
    }
}
