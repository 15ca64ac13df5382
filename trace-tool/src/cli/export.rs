//! `exectrace export`: a trace for another viewer.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::named_by;
use crate::answer::Reading;
use crate::create::{create_beside, is_stdout, print_written};
use crate::error::{Failure, Verdict};
use crate::label::units;
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
    /// The file to write; - is standard output [default: app.trace gives app.pftrace here].
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    #[command(flatten)]
    names: binaries::Options,
}

/// A viewer's format.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Protobuf, for ui.perfetto.dev.
    Perfetto,
}

impl Format {
    /// How names of its files end.
    const fn ending(self) -> &'static str {
        match self {
            Self::Perfetto => "pftrace",
        }
    }
}

/// Writes the export.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = Reading::whole(&arguments.file)?;
    let file = &reading.file;
    let Format::Perfetto = arguments.format;
    let target = arguments.output.clone();
    let target = target.unwrap_or_else(|| named_by(&arguments.file, arguments.format.ending()));
    let to_stdout = is_stdout(&target);
    // Before anything is written: an older export stays as it is if a file with names is missing.
    let symbols = reading.symbols(&arguments.names)?;
    let bar = progress(file.bytes());
    let advance = |at| advance(&bar, at);
    let done = if to_stdout {
        perfetto::export(file, &symbols, out, advance)
    } else {
        let created = create_beside(&arguments.file, &target)?;
        let mut writer = BufWriter::with_capacity(1 << 18, created);
        let done = perfetto::export(file, &symbols, &mut writer, advance);
        done.and_then(|totals| writer.flush().map(|()| totals))
    };
    bar.finish_and_clear();
    let totals = done.map_err(Failure::Output)?;
    let drawn = totals.drawn;
    if !to_stdout {
        let (events, bytes) =
            (units::plural(drawn.events, "event", "events"), units::bytes(totals.bytes));
        let what = format!("{events}, {bytes}; open it at https://ui.perfetto.dev");
        print_written(&target, &what, out)?;
    }
    if drawn.hidden > 0 {
        let hidden = units::plural(drawn.hidden, "item", "items");
        say(&format!("{hidden} left out that the format has no place for"));
    }
    Ok(text::warn(&reading.completeness()))
}
