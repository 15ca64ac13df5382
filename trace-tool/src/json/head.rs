//! What every object begins with: the file, the window, what is missing.

use serde::Serialize;
use trace_analysis::standstill::Standstill;
use trace_format::read::Facility;

use crate::answer::completeness::Lack;
use crate::answer::{Disturbances, Reading, Subject};

/// What every object begins with.
#[derive(Debug, Serialize)]
pub struct HeadOut {
    /// The file.
    trace: TraceOut,
    /// The begin of the window that was read.
    from_ns: u64,
    /// Its end.
    to_ns: u64,
    /// Its length.
    wall_ns: u64,
    /// Parts of the recorder, as far as the trace speaks of them.
    facilities: Vec<FacilityOut>,
    /// Records of switches and samples that the kernel had no room for.
    lost_records: u64,
    /// Whether anything is missing from the answer. The exit code is 1 if it is, and else 0.
    has_loss: bool,
    /// What is missing from the answer, the worst first: what standard error says, too. It is of
    /// all threads in the window, whichever `--thread` asks for.
    missing: Vec<MissingOut>,
}

impl HeadOut {
    /// Of an answer.
    #[must_use]
    pub fn new(subject: &Subject) -> Self {
        let facilities = subject.reading.file.tables().facilities.values();
        Self {
            trace: TraceOut::new(&subject.reading),
            from_ns: subject.from.0,
            to_ns: subject.to.0,
            wall_ns: subject.wall().0,
            facilities: facilities.map(FacilityOut::from).collect(),
            lost_records: subject.missing.lost_records,
            has_loss: subject.missing.has_loss(),
            missing: subject.missing.losses.iter().map(MissingOut::from).collect(),
        }
    }
}

/// The file, and who wrote it. What the trace does not say is `null`.
#[derive(Debug, Serialize)]
pub struct TraceOut {
    /// As it was named.
    path: String,
    /// Its size; with what a killed process left beside it.
    bytes: u64,
    /// Whether it has its end.
    stopped: bool,
    /// The program.
    executable: Option<String>,
    /// The process.
    pid: Option<u64>,
    /// The system, as `linux`.
    os: Option<String>,
    /// The processor, as `x86_64`.
    arch: Option<String>,
    /// The recorder and its version.
    tracer: Option<String>,
    /// What the recorder read the time from.
    clock: Option<&'static str>,
    /// The clock's ticks per second.
    clock_hz: f64,
    /// The wall clock at the first clock snapshot, since 1970.
    started_unix_ns: u64,
    /// Time on a CPU of the recorder's own threads; `null` without an end, and in a
    /// snapshot of a program that went on.
    tracer_cpu_ns: Option<u64>,
    /// Memory that the recorder used at most; `null` as of `tracer_cpu_ns`.
    memory_max_bytes: Option<u64>,
}

impl TraceOut {
    fn new(reading: &Reading) -> Self {
        let (file, tables) = (&reading.file, reading.file.tables());
        let process = tables.process.as_ref();
        Self {
            path: reading.path.display().to_string(),
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
            tracer_cpu_ns: tables.stop.and_then(|stop| stop.known_cpu()).map(|cpu| cpu.0),
            memory_max_bytes: tables.stop.and_then(|stop| stop.known_memory()),
        }
    }
}

/// A part of the recorder.
#[derive(Debug, Serialize)]
pub struct FacilityOut {
    /// Its name, as `os`.
    name: String,
    /// Whether it served.
    on: bool,
    /// How, or why not.
    note: String,
}

impl From<&Facility> for FacilityOut {
    fn from(facility: &Facility) -> Self {
        let Facility { name, on, note } = facility.clone();
        Self { name, on, note }
    }
}

/// One kind of loss.
#[derive(Debug, Serialize)]
pub struct MissingOut {
    /// `damage`, `not_stopped`, `missing`, `dropped`, `end_lost`, `too_deep`, `clock_unknown`,
    /// `not_named` (stacks or resources that the recorder had no room to name), `not_joined`
    /// (threads whose definitions are missing: when they ran is not known), `lost_records`: see
    /// [FindingGroup](#findinggroup).
    kind: &'static str,
    /// How often it was found.
    count: u64,
    /// How many events were lost in this way; `null` if that is not known, and the least there can
    /// be if `evidence` is shorter than `count`.
    events: Option<u64>,
    /// The line for people.
    text: String,
    /// A line about each; the first hundred at most.
    evidence: Vec<String>,
}

impl From<&Lack> for MissingOut {
    fn from(lack: &Lack) -> Self {
        Self {
            kind: lack.kind,
            count: lack.count,
            events: lack.events,
            text: lack.line(),
            evidence: lack.evidence.clone(),
        }
    }
}

/// A time in which the whole process stood still.
#[derive(Debug, Serialize)]
pub struct StandstillOut {
    /// When it began.
    from_ns: u64,
    /// When it was over.
    to_ns: u64,
    /// From the one to the other.
    duration_ns: u64,
    /// 0 if the whole process was stopped from the one to the other, by a signal or a debugger, for
    /// example; else the machine was suspended for this long, at some time in between, which no
    /// other number counts.
    suspended_ns: u64,
}

impl From<&Standstill> for StandstillOut {
    fn from(it: &Standstill) -> Self {
        Self {
            from_ns: it.from.0,
            to_ns: it.to.0,
            duration_ns: it.to.0.saturating_sub(it.from.0),
            suspended_ns: it.suspended.0,
        }
    }
}

/// What disturbs all times.
#[derive(Debug, Serialize)]
pub struct DisturbancesOut {
    /// When the whole process stood still, by time.
    standstills: Vec<StandstillOut>,
    /// Batches and events that could not be read.
    unreadable: u64,
}

impl From<&Disturbances> for DisturbancesOut {
    fn from(all: &Disturbances) -> Self {
        let standstills = all.standstills.iter().map(StandstillOut::from).collect();
        Self { standstills, unreadable: all.unreadable }
    }
}
