//! What made the program slow, worst first.

use trace_analysis::Wanted;
use trace_analysis::explain::{
    FunctionShare, Insight, InsightKind, Unseen, explain, functions, unseen,
};

use super::{LifeReading, Question, Subject, cut};
use crate::error::Failure;

/// The answer.
#[derive(Debug)]
pub struct ExplainAnswer {
    /// What it is about.
    pub subject: Subject,
    /// What was found, worst first, cut; its commands ask about the same part of the trace.
    pub insights: Vec<Insight>,
    /// How many were left out.
    pub omitted: usize,
    /// What another recording would show.
    pub unseen: Vec<Unseen>,
    /// The functions that have the most CPU time, where samples tell, and no finding does.
    pub functions: Vec<FunctionShare>,
    /// What to ask for more of these; empty if there are none.
    pub functions_command: String,
}

impl ExplainAnswer {
    /// Reads the trace.
    ///
    /// - `top`: maximum number of findings; 0 for all.
    ///
    /// # Errors
    /// If there is none, or a file that names were to be taken from can't be read.
    pub fn read(question: &Question, top: usize) -> Result<Self, Failure> {
        let wanted = Wanted { async_tasks: true, heap: true, ..Wanted::default() };
        let LifeReading { subject, report } = LifeReading::read_with_slow_tasks(question, wanted)?;
        let trace = subject.reading.trace(&subject.symbols);
        let (mut insights, unseen) = (explain(&trace, &report), unseen(&trace, &report));
        let is_told = insights.iter().any(|it| it.kind == InsightKind::HotFunction);
        let functions = if is_told { Vec::new() } else { functions(&trace, &report) };
        let omitted = cut(&mut insights, top);
        for insight in insights.iter_mut().filter(|insight| !insight.command.is_empty()) {
            insight.command = question.part.command(&insight.command);
        }
        let functions_command = match functions.is_empty() {
            true => String::new(),
            false => question.part.command("profile --kind cpu"),
        };
        Ok(Self { subject, insights, omitted, unseen, functions, functions_command })
    }
}
