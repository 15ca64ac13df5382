//! The floor, the measurement in floors, and the table.

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};
use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

/// Times as multiples of the floor.
pub(crate) struct Floors;

impl Measurement for Floors {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {}

    fn end(&self, (): ()) -> f64 {
        unreachable!("every benchmark here measures by itself")
    }

    fn add(&self, left: &f64, right: &f64) -> f64 {
        left + right
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Ratio
    }
}

struct Ratio;

impl ValueFormatter for Ratio {
    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "x floor"
    }

    fn scale_throughputs(&self, _: f64, _: &Throughput, _: &mut [f64]) -> &'static str {
        "x floor"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "x floor"
    }
}

/// Two bare reads of the clock that stamps events.
#[inline(never)]
pub(crate) fn floor() {
    let begin = clock();
    black_box(());
    black_box(clock() - begin);
}

#[cfg(target_arch = "x86_64")]
fn clock() -> u64 {
    // SAFETY: every x86_64 processor has `rdtsc`.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn clock() -> Instant {
    Instant::now()
}

/// Nanoseconds that `runs` calls of `act` take.
#[inline(always)]
pub(crate) fn time(runs: u64, mut act: impl FnMut()) -> f64 {
    let begin = Instant::now();
    for _ in 0..runs {
        act();
    }
    begin.elapsed().as_nanos() as f64
}

/// Number of runs between two changes from the floor to the subject.
const BLOCK: u64 = 5_000;

/// The results, row by row.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 4]>,
}

impl Table {
    /// Measures `act`, which does `of` things, against the floor; adds a row with the cost of one
    /// thing.
    pub(crate) fn ratio(
        &mut self,
        criterion: &mut Criterion<Floors>,
        name: &str,
        goal: &str,
        of: u64,
        mut act: impl FnMut(),
    ) {
        let samples = Rc::new(RefCell::new(Vec::new()));
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let (mut at_floor, mut at_subject, mut done) = (0.0, 0.0, 0);
                while done < iterations {
                    let runs = BLOCK.min(iterations - done);
                    at_floor += time(runs, floor);
                    at_subject += time(runs, &mut act);
                    done += runs;
                }
                let one = at_subject / of as f64;
                let per_run = (at_floor / iterations as f64, one / iterations as f64);
                samples.borrow_mut().push(per_run);
                one / at_floor * iterations as f64
            });
        });
        let samples = samples.borrow();
        let floor_ns = median(samples.iter().map(|sample| sample.0));
        let ns = median(samples.iter().map(|sample| sample.1));
        let ratio = median(samples.iter().map(|sample| sample.1 / sample.0));
        if !samples.is_empty() {
            let [ns, floor_ns] = [ns, floor_ns].map(|ns| format!("{ns:.1} ns"));
            self.row(
                name,
                &format!("{ratio:.2} x floor"),
                goal,
                &format!("{ns}, floor {floor_ns}"),
            );
        }
    }

    pub(crate) fn row(&mut self, name: &str, value: &str, goal: &str, note: &str) {
        self.rows.push([name, value, goal, note].map(str::to_owned));
    }

    pub(crate) fn print(&self) {
        println!("\n{:<44} {:>16}  {:<16} note", "cost of", "median", "goal");
        for [name, value, goal, note] in &self.rows {
            println!("{name:<44} {value:>16}  {goal:<16} {note}");
        }
    }
}

/// The median; 0 without values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
