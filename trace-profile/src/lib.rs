//! Profiles of traces: the names of functions, and pprof's format. For the command, and for
//! programs that serve profiles of themselves.
//!
//! Where the weights come from is the analysis's business; here they are numbers. The recorder's
//! own functions are left out of every format. Files are read, nothing is printed.
//!
//! - [`symbols`]: names of addresses, from the program's files, by build id.
//! - `profile` (private): stacks with their weights, which stand here below.
//! - [`contents`]: which stacks and weights a trace has for each kind of profile.
//! - [`pprof`]: for `pprof` and whatever reads its files; [`message`]: its messages.
//! - [`escape`]: text out of a trace, made safe to show.
//!
//! Elsewhere: lines, flame graphs and the command line (`trace-tool`).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod contents;
pub mod escape;
pub mod message;
pub mod pprof;
mod profile;
pub mod symbols;

pub use profile::{Code, KERNEL, Kind, NO_STACK, Profile, Row};
