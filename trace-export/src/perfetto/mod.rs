//! Traces for ui.perfetto.dev: a stream of protobuf packets, written while the trace is read.
//!
//! Times are the recording machine's monotonic clock. *Track* is Perfetto's word too, a *flow* is
//! its arrow.
//!
//! - `encode`: a scene as packets. [`message`]: the messages of the format, with their field
//!   numbers.
//! - `packet`: one after another into the file.
//! - `intern`: names by number. `stacks`: callstacks. `annotate`: arguments and results.
//!
//! Elsewhere: what lies on which track (`draw`).

mod annotate;
mod encode;
mod intern;
pub mod message;
mod packet;
mod stacks;

use std::io::{self, Write};

use trace_analysis::Progress;
use trace_analysis::symbols::Symbols;
use trace_format::read::{ReadAt, TraceFile};

use self::encode::{Encoder, FIRST};
use self::packet::Packets;
use crate::draw::{self, draw};

/// What an export has read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What was drawn.
    pub drawn: draw::Totals,
    /// Packets written.
    pub packets: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Writes the whole trace to `out` in Perfetto's format.
///
/// - `symbols`: names for the addresses of stacks; what is not there is a place in a module.
/// - `out`: gets pieces of about 256 KiB, so needs no buffer; it is flushed at the end.
/// - `progress` is called every few megabytes.
/// - Returns what was read, written and left out.
///
/// # Errors
/// If `out` fails; then the rest of the trace is not read.
pub fn export<S: ReadAt>(
    file: &TraceFile<S>,
    symbols: &Symbols,
    out: &mut dyn Write,
    progress: impl FnMut(Progress),
) -> io::Result<Totals> {
    let tables = file.tables();
    let packets = Packets::begin(out, tables.clock.origin(), FIRST)?;
    let mut encoder = Encoder::new(tables, symbols, packets);
    let drawn = draw(file, symbols, &mut encoder, progress);
    let (packets, bytes) = encoder.finish()?;
    Ok(Totals { drawn, packets, bytes })
}

#[cfg(test)]
mod tests;
