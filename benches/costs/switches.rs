//! What recording switches costs: two threads that only wake each other, with and without, in turn.

use crate::annotated;
use crate::floor::{Table, median};
use exectrace::Report;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How often each of the two threads is woken in a round.
const WAKES: u32 = 20_000;

/// Number of rounds, with and without.
const ROUNDS: usize = 15;

pub(crate) fn measure(table: &mut Table) {
    start_and_stop(table);
    switches(table);
}

/// Starting and stopping with eight threads that wait.
fn start_and_stop(table: &mut Table) {
    let done = Barrier::new(9);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| done.wait());
        }
        let took = [false, true].map(|on| {
            let rounds = (0..21).map(|_| {
                let begin = Instant::now();
                let trace = exectrace::start_with(annotated().sched(on), std::io::sink())
                    .expect("no trace is running");
                let started = begin.elapsed();
                thread::sleep(Duration::from_millis(5));
                let begin = Instant::now();
                trace.stop().expect("a sink takes it");
                (started + begin.elapsed()).as_secs_f64() * 1e6
            });
            median(rounds)
        });
        done.wait();
        let note = format!("{:.0} us without", took[0]);
        table.row(
            "start + stop, 8 idle threads, `sched`",
            &format!("{:.0} us", took[1]),
            "",
            &note,
        );
    });
}

/// Two threads wake each other. Returns the time that they took, and the trace's report.
fn wake_each_other(on: bool) -> (Duration, Report) {
    let trace =
        exectrace::start_with(annotated().sched(on), std::io::sink()).expect("no trace is running");
    // Even: the first thread's turn. Checked in a loop, because others may unpark a thread, too.
    let turn = AtomicU32::new(0);
    let take = |mine: u32, other: &Thread| {
        for at in 0..WAKES {
            while turn.load(Ordering::Acquire) != 2 * at + mine {
                thread::park();
            }
            turn.store(2 * at + mine + 1, Ordering::Release);
            other.unpark();
        }
    };
    let begin = Instant::now();
    thread::scope(|scope| {
        let first = thread::current();
        let second = scope.spawn(move || take(1, &first));
        take(0, second.thread());
    });
    (begin.elapsed(), trace.stop().expect("a sink takes it"))
}

fn switches(table: &mut Table) {
    let rounds: Vec<_> =
        (0..ROUNDS).map(|_| (wake_each_other(false), wake_each_other(true))).collect();
    let ratio = median(rounds.iter().map(|(off, on)| on.0.as_secs_f64() / off.0.as_secs_f64()));
    let of = |value: fn(&Duration, &Report) -> f64| {
        median(rounds.iter().map(|(_, (took, report))| value(took, report)))
    };
    let note = format!(
        "{:.0} k events/s, {:.1} bytes each, {:.0} ns of the collector each",
        of(|took, report| report.events as f64 / took.as_secs_f64() / 1e3),
        of(|_, report| report.bytes as f64 / report.events as f64),
        of(|_, report| report.tracer_cpu.as_nanos() as f64 / report.events as f64),
    );
    let value = format!("{ratio:.3} x without");
    table.row("threads that wake each other, `sched`", &value, "", &note);
}
