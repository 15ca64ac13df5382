//! Traces for ui.perfetto.dev: a stream of protobuf packets, written while the trace is read.
//!
//! What is where in the picture: a thread's regions, polls and task runs are slices on the thread's
//! track, with arguments as annotations; a task or a future is a slice on a track of its own, tied
//! by a flow to every thread that works for it. An async task, a future that was spawned or is
//! awaited by none that is traced, has besides a slice for each stretch in which it was ready,
//! polled or idle, and arrows from who spawned or woke it to the poll that came of it. A region
//! held across an await goes on below its future; counters have counter tracks; marks and messages
//! are instants; lost events are a mark on the thread and a slice below it. Calls into the system
//! are slices with their resource and result, and an arrow leads from who woke to who waited. CPUs
//! are rows of their own, threads have their states above them, samples and stacks are callstacks,
//! the heap is counters. What has not ended has no end in the file. Times are the recording
//! machine's monotonic clock. *Track* is Perfetto's word and means one of its rows; a `Lane` is
//! what we know of a thread.
//!
//! Memory is bounded by what is open at a time: per thread its open regions, and tasks and futures
//! that are alive, each with a limit.
//!
//! - [`message`]: the messages of the format, with their field numbers.
//! - `packet`: one after another into the file.
//! - `intern`: names by number.
//! - `annotate`: arguments and results.
//! - `lane`: what is open on a thread.
//! - `tracks`: who has which track; tasks and futures that are alive.
//! - `progress`: how far async tasks have come.
//! - `stacks`: callstacks. `wakes`: which thread woke which.
//! - `stops`: when the whole process stood still, or the machine.
//! - `convert`, `lives`, `futures`, `losses`, `calls`, `cpus`, `heap`: from an event to its
//!   packets.

mod annotate;
mod calls;
mod convert;
mod cpus;
mod futures;
mod heap;
mod intern;
mod lane;
mod lives;
mod losses;
pub mod message;
mod packet;
mod progress;
mod stacks;
mod stops;
mod tracks;
mod wakes;

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::{error, fmt};

use trace_analysis::standstill::standstills;
use trace_analysis::symbols::Symbols;
use trace_format::header::BatchKind;
use trace_format::id::ThreadId;
use trace_format::read::{ReadAt, ReadError, ReadErrorKind, TraceFile, Window};

use convert::Converter;
use packet::Packets;

/// Between two calls of `progress` there are so many events.
const PROGRESS_EVENTS: u64 = 1 << 16;
/// Of the faults met on the way so many are kept; all are counted.
const FAULTS_MAX: usize = 16;

/// What an export has read and written.
#[derive(Debug, Default)]
pub struct Totals {
    /// Events read.
    pub events: u64,
    /// Slices begun in the output.
    pub slices: u64,
    /// Packets written.
    pub packets: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Slices that are left open in the output: of regions, polls, task runs, tasks, futures and
    /// what they do.
    pub unfinished: u64,
    /// Ends that were not for the innermost open thing, or for nothing.
    pub misnested: u64,
    /// Events that the recorder lost for want of memory.
    pub dropped_events: u64,
    /// Ends that the recorder lost for want of memory.
    pub dropped_ends: u64,
    /// What viewers could not show and is left out: too deep, too many at once, no number.
    pub hidden: u64,
    /// Samples of what threads were doing.
    pub samples: u64,
    /// Records that the system lost: of threads that came and left CPUs, and samples.
    pub lost_records: u64,
    /// Events of a newer version, left out.
    pub unknown: u64,
    /// How many faults in the trace were met while reading it; see also [`TraceFile::faults`].
    pub faults_count: u64,
    /// The first few of them.
    pub faults: Vec<ReadError>,
}

/// Why an export ended early.
#[derive(Debug)]
pub enum ExportError {
    /// The trace could not be read on. What is merely damaged is left out instead.
    Read(ReadError),
    /// The output could not be written.
    Write(io::Error),
}

impl ExportError {
    /// Whether whoever reads the output has enough: not an error for a command in a pipe.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write(cause) if cause.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => write!(f, "the trace could not be read"),
            Self::Write(_) => write!(f, "the export could not be written"),
        }
    }
}

impl error::Error for ExportError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Read(cause) => Some(cause),
            Self::Write(cause) => Some(cause),
        }
    }
}

impl From<io::Error> for ExportError {
    fn from(cause: io::Error) -> Self {
        Self::Write(cause)
    }
}

/// Writes the whole trace to `out` in Perfetto's format.
///
/// - `symbols`: names for the addresses of stacks; what is not there is a place in a module.
/// - `out`: gets pieces of about 256 KiB, so needs no buffer; it is flushed at the end.
/// - `progress`: called now and then with the number of events read so far.
/// - Returns what was read, written and left out. Damaged batches are left out; see
///   [`Totals::faults`].
///
/// # Errors
/// [`ExportError::Write`] as soon as `out` fails; [`ExportError::Read`] if the trace's source does.
pub fn export<S: ReadAt>(
    file: &TraceFile<S>,
    symbols: &Symbols,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Totals, ExportError> {
    let tables = file.tables();
    let packets = Packets::begin(out, tables.clock.origin(), tracks::FIRST)?;
    let mut converter = Converter::begin(tables, symbols, packets)?;
    let mut faults = Faults::default();
    walk(file, &mut converter, progress, &mut faults)?;
    converter.last_losses()?;
    if let Some(generation) = tables.generations.last() {
        match file.state_at(generation.number) {
            Ok(state) => {
                let ends = ends(file);
                for thread in state.iter().flat_map(|state| &state.threads) {
                    let at = (thread.sequence, thread.offset);
                    if ends.get(&thread.id).is_none_or(|&last| last < at) {
                        converter.last_state(thread, generation.ticks)?;
                    }
                }
            }
            Err(fault) => faults.add(fault),
        }
    }
    converter.standstills(&standstills(file))?;
    let mut totals = converter.finish()?;
    progress(totals.events);
    (totals.faults_count, totals.faults) = (faults.count, faults.kept);
    Ok(totals)
}

/// Each thread's last piece: its batch's sequence, and where in the batch it begins.
fn ends<S: ReadAt>(file: &TraceFile<S>) -> HashMap<ThreadId, (u32, u32)> {
    let mut ends = HashMap::new();
    for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
        let last = ends.entry(entry.thread).or_default();
        *last = (entry.sequence, entry.piece).max(*last);
    }
    ends
}

/// Faults met while reading.
#[derive(Debug, Default)]
struct Faults {
    count: u64,
    kept: Vec<ReadError>,
}

impl Faults {
    fn add(&mut self, fault: ReadError) {
        self.count += 1;
        if self.kept.len() < FAULTS_MAX {
            self.kept.push(fault);
        }
    }
}

/// Sends all events to the converter.
fn walk<S: ReadAt>(
    file: &TraceFile<S>,
    converter: &mut Converter<'_, '_>,
    progress: &mut dyn FnMut(u64),
    faults: &mut Faults,
) -> Result<(), ExportError> {
    let mut events = file.in_order(Window::default());
    let mut until_progress = PROGRESS_EVENTS;
    loop {
        let mut failed = None;
        let walked = events.for_each(|timed| {
            until_progress -= 1;
            if until_progress == 0 {
                until_progress = PROGRESS_EVENTS;
                progress(converter.totals.events);
            }
            match converter.event(&timed) {
                Ok(()) => ControlFlow::Continue(()),
                Err(cause) => {
                    failed = Some(cause);
                    ControlFlow::Break(())
                }
            }
        });
        match (walked, failed) {
            (_, Some(cause)) => return Err(ExportError::Write(cause)),
            (Ok(_), None) => return Ok(()),
            (Err(fault), None) => {
                if matches!(fault.kind, ReadErrorKind::Io(_)) {
                    return Err(ExportError::Read(fault));
                }
                faults.add(fault);
                if let Some(thread) = events.fault_thread() {
                    converter.gap(thread)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
