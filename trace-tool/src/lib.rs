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
pub mod graph;
pub mod json;
pub mod output;
pub mod profile;
pub mod symbols;
pub mod table;
pub mod units;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs one command line, the program's name first: `cargo exectrace` if the program is called
/// `cargo-exectrace`, whatever its folder and ending, or if the first argument is `exectrace`,
/// which is what cargo gives to its commands; else `exectrace`.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<_> = arguments.into_iter().collect();
    let is_named = words.first().and_then(|word| Path::new(word).file_stem());
    let is_named = is_named.is_some_and(|name| name == "cargo-exectrace");
    let is_told = words.get(1).is_some_and(|word| word == "exectrace");
    if is_named || is_told { cargo::run(words) } else { command::run(words) }
}
