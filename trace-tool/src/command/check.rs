//! `exectrace check`: whether the file is whole, and if not, what is wrong where.

use std::io::Write;

use clap::Args;
use trace_analysis::Summary;
use trace_analysis::threads::ThreadSummary;
use trace_format::header::BatchKind;
use trace_format::read::TraceFile;

use super::reading::Source;
use super::{Failure, Verdict};
use crate::completeness::Completeness;
use crate::describe::Names;
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
    let missing = Completeness::new(&reading.file, &summary, None);
    let verdict = missing.verdict();
    if arguments.source.json {
        let trace = Trace::new(&arguments.source.file, &reading.file);
        let report = Report::new(trace, &names, &summary, Parts::Findings, &missing);
        out.json(&report)?;
        return Ok(verdict);
    }
    let path = arguments.source.file.display().to_string();
    let path = trace_profile::escape::plain(&path, 400);
    match verdict {
        Verdict::Fine => writeln!(out, "{path}: fine")?,
        Verdict::Faulty => {
            let line = format!("{path}: HAS FAULTS");
            writeln!(out, "{}", out.loud(&line))?;
        }
    }
    for (line, further) in missing.lines(usize::MAX) {
        writeln!(out, "{line}")?;
        for line in further {
            writeln!(out, "{line}")?;
        }
    }
    print_counts(&reading.file, &summary, out)?;
    Ok(verdict)
}

/// What there is in the file, and what the recorder says of itself.
fn print_counts(
    file: &TraceFile<super::reading::Bytes>,
    summary: &Summary,
    out: &mut Output,
) -> Result<(), Failure> {
    let of_kind = |kind| file.index().iter().filter(|entry| entry.kind == kind).count() as u64;
    let events = units::plural(summary.events, "event", "events");
    let batches = units::plural(of_kind(BatchKind::Events), "batch", "batches");
    let all = summary.threads.len() as u64;
    let is_cpu = |thread: &&ThreadSummary| thread.thread.as_cpu().is_some();
    let cpus = summary.threads.iter().filter(is_cpu).count() as u64;
    let mut lanes = units::plural(all - cpus, "thread", "threads");
    if cpus > 0 {
        lanes = format!("{lanes} and {}", units::plural(cpus, "CPU", "CPUs"));
    }
    let definitions = units::plural(of_kind(BatchKind::Definitions), "batch", "batches");
    writeln!(out, "{events} in {batches} of {lanes}, {definitions} of definitions")?;
    let tables = file.tables();
    if !tables.stacks.is_empty() || !tables.resources.is_empty() {
        let stacks = units::plural(tables.stacks.len() as u64, "stack", "stacks");
        let modules = units::plural(tables.modules.len() as u64, "module", "modules");
        let resources = tables.resources.len() as u64;
        let resources = units::plural(resources, "lock, file or socket", "locks, files, sockets");
        writeln!(out, "{stacks} in {modules}, {resources}")?;
    }
    for facility in tables.facilities.values() {
        let is_on = if facility.on { "on" } else { "off" };
        let name = trace_profile::escape::plain(&facility.name, 40);
        let note = trace_profile::escape::plain(&facility.note, 300);
        if facility.name == "names" {
            // A loss, not a part of the recorder that is switched off.
            let line = format!("NOT NAMED: {note}");
            writeln!(out, "{}", out.loud(&line))?;
            continue;
        }
        let note = if note.is_empty() { note } else { format!(": {note}") };
        out.wrapped(&format!("{name} {is_on}{note}"), 2)?;
    }
    let ended = if file.is_complete() { "has its index and its end" } else { "has no end" };
    let size = units::bytes(file.bytes());
    match file.bytes_missing() {
        0 => writeln!(out, "{size}, {ended}")?,
        missing => writeln!(out, "{size}, {} unreadable, {ended}", units::bytes(missing))?,
    }
    if let Some(stop) = tables.stop {
        let dropped = units::count(stop.dropped_events);
        let memory = units::bytes(stop.memory_max);
        writeln!(out, "the recorder dropped {dropped} events and used {memory} of memory at most")?;
    }
    Ok(())
}
