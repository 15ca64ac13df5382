//! Stacks, call sites, resources and threads: what other objects name.

use serde::Serialize;
use trace_analysis::Quantiles;
use trace_analysis::sources;
use trace_format::id::{ResourceId, SiteId, StackId, ThreadId};

use crate::label::Labels;
use crate::label::names::Names;
use crate::label::places::Place;

/// A call site: where in the source something was annotated.
#[derive(Debug, Serialize)]
pub struct SiteOut {
    /// Its id in the trace; 0 for all that the trace does not define.
    pub(super) site: u32,
    /// Its name.
    name: Option<String>,
    /// The path of its module.
    module: Option<String>,
    /// The source file.
    file: Option<String>,
    /// The line, from 1.
    line: Option<u32>,
}

impl SiteOut {
    /// Of a call site.
    #[must_use]
    pub fn new(names: &Names<'_>, site: SiteId) -> Self {
        let known = names.callsite(site);
        Self {
            site: site.0,
            name: known.map(|site| site.name.clone()),
            module: known.map(|site| site.module.clone()),
            file: known.map(|site| sources::normal(&site.file).into_owned()),
            line: known.map(|site| site.line),
        }
    }
}

/// How durations are spread, to three significant digits; 0 if there are none.
#[derive(Debug, Serialize)]
pub struct SpreadOut {
    /// Half of them take at most this long.
    p50_ns: u64,
    /// Nine of ten take at most this long.
    p90_ns: u64,
    /// Ninety-nine of a hundred take at most this long.
    p99_ns: u64,
    /// The longest, exact.
    max_ns: u64,
}

impl From<Quantiles> for SpreadOut {
    fn from(quantiles: Quantiles) -> Self {
        let Quantiles { p50, p90, p99, max } = quantiles;
        Self { p50_ns: p50.0, p90_ns: p90.0, p99_ns: p99.0, max_ns: max.0 }
    }
}

/// A function of a stack.
#[derive(Clone, Debug, Serialize)]
pub struct FrameOut {
    /// Its path, or a place in a module if it has no name.
    function: String,
    /// The source file; `null` if it is not known.
    file: Option<String>,
    /// The line, from 1; `null` if it is not known.
    line: Option<u32>,
}

impl From<Place> for FrameOut {
    fn from(place: Place) -> Self {
        let Place { function, file, line } = place;
        let file = (!file.is_empty()).then_some(file);
        Self { function, file, line: (line > 0).then_some(line) }
    }
}

/// A stack: its place, and all of it.
#[derive(Debug, Serialize)]
pub struct StackOut {
    /// Its id in the trace.
    stack: u32,
    /// The innermost function that is the program's own.
    place: Option<FrameOut>,
    /// Whether functions further out are missing.
    is_cut: bool,
    /// The functions, innermost first, without the recorder's own.
    frames: Vec<FrameOut>,
}

impl StackOut {
    /// A stack, if there is one.
    #[must_use]
    pub fn new(labels: Labels<'_>, stack: StackId) -> Option<Self> {
        let frames = || labels.places.frames(stack);
        (stack != StackId(0)).then(|| Self {
            stack: stack.0,
            place: labels.places.place(stack).map(FrameOut::from),
            is_cut: labels.places.is_cut(stack),
            frames: frames().iter().map(|frame| Place::new(frame).into()).collect(),
        })
    }
}

/// What a call was about.
#[derive(Debug, Serialize)]
pub struct ResourceOut {
    /// Its id in the trace.
    resource: u32,
    /// `address`, `file`, `socket`, `pipe`, `event`, `poll-set`, `timer`, `descriptor`, `process`,
    /// `thread`, `system-call`.
    kind: Option<&'static str>,
    /// The address, the descriptor, the process's id, by its kind.
    value: Option<u64>,
    /// A path, or `local -> peer`; `null` if it has no name.
    name: Option<String>,
}

impl ResourceOut {
    /// A resource, if there is one.
    #[must_use]
    pub fn new(labels: Labels<'_>, id: ResourceId) -> Option<Self> {
        let known = labels.names.tables().resources.get(&id);
        (id != ResourceId(0)).then(|| Self {
            resource: id.0,
            kind: known.map(|known| known.kind.name()),
            value: known.map(|known| known.value),
            name: labels.names.resource_name(id),
        })
    }
}

/// A thread.
#[derive(Debug, Serialize)]
pub struct WhoOut {
    /// Its id in the trace.
    thread: u32,
    /// Its name.
    thread_name: String,
}

impl WhoOut {
    /// A thread, if there is one.
    #[must_use]
    pub fn new(labels: Labels<'_>, id: ThreadId) -> Option<Self> {
        let thread_name = || labels.names.thread_name(id);
        (id != ThreadId(0)).then(|| Self { thread: id.0, thread_name: thread_name() })
    }
}
