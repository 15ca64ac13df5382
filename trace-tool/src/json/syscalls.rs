//! `exectrace syscalls` for programs.

use serde::Serialize;
use trace_analysis::life::{CallGroup, OneCall, Share};
use trace_format::id::{CallId, StackId, ThreadId};

use super::blocked::{AtOut, PARTIES_MAX, PartyOut};
use super::head::{DisturbancesOut, HeadOut};
use super::stacks::{ResourceOut, SpreadOut, StackOut, WhoOut};
use crate::answer::syscalls::{CallsOmitted, SyscallsAnswer};
use crate::error::Failure;
use crate::label::{Labels, call, errno};
use crate::output::Output;

/// What `syscalls` answers.
#[derive(Debug, Serialize)]
pub struct SyscallsOut {
    #[serde(flatten)]
    head: HeadOut,
    #[serde(flatten)]
    disturbances: DisturbancesOut,
    /// The calls.
    calls: CallsOut,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &SyscallsAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    Ok(out.json(&SyscallsOut {
        head: HeadOut::new(&answer.subject),
        disturbances: (&answer.disturbances).into(),
        calls: CallsOut::new(labels, answer),
    })?)
}

/// All calls, three times in groups, as `--sort` and `--top` have them.
#[derive(Debug, Serialize)]
pub struct CallsOut {
    /// How many ended.
    count: u64,
    /// How many more had not ended at the end of what was read.
    open: u64,
    /// How long threads were in calls in what was read: in those that had not ended, too, so that
    /// the times of several windows add up.
    total_ns: u64,
    /// How many are in groups without `resource` and `at`, because a table of 8,192 groups was
    /// full.
    late: u64,
    /// By the function.
    by_call: Vec<CallGroupOut>,
    /// By the function, and what it was about.
    by_resource: Vec<CallGroupOut>,
    /// By the function, and from where it was called.
    by_stack: Vec<CallGroupOut>,
    /// Groups that `--top` left out of each list.
    omitted: CallsOmittedOut,
    /// The longest call of each kind, longest first, `--longest` of them; none that wait for
    /// threads or time.
    longest: Vec<NamedCallOut>,
}

impl CallsOut {
    fn new(labels: Labels<'_>, answer: &SyscallsAnswer) -> Self {
        let group = |groups: &[CallGroup]| {
            groups.iter().map(|group| CallGroupOut::new(labels, group)).collect()
        };
        let longest = answer.longest.iter();
        let calls = &answer.calls;
        Self {
            count: calls.count,
            open: calls.open,
            total_ns: calls.total.0,
            late: calls.late,
            by_call: group(&calls.by_call),
            by_resource: group(&calls.by_resource),
            by_stack: group(&calls.by_stack),
            omitted: answer.omitted.into(),
            longest: longest.map(|(call, one)| NamedCallOut::new(labels, *call, one)).collect(),
        }
    }
}

/// Groups that were left out of each list.
#[derive(Debug, Serialize)]
pub struct CallsOmittedOut {
    /// Of `by_call`.
    by_call: usize,
    /// Of `by_resource`.
    by_resource: usize,
    /// Of `by_stack`.
    by_stack: usize,
}

impl From<CallsOmitted> for CallsOmittedOut {
    fn from(omitted: CallsOmitted) -> Self {
        let CallsOmitted { by_call, by_resource, by_stack } = omitted;
        Self { by_call, by_resource, by_stack }
    }
}

/// Calls that have something in common.
#[derive(Debug, Serialize)]
pub struct CallGroupOut {
    /// The function.
    call: String,
    /// What such calls do, in a word.
    class: &'static str,
    /// What they were about, if all were about the same.
    resource: Option<ResourceOut>,
    /// From where, if all were called from the same place.
    at: Option<StackOut>,
    /// How many ended.
    count: u64,
    /// How many more had not ended at the end of what was read: of these only `total_ns` and
    /// `off_cpu_ns` know.
    open: u64,
    /// How long threads were in them in what was read.
    total_ns: u64,
    /// Of that, how long their threads had no CPU, as far as the trace says so.
    off_cpu_ns: u64,
    #[serde(flatten)]
    spread: SpreadOut,
    /// Bytes read or written.
    bytes: u64,
    /// Calls that read or wrote fewer than 512 bytes.
    tiny: u64,
    /// What went wrong, and how often.
    errors: Vec<ErrorOut>,
    /// From where, the most time first; the first 8.
    stacks: Vec<AtOut>,
    /// From how many stacks.
    stacks_count: usize,
    /// By whom, the most time first; the first 8.
    threads: Vec<PartyOut>,
    /// By how many threads.
    threads_count: usize,
    /// The longest, longest first.
    longest: Vec<OneCallOut>,
}

impl CallGroupOut {
    fn new(labels: Labels<'_>, group: &CallGroup) -> Self {
        let thread = |share: &Share<ThreadId>| PartyOut::new(labels, share, share.of, StackId(0));
        Self {
            call: call::name(group.call),
            class: call::class(group.call),
            resource: ResourceOut::new(labels, group.resource),
            at: StackOut::new(labels, group.stack),
            count: group.count,
            open: group.open,
            total_ns: group.total.0,
            off_cpu_ns: group.off_cpu.0,
            spread: group.quantiles.into(),
            bytes: group.bytes,
            tiny: group.tiny,
            errors: group.errors.iter().map(|error| ErrorOut::new(*error)).collect(),
            stacks: AtOut::first(labels, &group.stacks),
            stacks_count: group.stacks.len(),
            threads: group.threads.iter().take(PARTIES_MAX).map(thread).collect(),
            threads_count: group.threads.len(),
            longest: group.longest.iter().map(|one| OneCallOut::new(labels, one)).collect(),
        }
    }
}

/// An error that calls returned.
#[derive(Debug, Serialize)]
pub struct ErrorOut {
    /// Its name, as `ENOENT`.
    error: String,
    /// Its number.
    number: u32,
    /// How often.
    count: u64,
}

impl ErrorOut {
    fn new((number, count): (u32, u64)) -> Self {
        Self { error: errno::shown(number.into()), number, count }
    }
}

/// One call.
#[derive(Debug, Serialize)]
pub struct OneCallOut {
    #[serde(flatten)]
    who: Option<WhoOut>,
    /// From where.
    at: Option<StackOut>,
    /// What it was about.
    resource: Option<ResourceOut>,
    /// When it began; negative if that was before the trace.
    begin_ns: i64,
    /// How long it took, all of it.
    duration_ns: u64,
    /// What it returned: bytes, a count, a descriptor; minus the error number if negative.
    returned: i64,
}

impl OneCallOut {
    fn new(labels: Labels<'_>, one: &OneCall) -> Self {
        Self {
            who: WhoOut::new(labels, one.thread),
            at: StackOut::new(labels, one.stack),
            resource: ResourceOut::new(labels, one.resource),
            begin_ns: one.begin.0,
            duration_ns: one.duration.0,
            returned: one.result,
        }
    }
}

/// One call, with its function.
#[derive(Debug, Serialize)]
pub struct NamedCallOut {
    /// The function.
    call: String,
    #[serde(flatten)]
    one: OneCallOut,
}

impl NamedCallOut {
    fn new(labels: Labels<'_>, call: CallId, one: &OneCall) -> Self {
        Self { call: call::name(call), one: OneCallOut::new(labels, one) }
    }
}
