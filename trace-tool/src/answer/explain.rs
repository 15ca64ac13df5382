//! What made the program slow, worst first.

use std::time::{Duration, UNIX_EPOCH};

use trace_analysis::Wanted;
use trace_analysis::explain::{
    FunctionShare, Insight, InsightKind, Unseen, explain, functions, unseen,
};
use trace_analysis::life::Lives;
use trace_format::definition::ResourceKind;
use trace_format::read::Resource;

use super::{LifeReading, Question, Reading, Subject, cut};
use crate::error::Failure;
use crate::label::{self, units};
use crate::source::beside::{has_number, traces_of};

/// Maximum number of traces of child processes that are named.
const TRACES_SAID: usize = 3;

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
        for insight in insights.iter_mut().filter(|it| it.kind == InsightKind::ChildProcesses) {
            let behind_share = insight.evidence.len().min(1);
            insight.evidence.insert(behind_share, own_traces(&subject.reading, &report.lives));
        }
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

/// Where traces of the child processes are, or how to have some.
fn own_traces(reading: &Reading, lives: &Lives) -> String {
    let tables = reading.file.tables();
    let own = tables.process.as_ref().map_or(0, |process| process.pid);
    let is_process = |it: &&Resource| it.kind == ResourceKind::Process && it.value != own;
    let named = tables.resources.values().filter(is_process).map(|it| it.value);
    let processes: Vec<_> = lives.processes_started().iter().copied().chain(named).collect();
    let since = UNIX_EPOCH + Duration::from_nanos(tables.clock.origin().wall.0);
    let is_numbered = reading.is_named && has_number(&reading.path, own);
    let traces = match is_numbered {
        true => traces_of(&reading.path, &processes, since),
        false => Vec::new(),
    };
    if traces.is_empty() {
        let how = match is_numbered {
            true => {
                "no trace of theirs lies beside this one: only a program with exectrace in it \
                     writes one"
            }
            false => {
                "with %p in the name, as in EXECTRACE=out.%p.trace, each process that has \
                      exectrace in it writes a trace of its own"
            }
        };
        return how.to_owned();
    }
    let names: Vec<_> = traces.iter().take(TRACES_SAID).map(|path| label::path(path)).collect();
    let more = match traces.len() - names.len() {
        0 => String::new(),
        more => format!(" and {} more", units::count(more as u64)),
    };
    format!("their own traces lie beside this one: {}{more}", names.join(", "))
}
