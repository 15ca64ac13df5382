//! What exectrace and its closest peer, dial9, cost the same tokio program. Run in this folder
//! `cargo bench`, or `cargo bench -- off` for the cost without a trace alone.
//!
//! A process can have one recorder of the peer, so every sample is a process of its own, which runs
//! this program again. Subjects take turns, and a sample is compared with that of plain tokio in
//! the same round, so a machine that slows down slows all of them. The cost of hooks without a
//! trace is too small for that: there, both runtimes live in one process and take turns every few
//! milliseconds.
//!
//! This is no member of the workspace, so that only a run of this bench builds the peer.
//!
//! - `work`: the program: tasks that yield, tasks that wake each other.
//! - `subject`: plain tokio, exectrace and dial9, on and off.
//! - `sample`: one process: what it ran, its times, and what it wrote.
//! - `off`: hooks without a trace, compared with plain tokio in one process.
//! - `table`: rounds of samples, medians, ratios.

mod off;
mod sample;
mod subject;
mod table;
mod work;

/// The order for a child process.
const CHILD: &str = "EXECTRACE_PEERS";

fn main() {
    if let Ok(order) = std::env::var(CHILD) {
        match order.strip_prefix("off ") {
            Some(order) => off::run(order),
            None => sample::run(&order),
        }
        return;
    }
    let is_there = |word: &str| std::env::args().any(|it| it == word);
    let is_test = is_there("--test");
    off::print(is_test);
    if !is_there("off") {
        table::print(is_test);
    }
}
