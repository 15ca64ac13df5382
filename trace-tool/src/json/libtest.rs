//! `exectrace tests` for programs.

use serde::Serialize;

use super::head::{DisturbancesOut, HeadOut};
use super::lives::TimesOut;
use super::stacks::FrameOut;
use crate::answer::libtest::{Test, TestWait, TestsAnswer};
use crate::error::Failure;
use crate::output::Output;

/// What `tests` answers.
#[derive(Debug, Serialize)]
pub struct TestsOut {
    #[serde(flatten)]
    head: HeadOut,
    #[serde(flatten)]
    disturbances: DisturbancesOut,
    /// How many tests there were.
    count: usize,
    /// How long they took, one after the other.
    total_ns: u64,
    /// The tests, as `--sort` and `--top` have them.
    tests: Vec<TestOut>,
    /// Tests that `--top` left out.
    tests_omitted: usize,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &TestsAnswer, out: &mut Output) -> Result<(), Failure> {
    Ok(out.json(&TestsOut {
        head: HeadOut::new(&answer.subject),
        disturbances: (&answer.disturbances).into(),
        count: answer.count,
        total_ns: answer.total.0,
        tests: answer.tests.iter().map(TestOut::from).collect(),
        tests_omitted: answer.omitted,
    })?)
}

/// A test that ran on a thread of its own, as far as it lies in the window.
#[derive(Debug, Serialize)]
pub struct TestOut {
    /// Its path, from its crate on.
    name: String,
    /// Its thread's id in the trace.
    thread: u32,
    /// When the thread began.
    begin_ns: u64,
    /// How long it lived: what its times add up to.
    wall_ns: u64,
    /// Whether it ended; else the window did.
    ended: bool,
    /// CPU time of the test's thread and of all threads that were made for the test, as the kernel
    /// counted it, or else as switches show it; `null` if the trace does not say.
    cpu_ns: Option<u64>,
    /// The same of the test's thread alone.
    own_cpu_ns: Option<u64>,
    /// How many threads were made for the test, by its thread and by those that this one made.
    made_threads: u64,
    #[serde(flatten)]
    times: TimesOut,
    /// What the test's thread waited for, the most time first.
    waits: Vec<TestWaitOut>,
}

impl From<&Test> for TestOut {
    fn from(test: &Test) -> Self {
        Self {
            name: test.name.clone(),
            thread: test.thread.0,
            begin_ns: test.begin.0,
            wall_ns: test.wall().0,
            ended: test.ended,
            cpu_ns: test.cpu.map(|cpu| cpu.0),
            own_cpu_ns: test.own_cpu.map(|cpu| cpu.0),
            made_threads: test.made_threads,
            times: (&test.times).into(),
            waits: test.waits.iter().map(TestWaitOut::from).collect(),
        }
    }
}

/// Waits of a test's thread for one reason.
#[derive(Debug, Serialize)]
pub struct TestWaitOut {
    /// Why: see `blocked` of [Times](#times).
    reason: &'static str,
    /// How often.
    count: u64,
    /// How long in all.
    total_ns: u64,
    /// Where most of it was: the function of the program's own that is furthest in.
    place: Option<FrameOut>,
}

impl From<&TestWait> for TestWaitOut {
    fn from(wait: &TestWait) -> Self {
        let TestWait { reason, count, total, ref place } = *wait;
        let place = place.clone().map(FrameOut::from);
        Self { reason: reason.name(), count, total_ns: total.0, place }
    }
}
