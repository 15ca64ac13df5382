//! What starting, stopping and running at full speed cost.

use crate::floor::{Table, median, time};
use crate::record::start;
use exectrace::traced;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

#[traced]
#[inline(never)]
fn leaf() {
    black_box(());
}

pub(crate) fn measure(table: &mut Table) {
    start_and_stop(table);
    full_speed(table);
}

/// Starting and stopping with eight threads that have recorded and then do nothing.
fn start_and_stop(table: &mut Table) {
    let (recorded, done) = (Barrier::new(9), Barrier::new(9));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..21 {
                    recorded.wait();
                    leaf();
                    recorded.wait();
                }
                done.wait();
            });
        }
        let rounds = (0..21).map(|_| {
            let begin = Instant::now();
            let trace = start();
            let started = begin.elapsed();
            recorded.wait();
            recorded.wait();
            std::thread::sleep(Duration::from_millis(5));
            let begin = Instant::now();
            let report = trace.stop().expect("a temporary file takes it");
            assert_eq!(report.threads, 8);
            (started + begin.elapsed()).as_secs_f64() * 1e6
        });
        let took = median(rounds);
        done.wait();
        table.row("start + stop, 8 idle threads", &format!("{took:.0} us"), "<= 1000 us", "");
    });
}

/// One thread that only records, for three seconds.
fn full_speed(table: &mut Table) {
    let trace = start();
    let begin = Instant::now();
    let mut regions = 0_u64;
    while begin.elapsed() < Duration::from_secs(3) {
        time(100_000, leaf);
        regions += 100_000;
    }
    let took = begin.elapsed();
    let report = trace.stop().expect("a temporary file takes it");
    let rate = regions as f64 / took.as_secs_f64() / 1e6;
    let share = report.tracer_cpu.as_secs_f64() / took.as_secs_f64() * 100.0;
    let note = format!(
        "{rate:.1} M regions/s, {:.1} MiB of memory, collector {share:.0} % of a core",
        report.memory_max as f64 / f64::from(1 << 20),
    );
    table.row("full speed to a file, dropped", &report.dropped_events.to_string(), "0", &note);
}
