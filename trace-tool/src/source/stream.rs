//! The file that a trace is read from: the one of that name; or, of a pipe or of standard input, a
//! temporary file with all that came. A trace is read at any place, its index at the end first, and
//! a pipe has no places.
//!
//! The temporary file has no name, so it is gone with this process, however that ends.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use trace_format::header::{FILE_HEADER_BYTES, FileHeader};
use trace_format::survive::ring;

use crate::error::Failure;
use crate::label::{self, STANDARD_INPUT, units};

/// Maximum number of bytes that are kept of a pipe: a temporary folder is often in memory.
const KEPT_BYTES_MAX: u64 = 4 << 30;

/// What a trace is read from.
#[derive(Debug)]
pub struct Source {
    /// All its bytes; never a pipe.
    pub file: File,
    /// Whether the trace has this name: it can be opened again, and something that belongs to it
    /// may lie beside it.
    pub is_named: bool,
}

/// Opens what is to be read, and waits for the end of a pipe.
///
/// # Errors
/// If there is none, it is a folder, or a pipe has more than can be kept.
pub fn open(path: &Path) -> Result<Source, Failure> {
    let fail = |error| Failure::Open(path.to_owned(), error);
    let is_input = path == Path::new(STANDARD_INPUT);
    let opened = if is_input { standard_input() } else { File::open(path) };
    let file = opened.map_err(fail)?;
    let kind = file.metadata().map_err(fail)?;
    // A folder opens like a file and fails at the first read, with a puzzling message.
    if kind.is_dir() {
        return Err(Failure::Usage(format!("{}: is a folder, not a trace", label::path(path))));
    }
    if kind.is_file() {
        return Ok(Source { file, is_named: !is_input });
    }
    let kept = keep(file, KEPT_BYTES_MAX).map_err(fail)?;
    if kept.metadata().map_err(fail)?.len() == 0 {
        let what = "nothing came: what was to write the trace has failed";
        return Err(Failure::Usage(format!("{}: {what}", label::path(path))));
    }
    Ok(Source { file: kept, is_named: false })
}

#[cfg(unix)]
fn standard_input() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn standard_input() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
}

/// A temporary file with all that comes; of what is no trace only the begin, which shows that.
///
/// # Errors
/// If it can't be read or written, or more than `bytes_max` come.
fn keep(mut stream: impl Read, bytes_max: u64) -> io::Result<File> {
    let mut header = Vec::new();
    stream.by_ref().take(FILE_HEADER_BYTES as u64).read_to_end(&mut header)?;
    let mut kept = tempfile::tempfile()?;
    kept.write_all(&header)?;
    if is_trace(&header) {
        // One byte more shows that there is more.
        let left = (bytes_max + 1).saturating_sub(header.len() as u64);
        let rest = io::copy(&mut stream.take(left), &mut kept)?;
        if rest == left {
            let limit = units::bytes(bytes_max);
            let what = format!("more than {limit} came through a pipe: write it to a file first");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
    }
    kept.rewind()?;
    Ok(kept)
}

/// Whether this can be the begin of a trace, or of a flight recorder's file.
pub(super) fn is_trace(header: &[u8]) -> bool {
    header.starts_with(&ring::MAGIC)
        || header.first_chunk().is_some_and(|header| FileHeader::decode(header).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_kept_whole_or_refused() {
        let mut bytes = FileHeader::CURRENT.encode().to_vec();
        bytes.extend([7; 1000]);
        let all = bytes.len() as u64;
        let mut again = Vec::new();
        let mut kept = keep(&*bytes, all).expect("it has room");
        kept.read_to_end(&mut again).expect("it can be read");
        assert!(again == bytes, "{} of {all} bytes", again.len());
        let refused = keep(&*bytes, all - 1).expect_err("one byte is too many");
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn of_what_is_no_trace_only_the_begin_is_read() {
        let kept = keep(io::repeat(b'x'), u64::MAX - 1).expect("it ends");
        assert_eq!(kept.metadata().expect("it is there").len(), FILE_HEADER_BYTES as u64);
    }
}
