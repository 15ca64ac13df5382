//! What the layer does, with the recorder compiled in.
//!
//! Every call from `tracing` first checks whether a trace runs, except for leaving a span: a span
//! that was open in a trace that has ended must not stay in the thread's list.

use super::TraceLayer;
use super::entered::{self, Key, Known, Open};
use super::fields::{Fields, Kept};
use super::message::Message;
use super::sites;
use trace_runtime::__private::{enter, enter_args, instant, log};
use trace_runtime::{Callsite, CallsiteKind, Task, is_enabled};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

impl<S> Layer<S> for TraceLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if is_enabled() {
            self.make(attributes, id, &context);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if is_enabled() {
            self.update(id, values, &context);
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if is_enabled() {
            let site = sites::of_event(event);
            if site.is_live() {
                log(site, format_args!("{}", Message(event)));
            }
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if !is_enabled() {
            return;
        }
        let key = self.key(id);
        let open = match entered::look(key) {
            Known::NoRoom => None,
            Known::Plain(site) => begin_plain(site),
            Known::Nothing => self.begin(id, &context),
        };
        if let Some(open) = open {
            entered::push(key, open);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.leave(id, &context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        // A span may be closed while it is still entered, if its guard was forgotten.
        while self.leave(&id, &context) {}
        if self.tasks.is_none() {
            return;
        }
        let span = context.span(&id);
        let kept = span.and_then(|span| span.extensions_mut().remove::<Kept>());
        if let Some(task) = kept.and_then(|kept| kept.task) {
            task.end();
        }
    }
}

impl TraceLayer {
    fn key(&self, id: &Id) -> Key {
        Key { layer: self.number, span: id.into_u64() }
    }

    fn is_task(&self, metadata: &Metadata<'_>) -> bool {
        self.tasks.as_ref().is_some_and(|is_task| is_task(metadata))
    }

    fn leave<S>(&self, id: &Id, context: &Context<'_, S>) -> bool
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        entered::leave(self.key(id), |span| self.begin(&Id::from_u64(span), context))
    }

    /// Keeps the fields of a new span; begins its task.
    fn make<S>(&self, attributes: &Attributes<'_>, id: &Id, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let metadata = attributes.metadata();
        let is_task = self.is_task(metadata);
        let count = metadata.fields().len();
        let kind = if is_task { CallsiteKind::Instant } else { CallsiteKind::Region };
        let has_fields = count > 0 && sites::of(metadata, kind).is_live();
        if !is_task && !has_fields {
            return;
        }
        let mut fields = Fields::new(count);
        if has_fields {
            attributes.record(&mut fields);
        }
        let Some(span) = context.span(id) else { return };
        // Another layer of this type may have kept the fields already: they are the same.
        if is_task && span.extensions().get::<Kept>().is_some() {
            return;
        }
        let task = is_task.then(|| begin_task(&span));
        if is_task && has_fields {
            fields.with_values(|values| instant(sites::of(metadata, kind), values));
        }
        let mut extensions = span.extensions_mut();
        if extensions.get_mut::<Kept>().is_none() {
            extensions.replace(Kept { fields, task });
        }
    }

    /// Adds fields that are recorded after the span was made.
    fn update<S>(&self, id: &Id, values: &Record<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(span) = context.span(id) else { return };
        let site = sites::of(span.metadata(), CallsiteKind::Instant);
        if !site.is_live() {
            return;
        }
        let mut fields = Fields::new(span.metadata().fields().len());
        values.record(&mut fields);
        if entered::holds(self.key(id)) || self.is_task(span.metadata()) {
            fields.with_values(|values| instant(site, values));
        }
        let mut extensions = span.extensions_mut();
        if let Some(kept) = extensions.get_mut::<Kept>() {
            kept.fields.update(fields);
        } else {
            extensions.replace(Kept { fields, task: None });
        }
    }

    /// What entering a span opens; `None` if it is not recorded.
    fn begin<S>(&self, id: &Id, context: &Context<'_, S>) -> Option<Open>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let span = context.span(id)?;
        let metadata = span.metadata();
        if self.is_task(metadata) {
            return Some(Open::Task(task_of(&span).enter()));
        }
        let site = sites::of(metadata, CallsiteKind::Region);
        if metadata.fields().is_empty() {
            entered::remember(self.key(id), site);
            return begin_plain(site);
        }
        if !site.is_live() {
            return None;
        }
        let extensions = span.extensions();
        Some(Open::Region(match extensions.get::<Kept>() {
            Some(kept) => kept.fields.with_values(|values| enter_args(site, values)),
            None => enter(site),
        }))
    }
}

/// What entering a span without fields opens.
#[inline]
fn begin_plain(site: &'static Callsite) -> Option<Open> {
    site.is_live().then(|| Open::Region(enter(site)))
}

/// The task of a span; it begins now if the span is older than the trace.
fn task_of<S>(span: &SpanRef<'_, S>) -> Task
where
    S: for<'a> LookupSpan<'a>,
{
    let known = |kept: &Kept| kept.task.clone().filter(|task| task.id() != 0);
    if let Some(task) = span.extensions().get().and_then(known) {
        return task;
    }
    let task = begin_task(span);
    let mut extensions = span.extensions_mut();
    if let Some(kept) = extensions.get_mut::<Kept>() {
        // Another thread may have entered the span at the same time and begun the task first.
        if let Some(theirs) = known(kept) {
            return theirs;
        }
        kept.task = Some(task.clone());
    } else {
        extensions.replace(Kept { task: Some(task.clone()), ..Kept::default() });
    }
    task
}

/// Begins the task of a span.
fn begin_task<S>(span: &SpanRef<'_, S>) -> Task
where
    S: for<'a> LookupSpan<'a>,
{
    let task = |span: SpanRef<'_, S>| span.extensions().get::<Kept>()?.task.clone();
    match span.scope().skip(1).find_map(task) {
        Some(around) => around.subtask(span.name()),
        None => Task::new(span.name()),
    }
}
