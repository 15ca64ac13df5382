//! What is missing from an answer: one value with the lines that every command prints about it, the
//! `has_loss` of its JSON and its exit code.
//!
//! The lines are made of a [`Summary`], which checks every batch of the part that is wanted, so
//! that no command knows of less damage than another. Each kind of loss is one line with a heading
//! in capitals; [`describe`](crate::describe) has the words of each. What is odd about the traced
//! program, and no loss, is not here.

use trace_analysis::Summary;
use trace_analysis::findings::{Finding, FindingKind};
use trace_analysis::life::Lives;
use trace_format::read::{ReadAt, TraceFile};

use crate::command::Verdict;
use crate::describe::{Names, heading};
use crate::output::say;
use crate::units;

/// What to do about a file without an end.
const HOW_TO_END: &str = "`exectrace recover FILE` makes a whole trace of what is there";

/// What is missing from an answer, the worst first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completeness {
    losses: Vec<Lack>,
}

/// One kind of loss.
#[derive(Clone, Debug, PartialEq)]
struct Lack {
    heading: &'static str,
    count: u64,
    /// Of how many events the kind is, if it counts them.
    events: Option<String>,
    /// The first of them, at least one.
    evidence: Vec<String>,
}

impl Completeness {
    /// What is missing from a part of a trace.
    ///
    /// - `summary`: of that part.
    /// - `lives`: of the same part, if the answer is about what threads did.
    #[must_use]
    pub fn new<S: ReadAt>(file: &TraceFile<S>, summary: &Summary, lives: Option<&Lives>) -> Self {
        let names = Names::new(file.tables());
        let kinds = summary.findings.by_kind().filter(|(kept, _)| kept[0].kind.is_loss());
        let losses = kinds.map(|(kept, count)| Lack::of_findings(&names, kept, count)).collect();
        let mut missing = Self { losses };
        for loss in &mut missing.losses {
            if loss.heading == heading(&FindingKind::NotStopped) && !file.is_complete() {
                loss.evidence[0].push_str(&format!("; {HOW_TO_END}"));
            }
        }
        let mut lost_records = summary.lost_records;
        if let Some(lives) = lives {
            lost_records = lost_records.max(lives.lost_records);
            missing.add_of_lives(lives);
        }
        if lost_records > 0 {
            let records = units::plural(lost_records, "record", "records");
            let what = format!("the kernel had no room for {records} of what ran where");
            missing.add("LOST", 1, vec![what]);
        }
        missing
    }

    /// What the lives of a part lack and its summary does not: they are of all threads, and go
    /// back to the generation before the part.
    fn add_of_lives(&mut self, lives: &Lives) {
        let damage = FindingKind::Damage { offset: 0, what: String::new() };
        if !lives.damage.is_empty() && !self.has(&damage) {
            let count = lives.damage.len() as u64;
            self.add(heading(&damage), count, lives.damage.clone());
        }
        let missing = FindingKind::Missing { events: lives.events_missing };
        if lives.events_missing > 0 && !self.has(&missing) {
            let events = units::plural(lives.events_missing, "event", "events");
            let what = format!("{events} written and not in the file");
            self.add(heading(&missing), 1, vec![what]);
        }
        let deep = FindingKind::TooDeep;
        if lives.too_deep > 0 && !self.has(&deep) {
            let what =
                units::plural(lives.too_deep, "region, poll or call", "regions, polls, calls");
            self.add(heading(&deep), 1, vec![what]);
        }
    }

    fn add(&mut self, heading: &'static str, count: u64, evidence: Vec<String>) {
        self.losses.push(Lack { heading, count, events: None, evidence });
    }

    fn has(&self, kind: &FindingKind) -> bool {
        self.losses.iter().any(|loss| loss.heading == heading(kind))
    }

    /// Whether anything is missing.
    #[must_use]
    pub fn has_loss(&self) -> bool {
        !self.losses.is_empty()
    }

    /// What it means for the exit code.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.has_loss() { Verdict::Faulty } else { Verdict::Fine }
    }

    /// Each kind's line, and up to `more` further lines with the next evidence of that kind.
    pub fn lines(&self, more: usize) -> impl Iterator<Item = (String, Vec<String>)> {
        self.losses.iter().map(move |loss| (loss.line(), loss.further(more)))
    }

    /// Says each kind's line on standard error, and what they mean for the exit code.
    pub fn warn(&self) -> Verdict {
        self.losses.iter().for_each(|loss| say(&loss.line()));
        self.verdict()
    }
}

impl Lack {
    fn of_findings(names: &Names<'_>, kept: &[Finding], count: u64) -> Self {
        let evidence = kept.iter().map(|finding| names.finding(finding)).collect();
        let events = (count > 1).then(|| events(kept, count)).flatten();
        Self { heading: heading(&kept[0].kind), count, events, evidence }
    }

    fn line(&self) -> String {
        let Self { heading, count, events, evidence } = self;
        let first = evidence.first().map_or("", String::as_str);
        let events = events.as_deref().map_or_else(String::new, |events| format!(" ({events})"));
        match count {
            0 | 1 => format!("{heading}: {first}"),
            count => format!("{heading}, {} times{events}: {first}", units::count(*count)),
        }
    }

    fn further(&self, more: usize) -> Vec<String> {
        let shown = self.evidence.iter().skip(1).take(more);
        let mut lines: Vec<_> = shown.map(|line| format!("     {line}")).collect();
        let rest = self.count.saturating_sub(1 + lines.len() as u64);
        if rest > 0 {
            lines.push(format!("     … and {} more", units::count(rest)));
        }
        lines
    }
}

/// How many events findings of one kind are about, if that kind counts them.
fn events(kept: &[Finding], count: u64) -> Option<String> {
    let events = kept.iter().map(|finding| match &finding.kind {
        FindingKind::Missing { events } | FindingKind::Dropped { events, .. } => Some(*events),
        _ => None,
    });
    let all = events.sum::<Option<u64>>()?;
    let at_least = if kept.len() as u64 == count { "" } else { "at least " };
    Some(format!("{at_least}{}", units::plural(all, "event", "events")))
}
