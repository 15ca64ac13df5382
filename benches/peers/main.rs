//! What exectrace and its closest peer, dial9, cost the same tokio program: from this folder,
//! `cargo bench`, or `cargo bench -- off` for what it costs without a trace alone.
//!
//! A process can have one recorder of the peer, so every sample is a process of its own: this
//! program again. Subjects take turns, and a sample is compared with that of plain tokio in the
//! same round, so a machine that slows down slows all of them. What hooks cost without a trace is
//! too little to be seen that way: there, both runtimes live in one process and take turns every
//! few milliseconds.
//!
//! This is no member of the workspace, so that only who runs it has to build the peer.
//!
//! - `work`: the program: tasks that yield, tasks that wake each other.
//! - `subject`: plain tokio, ours and theirs, on and off.
//! - `sample`: one process: what it ran, took and wrote.
//! - `off`: hooks without a trace, beside plain tokio in one process.
//! - `table`: rounds of samples, medians, ratios.

mod off;
mod sample;
mod subject;
mod table;
mod work;

/// What a child process is to do.
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
