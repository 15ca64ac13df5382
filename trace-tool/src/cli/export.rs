//! `exectrace export`: a trace for another viewer.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::answer::Reading;
use crate::create::create_beside;
use crate::error::{Failure, Verdict};
use crate::label::{self, units};
use crate::output::{Output, advance, progress, say};
use crate::symbols::binaries;
use crate::text;
use trace_export::perfetto;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The trace; - is standard input.
    file: PathBuf,
    /// For which viewer.
    #[arg(long, value_enum)]
    format: Format,
    /// The file to write; - is standard output.
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    names: binaries::Options,
}

/// A viewer's format.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Protobuf, for ui.perfetto.dev.
    Perfetto,
}

/// Writes the export.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = Reading::whole(&arguments.file)?;
    let file = &reading.file;
    let Format::Perfetto = arguments.format;
    let to_stdout = arguments.output.as_os_str() == "-";
    // Before anything is written: an older export stays as it is if a file with names is missing.
    let symbols = reading.symbols(&arguments.names)?;
    let bar = progress(file.bytes());
    let advance = |at| advance(&bar, at);
    let done = if to_stdout {
        perfetto::export(file, &symbols, out, advance)
    } else {
        let created = create_beside(&arguments.file, &arguments.output)?;
        let mut target = BufWriter::with_capacity(1 << 18, created);
        let done = perfetto::export(file, &symbols, &mut target, advance);
        done.and_then(|totals| target.flush().map(|()| totals))
    };
    bar.finish_and_clear();
    let totals = done.map_err(Failure::Output)?;
    let drawn = totals.drawn;
    if !to_stdout {
        let (events, bytes) =
            (units::plural(drawn.events, "event", "events"), units::bytes(totals.bytes));
        let path = label::path(&arguments.output);
        writeln!(out, "{events}, {bytes}: open {path} at https://ui.perfetto.dev")?;
    }
    if drawn.hidden > 0 {
        let hidden = units::plural(drawn.hidden, "item", "items");
        say(&format!("{hidden} left out that the format has no place for"));
    }
    Ok(text::warn(&reading.completeness()))
}
