//! Traces in the formats of other viewers.
//!
//! An exporter reads a trace once, in time order, and writes as it reads: its memory depends on
//! how much is open at a time, not on how long the trace is. Elsewhere: the command line, where
//! the output goes, and what is said on the terminal.
//!
//! - [`perfetto`]: the protobuf format of ui.perfetto.dev.

pub mod perfetto;
