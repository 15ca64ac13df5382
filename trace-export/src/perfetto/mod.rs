//! Traces for ui.perfetto.dev: a stream of protobuf packets, written while the trace is read.
//!
//! Times are those of the recording machine's monotonic clock. Perfetto, too, says *track*; an
//! arrow is a *flow* there.
//!
//! - `encode`: a scene as packets. [`message`]: the messages of the format, with their field
//!   numbers.
//! - `packet`: writes packets into the file.
//! - `intern`: names by number. `stacks`: callstacks. `annotate`: arguments and results.
//!
//! Elsewhere: which track has what (`draw`).

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
/// - `symbols`: names for the addresses of stacks; an address without one is shown as an offset in
///   a module.
/// - `out`: receives pieces of about 256 KiB, so it needs no buffer; it is flushed at the end.
/// - `progress` is called every few megabytes.
/// - Returns what was read, written and left out.
///
/// # Errors
/// If writing to `out` fails; then the rest of the trace is not read.
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
