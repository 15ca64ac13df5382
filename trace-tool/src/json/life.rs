//! What threads did and waited for, and their calls, for programs.

use std::collections::BTreeMap;

use serde::Serialize;
use trace_analysis::kernel_times::KernelTimes;
use trace_analysis::life::{
    CallGroup, Calls, Holder, Lives, OneCall, RegionTimes, Share, ThreadLife, Times, Unended, Wait,
    WaitGroup, Waits,
};
use trace_format::id::{CallId, ResourceId, StackId, ThreadId};
use trace_format::time::Nanos;

use super::process::{CpuOut, ElapsedOut, FacilityOut, StandstillOut};
use super::{Spread, Trace};
use crate::call;
use crate::completeness::Completeness;
use crate::describe::Names;
use trace_export::label::errno;
use trace_export::label::place::{Place, Places};

/// What names are given by.
#[derive(Clone, Copy, Debug)]
pub struct Words<'t> {
    /// Of threads and resources.
    pub names: &'t Names<'t>,
    /// Of stacks.
    pub places: Places<'t>,
}

/// A function of a stack.
#[derive(Clone, Debug, Serialize)]
pub struct FrameOut {
    function: String,
    file: Option<String>,
    line: Option<u32>,
}

impl FrameOut {
    /// What a place says.
    #[must_use]
    pub fn new(place: Place) -> Self {
        let Place { function, file, line } = place;
        let file = (!file.is_empty()).then_some(file);
        Self { function, file, line: (line > 0).then_some(line) }
    }

    /// A whole stack, innermost first.
    #[must_use]
    pub fn all(places: Places<'_>, stack: StackId) -> Vec<Self> {
        places.frames(stack).iter().map(|frame| Self::new(Place::new(frame))).collect()
    }
}

/// A stack: its place and all of it.
#[derive(Debug, Serialize)]
pub struct StackOut {
    stack: u32,
    place: Option<FrameOut>,
    is_cut: bool,
    frames: Vec<FrameOut>,
}

impl StackOut {
    /// A stack, if there is one.
    #[must_use]
    pub fn new(words: Words<'_>, stack: StackId) -> Option<Self> {
        (stack != StackId(0)).then(|| Self {
            stack: stack.0,
            place: words.places.place(stack).map(FrameOut::new),
            is_cut: words.places.is_cut(stack),
            frames: FrameOut::all(words.places, stack),
        })
    }
}

/// What a call was about.
#[derive(Debug, Serialize)]
pub struct ResourceOut {
    resource: u32,
    kind: Option<&'static str>,
    value: Option<u64>,
    name: Option<String>,
}

impl ResourceOut {
    /// A resource, if there is one.
    #[must_use]
    pub fn new(words: Words<'_>, id: ResourceId) -> Option<Self> {
        let known = words.names.tables().resources.get(&id);
        (id != ResourceId(0)).then(|| Self {
            resource: id.0,
            kind: known.map(|known| known.kind.name()),
            value: known.map(|known| known.value),
            name: words.names.resource_name(id),
        })
    }
}

/// A thread by id and name.
#[derive(Debug, Serialize)]
pub struct WhoOut {
    thread: u32,
    thread_name: String,
}

impl WhoOut {
    /// A thread, if there is one.
    #[must_use]
    pub fn new(words: Words<'_>, id: ThreadId) -> Option<Self> {
        let thread_name = || words.names.thread_name(id);
        (id != ThreadId(0)).then(|| Self { thread: id.0, thread_name: thread_name() })
    }
}

/// What a thread did with its time.
#[derive(Debug, Serialize)]
pub struct TimesOut {
    running_ns: u64,
    in_calls_ns: u64,
    ready_ns: u64,
    unknown_ns: u64,
    stopped_ns: u64,
    blocked_ns: u64,
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

/// A thread's life.
#[derive(Debug, Serialize)]
pub struct ThreadLifeOut {
    thread: Option<u32>,
    name: String,
    os_id: u64,
    begin_ns: u64,
    end_ns: u64,
    life_ns: u64,
    ended: bool,
    parent: Option<WhoOut>,
    made_at: Option<StackOut>,
    entry: Option<String>,
    #[serde(flatten)]
    times: TimesOut,
    kernel_cpu: Option<ElapsedOut>,
    kernel_ready: Option<ElapsedOut>,
    calls: u64,
    yields: u64,
    preemptions: u64,
}

impl ThreadLifeOut {
    fn new(words: Words<'_>, life: &ThreadLife) -> Self {
        let kernel = KernelTimes::new(words.names.tables(), life.thread);
        Self {
            thread: (life.thread.0 > 0).then_some(life.thread.0),
            name: life.name.clone(),
            os_id: life.os_id,
            begin_ns: life.begin.0,
            end_ns: life.end.0,
            life_ns: life.end.0.saturating_sub(life.begin.0),
            ended: life.ended,
            parent: WhoOut::new(words, life.parent),
            made_at: StackOut::new(words, life.stack),
            entry: words.places.function_at(life.entry),
            times: (&life.times).into(),
            kernel_cpu: kernel.cpu.map(ElapsedOut::from),
            kernel_ready: kernel.ready.map(ElapsedOut::from),
            calls: life.calls,
            yields: life.yields,
            preemptions: life.preemptions,
        }
    }
}

#[derive(Debug, Serialize)]
struct UnendedOut {
    thread: Option<WhoOut>,
    reason: &'static str,
    call: String,
    resource: Option<ResourceOut>,
    stack: Option<StackOut>,
    begin_ns: i64,
    duration_ns: u64,
}

impl UnendedOut {
    fn new(words: Words<'_>, unended: &Unended) -> Self {
        let Unended { reason, call, wait } = unended;
        Self {
            thread: WhoOut::new(words, wait.thread),
            reason: reason.name(),
            call: call::name(*call).to_string(),
            resource: ResourceOut::new(words, wait.resource),
            stack: StackOut::new(words, wait.stack),
            begin_ns: wait.begin.0,
            duration_ns: wait.duration.0,
        }
    }
}

/// What threads did inside a call site's regions.
#[derive(Debug, Serialize)]
pub struct RegionTimesOut {
    cpu_ns: u64,
    ready_ns: u64,
    blocked_ns: u64,
    stopped_ns: u64,
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

/// What threads did with their time, and what the CPUs did.
#[derive(Debug, Serialize)]
pub struct LivesOut {
    standstills: Vec<StandstillOut>,
    page_faults: u64,
    unreadable: u64,
    threads: Vec<ThreadLifeOut>,
    /// What they still waited for when the trace stopped.
    unended: Vec<UnendedOut>,
    cpus: Vec<CpuOut>,
    running_ns: Vec<u64>,
    able_ns: Vec<u64>,
}

impl LivesOut {
    /// All of it.
    #[must_use]
    pub fn new(words: Words<'_>, lives: &Lives) -> Self {
        let all = |times: &[Nanos]| times.iter().map(|time| time.0).collect();
        Self {
            standstills: lives.standstills.iter().map(StandstillOut::from).collect(),
            page_faults: lives.faults,
            unreadable: lives.unreadable,
            threads: lives.threads.iter().map(|life| ThreadLifeOut::new(words, life)).collect(),
            unended: lives.unended.iter().map(|it| UnendedOut::new(words, it)).collect(),
            cpus: lives.cpus.iter().map(CpuOut::from).collect(),
            running_ns: all(&lives.concurrency.running),
            able_ns: all(&lives.concurrency.able),
        }
    }
}

/// What `blocked` and `syscalls` answer; each leaves out what it was not asked.
#[derive(Debug, Serialize)]
pub struct LifeReport {
    trace: Trace,
    from_ns: u64,
    to_ns: u64,
    wall_ns: u64,
    facilities: Vec<FacilityOut>,
    standstills: Vec<StandstillOut>,
    lost_records: u64,
    unreadable: u64,
    has_loss: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<WaitsOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<CallsOut>,
}

impl LifeReport {
    /// Only what all of them have.
    #[must_use]
    pub fn new(trace: Trace, words: Words<'_>, lives: &Lives, missing: &Completeness) -> Self {
        let facilities = words.names.tables().facilities.values();
        Self {
            trace,
            from_ns: lives.from.0,
            to_ns: lives.to.0,
            wall_ns: lives.to.0.saturating_sub(lives.from.0),
            facilities: facilities.map(FacilityOut::from).collect(),
            standstills: lives.standstills.iter().map(StandstillOut::from).collect(),
            lost_records: lives.lost_records,
            unreadable: lives.unreadable,
            has_loss: missing.has_loss(),
            waits: None,
            calls: None,
        }
    }

    /// With waits.
    #[must_use]
    pub fn with_waits(mut self, words: Words<'_>, waits: &Waits) -> Self {
        let group = |groups: &[WaitGroup]| {
            groups.iter().map(|group| WaitGroupOut::new(words, group)).collect()
        };
        self.waits = Some(WaitsOut {
            count: waits.count,
            total_ns: waits.total.0,
            late: waits.late,
            by_lock: group(&waits.by_resource),
            by_reason: group(&waits.by_reason),
            by_stack: group(&waits.by_stack),
            by_thread: group(&waits.by_thread),
        });
        self
    }

    /// With calls.
    #[must_use]
    pub fn with_calls(mut self, words: Words<'_>, calls: &Calls) -> Self {
        let group = |groups: &[CallGroup]| {
            groups.iter().map(|group| CallGroupOut::new(words, group)).collect()
        };
        self.calls = Some(CallsOut {
            count: calls.count,
            total_ns: calls.total.0,
            late: calls.late,
            by_call: group(&calls.by_call),
            by_resource: group(&calls.by_resource),
            by_stack: group(&calls.by_stack),
        });
        self
    }
}

#[derive(Debug, Serialize)]
struct WaitsOut {
    count: u64,
    total_ns: u64,
    late: u64,
    by_lock: Vec<WaitGroupOut>,
    by_reason: Vec<WaitGroupOut>,
    by_stack: Vec<WaitGroupOut>,
    by_thread: Vec<WaitGroupOut>,
}

#[derive(Debug, Serialize)]
struct WaitGroupOut {
    reason: &'static str,
    resource: Option<ResourceOut>,
    at: Option<StackOut>,
    #[serde(flatten)]
    who: Option<WhoOut>,
    count: u64,
    total_ns: u64,
    #[serde(flatten)]
    spread: Spread,
    timeouts: u64,
    waiters_max: u32,
    stacks: Vec<AtOut>,
    waiters: Vec<PartyOut>,
    wakers: Vec<PartyOut>,
    holders: Vec<HolderOut>,
    longest: Vec<WaitOut>,
}

impl WaitGroupOut {
    fn new(words: Words<'_>, group: &WaitGroup) -> Self {
        let waiter = |share: &Share<ThreadId>| PartyOut::new(words, share, share.of, StackId(0));
        let waker = |share: &Share<_>| {
            let (thread, stack) = share.of;
            PartyOut::new(words, share, thread, stack)
        };
        Self {
            reason: group.reason.name(),
            resource: ResourceOut::new(words, group.resource),
            at: StackOut::new(words, group.stack),
            who: WhoOut::new(words, group.thread),
            count: group.count,
            total_ns: group.total.0,
            spread: group.quantiles.into(),
            timeouts: group.timeouts,
            waiters_max: group.waiters_max,
            stacks: group.stacks.iter().map(|share| AtOut::new(words, share)).collect(),
            waiters: group.waiters.iter().map(waiter).collect(),
            wakers: group.wakers.iter().map(waker).collect(),
            holders: group.holders.iter().map(|holder| HolderOut::new(words, holder)).collect(),
            longest: group.longest.iter().map(|wait| WaitOut::new(words, wait)).collect(),
        }
    }
}

/// A place's share of a group.
#[derive(Debug, Serialize)]
struct AtOut {
    at: Option<StackOut>,
    count: u64,
    total_ns: u64,
}

impl AtOut {
    fn new(words: Words<'_>, share: &Share<StackId>) -> Self {
        let at = StackOut::new(words, share.of);
        Self { at, count: share.count, total_ns: share.total.0 }
    }
}

/// A thread's share of a group.
#[derive(Debug, Serialize)]
struct PartyOut {
    #[serde(flatten)]
    who: Option<WhoOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<StackOut>,
    count: u64,
    total_ns: u64,
}

impl PartyOut {
    fn new<T>(words: Words<'_>, share: &Share<T>, thread: ThreadId, stack: StackId) -> Self {
        Self {
            who: WhoOut::new(words, thread),
            at: StackOut::new(words, stack),
            count: share.count,
            total_ns: share.total.0,
        }
    }
}

#[derive(Debug, Serialize)]
struct HolderOut {
    #[serde(flatten)]
    who: Option<WhoOut>,
    released_at: Option<StackOut>,
    count: u64,
    caused_ns: u64,
    held_ns: u64,
    held_max_ns: u64,
    times: TimesOut,
    slow_at: Option<StackOut>,
    slow_call: Option<String>,
}

impl HolderOut {
    fn new(words: Words<'_>, holder: &Holder) -> Self {
        Self {
            who: WhoOut::new(words, holder.thread),
            released_at: StackOut::new(words, holder.stack),
            count: holder.count,
            caused_ns: holder.caused.0,
            held_ns: holder.held.0,
            held_max_ns: holder.held_max.0,
            times: (&holder.times).into(),
            slow_at: StackOut::new(words, holder.slow_stack),
            slow_call: (holder.slow_call != CallId(0)).then(|| call::name(holder.slow_call)),
        }
    }
}

#[derive(Debug, Serialize)]
struct WaitOut {
    #[serde(flatten)]
    who: Option<WhoOut>,
    at: Option<StackOut>,
    resource: Option<ResourceOut>,
    begin_ns: i64,
    duration_ns: u64,
    timed_out: bool,
    woken: Option<WokenOut>,
}

#[derive(Debug, Serialize)]
struct WokenOut {
    #[serde(flatten)]
    by: Option<WhoOut>,
    at: Option<StackOut>,
    at_ns: u64,
    held_since_ns: Option<u64>,
}

impl WaitOut {
    fn new(words: Words<'_>, wait: &Wait) -> Self {
        Self {
            who: WhoOut::new(words, wait.thread),
            at: StackOut::new(words, wait.stack),
            resource: ResourceOut::new(words, wait.resource),
            begin_ns: wait.begin.0,
            duration_ns: wait.duration.0,
            timed_out: wait.timed_out,
            woken: wait.waker.map(|waker| WokenOut {
                by: WhoOut::new(words, waker.thread),
                at: StackOut::new(words, waker.stack),
                at_ns: waker.at.0,
                held_since_ns: waker.held_since.map(|Nanos(since)| since),
            }),
        }
    }
}

#[derive(Debug, Serialize)]
struct CallsOut {
    count: u64,
    total_ns: u64,
    late: u64,
    by_call: Vec<CallGroupOut>,
    by_resource: Vec<CallGroupOut>,
    by_stack: Vec<CallGroupOut>,
}

#[derive(Debug, Serialize)]
struct CallGroupOut {
    call: String,
    class: &'static str,
    resource: Option<ResourceOut>,
    at: Option<StackOut>,
    count: u64,
    total_ns: u64,
    off_cpu_ns: u64,
    #[serde(flatten)]
    spread: Spread,
    bytes: u64,
    tiny: u64,
    errors: Vec<ErrorOut>,
    stacks: Vec<AtOut>,
    threads: Vec<PartyOut>,
    longest: Vec<OneCallOut>,
}

impl CallGroupOut {
    fn new(words: Words<'_>, group: &CallGroup) -> Self {
        let thread = |share: &Share<ThreadId>| PartyOut::new(words, share, share.of, StackId(0));
        Self {
            call: call::name(group.call),
            class: call::class(group.call),
            resource: ResourceOut::new(words, group.resource),
            at: StackOut::new(words, group.stack),
            count: group.count,
            total_ns: group.total.0,
            off_cpu_ns: group.off_cpu.0,
            spread: group.quantiles.into(),
            bytes: group.bytes,
            tiny: group.tiny,
            errors: group.errors.iter().map(|error| ErrorOut::new(*error)).collect(),
            stacks: group.stacks.iter().map(|share| AtOut::new(words, share)).collect(),
            threads: group.threads.iter().map(thread).collect(),
            longest: group.longest.iter().map(|one| OneCallOut::new(words, one)).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct ErrorOut {
    error: String,
    number: u32,
    count: u64,
}

impl ErrorOut {
    fn new((number, count): (u32, u64)) -> Self {
        Self { error: errno::shown(number.into()), number, count }
    }
}

#[derive(Debug, Serialize)]
struct OneCallOut {
    #[serde(flatten)]
    who: Option<WhoOut>,
    at: Option<StackOut>,
    resource: Option<ResourceOut>,
    begin_ns: i64,
    duration_ns: u64,
    returned: i64,
}

impl OneCallOut {
    fn new(words: Words<'_>, one: &OneCall) -> Self {
        Self {
            who: WhoOut::new(words, one.thread),
            at: StackOut::new(words, one.stack),
            resource: ResourceOut::new(words, one.resource),
            begin_ns: one.begin.0,
            duration_ns: one.duration.0,
            returned: one.result,
        }
    }
}
