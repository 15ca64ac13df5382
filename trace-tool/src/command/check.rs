//! `exectrace check`: whether the file is whole, and if not, what is wrong where.

use std::io::Write;

use clap::Args;
use trace_format::header::BatchKind;

use super::reading::{Source, verdict};
use super::{Failure, Verdict};
use crate::describe::{Names, heading};
use crate::json::{Parts, Report, Trace};
use crate::output::Output;
use crate::units;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
}

/// Reads everything and prints a verdict.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = arguments.source.open()?;
    let summary = reading.summary(0, 0);
    let names = Names::new(reading.file.tables());
    let verdict = verdict(&summary);
    if arguments.source.json {
        let trace = Trace::new(&arguments.source.file, &reading.file);
        out.json(&Report::new(trace, &names, &summary, Parts::Findings))?;
        return Ok(verdict);
    }
    let path = arguments.source.file.display().to_string();
    let path = crate::escape::plain(&path, 400);
    match verdict {
        Verdict::Fine => writeln!(out, "{path}: fine")?,
        Verdict::Faulty => {
            let line = format!("{path}: HAS FAULTS");
            writeln!(out, "{}", out.loud(&line))?;
        }
    }
    for (kept, count) in summary.findings.by_kind().filter(|(kept, _)| kept[0].kind.is_loss()) {
        let times =
            if count > 1 { format!(", {} times", units::count(count)) } else { String::new() };
        writeln!(out, "{}{times}", heading(&kept[0].kind))?;
        for finding in kept {
            writeln!(out, "  {}", names.finding(finding))?;
        }
        let more = count.saturating_sub(kept.len() as u64);
        if more > 0 {
            writeln!(out, "  … and {} more", units::count(more))?;
        }
    }
    let file = &reading.file;
    let of_kind = |kind| file.index().iter().filter(|entry| entry.kind == kind).count() as u64;
    let events = units::plural(summary.events, "event", "events");
    let batches = units::plural(of_kind(BatchKind::Events), "batch", "batches");
    let threads = units::plural(summary.threads.len() as u64, "thread", "threads");
    let definitions = units::plural(of_kind(BatchKind::Definitions), "batch", "batches");
    writeln!(out, "{events} in {batches} of {threads}, {definitions} of definitions")?;
    let ended = if file.is_complete() { "has its index and its end" } else { "has no end" };
    let size = units::bytes(file.bytes());
    match file.bytes_missing() {
        0 => writeln!(out, "{size}, {ended}")?,
        missing => writeln!(out, "{size}, {} unreadable, {ended}", units::bytes(missing))?,
    }
    if let Some(stop) = file.tables().stop {
        let dropped = units::count(stop.dropped_events);
        let memory = units::bytes(stop.memory_max);
        writeln!(out, "the recorder dropped {dropped} events and used {memory} of memory at most")?;
    }
    Ok(verdict)
}
