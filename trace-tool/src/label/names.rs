//! What things in a trace are called, in text that is safe to print.

use std::collections::BTreeMap;
use std::fmt::Write;

use trace_analysis::Moment;
use trace_analysis::findings::{Finding, FindingKind};
use trace_analysis::life::ThreadLife;
use trace_analysis::open_tasks::site_name;
use trace_analysis::regions::OwnedValues;
use trace_analysis::sources;
use trace_export::label::escape;
use trace_format::event::Outcome;
use trace_format::id::{Open, ResourceId, SiteId, ThreadId};
use trace_format::read::{Callsite, NESTING_MAX, Tables};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{Value, Values};

pub use trace_export::label::traceparent;

use super::places::short_file;
use super::units;

/// Maximum number of characters of a name that are shown.
const NAME_CHARS_MAX: usize = 120;
/// Maximum number of characters of one argument that are shown.
const VALUE_CHARS_MAX: usize = 80;

/// The names of one trace.
#[derive(Debug)]
pub struct Names<'t> {
    tables: &'t Tables,
    /// The crate that every module path begins with; it is left out, as it tells nothing.
    common: String,
    threads: BTreeMap<ThreadId, String>,
    /// Threads by the system's ids, each id's in the order of their begins.
    by_os_id: BTreeMap<u64, Vec<ThreadId>>,
}

/// Values with their names, in the call site's order.
#[derive(Clone, Debug)]
pub struct NamedValues {
    /// As many as there are values.
    pub names: Vec<String>,
    /// The values.
    pub values: OwnedValues,
}

impl<'t> Names<'t> {
    /// The names in these tables.
    #[must_use]
    pub fn new(tables: &'t Tables) -> Self {
        let mut crates = tables.callsites.iter().map(|site| crate_of(&site.module));
        let first = crates.next().unwrap_or("");
        let common = if crates.all(|other| other == first) { first } else { "" };
        let mut namesakes = BTreeMap::<&str, usize>::new();
        for thread in tables.threads.values() {
            *namesakes.entry(&thread.name).or_default() += 1;
        }
        let name = |id: ThreadId, name: &str| {
            let shown = escape::plain(&tables.thread_name(id), 40);
            match namesakes.get(name) {
                Some(2..) if !name.is_empty() => format!("{shown} #{}", id.0),
                _ => shown,
            }
        };
        let threads = tables.threads.values().map(|t| (t.id, name(t.id, &t.name))).collect();
        let mut by_os_id = BTreeMap::<u64, Vec<ThreadId>>::new();
        for thread in tables.threads.values().filter(|thread| thread.os_id > 0) {
            by_os_id.entry(thread.os_id).or_default().push(thread.id);
        }
        for ids in by_os_id.values_mut() {
            ids.sort_by_key(|id| tables.threads[id].first);
        }
        Self { tables, common: common.to_owned(), threads, by_os_id }
    }

    /// The tables the names are from.
    #[must_use]
    pub fn tables(&self) -> &'t Tables {
        self.tables
    }

    /// What the trace says of a call site.
    #[must_use]
    pub fn callsite(&self, id: SiteId) -> Option<&'t Callsite> {
        self.tables.callsite(id)
    }

    /// When something was, since the first clock snapshot.
    #[must_use]
    pub fn nanos(&self, ticks: Ticks) -> Nanos {
        self.tables.clock.nanos(ticks)
    }

    /// The same for something that may have begun before the trace.
    #[must_use]
    pub fn since(&self, ticks: Ticks) -> Moment {
        Moment(self.tables.clock.signed_nanos(ticks))
    }

    /// How long something took that began at `at`.
    #[must_use]
    pub fn duration(&self, at: Ticks, duration: Ticks) -> Nanos {
        self.tables.clock.duration(at, duration)
    }

    /// A thread's name as the trace has it, not made safe to print.
    #[must_use]
    pub fn thread_name(&self, id: ThreadId) -> String {
        if id.as_cpu().is_some() {
            return self.thread(id);
        }
        self.tables.thread_name(id).into_owned()
    }

    /// The system's id of a thread.
    #[must_use]
    pub fn os_id(&self, id: ThreadId) -> Option<u64> {
        self.tables.threads.get(&id).map(|thread| thread.os_id).filter(|id| *id > 0)
    }

    /// A call site's path, without the crate if there is only one.
    #[must_use]
    pub fn site(&self, id: SiteId) -> String {
        let Some(site) = self.tables.callsite(id) else {
            return match id.0 {
                0 => "(undefined call sites)".to_owned(),
                id => format!("(undefined call site {id})"),
            };
        };
        let module = match site.module.strip_prefix(self.common.as_str()) {
            Some(rest) if !self.common.is_empty() => rest.trim_start_matches("::"),
            _ => &site.module,
        };
        let path = match module {
            "" => site.name.clone(),
            module => format!("{module}::{}", site.name),
        };
        escape::plain(&path, NAME_CHARS_MAX)
    }

    /// The name alone of a call site, as the trace has it, not made safe to print: tasks that begin
    /// there have it.
    #[must_use]
    pub fn raw_site(&self, id: SiteId) -> String {
        site_name(self.tables, id)
    }

    /// The name alone of a call site: that of a counter, or a log's category.
    #[must_use]
    pub fn short_site(&self, id: SiteId) -> String {
        match self.tables.callsite(id) {
            Some(site) => escape::plain(&site.name, NAME_CHARS_MAX),
            None => self.site(id),
        }
    }

    /// Where in the source a call site is: `src/main.rs:7`. Empty if a library made it while the
    /// program ran.
    #[must_use]
    pub fn place(&self, id: SiteId) -> String {
        let site = self.tables.callsite(id).filter(|site| !site.file.is_empty());
        let Some(site) = site else { return String::new() };
        let file = sources::normal(&site.file);
        let file = short_file(&file);
        format!("{}:{}", escape::plain(&file, NAME_CHARS_MAX), site.line)
    }

    /// A call site with its place: `handler (src/app.rs:10)`; the place alone if it has no other
    /// name, and the name alone if it is nowhere.
    #[must_use]
    pub fn site_at(&self, id: SiteId) -> String {
        let (name, place) = (self.site(id), self.place(id));
        match place.is_empty() {
            true => name,
            false if self.is_place(id) => place,
            false => format!("{name} ({place})"),
        }
    }

    /// The place of a call site for a column beside its name; nothing if the name is the place.
    #[must_use]
    pub fn place_beside(&self, id: SiteId) -> String {
        if self.is_place(id) { String::new() } else { self.place(id) }
    }

    fn is_place(&self, id: SiteId) -> bool {
        let site = self.tables.callsite(id);
        site.is_some_and(|site| sources::is_place(&site.name, &site.file, site.line))
    }

    /// A thread's name, with its id if several have that name; a CPU's number.
    #[must_use]
    pub fn thread(&self, id: ThreadId) -> String {
        if let Some(cpu) = id.as_cpu() {
            return format!("CPU {cpu}");
        }
        self.threads.get(&id).cloned().unwrap_or_else(|| format!("thread {}", id.0))
    }

    /// Appends the thread that had this id of the system at that time, by its name if it recorded.
    pub fn push_os_thread(&self, out: &mut String, os_thread: u64, at: Ticks) {
        let Some(ids) = self.by_os_id.get(&os_thread) else {
            out.push_str("os thread ");
            return units::push_number(out, os_thread);
        };
        let by_then = match ids.as_slice() {
            [_] => 0,
            all => all.partition_point(|id| self.tables.threads[id].first <= at),
        };
        let id = ids[by_then.saturating_sub(1)];
        match self.threads.get(&id) {
            Some(name) => out.push_str(name),
            None => out.push_str(&self.thread(id)),
        }
    }

    /// The name of what a call was about, as the trace has it, not made safe to print.
    #[must_use]
    pub fn resource_name(&self, id: ResourceId) -> Option<String> {
        let resource = self.tables.resources.get(&id)?;
        (!resource.name.is_empty()).then(|| resource.name.clone())
    }

    /// A thread's name; if it recorded nothing, the system's name for it.
    #[must_use]
    pub fn life(&self, life: &ThreadLife) -> String {
        match (life.thread.0, life.name.as_str()) {
            (0, "") => format!("os thread {}", life.os_id),
            (0, name) => format!("{} (os {})", escape::plain(name, 40), life.os_id),
            _ => self.thread(life.thread),
        }
    }

    /// Something that is open on a thread.
    #[must_use]
    pub fn open(&self, open: Open) -> String {
        match open {
            Open::Region(site) => self.site(site),
            Open::Poll(future) => format!("a poll of future {}", future.0),
            Open::Task(task) => format!("a run of task {}", task.0),
            Open::Call(open) => match open.call.info() {
                Some(info) => format!("a call of {}", info.name),
                None => format!("call {}", open.call.0),
            },
        }
    }

    /// `(id=7, path="/tmp")`; nothing if there are no values.
    #[must_use]
    pub fn arguments(&self, site: SiteId, values: Values<'_>) -> String {
        let mut out = String::new();
        self.push_arguments(&mut out, site, values);
        out
    }

    /// Appends the same.
    pub fn push_arguments(&self, out: &mut String, site: SiteId, values: Values<'_>) {
        if values.is_empty() {
            return;
        }
        out.push('(');
        for (at, value) in values.enumerate() {
            if at > 0 {
                out.push_str(", ");
            }
            match self.argument_name(site, at) {
                Some(name) => escape::push(out, name.as_bytes(), NAME_CHARS_MAX),
                None => {
                    let _ = write!(out, "#{at}");
                }
            }
            out.push('=');
            push_value(out, &value);
        }
        out.push(')');
    }

    /// The name of a call site's argument; arguments beyond those declared have none.
    #[must_use]
    pub fn argument_name(&self, site: SiteId, at: usize) -> Option<&'t str> {
        let site: &'t Callsite = self.tables.callsite(site)?;
        site.arguments.get(at).map(|(name, _)| name.as_str())
    }

    /// The values of an event of a call site, each with its name; one without a name is called
    /// `#2`.
    #[must_use]
    pub fn named(&self, site: SiteId, values: Values<'_>) -> NamedValues {
        let name =
            |at| self.argument_name(site, at).map_or_else(|| format!("#{at}"), str::to_owned);
        let names = (0..values.count()).map(name).collect();
        NamedValues { names, values: OwnedValues::new(values) }
    }

    /// One line about a finding, without its kind's heading.
    #[must_use]
    pub fn finding(&self, finding: &Finding) -> String {
        let thread =
            finding.thread.map_or_else(String::new, |id| format!(" on {}", self.thread(id)));
        let at = finding.at.map_or_else(String::new, |at| format!(" at {} s", units::moment(at)));
        let time = units::time;
        match &finding.kind {
            FindingKind::Damage { offset, what } => {
                format!("at byte {offset}: {}{thread}{at}", escape::plain(what, 200))
            }
            FindingKind::NotStopped => "the trace has no end: its program was killed or is still \
                 running, or the file was cut"
                .to_owned(),
            FindingKind::Missing { events } => {
                let events = units::plural(*events, "event", "events");
                format!("{events} written and not in the file{thread}{at}")
            }
            FindingKind::Dropped { events, ends, to } => {
                let events = units::plural(*events, "event", "events");
                let ends = match ends {
                    0 => String::new(),
                    ends => format!(" and {}", units::plural(*ends, "end", "ends")),
                };
                let from = finding.at.map_or_else(String::new, |at| units::moment(at) + " s ");
                format!("{events}{ends}{thread}, from {from}to {} s", units::moment(*to))
            }
            FindingKind::EndLost { open, begin }
            | FindingKind::Misnested { open, begin }
            | FindingKind::EndedElsewhere { open, begin } => {
                let begin = units::since(*begin);
                format!("{}{thread}, begun at {begin}, noticed{at}", self.open(*open))
            }
            FindingKind::TooDeep => format!("begun{thread}{at}"),
            FindingKind::EndWithoutBegin => format!("an end{thread}{at}"),
            FindingKind::Unfinished { open, open_for } => {
                format!("{}{thread}, for {}", self.open(*open), time(*open_for))
            }
            FindingKind::TaskUnfinished { task, name, open_for } => {
                let name = escape::plain(name, NAME_CHARS_MAX);
                format!("{name} (task {}), for {}", task.0, time(*open_for))
            }
            FindingKind::SitesUndefined { events } => units::plural(*events, "event", "events"),
            FindingKind::Skipped { items } => units::plural(*items, "item", "items"),
            FindingKind::ClockContradicts { snapshots } => {
                units::plural(*snapshots, "clock snapshot left out", "clock snapshots left out")
            }
            FindingKind::ClockDrift { parts_per_million } => {
                format!("by up to {parts_per_million:.0} parts per million")
            }
            FindingKind::ClockUnknown => "a tick is shown as a nanosecond".to_owned(),
            _ => finding.kind.name().to_owned(),
        }
    }
}

const _: () = assert!(NESTING_MAX == 65_536, "the heading of `TooDeep` says so");

/// What a kind of finding means, above the lines about each.
#[must_use]
pub fn heading(kind: &FindingKind) -> &'static str {
    match kind {
        FindingKind::Damage { .. } => "DAMAGED: parts of the file can't be read",
        FindingKind::NotStopped => "NOT ENDED",
        FindingKind::Missing { .. } => "MISSING: events are not in the file",
        FindingKind::Dropped { .. } => {
            "DROPPED events: memory was full, or a signal interrupted the recorder"
        }
        FindingKind::EndLost { .. } => "LOST ENDS: when these ended is not in the trace",
        FindingKind::TooDeep => {
            "TOO DEEP: nested deeper than 65,536 regions, polls and calls, or no room, and left out"
        }
        FindingKind::EndWithoutBegin => "ends that end nothing",
        FindingKind::Misnested { .. } => "mis-nested: what was around them ended first",
        FindingKind::EndedElsewhere { .. } => "ended on another thread than they began on",
        FindingKind::Unfinished { .. } => "still open at the end",
        FindingKind::TaskUnfinished { .. } => "tasks still open at the end",
        FindingKind::SitesUndefined { .. } => "events of call sites that the trace does not define",
        FindingKind::Skipped { .. } => "of a newer version of the format, skipped",
        FindingKind::ClockContradicts { .. } => "the clocks contradict each other",
        FindingKind::ClockDrift { .. } => "the clock's frequency was not constant",
        FindingKind::ClockUnknown => "UNKNOWN CLOCK: how long a tick is, is not in the trace",
        _ => "other",
    }
}

/// `= 7`, `failed: "no such file"`, `dropped`; nothing if there is nothing to say.
#[must_use]
pub fn outcome(outcome: Outcome, values: Values<'_>) -> String {
    let mut out = match outcome {
        Outcome::Returned if values.is_empty() => return String::new(),
        Outcome::Returned => String::from("="),
        Outcome::Failed if values.is_empty() => return "failed".to_owned(),
        Outcome::Failed => String::from("failed:"),
        Outcome::Dropped | Outcome::Panicked | Outcome::Ended => outcome.name().to_owned(),
    };
    for value in values {
        out.push(' ');
        push_value(&mut out, &value);
    }
    out
}

/// The same of an outlier.
#[must_use]
pub fn owned_outcome(result: Option<&(Outcome, OwnedValues)>) -> String {
    result.map_or_else(String::new, |(kind, values)| outcome(*kind, values.values()))
}

/// Appends one value.
pub fn push_value(out: &mut String, value: &Value<'_>) {
    let _ = match value {
        Value::None => write!(out, "none"),
        Value::U64(number) => {
            units::push_number(out, *number);
            Ok(())
        }
        Value::I64(number) => write!(out, "{number}"),
        Value::F64(number) => write!(out, "{number:?}"),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::Char(character) => {
            out.push('\'');
            escape::push(out, character.encode_utf8(&mut [0; 4]).as_bytes(), 1);
            out.push('\'');
            Ok(())
        }
        Value::Str(text) => {
            escape::push_quoted(out, *text, VALUE_CHARS_MAX);
            Ok(())
        }
        Value::Bytes(text) => {
            out.push('b');
            escape::push_quoted(out, *text, VALUE_CHARS_MAX);
            Ok(())
        }
        Value::Formatted(text) => {
            escape::push_text(out, *text, VALUE_CHARS_MAX);
            Ok(())
        }
        Value::U128(number) => write!(out, "{number}"),
        Value::I128(number) => write!(out, "{number}"),
        _ => write!(out, "?"),
    };
}

fn crate_of(module: &str) -> &str {
    module.split("::").next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace_format::definition::{CallsiteKind, Definition};

    #[test]
    fn what_a_library_has_made_is_nowhere_and_what_is_called_by_its_place_has_it_once() {
        let mut tables = Tables::default();
        let sites = [(1, "parked", "src/main.rs"), (2, "parked", ""), (3, "main.rs:7", "main.rs")];
        for (id, name, file) in sites {
            tables.apply(&Definition::Callsite {
                id: SiteId(id),
                kind: CallsiteKind::Region,
                name: name.as_bytes(),
                module: b"",
                file: file.as_bytes(),
                line: 7,
                column: 1,
                min: Nanos(0),
                arguments: Vec::new(),
            });
        }
        let names = Names::new(&tables);
        let places = [1, 2, 3, 4].map(|id| names.place(SiteId(id)));
        assert_eq!(places, ["src/main.rs:7", "", "main.rs:7", ""]);
        let beside = [1, 2, 3].map(|id| names.place_beside(SiteId(id)));
        assert_eq!(beside, ["src/main.rs:7", "", ""]);
        let sites = [1, 2, 3].map(|id| names.site_at(SiteId(id)));
        assert_eq!(sites, ["parked (src/main.rs:7)", "parked", "main.rs:7"]);
    }
}
