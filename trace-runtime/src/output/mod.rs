//! Where a trace goes. An *output* is a file (`file`), or memory that keeps the end of the trace
//! (`ring`), perhaps with a file that holds the same (`mirror`).
//!
//! All outputs of a session get the same pieces and definitions (`outputs`), and each makes a
//! complete trace of them. An output that is added while the session runs has each thread's events
//! from the thread's next batch on, which begins by restating what is open (`ledger`).
//!
//! - `beginning`: what every trace begins with; `interned`: definitions of stacks and resources;
//!   `definitions`: the definitions that an output needs that is added late.
//! - `sink`: the writer behind a file; `rotation`: a trace in parts.
//! - `snapshot`: what a ring holds, as a trace.
//! - `names`: names of functions, when a trace ends.
//!
//! Elsewhere: when to write what (`collect`, and each `source`).

pub(crate) mod beginning;
mod definitions;
mod file;
#[cfg(stacks)]
pub(crate) mod interned;
mod ledger;
mod mirror;
#[cfg_attr(not(all(feature = "names", stacks)), path = "names/disabled.rs")]
pub(crate) mod names;
mod outputs;
mod ring;
pub(crate) mod rotation;
pub(crate) mod sink;
mod snapshot;

pub(crate) use definitions::CurrentDefinitions;
pub(crate) use file::FileOutput;
pub(crate) use mirror::Mirror;
pub(crate) use outputs::Outputs;
pub(crate) use ring::{Ring, SessionNames};
pub(crate) use snapshot::Snapshot;

use crate::buffer::losses::{Reported, Tally};
use trace_format::batch::BatchInfo;
use trace_format::definition::Definition;

/// One place where a trace goes.
#[derive(Debug)]
pub(crate) enum Output {
    File(Box<FileOutput>),
    Ring(Box<Ring>),
}

impl Output {
    /// Adds a definition, which is written before any event that comes after this call.
    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        match self {
            Self::File(file) => file.define(definition),
            Self::Ring(ring) => ring.define(definition),
        }
    }

    /// Writes a piece of events behind all definitions so far. False if the output has no use for
    /// it, as the thread's first batch there is yet to come.
    pub(crate) fn events(&mut self, info: &BatchInfo, payload: &[u8], reported: Reported) -> bool {
        match self {
            Self::File(file) => file.events(info, payload),
            Self::Ring(ring) => {
                ring.events(info, payload, reported);
                true
            }
        }
    }

    /// Writes the gathered definitions.
    pub(crate) fn write_definitions(&mut self) {
        if let Self::File(file) = self {
            file.write_definitions();
        }
    }

    /// Passes everything on to the file.
    pub(crate) fn flush(&mut self) {
        match self {
            Self::File(file) => file.flush(),
            Self::Ring(ring) => ring.flush(),
        }
    }

    /// Prepares an output that is added late: the session has begun before, and has lost this so
    /// far.
    pub(crate) fn begin_late(&mut self, lost: &Tally) {
        match self {
            Self::File(file) => file.begin_late(lost),
            Self::Ring(ring) => ring.begin_late(lost),
        }
    }
}
