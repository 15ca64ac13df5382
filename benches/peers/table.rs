//! Rounds of samples, and the table of their medians.

use crate::sample::{Order, Sample, take};
use crate::subject::{ALL, Subject};
use crate::work::Work;

/// Number of rounds; a round has a sample of each subject.
const ROUNDS: usize = 11;

/// How often a sample does the work: some two million polls.
const WORK_ROUNDS: usize = 200;

/// All samples of one kind of work, by subject.
type Samples = Vec<Vec<Sample>>;

/// In the parent: takes all samples, and prints them.
pub(crate) fn print(is_test: bool) {
    let (rounds, work_rounds) = if is_test { (1, 2) } else { (ROUNDS, WORK_ROUNDS) };
    println!("\nPer poll (medians of {rounds} rounds of processes in turn):\n");
    println!(
        "| | work | workers | wall ns | CPU ns | CPU ns above tokio | bytes | events | lost \
         | x dial9: cost | bytes |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for work in Work::ALL {
        for workers in [1, 2] {
            let mut samples: Samples = ALL.map(|_| Vec::new()).into();
            for _ in 0..rounds {
                for ((subject, ..), samples) in ALL.iter().zip(&mut samples) {
                    let order = Order { subject: *subject, work, workers, rounds: work_rounds };
                    samples.push(take(order));
                }
            }
            for at in 0..ALL.len() {
                print_row(work, workers, at, &samples);
            }
        }
    }
}

fn print_row(work: Work, workers: usize, at: usize, samples: &Samples) {
    let (subject, name, peer) = ALL[at];
    let of = |value: fn(&Sample) -> u64| {
        let mut each: Vec<_> = samples[at].iter().map(|it| it.per_poll(value(it))).collect();
        median(&mut each)
    };
    let cost = |at: usize| above(&samples[at], &samples[0]);
    let plain = subject == Subject::Plain;
    let above = if plain { String::new() } else { format!("{:.1}", median(&mut cost(at))) };
    let mut ratios = String::from("| |");
    if let Some(peer) = peer {
        let peer = ALL.iter().position(|it| it.0 == peer).expect("ALL has all");
        let mut costs: Vec<_> =
            cost(at).iter().zip(cost(peer)).map(|(ours, theirs)| ours / theirs).collect();
        let theirs = samples[peer].iter().map(|it| it.per_poll(it.bytes));
        let bytes = samples[at].iter().map(|it| it.per_poll(it.bytes));
        let mut bytes: Vec<_> = bytes.zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        let bytes = Some(median(&mut bytes)).filter(|it| it.is_finite());
        let bytes = bytes.map_or_else(String::new, |it| format!("{it:.2}"));
        ratios = format!("| {:.2} | {bytes} |", median(&mut costs));
    }
    println!(
        "| {name} | {} | {workers} | {:.1} | {:.1} | {above} | {:.1} | {:.2} | {} {ratios}",
        work.name(),
        of(|it| it.wall_ns),
        of(|it| it.cpu_ns),
        of(|it| it.bytes),
        of(|it| it.events),
        samples[at].iter().map(|it| it.lost).sum::<u64>(),
    );
}

/// CPU time per poll above that of plain tokio in the same round, in nanoseconds.
fn above(samples: &[Sample], plain: &[Sample]) -> Vec<f64> {
    let each = |it: &Sample| it.per_poll(it.cpu_ns);
    samples.iter().zip(plain).map(|(it, plain)| each(it) - each(plain)).collect()
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The first and the third quartile.
pub(crate) fn quartiles(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 4], values[(values.len() * 3 / 4).min(values.len() - 1)])
}
