//! What hooks cost without a trace: a runtime with hooks and one without take turns in one process.

use crate::sample::{ask, cpu_ns, words};
use crate::subject::Subject::{self, BothOff, Hollow, HooksOff, PeerOff, Plain};
use crate::table::{median, quartiles};
use crate::work::Work;
use std::time::Instant;

/// Number of processes; several, because the positions of code and heap are random.
const PROCESSES: usize = 9;

/// Number of rounds of each runtime in a process.
const PAIRS: usize = 200;

/// Pairs that are compared. The first compares tokio with itself, to show the error of this
/// measurement. The last but two shows our share of the cost of hooks.
const SUBJECTS: [(Subject, Subject); 6] = [
    (Plain, Plain),
    (Hollow, Plain),
    (HooksOff, Plain),
    (HooksOff, Hollow),
    (BothOff, Plain),
    (PeerOff, Plain),
];

/// In the parent: takes all samples, and prints their medians.
pub(crate) fn print(is_test: bool) {
    let (processes, pairs) = if is_test { (1, 2) } else { (PROCESSES, PAIRS) };
    println!("No trace ({processes} processes, {pairs} pairs of rounds in each):\n");
    println!(
        "| | compared with | work | workers | CPU time | quartiles | wall time |\n\
         |---|---|---|---|---|---|---|"
    );
    for work in Work::ALL {
        for workers in [1, 2] {
            let mut told = SUBJECTS.map(|_| (Vec::new(), Vec::new()));
            for _ in 0..processes {
                for ((subject, base), (cpu, wall)) in SUBJECTS.iter().zip(&mut told) {
                    let work = work.name();
                    let order = format!("off {subject:?} {base:?} {work} {workers} {pairs}");
                    let answer = ask(&order);
                    cpu.push(answer[0] as f64 / 1e6);
                    wall.push(answer[1] as f64 / 1e6);
                }
            }
            for ((subject, base), (cpu, wall)) in SUBJECTS.iter().zip(&mut told) {
                let (name, base, work) = (subject.name(), base.name(), work.name());
                let (low, high) = quartiles(cpu);
                let (cpu, wall) = (median(cpu), median(wall));
                println!(
                    "| {name} | {base} | {work} | {workers} \
                     | {cpu:.3} | {low:.3} to {high:.3} | {wall:.3} |"
                );
            }
        }
    }
}

/// In the child: prints the medians of the ratios of neighbours, of CPU time and of wall time, in
/// millionths.
pub(crate) fn run(order: &str) {
    let [subject, base, work, workers, pairs] = words(order);
    let subject: Subject = subject.parse().expect("a subject");
    let base: Subject = base.parse().expect("a subject");
    let work: Work = work.parse().expect("a work");
    let (workers, pairs) = (workers.parse().expect("a number"), pairs.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let (beside, _) = base.start(workers, folder.path());
    let (runtime, stop) = subject.start(workers, folder.path());
    let round = |is_base: bool| {
        let (cpu, begin) = (cpu_ns(), Instant::now());
        if is_base {
            base.round(&beside, work);
        } else {
            subject.round(&runtime, work);
        }
        (begin.elapsed().as_nanos() as f64, (cpu_ns() - cpu) as f64)
    };
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // The order alternates, because a drift would favour the one that is always first.
        let first = round(pair % 2 == 0);
        let second = round(pair % 2 != 0);
        let (base, its) = if pair % 2 == 0 { (first, second) } else { (second, first) };
        walls.push(its.0 / base.0);
        cpus.push(its.1 / base.1);
    }
    drop((beside, runtime));
    stop();
    println!("{:.0} {:.0}", median(&mut cpus) * 1e6, median(&mut walls) * 1e6);
}
