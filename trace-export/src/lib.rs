//! Traces in the formats of other viewers.
//!
//! The timeline of a trace (`trace_analysis::timeline`) is drawn into a [`scene`]: tracks, slices,
//! instants, arrows, counters, states. An exporter takes a scene and writes it in its format. This
//! crate does not interpret events. A trace is read once, and the export is written while the trace
//! is read: memory depends on how much is open at a time and, up to a limit, on the number of names
//! of tasks, not on the length of the trace.
//!
//! - [`scene`]: the vocabulary. [`draw`]: from a timeline to a scene.
//! - [`perfetto`]: the protobuf format of ui.perfetto.dev.
//! - [`profile`]: stacks with their weights, for pprof, scripts and flame graphs.
//! - [`label`]: names of things. `hash` (private): fast maps.
//!
//! Elsewhere: the command line, the output file, and messages (`trace-tool`).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod draw;
mod hash;
pub mod label;
pub mod perfetto;
pub mod profile;
pub mod scene;
