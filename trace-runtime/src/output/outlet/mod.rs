//! Where a trace goes: into a file (`file`), or into memory that keeps the last of it (`ring`),
//! and perhaps a file with it (`mirror`).
//!
//! Outlets share one session: they get the same pieces and definitions, and make a trace each that
//! stands by itself. An outlet that has come while the session ran sees threads in the middle:
//! they have a thread from its next batch on, which begins by restating what is open (`told`).
//!
//! - `lasting`: what is told to those who come late.
//! - `snapshot`: what a ring has, as a trace.

mod file;
mod lasting;
mod mirror;
mod ring;
mod snapshot;
mod told;

pub(crate) use file::File;
pub(crate) use lasting::Lasting;
pub(crate) use mirror::Mirror;
pub(crate) use ring::{Names, Ring};
pub(crate) use snapshot::Snapshot;

use crate::buffer::losses::{Reported, Tally};
use trace_format::batch::BatchInfo;
use trace_format::definition::Definition;

/// One of them.
#[derive(Debug)]
pub(crate) enum Outlet {
    File(Box<File>),
    Ring(Box<Ring>),
}

impl Outlet {
    /// Adds a definition, which is written before any event that comes after this call.
    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        match self {
            Self::File(file) => file.define(definition),
            Self::Ring(ring) => ring.define(definition),
        }
    }

    /// Writes a piece of events behind all definitions so far.
    /// Whether it belongs there.
    pub(crate) fn events(&mut self, info: &BatchInfo, payload: &[u8], reported: Reported) -> bool {
        match self {
            Self::File(file) => file.events(info, payload),
            Self::Ring(ring) => {
                ring.events(info, payload, reported);
                true
            }
        }
    }

    /// Writes the definitions that wait.
    pub(crate) fn write_definitions(&mut self) {
        if let Self::File(file) = self {
            file.write_definitions();
        }
    }

    /// Brings everything to where it goes.
    pub(crate) fn flush(&mut self) {
        match self {
            Self::File(file) => file.flush(),
            Self::Ring(ring) => ring.flush(),
        }
    }

    /// It is about to be told what lasts: the session has begun before, and has lost this so far.
    pub(crate) fn come_late(&mut self, lost: &Tally) {
        match self {
            Self::File(file) => file.come_late(lost),
            Self::Ring(ring) => ring.come_late(lost),
        }
    }
}
