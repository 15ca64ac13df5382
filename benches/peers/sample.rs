//! One sample: a process that runs one subject, and prints its times for the parent.

use crate::CHILD;
use crate::subject::{self, Subject};
use crate::work::{self, Work};
use rustix::time::{ClockId, clock_gettime};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a sample runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) subject: Subject,
    pub(crate) work: Work,
    pub(crate) workers: usize,
    pub(crate) rounds: usize,
}

/// The result of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) polls: u64,
    pub(crate) wall_ns: u64,
    /// CPU time of all threads of the process, from its begin until everything is written.
    pub(crate) cpu_ns: u64,
    pub(crate) bytes: u64,
    pub(crate) events: u64,
    pub(crate) lost: u64,
}

impl Sample {
    pub(crate) fn per_poll(&self, what: u64) -> f64 {
        what as f64 / self.polls as f64
    }
}

/// CPU time of this process, in nanoseconds.
pub(crate) fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// In the parent: runs an order in a child.
pub(crate) fn take(order: Order) -> Sample {
    let Order { subject, work, workers, rounds } = order;
    let told = ask(&format!("{subject:?} {} {workers} {rounds}", work.name()));
    let [polls, wall_ns, cpu_ns, bytes, events, lost] = told[..].try_into().expect("six numbers");
    Sample { polls, wall_ns, cpu_ns, bytes, events, lost }
}

/// In the parent: the numbers that a child prints.
pub(crate) fn ask(order: &str) -> Vec<u64> {
    let program = std::env::current_exe().expect("a program has a path");
    let child = Command::new(program).env(CHILD, order).stderr(Stdio::inherit()).output();
    let child = child.expect("this program can be started once more");
    assert!(child.status.success(), "`{order}` ended with {}", child.status);
    let told = String::from_utf8(child.stdout).expect("numbers are text");
    told.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

/// In the child: runs the order.
pub(crate) fn run(order: &str) {
    let [subject, work, workers, rounds] = words(order);
    let subject: Subject = subject.parse().expect("a subject");
    let work: Work = work.parse().expect("a work");
    let rounds: usize = rounds.parse().expect("a number");
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let (runtime, stop) = subject.start(workers.parse().expect("a number"), folder.path());
    let begin = Instant::now();
    for _ in 0..rounds {
        subject.round(&runtime, work);
    }
    let wall_ns = begin.elapsed().as_nanos();
    drop(runtime);
    let mut written = stop();
    let (cpu_ns, polls) = (cpu_ns(), work::polls());
    written = subject::count(folder.path()).unwrap_or(written);
    if let Some(there) = written.polls.filter(|_| written.events != 0) {
        written.lost = polls.saturating_sub(there);
    }
    let subject::Written { bytes, events, lost, .. } = written;
    println!("{polls} {wall_ns} {cpu_ns} {bytes} {events} {lost}");
}

/// The words of an order.
pub(crate) fn words<const COUNT: usize>(order: &str) -> [&str; COUNT] {
    let words: Vec<_> = order.split(' ').collect();
    words.try_into().expect("an order has as many words as its kind")
}
