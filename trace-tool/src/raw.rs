//! `exectrace events --raw`: the bytes of a trace as lines, in file order.
//!
//! The lines are the text form of FORMAT.md, section 9, from which a test can make the same bytes
//! again. Damage stands where it was found, as a comment. What lies beside the trace in `.live` is
//! not part of its bytes; `exectrace recover` makes a trace that has it.

use std::io::{Cursor, Read, Seek};
use std::path::Path;

use trace_format::text::{TextWriteError, write_text};

use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::source::{stream, unwound};

/// Writes the lines.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(path: &Path, out: &mut Output) -> Result<Verdict, Failure> {
    let file = stream::open(path)?.file;
    match unwound(&file, path)? {
        Some(trace) => write(path, Cursor::new(trace), out),
        None => write(path, file, out),
    }
}

fn write(path: &Path, source: impl Read + Seek, out: &mut Output) -> Result<Verdict, Failure> {
    match write_text(source, out) {
        Ok(true) => Ok(Verdict::Fine),
        Ok(false) => Ok(Verdict::Faulty),
        Err(TextWriteError::Read(error)) => Err(Failure::Trace(path.to_owned(), error)),
        Err(TextWriteError::Write(error)) => Err(Failure::Output(error)),
    }
}
