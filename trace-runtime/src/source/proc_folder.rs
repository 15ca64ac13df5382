//! Whether `/proc` serves: what files and sockets are called, which threads there were before the
//! trace, and how long threads waited for CPUs stand there and nowhere else. In a container without
//! it a trace lacks them, and says so once, in front of all the consequences.

use crate::output::Output;
use crate::source::Source;
use std::io;
use trace_format::definition::Definition;
use trace_format::facility;

/// Says in the trace that `/proc` does not serve, if it does not.
#[derive(Debug)]
pub(crate) struct ProcFolder;

impl Source for ProcFolder {
    fn begin(&mut self, output: &mut Output) {
        let Err(error) = threads() else { return };
        let (name, note) = (facility::PROC.as_bytes(), refusal(&error));
        output.define(&Definition::Facility { name, on: false, note: note.as_bytes() });
    }
}

/// The system's ids of the threads of this process.
///
/// # Errors
/// If `/proc` can't be read, or is not the one of this process's namespace.
pub(crate) fn threads() -> io::Result<Vec<u32>> {
    let folder = std::fs::read_dir("/proc/self/task")?;
    let names = folder.flatten().map(|entry| entry.file_name());
    let threads: Vec<_> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    if threads.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no thread is listed"));
    }
    Ok(threads)
}

/// Why it does not serve, in words.
pub(crate) fn refusal(error: &io::Error) -> String {
    format!(
        "/proc/self/task can't be read: {error}; files and sockets have no names, threads from \
         before the trace are not known"
    )
}
