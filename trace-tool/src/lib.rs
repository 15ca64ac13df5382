//! The `exectrace` command: shows what a trace says to people, and as JSON to programs.
//!
//! A reader like any other: it uses the public interfaces of `trace-format` and `trace-analysis`,
//! and never the recorder.
//!
//! - [`command`]: the command line, and one file per verb. [`cargo`]: `cargo exectrace`.
//! - [`completeness`]: what is missing from an answer, in every command's words.
//! - [`export`]: traces in the formats of other viewers.
//! - [`describe`], [`call`], [`errno`], [`units`], [`table`], [`graph`]: names, texts, numbers for
//!   people.
//! - [`json`]: the same for programs; JSON.md beside this crate describes the fields.
//! - [`symbols`]: names of addresses, and which are missing. [`places`]: stacks in words.
//!   [`profile`]: the formats of profiles.
//! - [`output`]: standard output and standard error. [`create`](mod@create): files by name.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod call;
pub mod cargo;
pub mod command;
pub mod completeness;
pub mod create;
pub mod describe;
pub mod errno;
pub mod export;
pub mod graph;
pub mod json;
pub mod output;
pub mod places;
pub mod profile;
pub mod symbols;
pub mod table;
pub mod units;
