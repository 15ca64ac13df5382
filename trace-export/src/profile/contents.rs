//! Which data of a trace becomes a profile: the rows, the names of the values, and why a profile
//! may be empty.
//!
//! Types and units are named as Go's profiles name them.

use std::ops::Range;

use trace_analysis::profile::{ProfileKind, ProfileSample};
use trace_format::facility;
use trace_format::read::Tables;
use trace_format::time::Nanos;

use super::{Kind, Profile, Row};
use crate::label::escape::plain;

const CONTENTIONS: Kind = Kind { name: "contentions", unit: "count" };
const WAITED: [Kind; 2] = [CONTENTIONS, Kind { name: "delay", unit: "nanoseconds" }];
const CPU: Kind = Kind { name: "cpu", unit: "nanoseconds" };
const SAMPLED: [Kind; 2] = [Kind { name: "samples", unit: "count" }, CPU];
const SPACE: Kind = Kind { name: "space", unit: "bytes" };
const MEMORY: [Kind; 4] = [
    Kind { name: "alloc_objects", unit: "count" },
    Kind { name: "alloc_space", unit: "bytes" },
    Kind { name: "inuse_objects", unit: "count" },
    Kind { name: "inuse_space", unit: "bytes" },
];

/// Makes a profile from the stacks that the analysis found.
///
/// - `sample_bytes`: for a heap, the bytes between samples; else 0.
/// - `time`: the part of the trace that the profile covers, since the first clock snapshot.
#[must_use]
pub fn profile<'a>(
    tables: &'a Tables,
    kind: ProfileKind,
    samples: &[ProfileSample],
    sample_bytes: u64,
    time: Range<Nanos>,
) -> Profile<'a> {
    let (kinds, shown) = values(kind);
    let executable = tables.process.as_ref().map_or("", |process| process.executable.as_str());
    Profile {
        title: format!("{}: {}", plain(executable, 100), title(kind)),
        kinds,
        shown,
        period: period(kind, samples, sample_bytes),
        wall: Nanos(tables.clock.origin().wall.0.saturating_add(time.start.0)),
        length: Nanos(time.end.0.saturating_sub(time.start.0)),
        rows: samples.iter().map(|sample| row(tables, kind, sample)).collect(),
    }
}

/// Says why a profile is empty: the recorder could not record this, was not asked to, or there was
/// nothing.
#[must_use]
pub fn why_empty(tables: &Tables, kind: ProfileKind) -> String {
    let nothing = format!("the trace has nothing of this kind ({})", title(kind));
    match why_silent(tables, facility_of(kind)) {
        Some(why) => format!("{nothing}: {why}"),
        None => nothing,
    }
}

/// Why a facility of the recorder recorded nothing, by its name in the trace. `None` if it was on:
/// then there was nothing to record.
#[must_use]
pub fn why_silent(tables: &Tables, facility: &str) -> Option<String> {
    match tables.facilities.get(facility) {
        Some(found) if found.on => None,
        Some(found) => Some(format!("`{facility}` was off: {}", plain(&found.note, 200))),
        None => Some(format!("it was recorded without `{facility}`")),
    }
}

/// Whether the facility that a kind of profile needs was on.
#[must_use]
pub fn was_recorded(tables: &Tables, kind: ProfileKind) -> bool {
    tables.facilities.get(facility_of(kind)).is_some_and(|facility| facility.on)
}

/// The facility that a kind of profile needs, by its name in traces.
fn facility_of(kind: ProfileKind) -> &'static str {
    match kind {
        ProfileKind::Sched => facility::SCHED,
        ProfileKind::Cpu => facility::SAMPLES,
        ProfileKind::Heap => facility::HEAP,
        _ => facility::OS,
    }
}

/// What the values count, in the words of Go's profiles, and which of them is shown by default.
fn values(kind: ProfileKind) -> (&'static [Kind], usize) {
    match kind {
        ProfileKind::Cpu => (&SAMPLED, 1),
        ProfileKind::Heap => (&MEMORY, 3),
        _ => (&WAITED, 1),
    }
}

fn title(kind: ProfileKind) -> &'static str {
    match kind {
        ProfileKind::Block => "waiting",
        ProfileKind::Sync => "waiting for other threads",
        ProfileKind::Lock => "waiting for locks",
        ProfileKind::Net => "waiting for sockets and pollers",
        ProfileKind::Io => "waiting for files and pipes",
        ProfileKind::Syscall => "calls into the system",
        ProfileKind::Sched => "able to run, without a CPU",
        ProfileKind::Cpu => "on a CPU",
        ProfileKind::Heap => "memory",
    }
}

fn row<'a>(tables: &'a Tables, kind: ProfileKind, sample: &ProfileSample) -> Row<'a> {
    let stack = tables.stacks.get(&sample.stack);
    let thread = match sample.thread.0 {
        0 => String::new(),
        _ => tables.thread_name(sample.thread).into_owned(),
    };
    let values = match kind {
        ProfileKind::Heap => [sample.allocated_count, sample.allocated, sample.count, sample.value],
        _ => [sample.count, sample.value, 0, 0],
    };
    let is_kernel = sample.is_kernel;
    Row { addresses: stack.map_or(&[], |stack| &stack.addresses), is_kernel, thread, values }
}

fn period(kind: ProfileKind, samples: &[ProfileSample], sample_bytes: u64) -> (Kind, u64) {
    match kind {
        ProfileKind::Heap => (SPACE, sample_bytes.max(1)),
        ProfileKind::Cpu => {
            let (count, value) = samples.iter().fold((0, 0), |(count, value), sample| {
                (count + sample.count, value + sample.value)
            });
            (CPU, value.checked_div(count).unwrap_or(1))
        }
        _ => (CONTENTIONS, 1),
    }
}
