//! The `exectrace` command: shows what a trace says to people, and as JSON to programs.
//!
//! A reader like any other: it uses the public interfaces of `trace-format` and `trace-analysis`,
//! and never the recorder.
//!
//! - [`cli`]: the command line, one file per verb. [`cargo`]: `cargo exectrace`.
//! - [`answer`]: what each verb answers, plain values; [`text`] and [`json`] show them, one file
//!   per verb. JSON.md beside this crate describes the fields.
//! - [`label`]: what things are called. [`symbols`]: names of addresses, and which are missing.
//! - [`source`]: opening a trace. [`error`]: failures and exit codes. [`output`]: standard output
//!   and standard error. [`create`](mod@create): files by name.
//! - [`record`], [`recover`], [`symbolize`]: traces that are fetched or written anew. [`raw`]: the
//!   bytes of one as lines.
//! - [`profile`]: the formats of profiles.
//!
//! Elsewhere: traces in the formats of other viewers (`trace-export`).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod answer;
pub mod cargo;
pub mod cli;
pub mod create;
pub mod error;
pub mod json;
pub mod label;
pub mod output;
pub mod profile;
pub mod raw;
pub mod record;
pub mod recover;
pub mod source;
pub mod symbolize;
pub mod symbols;
pub mod text;

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
    if is_named || is_told { cargo::run(words) } else { cli::run(words) }
}
