//! What a trace says about waits. Each way to wait is provoked, and the trace must say why, where
//! and how long, and which thread ended it and where. Then whole programs with a known fault: the
//! first line of the answer must name it.
//!
//! - [`blocking`]: every way to wait that std, parking_lot, crossbeam-channel and tokio have.
//! - [`culprits`]: a lock convoy, a priority inversion, a disk that is read while a lock is held.
//! - [`answer`]: a recorded trace, read as the tool reads it.
//! - [`waiting`]: waits until another thread waits.
//! - [`writers`]: keep the trace in memory.

mod answer;
mod blocking;
mod culprits;
#[path = "../common/waiting.rs"]
#[allow(dead_code, reason = "every test file uses its own part")]
mod waiting;
#[path = "../common/writers.rs"]
#[allow(dead_code, reason = "every test file uses its own part")]
mod writers;

use answer::Answer;
use blocking::{Case, HOLD};
use std::time::Duration;
use trace_analysis::life::{Wait, WaitGroup};

/// Provokes `cases` under one trace and judges each.
fn check(provoke: fn() -> Vec<Case>) {
    let mut cases = Vec::new();
    let answer = Answer::record(|| cases = provoke());
    assert!(!cases.is_empty());
    let faults: Vec<_> = cases.iter().filter_map(|case| judge(&answer, case).err()).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Checks what the trace says about `case`; an error says what is wrong.
fn judge(answer: &Answer, case: &Case) -> Result<(), String> {
    let thread = answer.thread(case.name);
    let groups = answer.report.lives.waits.by_thread.iter().filter(|group| group.thread == thread);
    let groups: Vec<&WaitGroup> = groups.collect();
    let groups_told = || {
        let told = groups.iter().map(|group| {
            let stack = answer.names(group.longest.first().map(|wait| wait.stack));
            format!(
                "  {} x {} for {} ns in {stack:?}",
                group.count,
                group.reason.name(),
                group.total.0
            )
        });
        told.collect::<Vec<_>>().join("\n")
    };
    let fault = |what: &str| Err(format!("{}: {what}\n{}", case.name, groups_told()));
    let Some(group) = groups.iter().find(|group| group.reason.name() == case.reason) else {
        return fault(&format!("no wait for `{}`", case.reason));
    };
    let Some(wait) = group.longest.first() else { return fault("no longest wait") };
    // The thread's own measurement is longer: after the wake it had to get a CPU.
    let (took, told) = (case.took, Duration::from_nanos(wait.duration.0));
    if told > took + Duration::from_millis(1) || told < HOLD / 2 {
        return fault(&format!("it took {told:?}, the thread itself says {took:?}"));
    }
    let site = answer.site(wait.stack);
    if !site.0.ends_with(case.waits_in) || site.1 != case.line {
        let expected = format!("`{}`, line {}", case.waits_in, case.line);
        return fault(&format!("the waiting is in {site:?}, not in {expected}"));
    }
    case.wakes_in.map_or(Ok(()), |function| {
        judge_waker(answer, case, wait, function).or_else(|what| fault(&what))
    })
}

fn judge_waker(answer: &Answer, case: &Case, wait: &Wait, function: &str) -> Result<(), String> {
    let waker = wait.waker.ok_or("nobody is said to have ended it")?;
    let name = answer.name(waker.thread);
    if name != format!("{}/waker", case.name) {
        return Err(format!("`{name}` is said to have ended it"));
    }
    let site = answer.site(waker.stack);
    if !site.0.ends_with(function) {
        return Err(format!("it was ended in `{function}`, not in {site:?}"));
    }
    // The time until the waker returns from its call depends on the machine.
    if waker.at < wait.begin.inside() {
        return Err(format!("it was ended at {:?}, before {wait:?}", waker.at));
    }
    Ok(())
}

#[test]
fn waits_of_std_are_told_with_reason_place_and_waker() {
    check(blocking::of_std);
}

#[test]
fn waits_of_parking_lot_are_told_with_reason_place_and_waker() {
    check(blocking::of_parking_lot);
}

#[test]
fn waits_of_crossbeam_are_told_with_reason_place_and_waker() {
    check(blocking::of_crossbeam);
}

#[test]
fn waits_of_tokio_are_told_with_reason_place_and_waker() {
    check(blocking::of_tokio);
}

#[test]
fn the_times_of_every_thread_add_up_to_its_life() {
    let answer = Answer::record(|| drop((blocking::of_std(), blocking::of_crossbeam())));
    assert!(answer.report.lives.threads.len() > 20, "each way to wait has two threads");
    for life in &answer.report.lives.threads {
        assert_eq!(life.times.total().0, life.end.0 - life.begin.0, "{life:?}");
    }
}
