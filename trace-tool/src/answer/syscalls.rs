//! The program's calls into the system: how often, how long, how much, and what went wrong.

use std::cmp::Reverse;
use std::collections::HashSet;

use clap::ValueEnum;
use trace_analysis::Wanted;
use trace_analysis::life::{CallGroup, Calls, OneCall};
use trace_format::id::CallId;

use super::{Disturbances, LifeReading, Question, Subject, cut};
use crate::error::Failure;
use crate::label::units;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct SyscallsAsk {
    /// How calls are grouped.
    pub by: By,
    /// What groups are sorted by.
    pub sort: Sort,
    /// Maximum number of groups; 0 for all.
    pub top: usize,
    /// How many of the longest calls are wanted.
    pub longest: usize,
}

/// What calls have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The function.
    Call,
    /// The function, and the file, socket or lock.
    Resource,
    /// The function, and from where it was called.
    Stack,
}

/// What groups are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Time.
    Total,
    /// How many.
    Count,
    /// The longest.
    Max,
    /// Bytes read or written.
    Bytes,
    /// How many failed.
    Errors,
}

/// The answer.
#[derive(Debug)]
pub struct SyscallsAnswer {
    /// What it is about.
    pub subject: Subject,
    /// What disturbs its times.
    pub disturbances: Disturbances,
    /// All calls; the lists are sorted and cut.
    pub calls: Calls,
    /// How many groups were left out of each list.
    pub omitted: CallsOmitted,
    /// The longest call of each kind, calls that wait for threads or time left out.
    pub longest: Vec<(CallId, OneCall)>,
    /// What people asked for.
    pub by: By,
}

/// How many groups were left out of each list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallsOmitted {
    /// By the function.
    pub by_call: usize,
    /// By the function and what it was about.
    pub by_resource: usize,
    /// By the function and from where it was called.
    pub by_stack: usize,
}

impl SyscallsAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none, or a file that names were to be taken from can't be read.
    pub fn read(question: &Question, ask: SyscallsAsk) -> Result<Self, Failure> {
        let LifeReading { subject, report } = LifeReading::read(question, Wanted::default())?;
        let disturbances = Disturbances::new(&report.lives);
        let mut calls = report.lives.calls;
        let longest = longest(&calls, ask.longest);
        for groups in [&mut calls.by_call, &mut calls.by_resource, &mut calls.by_stack] {
            sort(groups, ask.sort);
        }
        let omitted = CallsOmitted {
            by_call: cut(&mut calls.by_call, ask.top),
            by_resource: cut(&mut calls.by_resource, ask.top),
            by_stack: cut(&mut calls.by_stack, ask.top),
        };
        Ok(Self { subject, disturbances, calls, omitted, longest, by: ask.by })
    }

    /// The groups that were asked for, and how many more there are.
    #[must_use]
    pub fn groups(&self) -> (&[CallGroup], usize) {
        match self.by {
            By::Call => (&self.calls.by_call, self.omitted.by_call),
            By::Resource => (&self.calls.by_resource, self.omitted.by_resource),
            By::Stack => (&self.calls.by_stack, self.omitted.by_stack),
        }
    }
}

fn sort(groups: &mut [CallGroup], by: Sort) {
    match by {
        Sort::Total => groups.sort_by_key(|group| Reverse(group.total)),
        Sort::Count => groups.sort_by_key(|group| Reverse(group.count)),
        Sort::Max => groups.sort_by_key(|group| Reverse(group.quantiles.max)),
        Sort::Bytes => groups.sort_by_key(|group| Reverse(group.bytes)),
        Sort::Errors => groups.sort_by_key(|group| Reverse(failed(group))),
    }
}

fn failed(group: &CallGroup) -> u64 {
    units::sum(group.errors.iter().map(|(_, count)| *count))
}

/// The longest calls, one of each kind: those that are not made to wait for another thread or for
/// time to pass.
fn longest(calls: &Calls, count: usize) -> Vec<(CallId, OneCall)> {
    let own = calls.by_call.iter().filter(|group| !group.is_rest());
    let all = own.flat_map(|group| group.longest.iter().map(|one| (group.call, *one)));
    let mut longest: Vec<_> = all.collect();
    longest.sort_by_key(|(_, one)| Reverse(one.duration));
    // Only the longest of calls that are alike.
    let mut seen = HashSet::new();
    longest.retain(|(call, one)| seen.insert((*call, one.resource, one.stack)));
    longest.truncate(count);
    longest
}
