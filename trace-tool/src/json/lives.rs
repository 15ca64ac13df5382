//! What threads did with their time, and what the CPUs did.

use std::collections::BTreeMap;

use serde::Serialize;
use trace_analysis::kernel_times::{Elapsed, KernelTimes};
use trace_analysis::life::{CpuLife, Lives, RegionTimes, ThreadLife, Times, Unended};
use trace_format::time::Nanos;

use super::head::DisturbancesOut;
use super::stacks::{ResourceOut, StackOut, WhoOut};
use crate::answer::Disturbances;
use crate::answer::threads::CpuUse;
use crate::label::{Labels, call};

/// What threads did with their time, and what the CPUs did.
#[derive(Debug, Serialize)]
pub struct LivesOut {
    #[serde(flatten)]
    disturbances: DisturbancesOut,
    /// Major page faults.
    page_faults: u64,
    /// The threads.
    threads: Vec<ThreadLifeOut>,
    /// What threads still waited for when the trace stopped, the longest first.
    unended: Vec<UnendedOut>,
    /// The CPUs on which a thread of the program ran; none if no switches were recorded.
    cpus: Vec<CpuOut>,
    /// CPUs that the recorder watched; 0 if no switches were recorded.
    cpus_watched: usize,
    /// How long threads were ready and had no CPU, all of `threads` together.
    ready_ns: u64,
    /// How long exactly 0, 1, 2 … threads ran at once.
    running_ns: Vec<u64>,
    /// How long exactly 0, 1, 2 … threads were able to run at once.
    able_ns: Vec<u64>,
    /// Waits that are in groups without a resource and a place, because the table was full.
    late_waits: u64,
    /// Waits of which nobody can be told who held the lock or woke the thread, because the table of
    /// locks or that of a lock's holders was full.
    late_holders: u64,
}

impl LivesOut {
    /// All of it.
    #[must_use]
    pub fn new(labels: Labels<'_>, lives: &Lives, cpus: &CpuUse) -> Self {
        let all = |times: &[Nanos]| times.iter().map(|time| time.0).collect();
        Self {
            disturbances: (&Disturbances::new(lives)).into(),
            page_faults: lives.faults,
            threads: lives.threads.iter().map(|life| ThreadLifeOut::new(labels, life)).collect(),
            unended: lives.unended.iter().map(|it| UnendedOut::new(labels, it)).collect(),
            cpus: lives.cpus.iter().map(CpuOut::from).collect(),
            cpus_watched: cpus.watched,
            ready_ns: cpus.ready.0,
            running_ns: all(&lives.concurrency.running),
            able_ns: all(&lives.concurrency.able),
            late_waits: lives.waits.late,
            late_holders: lives.waits.late_holders,
        }
    }
}

/// A thread's life, as far as it lies in the window. Its times add up to `life_ns`.
#[derive(Debug, Serialize)]
pub struct ThreadLifeOut {
    /// Its id in the trace; `null` if it recorded nothing and is known from CPUs alone.
    thread: Option<u32>,
    /// Its name.
    name: String,
    /// The system's id.
    os_id: u64,
    /// When it began.
    begin_ns: u64,
    /// When it ended.
    end_ns: u64,
    /// How long it lived.
    life_ns: u64,
    /// Whether it ended; else the window did.
    ended: bool,
    /// The thread that made it.
    parent: Option<WhoOut>,
    /// Where that made it.
    made_at: Option<StackOut>,
    /// Its first function.
    entry: Option<String>,
    #[serde(flatten)]
    times: TimesOut,
    /// CPU time as the kernel counted it; `null` if the trace does not say. More than `running_ns`
    /// and `in_calls_ns` where a thread switches often, as the switching itself is in no event.
    kernel_cpu: Option<ElapsedOut>,
    /// Time in which it was able to run and had no CPU, as the kernel counted it. More than
    /// `ready_ns` where timers and devices wake it, of which there are no events.
    kernel_ready: Option<ElapsedOut>,
    /// Calls into the system.
    calls: u64,
    /// How often it left its CPU by itself.
    yields: u64,
    /// How often it could have gone on.
    preemptions: u64,
}

impl ThreadLifeOut {
    fn new(labels: Labels<'_>, life: &ThreadLife) -> Self {
        let kernel = KernelTimes::new(labels.names.tables(), life.thread);
        Self {
            thread: (life.thread.0 > 0).then_some(life.thread.0),
            name: life.name.clone(),
            os_id: life.os_id,
            begin_ns: life.begin.0,
            end_ns: life.end.0,
            life_ns: life.end.0.saturating_sub(life.begin.0),
            ended: life.ended,
            parent: WhoOut::new(labels, life.parent),
            made_at: StackOut::new(labels, life.stack),
            entry: labels.places.function_at(life.entry),
            times: (&life.times).into(),
            kernel_cpu: kernel.cpu.map(ElapsedOut::from),
            kernel_ready: kernel.ready.map(ElapsedOut::from),
            calls: life.calls,
            yields: life.yields,
            preemptions: life.preemptions,
        }
    }
}

/// What a thread did with a time.
#[derive(Debug, Serialize)]
pub struct TimesOut {
    /// On a CPU, in the program's own code.
    running_ns: u64,
    /// On a CPU, inside a call into the system.
    in_calls_ns: u64,
    /// Able to run, without a CPU.
    ready_ns: u64,
    /// Records are missing, or no switches were recorded and it was outside calls.
    unknown_ns: u64,
    /// The whole process was stopped.
    stopped_ns: u64,
    /// Waiting.
    blocked_ns: u64,
    /// What for, by reason: `mutex`, `rwlock read`, `rwlock write`, `condvar`, `channel send`,
    /// `channel receive`, `join`, `park`, `barrier`, `once`, `future` (in `block_on`),
    /// `idle worker`, `sleep`, `socket read`, `socket write`, `pipe read`, `pipe write`,
    /// `file read`, `file write`, `file sync`, `file lock`, `file open`, `file close`,
    /// `file metadata`, `read`, `write` (of a descriptor of which the trace does not say what it
    /// is), `poll`, `process`, `process start`,
    /// `futex` (of an unknown kind), `page fault`, `other call`, `unseen` (in no call that was
    /// recorded). Reasons that took no time are left out.
    blocked: BTreeMap<&'static str, u64>,
}

impl From<&Times> for TimesOut {
    fn from(times: &Times) -> Self {
        let reasons = times.reasons();
        Self {
            running_ns: times.running.0,
            in_calls_ns: times.in_calls.0,
            ready_ns: times.ready.0,
            unknown_ns: times.unknown.0,
            stopped_ns: times.stopped.0,
            blocked_ns: times.blocked().0,
            blocked: reasons.into_iter().map(|(reason, time)| (reason.name(), time.0)).collect(),
        }
    }
}

/// What the kernel counted for a thread between two moments.
#[derive(Debug, Serialize)]
pub struct ElapsedOut {
    /// The first moment.
    from_ns: u64,
    /// The second.
    to_ns: u64,
    /// What was counted.
    time_ns: u64,
}

impl From<Elapsed> for ElapsedOut {
    fn from(elapsed: Elapsed) -> Self {
        let Elapsed { from, to, time } = elapsed;
        Self { from_ns: from.0, to_ns: to.0, time_ns: time.0 }
    }
}

/// A wait that was not over when the trace stopped.
#[derive(Debug, Serialize)]
pub struct UnendedOut {
    /// The thread.
    thread: Option<WhoOut>,
    /// Why it waits: see `blocked` of [Times](#times).
    reason: &'static str,
    /// The call it is in.
    call: String,
    /// What it waits for.
    resource: Option<ResourceOut>,
    /// Where.
    stack: Option<StackOut>,
    /// Since when; negative if that was before the trace.
    begin_ns: i64,
    /// For how long, all of it.
    duration_ns: u64,
    /// Of a lock: the thread that had it then; `null` if that is not known, as of one that took it
    /// when it was free.
    holder: Option<WhoOut>,
    /// Since when that thread had it.
    held_since_ns: Option<u64>,
}

impl UnendedOut {
    fn new(labels: Labels<'_>, unended: &Unended) -> Self {
        let Unended { reason, call, wait, holder } = unended;
        Self {
            thread: WhoOut::new(labels, wait.thread),
            reason: reason.name(),
            call: call::name(*call),
            resource: ResourceOut::new(labels, wait.resource),
            stack: StackOut::new(labels, wait.stack),
            begin_ns: wait.begin.0,
            duration_ns: wait.duration.0,
            holder: holder.and_then(|(thread, _)| WhoOut::new(labels, thread)),
            held_since_ns: holder.map(|(_, since)| since.0),
        }
    }
}

/// What ran on a CPU.
#[derive(Debug, Serialize)]
pub struct CpuOut {
    /// Its number.
    cpu: u32,
    /// How long threads of the program ran.
    busy_ns: u64,
    /// How often one left it.
    switches: u64,
    /// How often one left it that could have gone on.
    preemptions: u64,
    /// Samples of running threads.
    samples: u64,
    /// Records that the kernel had no room for.
    lost_records: u64,
}

impl From<&CpuLife> for CpuOut {
    fn from(life: &CpuLife) -> Self {
        let CpuLife { cpu, busy, switches, preemptions, samples, lost_records } = *life;
        Self { cpu, busy_ns: busy.0, switches, preemptions, samples, lost_records }
    }
}

/// What threads did inside a call site's regions; left out if no switches were recorded.
#[derive(Debug, Serialize)]
pub struct RegionTimesOut {
    /// On a CPU.
    cpu_ns: u64,
    /// Able to run, without a CPU.
    ready_ns: u64,
    /// Waiting.
    blocked_ns: u64,
    /// The whole process was stopped.
    stopped_ns: u64,
    /// Nobody knows.
    unknown_ns: u64,
}

impl From<&RegionTimes> for RegionTimesOut {
    fn from(times: &RegionTimes) -> Self {
        Self {
            cpu_ns: times.cpu.0,
            ready_ns: times.ready.0,
            blocked_ns: times.blocked.0,
            stopped_ns: times.stopped.0,
            unknown_ns: times.unknown.0,
        }
    }
}
