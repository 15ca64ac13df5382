//! Whether `/proc` can be read. Only there the recorder finds the names of files and sockets, the
//! threads from before the trace, and how long threads waited for CPUs. In a container without
//! `/proc` a trace lacks them, and says so once, at its beginning.

use crate::output::Outputs;
use crate::source::Source;
use std::io;
use trace_format::definition::Definition;
use trace_format::facility;

/// Says in the trace if `/proc` can't be read.
#[derive(Debug)]
pub(crate) struct ProcFolder;

impl Source for ProcFolder {
    fn begin(&mut self, outputs: &mut Outputs) {
        let Err(error) = threads() else { return };
        let (name, note) = (facility::PROC.as_bytes(), refusal(&error));
        outputs.define(&Definition::Facility { name, on: false, note: note.as_bytes() });
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

/// The note for the trace: why `/proc` can't be read, and what is missing.
pub(crate) fn refusal(error: &io::Error) -> String {
    format!(
        "/proc/self/task can't be read: {error}; files and sockets have no names, threads from \
         before the trace are not known"
    )
}
