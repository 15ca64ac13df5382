//! What recording costs while nothing happens, or only snapshots are taken:
//! `cargo bench --bench always_on` prints one table.
//!
//! - `idle`: bytes, wake-ups and CPU of a flight recorder and of a trace to a file, in a process
//!   that sleeps, also with ten thousand threads that have recorded once.
//! - `pauses`: how long a thread that records is held up while snapshots are taken.

#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod pauses;

use std::time::Duration;

/// Options that record annotations alone.
#[cfg(target_os = "linux")]
fn annotated() -> exectrace::Options {
    exectrace::Options::new().os(false).sched(false).heap(false)
}

/// How much is measured: a little of everything under `--test`.
#[derive(Clone, Copy)]
struct Extent {
    idle: Duration,
    threads: usize,
    windows: usize,
}

/// One line of the table.
fn row(name: &str, value: &str, goal: &str, note: &str) {
    println!("{name:<52} {value:>16}  {goal:<10} {note}");
}

fn main() {
    let is_test = std::env::args().any(|word| word == "--test");
    let extent = if is_test {
        Extent { idle: Duration::from_millis(50), threads: 100, windows: 3 }
    } else {
        Extent { idle: Duration::from_secs(10), threads: 10_000, windows: 400 }
    };
    row("cost of", "measured", "goal", "note");
    #[cfg(target_os = "linux")]
    {
        idle::measure(extent);
        pauses::measure(extent);
    }
    let _ = (extent.idle, extent.threads, extent.windows);
}
