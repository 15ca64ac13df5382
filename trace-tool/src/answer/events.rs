//! Every event as a line, in the order of time.
//!
//! Lines are handed on one by one, as a trace has more of them than fit into memory. A fault has a
//! line where it was found. What is missing from the lines is known only at the end; with a limit
//! it is what is missing up to the last line.

use trace_analysis::open_tasks::open_tasks;
use trace_analysis::states_behind;
use trace_format::read::{InOrder, ReadAt, Window};
use trace_format::time::{Nanos, Ticks};

use super::lines::{Line, Lines};
use super::{Question, Reading, Subject};
use crate::error::Failure;
use crate::label::names::Names;
use crate::label::places::Places;
use crate::output::progress;

/// Number of events between two moves of the progress bar.
const PROGRESS_EVENTS: u64 = 1 << 16;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct EventsAsk {
    /// Maximum number of lines; 0 for all.
    pub top: u64,
    /// Only lines whose text contains this.
    pub grep: Option<String>,
    /// Whether the stacks of events are wanted.
    pub stacks: bool,
    /// Whether a progress bar would disturb: lines are shown on the same terminal.
    pub is_shown: bool,
}

/// The answer, besides the lines.
#[derive(Debug)]
pub struct EventsAnswer {
    /// What it is about. With a limit, the window ends behind the last line.
    pub subject: Subject,
    /// How many lines there were.
    pub shown: u64,
}

/// Receives the lines.
pub trait Show {
    /// Whether it reads the fields of lines.
    const READS_FIELDS: bool;

    /// The next line. What is taken out of it is gone; its memory is used again.
    ///
    /// - `names`: of the same trace.
    ///
    /// # Errors
    /// If it can't be written.
    fn line(&mut self, line: &mut Line, names: &Names<'_>) -> Result<(), Failure>;
}

/// Reads the trace and hands on its lines. The answer says what is missing from them.
///
/// # Errors
/// If there is no trace, or a line can't be written.
pub fn read<S: Show>(
    question: &Question,
    ask: &EventsAsk,
    show: &mut S,
) -> Result<EventsAnswer, Failure> {
    let reading = Reading::open(&question.file, &question.part)?;
    let thread = match reading.threads.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    let order = reading.file.in_order(Window { from: reading.from, to: reading.to, thread });
    let symbols = match ask.stacks {
        true => Some(reading.symbols(&question.naming)?),
        false => None,
    };
    let (shown, limited_at) = {
        let tables = reading.file.tables();
        let names = Names::new(tables);
        let places = symbols.as_ref().map(|symbols| Places::new(tables, symbols));
        let lines = Lines::new(&names, places, S::READS_FIELDS);
        let mut walk =
            Walk { reading: &reading, names: &names, ask, lines, show, shown: 0, limited_at: None };
        walk.all(order)?;
        (walk.shown, walk.limited_at)
    };
    // What is missing from the lines that were shown.
    let to = limited_at.map(|at| Ticks(at.0.saturating_add(1)));
    let reading = Reading { to: to.or(reading.to), ..reading };
    let summary = reading.summary(0, 0);
    Ok(EventsAnswer { subject: Subject::of_summary(reading, &summary), shown })
}

struct Walk<'a, 's, S> {
    reading: &'a Reading,
    names: &'a Names<'a>,
    ask: &'a EventsAsk,
    lines: Lines<'a>,
    show: &'s mut S,
    shown: u64,
    /// The time of the last line that the limit allows, once that is reached.
    limited_at: Option<Ticks>,
}

impl<Shown: Show> Walk<'_, '_, Shown> {
    fn all<S: ReadAt>(&mut self, mut order: InOrder<'_, S>) -> Result<(), Failure> {
        for task in open_tasks(&self.reading.file, self.reading.from.unwrap_or_default()) {
            self.lines.name_task(task.id, &task.name);
        }
        for (thread, open) in order.open_at_start() {
            if self.reading.wants(*thread) {
                self.lines.open_at_start(*thread, open, self.reading.from.unwrap_or_default());
            }
        }
        self.show()?;
        let bar = progress(if self.ask.is_shown { 0 } else { self.reading.file.bytes() });
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
                    if self.reading.wants(timed.thread) {
                        self.lines.event(&timed);
                    }
                }
                Some(Err(error)) => {
                    let thread = order.fault_thread();
                    if thread.is_none_or(|thread| self.reading.wants(thread)) {
                        self.lines.fault(thread, order.restated_behind(), &error);
                    }
                }
            }
            done = self.show()?;
        }
        bar.finish_and_clear();
        if !done {
            let (file, to) = (&self.reading.file, self.reading.to);
            let states = states_behind(file, to, |thread| self.lines.is_faulty(thread));
            self.lines.lost_at_end(&states);
            done = self.show()?;
        }
        if !done && self.reading.to.is_none() {
            self.lines.open_at_end();
            self.show()?;
        }
        Ok(())
    }

    /// Hands on the lines of one event, those that are wanted; whether there are enough.
    fn show(&mut self) -> Result<bool, Failure> {
        let mut lines = self.lines.take();
        let is_done = self.show_all(&mut lines)?;
        self.lines.give_back(lines);
        Ok(is_done)
    }

    fn show_all(&mut self, lines: &mut [Line]) -> Result<bool, Failure> {
        for line in lines {
            if self.ask.grep.as_ref().is_some_and(|wanted| !line.text.contains(wanted)) {
                continue;
            }
            let at = Nanos(line.at_ns);
            self.show.line(line, self.names)?;
            self.shown += 1;
            if self.ask.top > 0 && self.shown >= self.ask.top {
                self.limited_at = Some(self.reading.file.tables().clock.ticks(at));
                return Ok(true);
            }
        }
        Ok(false)
    }
}
