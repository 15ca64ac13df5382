//! Events as lines of text, names resolved, for comparison with what a test expects.
//!
//! | line | event |
//! |---|---|
//! | `f(n=1u)` | a complete region |
//! | `+ f` ... `-` | a begin and its end |
//! | `- returned 5u` | an end with an outcome |
//! | `- elsewhere f` | an end that was not of the innermost |
//! | `! name(k=1i)` | an instant |
//! | `log net: text` | a log message |
//! | `counter queue = 3u` | a counter |
//! | `task a`, `task a of b`, `task a ends` | a task's life |
//! | `run a` | a stretch of work for a task |
//! | `future f(n=1u)`, `future f for a`, `future f returned 1u` | a future's life |
//! | `poll f` | a poll |
//! | `dropped 3 events, 1 ends` | a loss |
//!
//! Events that only restate (`Reopen`) have no line.

use super::decoded::Decoded;
use std::collections::BTreeMap;
use trace_format::definition::Definition;
use trace_format::event::{Event, EventKind, Outcome};
use trace_format::id::{FutureId, Open, SiteId, TaskId};
use trace_format::value::{Text, Value, Values};

/// The name and the lines of every thread that has recorded, in order of appearance.
pub(crate) fn of_threads(trace: &Decoded) -> Vec<(String, Vec<String>)> {
    let names = Names::new(trace);
    let threads = trace.tables.threads.values();
    let lines = threads.map(|thread| {
        let events = trace.events(thread.id);
        let lines: Vec<_> = events.filter_map(|event| names.line(&event)).collect();
        (thread.name.clone(), lines)
    });
    lines.filter(|(_, lines)| !lines.is_empty()).collect()
}

/// The names of ids.
struct Names<'t> {
    trace: &'t Decoded,
    tasks: BTreeMap<u64, String>,
    futures: BTreeMap<u64, String>,
}

impl<'t> Names<'t> {
    fn new(trace: &'t Decoded) -> Self {
        let mut names = Self { trace, tasks: BTreeMap::new(), futures: BTreeMap::new() };
        for definition in trace.definitions() {
            if let Definition::TaskState { id, name, .. } = definition {
                names.tasks.insert(id.0, String::from_utf8_lossy(name).into_owned());
            }
        }
        for event in trace.tables.threads.keys().flat_map(|&thread| trace.events(thread)) {
            match event.kind {
                EventKind::TaskBegin { task, name, .. } => {
                    names.tasks.insert(task.0, String::from_utf8_lossy(name.bytes).into_owned());
                }
                EventKind::TaskBeginSite { task, site, .. } => {
                    names.tasks.insert(task.0, trace.site_name(site).to_owned());
                }
                EventKind::FutureBegin { future, site, .. }
                | EventKind::FutureSpawn { future, site, .. } => {
                    names.futures.insert(future.0, trace.site_name(site).to_owned());
                }
                _ => {}
            }
        }
        names
    }

    fn line(&self, event: &Event<'_>) -> Option<String> {
        Some(match event.kind {
            EventKind::Region { site, values, .. } => self.call(site, values),
            EventKind::RegionBegin { site, values } => format!("+ {}", self.call(site, values)),
            EventKind::Poll { future, .. } => format!("poll {}", self.future(future)),
            EventKind::PollBegin { future } => format!("+ poll {}", self.future(future)),
            EventKind::TaskRun { task, .. } => format!("run {}", self.task(task)),
            EventKind::TaskRunBegin { task } => format!("+ run {}", self.task(task)),
            EventKind::End => "-".to_owned(),
            EventKind::EndValue { outcome, values } => format!("- {}", came(outcome, values)),
            EventKind::EndDetached { open, .. } => format!("- elsewhere {}", self.open(open)),
            EventKind::Reopen { .. } => return None,
            EventKind::Instant { site, values } => format!("! {}", self.call(site, values)),
            EventKind::Log { site, text } => {
                format!("log {}: {}", self.trace.site_name(site), shown(text))
            }
            EventKind::Counter { site, value } => {
                format!("counter {} = {}", self.trace.site_name(site), value_text(&value))
            }
            EventKind::TaskBegin { task, parent, .. } => {
                format!("task {}{}", self.task(task), self.relation(" of ", parent))
            }
            EventKind::TaskBeginSite { task, parent, site, values } => {
                assert_eq!(self.task(task), self.trace.site_name(site));
                format!("task {}{}", self.call(site, values), self.relation(" of ", parent))
            }
            EventKind::TaskEnd { task } => format!("task {} ends", self.task(task)),
            EventKind::FutureBegin { site, values, task, .. } => {
                format!("future {}{}", self.call(site, values), self.relation(" for ", task))
            }
            EventKind::FutureEnd { future, outcome, values } => {
                format!("future {} {}", self.future(future), came(outcome, values))
            }
            EventKind::FutureSpawn { future, parent, task, .. } => {
                let by = match parent.0 {
                    0 => String::new(),
                    _ => format!(" by {}", self.future(parent)),
                };
                format!("spawn {}{by}{}", self.future(future), self.relation(" for ", task))
            }
            EventKind::Wake { future, .. } => format!("wake {}", self.future(future)),
            EventKind::EndPoll { .. } => "-".to_owned(),
            EventKind::Unwakeable { future } => format!("unwakeable {}", self.future(future)),
            EventKind::TaskLink { task, .. } => format!("task {} linked", self.task(task)),
            EventKind::Dropped { events, ends, .. } => {
                format!("dropped {events} events, {ends} ends")
            }
            other => panic!("no recorder writes {other:?}"),
        })
    }

    /// A call site's name, and the arguments with their names.
    fn call(&self, site: SiteId, values: Values<'_>) -> String {
        let site = self.trace.tables.callsite(site).expect("events name defined sites");
        assert!(values.is_whole(), "values are values to their last byte");
        if values.is_empty() {
            return site.name.clone();
        }
        let values: Vec<_> = values.map(|value| value_text(&value)).collect();
        assert_eq!(values.len(), site.arguments.len(), "as many values as arguments");
        let pairs = site.arguments.iter().zip(values);
        let pairs: Vec<_> = pairs.map(|((name, _), value)| format!("{name}={value}")).collect();
        format!("{}({})", site.name, pairs.join(", "))
    }

    fn task(&self, task: TaskId) -> &str {
        self.tasks.get(&task.0).map_or("?", String::as_str)
    }

    fn future(&self, future: FutureId) -> &str {
        self.futures.get(&future.0).map_or("?", String::as_str)
    }

    fn relation(&self, word: &str, task: TaskId) -> String {
        if task.0 == 0 { String::new() } else { format!("{word}{}", self.task(task)) }
    }

    fn open(&self, open: Open) -> String {
        match open {
            Open::Region(site) => self.trace.site_name(site).to_owned(),
            Open::Poll(future) => format!("poll {}", self.future(future)),
            Open::Task(task) => format!("run {}", self.task(task)),
            Open::Call(open) => format!("call {}", open.call.info().map_or("?", |it| it.name)),
        }
    }
}

fn came(outcome: Outcome, values: Values<'_>) -> String {
    let how = outcome.name();
    let values = values.map(|value| format!(" {}", value_text(&value)));
    format!("{how}{}", values.collect::<String>())
}

/// A value with its type: `1u`, `-1i`, `0.5f`, `"text"`, `b"bytes"`, `` `printed` ``.
fn value_text(value: &Value<'_>) -> String {
    match *value {
        Value::None => "none".to_owned(),
        Value::U64(number) => format!("{number}u"),
        Value::I64(number) => format!("{number}i"),
        Value::F64(number) => format!("{number}f"),
        Value::Bool(truth) => truth.to_string(),
        Value::Char(character) => format!("{character:?}"),
        Value::Str(text) => format!("{:?}{}", lossy(text), missing(text)),
        Value::Bytes(text) => format!("b\"{}\"{}", text.bytes.escape_ascii(), missing(text)),
        Value::Formatted(text) => format!("`{}`", shown(text)),
        Value::U128(number) => format!("{number}u128"),
        Value::I128(number) => format!("{number}i128"),
        _ => panic!("a value of a newer version"),
    }
}

fn shown(text: Text<'_>) -> String {
    format!("{}{}", lossy(text), missing(text))
}

fn lossy(text: Text<'_>) -> String {
    String::from_utf8_lossy(text.bytes).into_owned()
}

fn missing(text: Text<'_>) -> String {
    if text.missing() == 0 { String::new() } else { format!(" and {} bytes", text.missing()) }
}
