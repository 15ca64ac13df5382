//! The call sites of spans and events: found by the address of `tracing`'s metadata, which is
//! static and unique for each place in the source.
//!
//! A lookup is one multiplication and mostly one comparison. A site that does not fit the table is
//! looked up in the recorder each time, which takes longer; the recorder bounds the number of
//! sites.

use crate::names;
use std::fmt;
use std::sync::OnceLock;
use trace_runtime::__private::SitePlace;
use trace_runtime::{ArgumentKind, ArgumentName, Callsite, CallsiteKind};
use tracing_core::field::{Field, Visit};
use tracing_core::{Event, Metadata};

/// Number of slots: twice the maximum number of call sites.
const SLOTS: usize = 8192;

/// Number of slots searched before the table counts as full.
const PROBES_MAX: usize = 16;

static WAYS: [OnceLock<Way>; SLOTS] = [const { OnceLock::new() }; SLOTS];

#[derive(Debug)]
struct Way {
    /// The address of the metadata, and the kind of the call site in the bits that are zero there.
    key: usize,
    site: &'static Callsite,
}

/// The call site of an event.
#[inline]
pub(super) fn of_event(event: &Event<'_>) -> &'static Callsite {
    let metadata = event.metadata();
    if metadata.target() == "log" {
        // A record of `log` from the crate `tracing-log`: the metadata is that of a few places in
        // that crate, and fields say where the record comes from.
        let mut target = LogTarget(None);
        event.record(&mut target);
        if let Some(name) = target.0 {
            let (kind, file) = (CallsiteKind::Log, "");
            return SitePlace { kind, name, module: name, file, line: 0, column: 0 }.callsite(&[]);
        }
    }
    of(metadata, CallsiteKind::Log)
}

/// The target of a record of `log`, looked for among an event's fields.
struct LogTarget(Option<&'static str>);

impl Visit for LogTarget {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.0 = Some(names::kept(value));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The call site of this place that emits this kind.
#[inline]
pub(super) fn of(metadata: &'static Metadata<'static>, kind: CallsiteKind) -> &'static Callsite {
    const { assert!(align_of::<Metadata<'static>>() > CallsiteKind::Instant as usize) };
    let key = std::ptr::from_ref(metadata) as usize | kind as usize;
    let hash = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    for probe in 0..PROBES_MAX {
        match WAYS[(hash as usize + probe) % SLOTS].get() {
            Some(way) if way.key == key => return way.site,
            Some(_) => {}
            None => break,
        }
    }
    learn(metadata, kind, key, hash as usize)
}

#[cold]
#[inline(never)]
fn learn(
    metadata: &'static Metadata<'static>,
    kind: CallsiteKind,
    key: usize,
    hash: usize,
) -> &'static Callsite {
    let (name, fields) = match kind {
        CallsiteKind::Log => (metadata.target(), None),
        _ => (metadata.name(), Some(metadata.fields().iter())),
    };
    let typed = |name: &'static str| ArgumentName::new(name, ArgumentKind::Typed);
    let arguments: Vec<_> = fields.into_iter().flatten().map(|field| typed(field.name())).collect();
    let (file, line) = (metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
    let module = metadata.target();
    let site = SitePlace { kind, name, module, file, line, column: 0 }.callsite(&arguments);
    for probe in 0..PROBES_MAX {
        // Two threads may add the same site; the second entry is never used.
        if WAYS[(hash + probe) % SLOTS].set(Way { key, site }).is_ok() {
            break;
        }
    }
    site
}
