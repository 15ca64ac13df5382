//! A rule about the function that has most of the CPU time, where samples tell.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{StackId, ThreadId};
use trace_format::read::ReadAt;
use trace_format::time::Nanos;

use super::words::{Facts, count, is_part, percent, plural, shared_names, time};
use super::{Insight, InsightKind};
use crate::report::Report;
use crate::report::life::{Times, saturating_sum};
use crate::report::profile::ProfileKind;
use crate::trace::Trace;

/// Least part of all CPU time that makes a function a finding, in per cents.
const FUNCTION_PERCENT: u64 = 50;

/// Least part of the trace for which a program had use for one CPU if a function is a finding, in
/// per cents.
const BUSY_PERCENT: u64 = 50;

/// Fewer samples than this tell nothing.
const SAMPLES_MIN: u64 = 20;

/// Where so much of all CPUs is used, in per cents, the program does what the machine can.
const ALL_PERCENT: u64 = 80;

/// Maximum number of other functions that are named.
const OTHERS_SAID: usize = 3;

/// Maximum number of functions with the most CPU time that are told where none is a finding, and
/// the least part of all CPU time that each has, in per cents.
const FUNCTIONS_MAX: usize = 5;
const SHARE_PERCENT: u64 = 1;

/// A function's part of the CPU time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionShare {
    /// Its name.
    pub name: String,
    /// Its CPU time, as samples tell.
    pub cpu: Nanos,
    /// The CPU time of the whole program.
    pub all: Nanos,
    /// How many samples found it.
    pub samples: u64,
}

/// A function, and what it has.
#[derive(Debug, Default)]
struct HotFunction {
    nanos: u64,
    samples: u64,
    threads: HashMap<ThreadId, u64>,
    /// Its stack with the most samples, and how many.
    stack: (u64, StackId),
}

/// The function in which the program spends most of its CPU time.
pub(super) fn function(facts: &Facts<'_>) -> Option<Insight> {
    let functions = by_function(facts);
    let sum = |of: fn(&Times) -> u64| {
        saturating_sum(facts.lives.threads.iter().map(|life| of(&life.times)))
    };
    let cpu = facts.program_cpu();
    // Who was ready and had no CPU had use for one.
    let able = cpu.saturating_add(sum(|times| times.ready.0));
    let (name, most) = functions.first()?;
    let samples = saturating_sum(functions.iter().map(|(_, it)| it.samples));
    if samples < SAMPLES_MIN
        || !is_part(most.nanos, cpu, FUNCTION_PERCENT)
        || !is_part(able, facts.wall(), BUSY_PERCENT)
        || uses_all_cpus(facts, cpu)
    {
        return None;
    }
    let mut threads: Vec<_> =
        most.threads.iter().map(|(thread, nanos)| (*thread, *nanos)).collect();
    threads.sort_by_key(|&(thread, nanos)| (Reverse(nanos), thread));
    let threads: Vec<_> = threads.into_iter().map(|(thread, _)| thread).collect();
    let (who, spent) = (facts.threads(&threads), time(Nanos(most.nanos)));
    let (share, at) = (percent(most.nanos, cpu), facts.in_function(most.stack.1));
    let title = format!("{who} spent {spent} of CPU time in {at}: {share} of all");
    let cost = facts.cpu_cost(most.threads.iter().map(|(thread, nanos)| (*thread, *nanos)));
    let mut insight = facts.finding(InsightKind::HotFunction, &cost, title);
    let of = plural(samples, "sample", "samples");
    let found = count(most.samples);
    insight
        .evidence
        .push(format!("{found} of {of} found it there, on CPUs for {}", time(Nanos(cpu))));
    let others = functions.iter().filter(|(other, _)| other != name).take(OTHERS_SAID);
    let others = others.filter(|(other, it)| !other.is_empty() && it.nanos >= cpu / 100);
    let others: Vec<_> =
        others.map(|(other, it)| format!("{other} {}", percent(it.nanos, cpu))).collect();
    if !others.is_empty() {
        insight.evidence.push(format!("next: {}", others.join(", ")));
    }
    insight.threads = threads;
    insight.stacks = vec![most.stack.1];
    insight.command = "profile --kind cpu".to_owned();
    Some(insight)
}

/// The functions that have the most CPU time in the program's own code, where samples tell.
#[must_use]
pub fn functions<S: ReadAt>(trace: &Trace<'_, S>, report: &Report) -> Vec<FunctionShare> {
    let tables = trace.file.tables();
    let shared = shared_names(tables);
    let facts = Facts::new(tables, &report.lives, trace.symbols, &shared);
    let (cpu, functions) = (facts.program_cpu(), by_function(&facts));
    let samples = saturating_sum(functions.iter().map(|(_, it)| it.samples));
    if samples < SAMPLES_MIN {
        return Vec::new();
    }
    let named = functions.into_iter().filter(|(_, it)| is_part(it.nanos, cpu, SHARE_PERCENT));
    let shares = named.take(FUNCTIONS_MAX).map(|(name, it)| FunctionShare {
        name,
        cpu: Nanos(it.nanos),
        all: Nanos(cpu),
        samples: it.samples,
    });
    shares.collect()
}

/// CPU time in the program's own code by function, the most first; what has no name is without.
fn by_function<'a>(facts: &Facts<'a>) -> Vec<(String, HotFunction)> {
    let mut functions: HashMap<String, HotFunction> = HashMap::new();
    let profile = facts.lives.profile(ProfileKind::Cpu);
    for sample in profile.samples.iter().filter(|it| !it.is_kernel && it.count > 0) {
        let Some(name) = facts.function(sample.stack) else { continue };
        let function = functions.entry(name).or_default();
        function.nanos = function.nanos.saturating_add(sample.value);
        function.samples = function.samples.saturating_add(sample.count);
        let of_thread = function.threads.entry(sample.thread).or_default();
        *of_thread = of_thread.saturating_add(sample.value);
        if sample.count > function.stack.0 {
            function.stack = (sample.count, sample.stack);
        }
    }
    let mut functions: Vec<_> = functions.into_iter().collect();
    functions.sort_by(|a, b| (b.1.nanos, &a.0).cmp(&(a.1.nanos, &b.0)));
    functions
}

fn uses_all_cpus(facts: &Facts<'_>, cpu: u64) -> bool {
    let cpus = facts.lives.cpus_watched as u64;
    cpus > 1 && is_part(cpu, facts.wall().saturating_mul(cpus), ALL_PERCENT)
}
