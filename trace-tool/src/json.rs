//! The answers for programs: what `--json` prints, as described in `trace-tool/JSON.md`.
//!
//! Names of fields are stable within a major version; new ones may come. Times are in nanoseconds,
//! and their names say so; moments count from the trace's first clock snapshot.

pub mod async_tasks;
pub mod explain;
pub mod heap;
pub mod life;
pub mod process;
mod values;

use serde::Serialize;
use trace_analysis::counters::{CounterSummary, MomentSummary};
use trace_analysis::findings::{Finding, FindingKind};
use trace_analysis::futures::FutureSummary;
use trace_analysis::life::{Lives, RegionTimes};
use trace_analysis::regions::{Outlier, RegionSummary};
use trace_analysis::sources;
use trace_analysis::tasks::{TaskSummary, TaskTree, Tasks};
use trace_analysis::threads::ThreadSummary;
use trace_analysis::{Quantiles, Summary};
use trace_format::id::SiteId;
use trace_format::read::{ReadAt, TraceFile};

use crate::completeness::Completeness;
use crate::describe::Names;
pub use values::{Named, OwnedValuesOut, ValueOut};

/// The file itself.
#[derive(Debug, Serialize)]
pub struct Trace {
    path: String,
    bytes: u64,
    stopped: bool,
    executable: Option<String>,
    pid: Option<u64>,
    os: Option<String>,
    arch: Option<String>,
    tracer: Option<String>,
    clock: Option<&'static str>,
    clock_hz: f64,
    /// The wall clock at the first clock snapshot, since 1970.
    started_unix_ns: u64,
    tracer_cpu_ns: Option<u64>,
    memory_max_bytes: Option<u64>,
}

impl Trace {
    /// What the tables of `file` say.
    pub fn new<S: ReadAt>(path: &std::path::Path, file: &TraceFile<S>) -> Self {
        let tables = file.tables();
        let process = tables.process.as_ref();
        Self {
            path: path.display().to_string(),
            bytes: file.bytes(),
            stopped: file.is_complete() && tables.stop.is_some(),
            executable: process.map(|process| process.executable.clone()),
            pid: process.map(|process| process.pid),
            os: process.map(|process| process.os.clone()),
            arch: process.map(|process| process.arch.clone()),
            tracer: process.map(|process| process.tracer.clone()),
            clock: process.map(|process| process.clock.name()),
            clock_hz: tables.clock.frequency_hz(),
            started_unix_ns: tables.clock.origin().wall.0,
            tracer_cpu_ns: tables.stop.map(|stop| stop.tracer_cpu.0),
            memory_max_bytes: tables.stop.map(|stop| stop.memory_max),
        }
    }
}

/// What all commands but `events` answer; each leaves out what it was not asked.
#[derive(Debug, Serialize)]
pub struct Report {
    trace: Trace,
    from_ns: u64,
    to_ns: u64,
    wall_ns: u64,
    events: u64,
    batches: u64,
    batch_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    regions: Option<Vec<Region>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<Vec<Thread>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<TaskReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    futures: Option<Vec<Future>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counters: Option<Vec<Counter>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    moments: Option<Vec<Moment>>,
    /// What threads did with their time, if the trace has more than regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    lives: Option<life::LivesOut>,
    /// Parts of the recorder; left out if the trace says nothing about them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facilities: Vec<process::FacilityOut>,
    /// Records of what ran where that the kernel had no room for.
    lost_records: u64,
    /// Whether anything is missing from what is shown.
    has_loss: bool,
    findings: Vec<FindingGroup>,
}

/// Which parts of a [`Report`] are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Everything.
    All,
    /// The regions.
    Regions,
    /// The tasks.
    Tasks,
    /// The threads.
    Threads,
    /// Only the findings.
    Findings,
}

impl Report {
    /// A summary, as far as it is wanted.
    #[must_use]
    pub fn new(
        trace: Trace,
        names: &Names<'_>,
        summary: &Summary,
        parts: Parts,
        missing: &Completeness,
    ) -> Self {
        let wants = |part| parts == Parts::All || parts == part;
        let all = parts == Parts::All;
        let regions = || summary.regions.iter().map(|region| Region::new(names, region)).collect();
        let threads = || summary.threads.iter().map(|thread| Thread::new(names, thread)).collect();
        let futures = || summary.futures.iter().map(|future| Future::new(names, future)).collect();
        let counters = || summary.counters.iter().map(|it| Counter::new(names, it)).collect();
        let moments = || summary.moments.iter().map(|it| Moment::new(names, it)).collect();
        Self {
            trace,
            from_ns: summary.from.0,
            to_ns: summary.to.0,
            wall_ns: summary.wall().0,
            events: summary.events,
            batches: summary.batches,
            batch_bytes: summary.bytes,
            regions: wants(Parts::Regions).then(regions),
            threads: wants(Parts::Threads).then(threads),
            tasks: wants(Parts::Tasks).then(|| TaskReport::new(&summary.tasks)),
            futures: all.then(futures),
            counters: all.then(counters),
            moments: all.then(moments),
            lives: None,
            facilities: names
                .tables()
                .facilities
                .values()
                .map(process::FacilityOut::from)
                .collect(),
            lost_records: summary.lost_records,
            has_loss: missing.has_loss(),
            findings: FindingGroup::all(names, summary),
        }
    }
}

impl Report {
    /// With what threads did.
    #[must_use]
    pub fn with_lives(mut self, words: life::Words<'_>, lives: &Lives) -> Self {
        self.lives = Some(life::LivesOut::new(words, lives));
        self.lost_records = lives.lost_records;
        self.with_region_times(&lives.regions)
    }

    /// With what threads did in regions.
    #[must_use]
    pub fn with_region_times(mut self, times: &[RegionTimes]) -> Self {
        for region in self.regions.iter_mut().flatten() {
            let own = times.iter().find(|times| times.site.0 == region.place.site);
            region.times = own.map(life::RegionTimesOut::from);
        }
        self
    }
}

#[derive(Debug, Serialize)]
struct Place {
    site: u32,
    name: Option<String>,
    module: Option<String>,
    file: Option<String>,
    line: Option<u32>,
}

impl Place {
    fn new(names: &Names<'_>, site: SiteId) -> Self {
        let known = names.callsite(site);
        Self {
            site: site.0,
            name: known.map(|site| site.name.clone()),
            module: known.map(|site| site.module.clone()),
            file: known.map(|site| sources::normal(&site.file).into_owned()),
            line: known.map(|site| site.line),
        }
    }
}

#[derive(Debug, Serialize)]
struct Spread {
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

impl From<Quantiles> for Spread {
    fn from(quantiles: Quantiles) -> Self {
        let Quantiles { p50, p90, p99, max } = quantiles;
        Self { p50_ns: p50.0, p90_ns: p90.0, p99_ns: p99.0, max_ns: max.0 }
    }
}

#[derive(Debug, Serialize)]
struct Region {
    #[serde(flatten)]
    place: Place,
    count: u64,
    total_ns: u64,
    self_ns: u64,
    mean_ns: u64,
    #[serde(flatten)]
    spread: Spread,
    failed: u64,
    misnested: u64,
    unfinished: u64,
    lost_ends: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    times: Option<life::RegionTimesOut>,
    outliers: Vec<Long>,
}

impl Region {
    fn new(names: &Names<'_>, region: &RegionSummary) -> Self {
        let long = |outlier| Long::new(names, region.site, outlier);
        Self {
            place: Place::new(names, region.site),
            count: region.count,
            total_ns: region.total.0,
            self_ns: region.self_time.0,
            mean_ns: region.mean.0,
            spread: region.quantiles.into(),
            failed: region.failed,
            misnested: region.misnested,
            unfinished: region.unfinished,
            lost_ends: region.lost_ends,
            times: None,
            outliers: region.outliers.iter().map(long).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Long {
    thread: u32,
    thread_name: String,
    begin_ns: i64,
    duration_ns: u64,
    arguments: Named,
    outcome: Option<&'static str>,
    result: Option<OwnedValuesOut>,
}

impl Long {
    fn new(names: &Names<'_>, site: SiteId, outlier: &Outlier) -> Self {
        let result = outlier.outcome.as_ref();
        Self {
            thread: outlier.thread.0,
            thread_name: names.thread_name(outlier.thread),
            begin_ns: outlier.begin.0,
            duration_ns: outlier.duration.0,
            arguments: Named::new(names, site, outlier.arguments.values()),
            outcome: result.map(|(outcome, _)| outcome.name()),
            result: result.map(|(_, values)| OwnedValuesOut(values.clone())),
        }
    }
}

#[derive(Debug, Serialize)]
struct Thread {
    thread: u32,
    name: String,
    os_id: Option<u64>,
    first_ns: u64,
    last_ns: u64,
    ended: bool,
    busy_ns: u64,
    events: u64,
    regions: u64,
    dropped_events: u64,
    dropped_ends: u64,
    batches: u64,
    bytes: u64,
}

impl Thread {
    fn new(names: &Names<'_>, thread: &ThreadSummary) -> Self {
        Self {
            thread: thread.thread.0,
            name: names.thread_name(thread.thread),
            os_id: names.os_id(thread.thread),
            first_ns: thread.first.0,
            last_ns: thread.last.0,
            ended: thread.ended,
            busy_ns: thread.busy.0,
            events: thread.events,
            regions: thread.regions,
            dropped_events: thread.dropped_events,
            dropped_ends: thread.dropped_ends,
            batches: thread.batches,
            bytes: thread.bytes,
        }
    }
}

#[derive(Debug, Serialize)]
struct TaskReport {
    names: Vec<TaskName>,
    slowest: Vec<Tree>,
    untracked: u64,
}

impl TaskReport {
    fn new(tasks: &Tasks) -> Self {
        Self {
            names: tasks.names.iter().map(TaskName::new).collect(),
            slowest: tasks.slowest.iter().map(Tree::new).collect(),
            untracked: tasks.untracked,
        }
    }
}

#[derive(Debug, Serialize)]
struct TaskName {
    name: String,
    count: u64,
    unfinished: u64,
    total_ns: u64,
    worked_ns: u64,
    mean_ns: u64,
    #[serde(flatten)]
    spread: Spread,
    thread_hops: u64,
}

impl TaskName {
    fn new(task: &TaskSummary) -> Self {
        Self {
            name: task.name.clone(),
            count: task.count,
            unfinished: task.unfinished,
            total_ns: task.total.0,
            worked_ns: task.worked.0,
            mean_ns: task.mean.0,
            spread: task.quantiles.into(),
            thread_hops: task.thread_hops,
        }
    }
}

#[derive(Debug, Serialize)]
struct Tree {
    task: u64,
    parent: u64,
    name: String,
    begin_ns: i64,
    latency_ns: u64,
    unfinished: bool,
    worked_ns: u64,
    runs: u64,
    thread_hops: u64,
    omitted: u64,
    children: Vec<Tree>,
}

impl Tree {
    fn new(tree: &TaskTree) -> Self {
        Self {
            task: tree.id.0,
            parent: tree.parent.0,
            name: tree.name.clone(),
            begin_ns: tree.begin.0,
            latency_ns: tree.latency.0,
            unfinished: tree.unfinished,
            worked_ns: tree.worked.0,
            runs: tree.runs,
            thread_hops: tree.thread_hops,
            omitted: tree.omitted,
            children: tree.children.iter().map(Self::new).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Future {
    #[serde(flatten)]
    place: Place,
    count: u64,
    returned: u64,
    failed: u64,
    dropped: u64,
    panicked: u64,
    ended: u64,
    unfinished: u64,
    polls: u64,
    poll_total_ns: u64,
    poll: Spread,
    life: Spread,
}

impl Future {
    fn new(names: &Names<'_>, future: &FutureSummary) -> Self {
        Self {
            place: Place::new(names, future.site),
            count: future.count,
            returned: future.returned,
            failed: future.failed,
            dropped: future.dropped,
            panicked: future.panicked,
            ended: future.ended,
            unfinished: future.unfinished,
            polls: future.polls,
            poll_total_ns: future.poll_total.0,
            poll: future.poll.into(),
            life: future.life.into(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Counter {
    #[serde(flatten)]
    place: Place,
    count: u64,
    min: ValueOut<'static>,
    max: ValueOut<'static>,
    last: ValueOut<'static>,
    last_at_ns: u64,
}

impl Counter {
    fn new(names: &Names<'_>, counter: &CounterSummary) -> Self {
        Self {
            place: Place::new(names, counter.site),
            count: counter.count,
            min: ValueOut(counter.min),
            max: ValueOut(counter.max),
            last: ValueOut(counter.last),
            last_at_ns: counter.last_at.0,
        }
    }
}

#[derive(Debug, Serialize)]
struct Moment {
    #[serde(flatten)]
    place: Place,
    count: u64,
}

impl Moment {
    fn new(names: &Names<'_>, moment: &MomentSummary) -> Self {
        Self { place: Place::new(names, moment.site), count: moment.count }
    }
}

#[derive(Debug, Serialize)]
struct FindingGroup {
    kind: &'static str,
    is_loss: bool,
    count: u64,
    /// The first hundred at most.
    evidence: Vec<Evidence>,
}

#[derive(Debug, Serialize)]
struct Evidence {
    thread: Option<u32>,
    thread_name: Option<String>,
    at_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    text: String,
}

impl FindingGroup {
    fn all(names: &Names<'_>, summary: &Summary) -> Vec<Self> {
        let groups = summary.findings.by_kind().map(|(kept, count)| Self {
            kind: kept[0].kind.name(),
            is_loss: kept[0].kind.is_loss(),
            count,
            evidence: kept.iter().map(|finding| Evidence::new(names, finding)).collect(),
        });
        groups.collect()
    }
}

impl Evidence {
    fn new(names: &Names<'_>, finding: &Finding) -> Self {
        let (offset, events) = match finding.kind {
            FindingKind::Damage { offset, .. } => (Some(offset), None),
            FindingKind::Missing { events }
            | FindingKind::Dropped { events, .. }
            | FindingKind::SitesUndefined { events } => (None, Some(events)),
            _ => (None, None),
        };
        Self {
            thread: finding.thread.map(|thread| thread.0),
            thread_name: finding.thread.map(|thread| names.thread_name(thread)),
            at_ns: finding.at.map(|at| at.0),
            offset,
            events,
            text: names.finding(finding),
        }
    }
}
