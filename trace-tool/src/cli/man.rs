//! `exectrace man`: manual pages, one per command.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::CommandLine;
use crate::cargo;
use crate::error::{Failure, Verdict};
use crate::label::{self, units};
use crate::output::Output;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The folder to write the pages to, made if it is not there.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes `exectrace.1`, a page for each command, and `cargo-exectrace.1`.
///
/// # Errors
/// If a page can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let dir = &arguments.out;
    let fail = |error| Failure::Open(dir.clone(), error);
    fs::create_dir_all(dir).map_err(fail)?;
    // The command that prints help has no page: the pages are that help.
    let line = CommandLine::command().disable_help_subcommand(true);
    let pages = line.get_subcommands().count() + 2;
    clap_mangen::generate_to(line, dir).map_err(fail)?;
    clap_mangen::Man::new(cargo::command_line()).generate_to(dir).map_err(fail)?;
    writeln!(out, "{}: {}", label::path(dir), units::plural(pages as u64, "page", "pages"))?;
    Ok(Verdict::Fine)
}
