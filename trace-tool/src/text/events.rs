//! `exectrace events`: every event, in the order of time, indented by depth.
//!
//! A region with nothing inside is one line with its duration; any other has two lines with braces,
//! one for its begin and one for its end.

use std::collections::HashMap;
use std::io::Write;

use trace_format::id::ThreadId;
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
/// Width of the column of moments.
const MOMENT_WIDTH: usize = 13;

/// Prints lines as they come.
#[derive(Debug)]
pub struct TextLines<'o> {
    out: &'o mut Output,
    /// Of the column of threads, once it is known.
    thread_width: Option<usize>,
    /// The column of threads, by thread.
    threads: HashMap<Option<ThreadId>, String>,
    /// The line that is made, with what stands below it.
    row: String,
}

impl<'o> TextLines<'o> {
    /// Nothing is printed yet.
    pub fn new(out: &'o mut Output) -> Self {
        Self { out, thread_width: None, threads: HashMap::new(), row: String::new() }
    }
}

impl Show for TextLines<'_> {
    const READS_FIELDS: bool = false;

    fn line(&mut self, line: &mut Line, names: &Names<'_>) -> Result<(), Failure> {
        let width = *self.thread_width.get_or_insert_with(|| thread_width(names));
        let thread = self.threads.entry(line.thread).or_insert_with(|| {
            let name = line.thread.map_or_else(String::new, |id| names.thread(id));
            format!("  {name:<width$}  ")
        });
        let row = &mut self.row;
        row.clear();
        units::push_moment(row, Nanos(line.at_ns));
        let missing = MOMENT_WIDTH.saturating_sub(row.len());
        (0..missing).for_each(|_| row.insert(0, ' '));
        row.push_str(thread);
        let indent = line.depth.min(INDENT_MAX) * 2;
        row.extend(std::iter::repeat_n(' ', indent));
        match line.is_loud() {
            true => row.push_str(&self.out.loud(&line.text)),
            false => row.push_str(&line.text),
        }
        row.push('\n');
        // Behind the columns of the time and the thread.
        let indent = MOMENT_WIDTH + 2 + width + 2 + indent + 4;
        for frame in &line.below {
            row.extend(std::iter::repeat_n(' ', indent));
            row.push_str(frame);
            row.push('\n');
        }
        Ok(self.out.write_all(row.as_bytes())?)
    }
}

fn thread_width(names: &Names<'_>) -> usize {
    let threads = names.tables().threads.keys();
    let widths = threads.map(|id| names.thread(*id).chars().count());
    widths.max().unwrap_or(0).min(THREAD_WIDTH_MAX)
}
