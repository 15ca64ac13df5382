//! `exectrace events`: every event, in the order of time, indented by depth.
//!
//! What begins and ends with nothing inside is one line with its duration; else there are two, with
//! braces. Faults stand where they were met; what is missing from the lines is said on standard
//! error at the end. With `--limit` that is what is missing up to the last line.

use std::io::Write;

use clap::Args;
use trace_format::read::{InOrder, ReadAt, Window};
use trace_format::time::{Nanos, Ticks};

use super::raw;
use super::reading::{Reading, Source, symbols};
use super::{Failure, Verdict};
use crate::command::lines::{Line, Lines};
use crate::describe::Names;
use crate::output::{Output, progress};
use crate::symbols::binaries;
use crate::units;
use trace_export::label::place::Places;

/// A deeper line is indented no further.
const INDENT_MAX: usize = 40;
/// Between two looks at the progress bar.
const PROGRESS_EVENTS: u64 = 1 << 16;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Stop after so many lines; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: u64,
    /// Only lines that contain this text.
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Show below each event the stack it was recorded at, if there is one.
    #[arg(long)]
    stacks: bool,
    /// Print what lies in the file, batch by batch, as the lines of FORMAT.md, section 9: for
    /// looking at bytes, and for tests.
    #[arg(long, conflicts_with_all = ["from", "to", "thread", "json", "limit", "grep", "stacks"])]
    raw: bool,
    #[command(flatten)]
    naming: binaries::Options,
}

/// Prints the events.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    if arguments.raw {
        return raw::run(&arguments.source.file, out);
    }
    let reading = arguments.source.open()?;
    let thread = match reading.threads.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    let order = reading.file.in_order(Window { from: reading.from, to: reading.to, thread });
    let names = Names::new(reading.file.tables());
    let symbols = match arguments.stacks {
        true => Some(symbols(&reading.file, &arguments.naming)?),
        false => None,
    };
    let places = symbols.as_ref().map(|symbols| Places::new(reading.file.tables(), symbols));
    let printer = Printer {
        arguments,
        names: &names,
        thread_width: thread_width(&reading, &names),
        printed: 0,
        out,
    };
    let mut walk =
        Walk { reading: &reading, lines: Lines::new(&names, places), printer, limited_at: None };
    walk.all(order)?;
    // What is missing from the lines that were printed.
    let to = walk.limited_at.map(|at| Ticks(at.0.saturating_add(1)));
    let shown = Reading { to: to.or(reading.to), ..reading };
    Ok(shown.completeness().warn())
}

struct Walk<'a, 'o> {
    reading: &'a Reading,
    lines: Lines<'a>,
    printer: Printer<'a, 'o>,
    /// When the last line was that `--limit` allows, if it came to that.
    limited_at: Option<Ticks>,
}

impl Walk<'_, '_> {
    fn all<S: ReadAt>(&mut self, mut order: InOrder<'_, S>) -> Result<(), Failure> {
        for (thread, open) in order.open_at_start() {
            if self.wants(*thread) {
                self.lines.open_at_start(*thread, open, self.reading.from.unwrap_or_default());
            }
        }
        self.print()?;
        let bar = if self.printer.out.width.is_none() {
            progress(self.reading.file.bytes())
        } else {
            // Lines and a bar on the same terminal would be neither.
            progress(0)
        };
        let events = self.reading.file.index().iter().map(|entry| u64::from(entry.events));
        bar.set_length(events.sum());
        let (mut done, mut count) = (false, 0_u64);
        while !done {
            count += 1;
            if count.is_multiple_of(PROGRESS_EVENTS) {
                bar.set_position(count);
            }
            match order.next_event() {
                None => break,
                Some(Ok(timed)) => {
                    if self.wants(timed.thread) {
                        self.lines.event(&timed);
                    }
                }
                Some(Err(error)) => self.lines.fault(order.fault_thread(), &error),
            }
            done = self.print()?;
        }
        bar.finish_and_clear();
        if !done && self.reading.to.is_none() {
            self.lines.open_at_end();
            self.print()?;
        }
        Ok(())
    }

    fn wants(&self, thread: trace_format::id::ThreadId) -> bool {
        self.reading.threads.is_empty() || self.reading.threads.contains(&thread)
    }

    /// Prints the lines of one event; whether there are enough.
    fn print(&mut self) -> Result<bool, Failure> {
        for line in self.lines.take() {
            if self.printer.line(&line)? {
                let clock = &self.reading.file.tables().clock;
                self.limited_at = Some(clock.ticks(Nanos(line.at_ns)));
                return Ok(true);
            }
        }
        Ok(false)
    }
}

struct Printer<'a, 'o> {
    arguments: &'a Arguments,
    names: &'a Names<'a>,
    thread_width: usize,
    printed: u64,
    out: &'o mut Output,
}

impl Printer<'_, '_> {
    /// Prints one line, if it is wanted; whether it was the last.
    fn line(&mut self, line: &Line) -> Result<bool, Failure> {
        if let Some(wanted) = &self.arguments.grep
            && !line.text.contains(wanted)
        {
            return Ok(false);
        }
        if self.arguments.source.json {
            self.out.json_line(line)?;
        } else {
            let at = units::moment(Nanos(line.at_ns));
            let thread = line.thread.map_or_else(String::new, |id| self.names.thread(id));
            let indent = line.depth.min(INDENT_MAX) * 2;
            let (width, text) = (self.thread_width, &line.text);
            let text = if line.is_loud() { self.out.loud(text) } else { text.clone() };
            writeln!(self.out, "{at:>13}  {thread:<width$}  {:indent$}{text}", "")?;
            // Behind the columns of the time and the thread.
            let indent = 13 + 2 + width + 2 + indent + 4;
            for frame in &line.below {
                writeln!(self.out, "{:indent$}{frame}", "")?;
            }
        }
        self.printed += 1;
        Ok(self.arguments.limit > 0 && self.printed >= self.arguments.limit)
    }
}

fn thread_width(reading: &Reading, names: &Names<'_>) -> usize {
    let threads = reading.file.tables().threads.keys();
    threads.map(|id| names.thread(*id).chars().count()).max().unwrap_or(0).min(24)
}
