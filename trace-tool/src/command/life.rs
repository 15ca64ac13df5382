//! What the commands about threads' lives share: reading them once, with names for their stacks.

use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::life::Lives;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Wanted};

use super::reading::{Reading, Source, lost_records, missing, symbols};
use super::{Failure, Verdict};
use crate::describe::{Names, WHY_DROPPED, too_deep};
use crate::json::life::Words;
use crate::output::say;
use crate::places::Places;
use crate::symbols::binaries;
use crate::units;

/// Maximum number of faults that are said one by one.
const FAULTS_SAID: usize = 5;

/// A trace, and what its threads did.
#[derive(Debug)]
pub struct Life {
    /// The trace.
    pub reading: Reading,
    /// Names of its stacks.
    pub symbols: Symbols,
    /// What was done and waited for.
    pub lives: Lives,
    /// How many things lie deeper than readers keep.
    too_deep: u64,
}

impl Life {
    /// Opens and reads a trace.
    ///
    /// # Errors
    /// If there is none, or a file that names were to be taken from can't be read.
    pub fn read(source: &Source, naming: &binaries::Options) -> Result<Self, Failure> {
        let reading = source.open()?;
        let symbols = symbols(&reading.file, naming)?;
        let lives = reading.lives(&symbols);
        let too_deep = lives.too_deep;
        Ok(Self { reading, symbols, lives, too_deep })
    }

    /// The same, and everything else that the trace tells in the order of time: async tasks, the
    /// heap, slow tasks. The report's lives are in [`Life::lives`].
    ///
    /// # Errors
    /// As [`Life::read`].
    pub fn read_all(
        source: &Source,
        naming: &binaries::Options,
    ) -> Result<(Self, Report), Failure> {
        let reading = source.open()?;
        let symbols = symbols(&reading.file, naming)?;
        let (slow_tasks, summed_too_deep) = reading.slow_tasks();
        let wanted = Wanted { async_tasks: true, heap: true, slow_tasks, tasks_by_name: false };
        let mut report = reading.report(&symbols, wanted);
        let lives = std::mem::take(&mut report.lives);
        let too_deep = lives.too_deep.max(summed_too_deep);
        Ok((Self { reading, symbols, lives, too_deep }, report))
    }

    /// The same, and what its async tasks did.
    ///
    /// # Errors
    /// As [`Life::read`].
    pub fn read_async(
        source: &Source,
        naming: &binaries::Options,
    ) -> Result<(Self, AsyncTasks), Failure> {
        let reading = source.open()?;
        let symbols = symbols(&reading.file, naming)?;
        let wanted = Wanted { async_tasks: true, ..Wanted::default() };
        let Report { lives, async_tasks, .. } = reading.report(&symbols, wanted);
        let too_deep = lives.too_deep;
        Ok((Self { reading, symbols, lives, too_deep }, async_tasks.unwrap_or_default()))
    }

    /// The names of its threads.
    #[must_use]
    pub fn names(&self) -> Names<'_> {
        Names::new(self.reading.file.tables())
    }

    /// What is needed to put it into words.
    #[must_use]
    pub fn words<'t>(&'t self, names: &'t Names<'t>) -> Words<'t> {
        let places = Places::new(self.reading.file.tables(), &self.symbols);
        Words { names, places }
    }

    /// Says on standard error what is missing from what is shown, and what it means for the exit
    /// code.
    pub fn warn(&self) -> Verdict {
        let mut verdict = Verdict::Fine;
        let mut loss = |text: String| {
            say(&text);
            verdict = Verdict::Faulty;
        };
        let file = &self.reading.file;
        let faults = file.faults().iter().map(ToString::to_string);
        for fault in faults.chain(self.lives.damage.iter().cloned()).take(FAULTS_SAID) {
            loss(format!("DAMAGED: {fault}"));
        }
        if !file.is_complete() {
            loss("NOT ENDED: the program was killed or still runs, or the file was cut".to_owned());
        }
        let missing = self.lives.events_missing.saturating_add(file.events_missing());
        if missing > 0 {
            let events = units::plural(missing, "event", "events");
            loss(format!("MISSING: {events} written and not in the file"));
        }
        if self.too_deep > 0 {
            loss(too_deep(self.too_deep));
        }
        if let Some(line) = lost_records(self.lives.lost_records) {
            loss(line);
        }
        let stop = file.tables().stop;
        if let Some(stop) = stop.filter(|stop| stop.dropped_events > 0) {
            let events = units::plural(stop.dropped_events, "event", "events");
            loss(format!("DROPPED: {events} not recorded: {WHY_DROPPED}"));
        }
        verdict
    }

    /// Why there is nothing to show, if there is nothing.
    #[must_use]
    pub fn why_nothing(&self, what: &str, feature: &str) -> String {
        let off = missing(self.reading.file.tables());
        let why = match off.iter().find(|line| line.starts_with(&format!("without {feature}"))) {
            Some(line) => line.clone(),
            None => format!("was the program built with the feature `{feature}`?"),
        };
        format!("the trace has no {what} here; {why}")
    }
}
