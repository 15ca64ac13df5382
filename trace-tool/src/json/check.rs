//! `exectrace check` for programs.

use serde::Serialize;

use super::findings::ReadOut;
use super::head::HeadOut;
use crate::answer::check::{CheckAnswer, FileContents};
use crate::error::Failure;
use crate::output::Output;

/// What `check` answers: `has_loss` is its verdict.
#[derive(Debug, Serialize)]
pub struct CheckOut {
    #[serde(flatten)]
    head: HeadOut,
    #[serde(flatten)]
    read: ReadOut,
    /// What there is in the file.
    contents: ContentsOut,
}

/// Prints the answer.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &CheckAnswer, out: &mut Output) -> Result<(), Failure> {
    let names = answer.subject.names();
    Ok(out.json(&CheckOut {
        head: HeadOut::new(&answer.subject),
        read: ReadOut::new(&names, &answer.summary),
        contents: answer.contents.into(),
    })?)
}

/// What there is in the file, and what the recorder says of itself.
#[derive(Debug, Serialize)]
pub struct ContentsOut {
    /// Threads that recorded in the window.
    threads: u64,
    /// CPUs of which there are events in the window.
    cpus: u64,
    /// Batches of definitions.
    definition_batches: u64,
    /// Stacks.
    stacks: u64,
    /// Modules: the program, and its libraries.
    modules: u64,
    /// Locks, files and sockets.
    resources: u64,
    /// Bytes of the file that can't be read.
    bytes_unreadable: u64,
    /// Whether the file has its index and its end.
    has_end: bool,
    /// Events that the recorder dropped, by its own count; `null` without an end.
    dropped_events: Option<u64>,
}

impl From<FileContents> for ContentsOut {
    fn from(contents: FileContents) -> Self {
        Self {
            threads: contents.threads,
            cpus: contents.cpus,
            definition_batches: contents.definition_batches,
            stacks: contents.stacks,
            modules: contents.modules,
            resources: contents.resources,
            bytes_unreadable: contents.bytes_unreadable,
            has_end: contents.has_end,
            dropped_events: contents.dropped_events,
        }
    }
}
