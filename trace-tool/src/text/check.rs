//! `exectrace check`: whether the file is whole, and if not, what is wrong where.

use std::io::Write;

use trace_export::label::escape;
use trace_format::facility;

use crate::answer::check::{CheckAnswer, FileContents};
use crate::error::{Failure, Verdict};
use crate::label::{path, units};
use crate::output::Output;

/// Prints a verdict.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &CheckAnswer, out: &mut Output) -> Result<(), Failure> {
    let path = path(&answer.subject.reading.path);
    match answer.subject.verdict() {
        Verdict::Fine => writeln!(out, "{path}: fine")?,
        Verdict::Faulty => {
            let line = format!("{path}: HAS FAULTS");
            writeln!(out, "{}", out.loud(&line))?;
        }
    }
    for (line, further) in answer.subject.missing.lines(usize::MAX) {
        writeln!(out, "{line}")?;
        for line in further {
            writeln!(out, "{line}")?;
        }
    }
    print_counts(answer, out)?;
    print_facilities(answer, out)?;
    print_file(answer, out)
}

/// Prints how much of what is in the file.
fn print_counts(answer: &CheckAnswer, out: &mut Output) -> Result<(), Failure> {
    let FileContents { threads, cpus, definition_batches, stacks, modules, resources, .. } =
        answer.contents;
    let events = units::plural(answer.summary.events, "event", "events");
    let batches = units::plural(answer.summary.batches, "batch", "batches");
    let mut lanes = units::plural(threads, "thread", "threads");
    if cpus > 0 {
        lanes = format!("{lanes} and {}", units::plural(cpus, "CPU", "CPUs"));
    }
    let definitions = units::plural(definition_batches, "batch", "batches");
    writeln!(out, "{events} in {batches} of {lanes}, {definitions} of definitions")?;
    if stacks > 0 || resources > 0 {
        let stacks = units::plural(stacks, "stack", "stacks");
        let modules = units::plural(modules, "module", "modules");
        let resources = units::plural(resources, "lock, file or socket", "locks, files, sockets");
        writeln!(out, "{stacks} in {modules}, {resources}")?;
    }
    Ok(())
}

/// Prints what the recorder says about its parts.
fn print_facilities(answer: &CheckAnswer, out: &mut Output) -> Result<(), Failure> {
    for facility in answer.subject.reading.file.tables().facilities.values() {
        if facility.name == facility::NAMES {
            // What is missing is said above.
            continue;
        }
        let is_on = if facility.on { "on" } else { "off" };
        let name = escape::plain(&facility.name, 40);
        let note = escape::plain(&facility.note, 300);
        let note = if note.is_empty() { note } else { format!(": {note}") };
        out.wrapped(&format!("{name} {is_on}{note}"), 2)?;
    }
    Ok(())
}

fn print_file(answer: &CheckAnswer, out: &mut Output) -> Result<(), Failure> {
    let FileContents { bytes_unreadable, has_end, dropped_events, memory_max, .. } =
        answer.contents;
    let ended = if has_end { "has its index and its end" } else { "has no end" };
    let size = units::bytes(answer.subject.reading.file.bytes());
    match bytes_unreadable {
        0 => writeln!(out, "{size}, {ended}")?,
        bytes => writeln!(out, "{size}, {} unreadable, {ended}", units::bytes(bytes))?,
    }
    if let Some(dropped) = dropped_events {
        let memory = memory_max.map_or_else(String::new, |memory| {
            format!(" and used {} of memory at most", units::bytes(memory))
        });
        writeln!(out, "the recorder dropped {} events{memory}", units::count(dropped))?;
    }
    Ok(())
}
