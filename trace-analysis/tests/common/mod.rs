//! Traces for tests and benches: the format's own builder, with fewer words for common things.
//!
//! One tick is a nanosecond, and every trace begins at tick 0.

#![allow(dead_code, reason = "every test uses a part of it")]

use trace_format::batch::Compression;
use trace_format::definition::{ArgumentKind, CallsiteKind, Definition};
use trace_format::event::EventKind;
use trace_format::id::{SiteId, TaskId};
use trace_format::testgen::TraceBuilder;
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{Text, Value, Values, put_value};

/// A trace in the making.
pub(crate) struct Builder(pub(crate) TraceBuilder);

impl Builder {
    pub(crate) fn new() -> Self {
        Self(TraceBuilder::started(Compression::None))
    }

    /// A call site in `src/<module>.rs`, its line ten times its id.
    pub(crate) fn site(&mut self, id: u32, kind: CallsiteKind, path: &str, arguments: &[&str]) {
        let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
        let file = format!("src/{}.rs", module.rsplit("::").next().unwrap_or("main"));
        let arguments = arguments.iter().map(|name| (name.as_bytes(), ArgumentKind::Typed));
        self.0.define(&Definition::Callsite {
            id: SiteId(id),
            kind,
            name: name.as_bytes(),
            module: module.as_bytes(),
            file: file.as_bytes(),
            line: 10 * id,
            column: 5,
            min: Nanos(0),
            arguments: arguments.collect(),
        });
    }

    pub(crate) fn thread(&mut self, id: u32, name: &str) {
        self.0.thread(id, name);
    }

    pub(crate) fn event(&mut self, thread: u32, at: u64, kind: EventKind<'_>) {
        self.0.event(thread, at, kind);
    }

    pub(crate) fn begin(&mut self, thread: u32, at: u64, site: u32, values: &[Value<'_>]) {
        let bytes = bytes_of(values);
        let values = Values::new(&bytes);
        self.event(thread, at, EventKind::RegionBegin { site: SiteId(site), values });
    }

    pub(crate) fn end(&mut self, thread: u32, at: u64) {
        self.event(thread, at, EventKind::End);
    }

    pub(crate) fn region(&mut self, thread: u32, at: u64, site: u32, duration: u64) {
        self.0.region(thread, site, at, duration);
    }

    pub(crate) fn region_with(
        &mut self,
        thread: u32,
        at: u64,
        site: u32,
        duration: u64,
        values: &[Value<'_>],
    ) {
        let bytes = bytes_of(values);
        let (site, duration) = (SiteId(site), Ticks(duration));
        let values = Values::new(&bytes);
        self.event(thread, at, EventKind::Region { site, duration, values });
    }

    pub(crate) fn task(&mut self, thread: u32, at: u64, task: u64, parent: u64, name: &str) {
        let name = Text::cut(name.as_bytes(), 256);
        let (task, parent) = (TaskId(task), TaskId(parent));
        self.event(thread, at, EventKind::TaskBegin { task, parent, name });
    }

    pub(crate) fn generation(&mut self, at: u64) {
        self.0.generation(at);
    }

    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        self.0.define(definition);
    }

    pub(crate) fn stop(self, at: u64) -> Vec<u8> {
        self.0.stop(at)
    }

    /// As a crash would leave it.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0.killed()
    }
}

/// The bytes of some values.
pub(crate) fn bytes_of(values: &[Value<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| put_value(&mut bytes, value));
    bytes
}
