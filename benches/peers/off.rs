//! What hooks cost without a trace: beside plain tokio in one process, round by round in turn.

use crate::sample::{ask, cpu_ns, words};
use crate::subject::Subject;
use crate::table::{median, quartiles};
use crate::work::Work;
use std::time::Instant;

/// Processes, for where code and heap lie is chance.
const PROCESSES: usize = 9;

/// Rounds of either runtime in each.
const PAIRS: usize = 200;

/// The first is tokio once more: what this way of measuring sees where nothing is.
const SUBJECTS: [Subject; 5] =
    [Subject::Plain, Subject::Hollow, Subject::HooksOff, Subject::BothOff, Subject::PeerOff];

/// By the parent.
pub(crate) fn print(is_test: bool) {
    let (processes, pairs) = if is_test { (1, 2) } else { (PROCESSES, PAIRS) };
    println!("No trace, x plain tokio ({processes} processes, {pairs} pairs of rounds in each):\n");
    println!("| | work | workers | CPU time | quartiles | wall time |\n|---|---|---|---|---|---|");
    for work in Work::ALL {
        for workers in [1, 2] {
            let mut told = SUBJECTS.map(|_| (Vec::new(), Vec::new()));
            for _ in 0..processes {
                for (subject, (cpu, wall)) in SUBJECTS.iter().zip(&mut told) {
                    let order = format!("off {subject:?} {} {workers} {pairs}", work.name());
                    let answer = ask(&order);
                    cpu.push(answer[0] as f64 / 1e6);
                    wall.push(answer[1] as f64 / 1e6);
                }
            }
            for (subject, (cpu, wall)) in SUBJECTS.iter().zip(&mut told) {
                let (name, work) = (subject.name(), work.name());
                let (low, high) = quartiles(cpu);
                println!(
                    "| {name} | {work} | {workers} | {:.3} | {low:.3} to {high:.3} | {:.3} |",
                    median(cpu),
                    median(wall)
                );
            }
        }
    }
}

/// By the child: medians of the ratios of neighbours, CPU time and wall time, in millionths.
pub(crate) fn run(order: &str) {
    let [subject, work, workers, pairs] = words(order);
    let subject: Subject = subject.parse().expect("a subject");
    let work: Work = work.parse().expect("a work");
    let (workers, pairs) = (workers.parse().expect("a number"), pairs.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let (plain, _) = Subject::Plain.start(workers, folder.path());
    let (runtime, stop) = subject.start(workers, folder.path());
    let round = |is_plain: bool| {
        let (cpu, begin) = (cpu_ns(), Instant::now());
        if is_plain {
            Subject::Plain.round(&plain, work);
        } else {
            subject.round(&runtime, work);
        }
        (begin.elapsed().as_nanos() as f64, (cpu_ns() - cpu) as f64)
    };
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // Who is first changes, for what drifts would favour one of them.
        let first = round(pair % 2 == 0);
        let second = round(pair % 2 != 0);
        let (theirs, its) = if pair % 2 == 0 { (first, second) } else { (second, first) };
        walls.push(its.0 / theirs.0);
        cpus.push(its.1 / theirs.1);
    }
    drop((plain, runtime));
    stop();
    println!("{:.0} {:.0}", median(&mut cpus) * 1e6, median(&mut walls) * 1e6);
}
