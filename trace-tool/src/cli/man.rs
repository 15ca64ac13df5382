//! `exectrace man`: manual pages, one per command.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::CommandLine;
use crate::cargo;
use crate::create::{is_stdout, print_written};
use crate::error::{Failure, Verdict};
use crate::label::units;
use crate::output::Output;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The folder to write the pages to, made if it is not there.
    #[arg(short, long, alias = "out", value_name = "DIR", default_value = "man/man1")]
    output: PathBuf,
}

/// Writes `exectrace.1`, a page for each command, and `cargo-exectrace.1`.
///
/// # Errors
/// If a page can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let dir = &arguments.output;
    if is_stdout(dir) {
        return Err(Failure::Usage("pages go to a folder, not to standard output".to_owned()));
    }
    let fail = |error| Failure::Open(dir.clone(), error);
    fs::create_dir_all(dir).map_err(fail)?;
    // The command that prints help has no page: the pages are that help.
    let line = CommandLine::command().disable_help_subcommand(true);
    let pages = line.get_subcommands().count() + 2;
    clap_mangen::generate_to(line, dir).map_err(fail)?;
    clap_mangen::Man::new(cargo::command_line()).generate_to(dir).map_err(fail)?;
    print_written(dir, &units::plural(pages as u64, "page", "pages"), out)?;
    Ok(Verdict::Fine)
}
