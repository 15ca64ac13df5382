//! Opening a trace: a file, the file of a flight recorder, and what a killed process has left
//! beside either.
//!
//! - [`beside`]: what lies beside a trace and belongs to it.

pub mod beside;

use std::fs::File;
use std::io;
use std::path::Path;

use trace_format::flight;
use trace_format::live::{Recovered, recover_part};
use trace_format::read::{ReadAt, TraceFile};

use self::beside::{live_of, open_plain, part_before, read_live, say_other_name};
use crate::error::Failure;
use crate::label::{self, units};
use crate::output::say;

/// Opens a trace.
///
/// # Errors
/// If there is none.
pub fn open(path: &Path) -> Result<TraceFile<Bytes>, Failure> {
    let fail = |error| Failure::Open(path.to_owned(), error);
    let file = File::open(path).map_err(fail)?;
    let kind = file.metadata().map_err(fail)?;
    // A folder opens like a file and fails at the first read, with a puzzling message.
    if kind.is_dir() {
        return Err(Failure::Usage(format!("{}: is a folder, not a trace", label::path(path))));
    }
    if kind.is_file() && kind.len() == 0 {
        let why = "the file is empty: was its program built with the feature `enabled`? or was \
                   the start refused (`AlreadyRunning`) after `File::create` had emptied it?";
        return Err(Failure::Usage(format!("{}: at byte 0: {why}", label::path(path))));
    }
    let fail = |error| Failure::Trace(path.to_owned(), error);
    let trace = match flight_recorders(&file, path) {
        Some(trace) => TraceFile::open(Bytes::Memory(trace)).map_err(fail)?,
        None => TraceFile::open(Bytes::File(file)).map_err(fail)?,
    };
    say_other_name(path);
    if trace.is_complete() {
        return Ok(trace);
    }
    // The process may have been killed, and its memory be there.
    let Some(live) = read_live(path, &trace) else { return Ok(trace) };
    let before = part_before(path).and_then(|part| open_plain(&part).ok());
    let before = before.and_then(|part| TraceFile::open(part).ok());
    match recover_part(trace, &live, before.as_ref()) {
        Ok(recovered) => {
            let events = units::plural(recovered.events, "event", "events");
            say(&format!("recovered: {events} of {}", label::path(&live_of(path))));
            TraceFile::open(Bytes::Recovered(Box::new(recovered))).map_err(fail)
        }
        Err(trace) => Ok(*trace),
    }
}

/// The trace that a flight recorder's file has, if it is one.
#[must_use]
pub fn flight_recorders(file: &File, path: &Path) -> Option<Vec<u8>> {
    let mut magic = [0; flight::MAGIC.len()];
    let count = file.read_at(&mut magic, 0).ok()?;
    let is_one = magic[..count] == flight::MAGIC;
    is_one.then(|| flight::unwind(&std::fs::read(path).ok()?))?
}

/// Where a trace's bytes come from.
#[derive(Debug)]
pub enum Bytes {
    /// A file.
    File(File),
    /// What was made of a flight recorder's file.
    Memory(Vec<u8>),
    /// The same, with what a killed process has left beside it.
    Recovered(Box<Recovered<Self>>),
}

impl ReadAt for Bytes {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(out, offset),
            Self::Memory(bytes) => bytes.read_at(out, offset),
            Self::Recovered(recovered) => recovered.read_at(out, offset),
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.bytes(),
            Self::Memory(bytes) => bytes.bytes(),
            Self::Recovered(recovered) => recovered.bytes(),
        }
    }
}

/// Whether two paths lead to the same file.
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
