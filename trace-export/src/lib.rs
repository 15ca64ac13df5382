//! Traces in the formats of other viewers.
//!
//! The timeline of a trace (`trace_analysis::timeline`) is drawn into a [`scene`]: tracks, slices,
//! instants, arrows, counters, states. An exporter takes a scene and writes it in its format; what
//! events mean is no business of this crate. A trace is read once, and written while it is read:
//! memory depends on how much is open at a time and, up to a limit, on how many names tasks have,
//! not on how long the trace is.
//!
//! - [`scene`]: the vocabulary. [`draw`]: from a timeline to a scene.
//! - [`perfetto`]: the protobuf format of ui.perfetto.dev.
//! - [`profile`]: stacks with their weights, for pprof, scripts and flame graphs.
//! - [`label`]: what things are called. `hash` (private): fast maps.
//!
//! Elsewhere: the command line, where the output goes, what is said on the terminal (`trace-tool`).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod draw;
mod hash;
pub mod label;
pub mod perfetto;
pub mod profile;
pub mod scene;
