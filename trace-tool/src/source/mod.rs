//! Opening a trace: a file, a pipe, the file of a flight recorder, and what a killed process has
//! left beside a file.
//!
//! - [`stream`]: files and pipes. [`beside`]: what lies beside a trace and belongs to it.

pub mod beside;
pub mod stream;

use std::fs::File;
use std::io;
use std::path::Path;

use trace_format::read::{ReadAt, ReadError, ReadErrorKind, TraceFile};
use trace_format::survive::live::{Recovered, recover_part};
use trace_format::survive::ring;

use self::beside::{live_of, open_plain, part_before, read_live, say_other_name};
use self::stream::Source;
use crate::error::Failure;
use crate::label::{self, units};
use crate::output::say;

/// Maximum size of a recorder's own file that is read, a flight recorder's or the one beside a
/// trace: it is read into memory. It is as large as the memory the recorder may use, 64 MiB by
/// default.
const RECORDER_BYTES_MAX: u64 = 4 << 30;

/// A trace that is open.
#[derive(Debug)]
pub struct Opened {
    /// The trace.
    pub trace: TraceFile<Bytes>,
    /// Whether it can be opened by the same name again: what came through a pipe is gone.
    pub is_named: bool,
}

/// Opens a trace.
///
/// # Errors
/// If there is none.
pub fn open(path: &Path) -> Result<Opened, Failure> {
    let Source { file, is_named } = stream::open(path)?;
    let trace = trace_in(file, path, is_named)?;
    Ok(Opened { trace, is_named })
}

/// The trace in a file.
///
/// - `is_named`: whether something that belongs to the trace may lie beside it.
///
/// # Errors
/// If there is none.
fn trace_in(file: File, path: &Path, is_named: bool) -> Result<TraceFile<Bytes>, Failure> {
    let length = file.metadata().map_err(|error| Failure::Open(path.to_owned(), error))?.len();
    if length == 0 {
        let why = "the file is empty: was its program built with the feature `enabled`? or was \
                   the start refused (`AlreadyRunning`) after `File::create` had emptied it?";
        return Err(Failure::Usage(format!("{}: at byte 0: {why}", label::path(path))));
    }
    let fail = |error| Failure::Trace(path.to_owned(), error);
    let trace = match unwound(&file, path)? {
        Some(trace) => TraceFile::open(Bytes::Memory(trace)).map_err(fail)?,
        None => TraceFile::open(Bytes::File(file)).map_err(fail)?,
    };
    if is_named {
        say_other_name(path);
    }
    if trace.is_complete() || !is_named {
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

/// The trace that was made of a flight recorder's file; `None` if the file is none.
///
/// # Errors
/// If it is one, and can't be read, is too large, or its header is damaged.
pub fn unwound(file: &File, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let mut magic = [0; ring::MAGIC.len()];
    let is_one = file.read_at(&mut magic, 0).is_ok_and(|count| magic[..count] == ring::MAGIC);
    if !is_one {
        // What can't be read is told by whoever reads the trace.
        return Ok(None);
    }
    let fail = |kind| Failure::Trace(path.to_owned(), ReadError::new(0, kind));
    let bytes = read_whole(file).map_err(|error| fail(ReadErrorKind::Io(error)))?;
    let trace = ring::unwind(&bytes).ok_or_else(|| fail(ReadErrorKind::HeaderDamaged))?;
    Ok(Some(trace))
}

/// All bytes of a recorder's file.
///
/// # Errors
/// If it can't be read, or is larger than [`RECORDER_BYTES_MAX`].
fn read_whole(mut file: &File) -> io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _};
    let too_large = || {
        let limit = units::bytes(RECORDER_BYTES_MAX);
        io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit}"))
    };
    if file.metadata()?.len() > RECORDER_BYTES_MAX {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.rewind()?;
    // It may grow meanwhile.
    let read = file.take(RECORDER_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if read as u64 > RECORDER_BYTES_MAX { Err(too_large()) } else { Ok(bytes) }
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

/// Whether two paths lead to the same file: hard links of one file have different paths.
#[cfg(unix)]
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let of = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino()));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether two paths lead to the same file, where hard links can't be told.
#[cfg(not(unix))]
#[must_use]
pub fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
