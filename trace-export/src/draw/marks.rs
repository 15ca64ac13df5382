//! Events that open and end nothing on their thread: instants, messages, counters, sampled
//! allocations, spawns, wakes, and the ends of waits.

use std::rc::Rc;

use trace_analysis::timeline::{Edge, EdgeKind, Note, Who};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, ResourceId, SiteId, StackId};
use trace_format::read::Tables;
use trace_format::value::{Text, Value, Values};

use super::rows::{Heading, Life};
use super::{Drawing, OWN_CATEGORY, is_some};
use crate::hash::FastMap;
use crate::label::call;
use crate::label::place::Places;
use crate::scene::{Arrow, Detail, Label, Mark, Number, Scene, Unit};

/// Maximum length of a message in the name of its instant. A longer one is cut there, and whole in
/// the details.
const LOG_NAME_CHARS_MAX: usize = 120;

/// Maximum number of stacks whose places are remembered as text.
const PLACES_MAX: usize = 1 << 16;

/// Maximum number of resources that are remembered as text; beyond it all are forgotten at once.
const RESOURCES_MAX: usize = 1 << 14;

/// The category of tasks that are named by their text.
const TASK_CATEGORY: &str = "task";

/// Texts that are used again.
#[derive(Debug, Default)]
pub(super) struct Headings {
    places: FastMap<StackId, Option<String>>,
    resources: FastMap<ResourceId, Option<Rc<str>>>,
    /// The names of spawns and wakes, by the future's call site, so limited by the number of call
    /// sites.
    futures: FastMap<(&'static str, SiteId), String>,
}

impl Headings {
    /// A stack's place as text.
    pub(super) fn place(&mut self, places: &Places<'_>, stack: StackId) -> Option<String> {
        if let Some(shown) = self.places.get(&stack) {
            return shown.clone();
        }
        let shown = places.shown(stack);
        if self.places.len() < PLACES_MAX {
            self.places.insert(stack, shown.clone());
        }
        shown
    }

    /// The resource of a call as text.
    pub(super) fn resource(&mut self, tables: &Tables, id: ResourceId) -> Option<Rc<str>> {
        if let Some(shown) = self.resources.get(&id) {
            return shown.clone();
        }
        if self.resources.len() >= RESOURCES_MAX {
            self.resources.clear();
        }
        let shown: Option<Rc<str>> = call::resource(tables, id).map(Into::into);
        self.resources.insert(id, shown.clone());
        shown
    }
}

impl<S: Scene> Drawing<'_, '_, S> {
    pub(super) fn mark(&mut self, who: Who, at: u64, kind: &EventKind<'_>, note: Note) {
        let here = (who, at);
        match *kind {
            EventKind::Instant { site, values } => {
                let stack = values.stack().unwrap_or(StackId(0));
                let details = [Detail::Values(site, values)];
                let mark = Mark { stack, ..Mark::new(Label::Site(site)) };
                self.instant(who, at, &mark.with(&details));
            }
            EventKind::Log { site, text } => self.message(here, site, text),
            EventKind::Counter { site, value } => self.counter(at, site, value),
            EventKind::TaskBegin { task, parent, name } => {
                let name = name.readable();
                let heading = Heading::Name(name.as_ref().into(), TASK_CATEGORY);
                self.task_begins(here, (task, parent), (heading, &name), None);
            }
            EventKind::TaskBeginSite { task, parent, site, values } => {
                let name = self.site_name(site).to_owned();
                let above = (Heading::Site(site), name.as_str());
                self.task_begins(here, (task, parent), above, Some((site, values)));
            }
            EventKind::TaskEnd { task } => {
                self.life_ends(Life::Task(task), at, Outcome::Returned, Values::default());
            }
            EventKind::TaskLink { task, trace, span, parent } => {
                self.task_linked(here, task, (trace, span, parent));
            }
            EventKind::FutureEnd { future, outcome, values } => {
                self.life_ends(Life::Future(future), at, outcome, values);
            }
            EventKind::FutureSpawn { future, site, stack, .. } => {
                self.future_mark(here, ("spawn", site), (future, FutureId(0)), (note.edge, stack));
            }
            EventKind::Wake { future, stack } => {
                let task = if note.task == future { FutureId(0) } else { note.task };
                self.future_mark(here, ("wake", note.site), (future, task), (note.edge, stack));
            }
            EventKind::Unwakeable { future } => self.unwakeable(who, at, future),
            EventKind::Alloc { bytes, stack, .. } => {
                let details = [Detail::Number("bytes", bytes)];
                let label = Label::Name("sampled allocation", OWN_CATEGORY);
                self.instant(who, at, &Mark { stack, ..Mark::new(label) }.with(&details));
            }
            // The begin of the future is drawn already. A viewer without a heap profile has no use
            // for frees. The intervals of a task show when it was ready.
            EventKind::FutureBegin { .. } | EventKind::Free { .. } | EventKind::Ready { .. } => {}
            _ => self.totals.unknown += 1,
        }
    }

    /// Draws an instant on the thread that spawns or wakes a future: `wake fetch`.
    fn future_mark(
        &mut self,
        (who, at): (Who, u64),
        (verb, site): (&'static str, SiteId),
        (future, task): (FutureId, FutureId),
        (edge, stack): (u64, StackId),
    ) {
        let key = (verb, site);
        if !self.headings.futures.contains_key(&key) {
            let callsite = self.tables.callsite(site);
            let name = callsite.map_or("future", |site| site.name.as_str());
            let heading = format!("{verb} {name}");
            // The number of ids that the trace does not define is unlimited, so their names are not
            // kept.
            let key = if callsite.is_some() { key } else { (verb, SiteId(0)) };
            self.headings.futures.insert(key, heading);
        }
        let known = self.headings.futures.get(&key);
        let known = known.or_else(|| self.headings.futures.get(&(verb, SiteId(0))));
        let name = known.cloned().unwrap_or_default();
        let details = [Detail::Number("future", future.0), Detail::Number("async task", task.0)];
        let arrow = [Arrow::Poll(edge)];
        let mark = Mark {
            details: &details[..if is_some(task) { 2 } else { 1 }],
            arrows: if edge == 0 { &[] } else { &arrow },
            stack,
            ..Mark::new(Label::Name(&name, OWN_CATEGORY))
        };
        self.instant(who, at, &mark);
    }

    /// Draws an instant that has the message as its name.
    fn message(&mut self, (who, at): (Who, u64), site: SiteId, text: Text<'_>) {
        let message = text.readable();
        let line = message.lines().next().unwrap_or_default();
        let short: String = line.chars().take(LOG_NAME_CHARS_MAX).collect();
        let category = self.tables.callsite(site).map_or("log", |site| site.name.as_str());
        let details = [Detail::Word("message", &message)];
        let details = if short.len() == message.len() { &[][..] } else { &details };
        // Viewers show nothing for an instant without a name.
        let name = if short.is_empty() { category } else { &short };
        self.instant(who, at, &Mark::new(Label::Text(name, category, site)).with(details));
    }

    /// Draws a new value on the track of the counter's name; a value that is no number is left out.
    fn counter(&mut self, at: u64, site: SiteId, value: Value<'_>) {
        let number = match value {
            Value::U64(number) => whole_or_real(i64::try_from(number), number as f64),
            Value::I64(number) => Number::Whole(number),
            Value::F64(number) => Number::Real(number),
            Value::Bool(truth) => Number::Whole(truth.into()),
            Value::U128(number) => whole_or_real(i64::try_from(number), number as f64),
            Value::I128(number) => whole_or_real(i64::try_from(number), number as f64),
            _ => {
                self.totals.hidden += 1;
                return;
            }
        };
        let name = self.tables.callsite(site).map_or("unknown counter", |site| site.name.as_str());
        let track = self.rows.counter(self.scene, name, Unit::None);
        self.scene.counter(track, at, number);
    }

    /// Draws the end of a wait: an instant on the thread that waited, where the waker's arrow ends.
    /// The arrow of a join has no call to begin at, so an instant is also drawn at the end of the
    /// joined thread.
    pub(super) fn woken(&mut self, edge: &Edge) {
        let arrow = match edge.kind {
            EdgeKind::Wake => Arrow::Wake(edge.number),
            EdgeKind::Join => Arrow::Join(u64::from(edge.from.thread.0)),
        };
        if edge.kind == EdgeKind::Join {
            let mark = Mark::new(Label::Name("thread ends", OWN_CATEGORY));
            self.instant(edge.from, self.time(edge.at), &Mark { arrows: &[arrow], ..mark });
        }
        let by = self.tables.thread_name(edge.from.thread).into_owned();
        let details = [Detail::Word("by", &by)];
        let mark = Mark { arrows: &[arrow], ..Mark::new(Label::Name("woken", OWN_CATEGORY)) };
        self.instant(edge.to, self.time(edge.end), &mark.with(&details));
    }
}

fn whole_or_real<E>(whole: Result<i64, E>, real: f64) -> Number {
    whole.map_or(Number::Real(real), Number::Whole)
}
