//! `exectrace events`: every event, in the order of time, indented by depth.
//!
//! What begins and ends with nothing inside is one line with its duration; else there are two, with
//! braces.

use std::io::Write;

use trace_format::time::Nanos;

use crate::answer::events::Show;
use crate::answer::lines::Line;
use crate::error::Failure;
use crate::label::names::Names;
use crate::label::units;
use crate::output::Output;

/// A deeper line is indented no further.
const INDENT_MAX: usize = 40;
/// Maximum width of the column of threads.
const THREAD_WIDTH_MAX: usize = 24;

/// Prints lines as they come.
#[derive(Debug)]
pub struct TextLines<'o> {
    out: &'o mut Output,
    /// Of the column of threads, once it is known.
    thread_width: Option<usize>,
}

impl<'o> TextLines<'o> {
    /// Nothing is printed yet.
    pub fn new(out: &'o mut Output) -> Self {
        Self { out, thread_width: None }
    }
}

impl Show for TextLines<'_> {
    fn line(&mut self, line: Line, names: &Names<'_>) -> Result<(), Failure> {
        let width = *self.thread_width.get_or_insert_with(|| thread_width(names));
        let at = units::moment(Nanos(line.at_ns));
        let thread = line.thread.map_or_else(String::new, |id| names.thread(id));
        let indent = line.depth.min(INDENT_MAX) * 2;
        let text = if line.is_loud() { self.out.loud(&line.text) } else { line.text };
        writeln!(self.out, "{at:>13}  {thread:<width$}  {:indent$}{text}", "")?;
        // Behind the columns of the time and the thread.
        let indent = 13 + 2 + width + 2 + indent + 4;
        for frame in &line.below {
            writeln!(self.out, "{:indent$}{frame}", "")?;
        }
        Ok(())
    }
}

fn thread_width(names: &Names<'_>) -> usize {
    let threads = names.tables().threads.keys();
    let widths = threads.map(|id| names.thread(*id).chars().count());
    widths.max().unwrap_or(0).min(THREAD_WIDTH_MAX)
}
