//! What the commands about threads' lives share: reading them once, with names for their stacks.

use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::life::Lives;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Wanted};

use super::Failure;
use super::reading::{Reading, Source, missing, symbols};
use crate::completeness::Completeness;
use crate::describe::Names;
use crate::json::life::Words;
use crate::symbols::binaries;
use trace_export::label::place::Places;

/// A trace, and what its threads did.
#[derive(Debug)]
pub struct Life {
    /// The trace.
    pub reading: Reading,
    /// Names of its stacks.
    pub symbols: Symbols,
    /// What was done and waited for.
    pub lives: Lives,
    /// What is missing from all this.
    pub missing: Completeness,
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
        let missing = Completeness::new(&reading.file, &reading.summary(0, 0), Some(&lives));
        Ok(Self { reading, symbols, lives, missing })
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
        let summary = reading.summary(0, 0);
        let slow_tasks = reading.slow_tasks(&summary);
        let wanted = Wanted { async_tasks: true, heap: true, slow_tasks, tasks_by_name: false };
        let mut report = reading.report(&symbols, wanted);
        let lives = std::mem::take(&mut report.lives);
        let missing = Completeness::new(&reading.file, &summary, Some(&lives));
        Ok((Self { reading, symbols, lives, missing }, report))
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
        let missing = Completeness::new(&reading.file, &reading.summary(0, 0), Some(&lives));
        Ok((Self { reading, symbols, lives, missing }, async_tasks.unwrap_or_default()))
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
