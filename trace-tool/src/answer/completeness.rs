//! What is missing from an answer: one value with the lines that every command prints about it, the
//! `has_loss` and `missing` of its JSON, and its exit code.
//!
//! The lines come from a [`Summary`]. It checks every batch of the window, also those of threads
//! that were not asked for, so all commands report the same damage. Each kind of loss is one line
//! with a heading in capitals; [`names`](crate::label::names) has the words of each. Findings about
//! the traced program that are no losses are not here.

use trace_analysis::Summary;
use trace_analysis::findings::{Finding, FindingKind};
use trace_analysis::life::Lives;
use trace_analysis::timeline::unjoined;
use trace_export::label::escape;
use trace_format::facility;
use trace_format::read::{ReadAt, Tables, TraceFile};

use crate::error::Verdict;
use crate::label::names::{Names, heading};
use crate::label::units;

/// What to do about a file without an end.
const HOW_TO_END: &str = "`exectrace recover FILE` makes a whole trace of what is there";

/// Maximum number of characters that are shown of a note of the recorder.
const NOTE_CHARS_MAX: usize = 300;

/// What is missing from an answer, the worst first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completeness {
    /// One for each kind.
    pub losses: Vec<Lack>,
    /// Records of switches and samples that the kernel had no room for.
    pub lost_records: u64,
}

/// One kind of loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Lack {
    /// Its name for programs.
    pub kind: &'static str,
    /// What it means.
    pub heading: &'static str,
    /// How often it was found.
    pub count: u64,
    /// How many events were lost in this way, if that is known.
    pub events: Option<u64>,
    /// Whether there may be more: not every finding was kept.
    pub is_at_least: bool,
    /// The first of them, at least one.
    pub evidence: Vec<String>,
}

impl Completeness {
    /// What is missing from a part of a trace.
    ///
    /// - `summary`: of that part, and of all threads.
    /// - `lives`: of the same part, if the answer is about what threads did.
    #[must_use]
    pub fn new<S: ReadAt>(file: &TraceFile<S>, summary: &Summary, lives: Option<&Lives>) -> Self {
        let names = Names::new(file.tables());
        let kinds = summary.findings.by_kind().filter(|(kept, _)| kept[0].kind.is_loss());
        let losses = kinds.map(|(kept, count)| Lack::of_findings(&names, kept, count)).collect();
        let mut missing = Self { losses, lost_records: 0 };
        for loss in &mut missing.losses {
            if loss.kind == FindingKind::NotStopped.name() && !file.is_complete() {
                loss.evidence[0].push_str(&format!("; {HOW_TO_END}"));
            }
        }
        let mut lost_records = summary.lost_records;
        if let Some(lives) = lives {
            lost_records = lost_records.max(lives.lost_records);
            missing.add_of_lives(lives);
        }
        missing.add_unnamed(file.tables());
        missing.add_unjoined(file);
        missing.lost_records = lost_records;
        if lost_records > 0 {
            let records = units::plural(lost_records, "record", "records");
            let what = format!("the kernel had no room for {records} of what ran where");
            missing.add(("lost_records", "LOST"), (1, None), vec![what]);
        }
        missing
    }

    /// Adds what is missing from the lives of a part and not from its summary: lives are read from
    /// the generation before the part on.
    fn add_of_lives(&mut self, lives: &Lives) {
        let damage = FindingKind::Damage { offset: 0, what: String::new() };
        if !lives.damage.is_empty() && !self.has(&damage) {
            let count = lives.damage.len() as u64;
            self.add((damage.name(), heading(&damage)), (count, None), lives.damage.clone());
        }
        let missing = FindingKind::Missing { events: lives.events_missing };
        if lives.events_missing > 0 && !self.has(&missing) {
            let events = units::plural(lives.events_missing, "event", "events");
            let what = format!("{events} written and not in the file");
            let events = Some(lives.events_missing);
            self.add((missing.name(), heading(&missing)), (1, events), vec![what]);
        }
        let deep = FindingKind::TooDeep;
        if lives.too_deep > 0 && !self.has(&deep) {
            let what =
                units::plural(lives.too_deep, "region, poll or call", "regions, polls, calls");
            self.add((deep.name(), heading(&deep)), (1, None), vec![what]);
        }
    }

    /// Adds that stacks or resources have no names, if the recorder had no room for more.
    fn add_unnamed(&mut self, tables: &Tables) {
        if let Some(names) = tables.facilities.get(facility::NAMES).filter(|it| !it.on) {
            let note = escape::plain(&names.note, NOTE_CHARS_MAX);
            self.add(("not_named", "NOT NAMED"), (1, None), vec![note]);
        }
    }

    /// Adds that threads have no definition, which has their names and the system's ids.
    fn add_unjoined<S: ReadAt>(&mut self, file: &TraceFile<S>) {
        let threads = if file.has_cpus() { unjoined(file).len() as u64 } else { 0 };
        if threads > 0 {
            let of = units::plural(threads, "thread", "threads");
            let what = format!("when {of} ran is not known, as definitions of threads are missing");
            self.add(("not_joined", "NOT JOINED"), (1, None), vec![what]);
        }
    }

    fn add(
        &mut self,
        (kind, heading): (&'static str, &'static str),
        (count, events): (u64, Option<u64>),
        evidence: Vec<String>,
    ) {
        self.losses.push(Lack { kind, heading, count, events, is_at_least: false, evidence });
    }

    fn has(&self, kind: &FindingKind) -> bool {
        self.losses.iter().any(|loss| loss.kind == kind.name())
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
}

impl Lack {
    fn of_findings(names: &Names<'_>, kept: &[Finding], count: u64) -> Self {
        let evidence = kept.iter().map(|finding| names.finding(finding)).collect();
        let kind = &kept[0].kind;
        Self {
            kind: kind.name(),
            heading: heading(kind),
            count,
            events: events(kept),
            is_at_least: kept.len() as u64 != count,
            evidence,
        }
    }

    /// The line about all of the kind.
    #[must_use]
    pub fn line(&self) -> String {
        let (heading, first) = (self.heading, self.evidence.first().map_or("", String::as_str));
        if self.count <= 1 {
            return format!("{heading}: {first}");
        }
        let at_least = if self.is_at_least { "at least " } else { "" };
        let events = self.events.map_or_else(String::new, |events| {
            format!(" ({at_least}{})", units::plural(events, "event", "events"))
        });
        format!("{heading}, {} times{events}: {first}", units::count(self.count))
    }

    /// Up to `more` further lines, with the next evidence.
    #[must_use]
    pub fn further(&self, more: usize) -> Vec<String> {
        let shown = self.evidence.iter().skip(1).take(more);
        let mut lines: Vec<_> = shown.map(|line| format!("     {line}")).collect();
        let rest = self.count.saturating_sub(1 + lines.len() as u64);
        if rest > 0 {
            lines.push(format!("     … and {} more", units::count(rest)));
        }
        lines
    }
}

/// How many events the findings of one kind concern, if that kind counts them.
fn events(kept: &[Finding]) -> Option<u64> {
    let events = kept.iter().map(|finding| match &finding.kind {
        FindingKind::Missing { events } | FindingKind::Dropped { events, .. } => Some(*events),
        _ => None,
    });
    events.sum()
}
