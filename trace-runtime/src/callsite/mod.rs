//! Call sites: the places in the source that emit, and the table of them all.
//!
//! Each is a static that `inventory` links into one list. Its `live` word is both switch and id:
//! the hot path asks nothing else. Ids are given once and stay for the life of the process.
//!
//! `sites` makes call sites while the program runs; `owner` finds the type of a traced method.

pub(crate) mod owner;
pub(crate) mod sites;

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicU32, AtomicU64};
use crate::stack;
use crate::start::recorder;
use crate::sys::clock;
use std::sync::OnceLock;
use trace_format::definition::Definition;
pub use trace_format::definition::{ArgumentKind, CallsiteKind};
use trace_format::id::SiteId;
use trace_format::time::Nanos;
use trace_format::value::{TEXT_BYTES_MAX, Text};

/// In [`Callsite::live`]: what begins here may have a stack. No program has so many call sites.
pub(crate) const STACK: u32 = 1 << 31;

/// An argument, as the call site knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgumentName {
    name: &'static str,
    kind: ArgumentKind,
}

impl ArgumentName {
    /// For the macros.
    #[must_use]
    pub const fn new(name: &'static str, kind: ArgumentKind) -> Self {
        Self { name, kind }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How it becomes a value.
    #[must_use]
    pub const fn kind(&self) -> ArgumentKind {
        self.kind
    }
}

/// A place in the source that emits.
#[derive(Debug)]
pub struct Callsite {
    /// The id while events are wanted from here, else 0; with [`STACK`] if with stacks.
    live: AtomicU32,
    /// The id, once given.
    id: AtomicU32,
    /// `min_nanos` in ticks, once known.
    min_ticks: AtomicU64,
    /// Switched off by the user.
    off: AtomicBool,
    kind: CallsiteKind,
    name: &'static str,
    module_path: &'static str,
    file: &'static str,
    line: u32,
    column: u32,
    min_nanos: u64,
    arguments: &'static [ArgumentName],
    /// Of a function that may be a method.
    inside: Option<Inside>,
    /// `name` with a method's type, once somebody asked.
    qualified: OnceLock<&'static str>,
}

/// What is known of a function whose `impl` the attribute could not see.
#[derive(Clone, Copy, Debug)]
struct Inside {
    /// What the compiler calls something inside of it.
    path: fn() -> &'static str,
    /// Whether it takes `self`.
    is_method: bool,
}

impl Callsite {
    /// For the macros; `register!` makes it known.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "only macros call it")]
    pub const fn new(
        kind: CallsiteKind,
        name: &'static str,
        module_path: &'static str,
        file: &'static str,
        line: u32,
        column: u32,
        min_nanos: u64,
        arguments: &'static [ArgumentName],
    ) -> Self {
        Self {
            live: AtomicU32::new(0),
            id: AtomicU32::new(0),
            min_ticks: AtomicU64::new(0),
            off: AtomicBool::new(false),
            kind,
            name,
            module_path,
            file,
            line,
            column,
            min_nanos,
            arguments,
            inside: None,
            qualified: OnceLock::new(),
        }
    }

    /// For the macros: that it is in a function which may be a method of a type.
    ///
    /// - `path`: gives the compiler's name of itself; it is a function `path` in the initial value
    ///   of the static `__SITE` in the function.
    /// - `is_method`: whether the function takes `self`.
    #[must_use]
    pub const fn inside(mut self, path: fn() -> &'static str, is_method: bool) -> Self {
        self.inside = Some(Inside { path, is_method });
        self
    }

    /// What it emits.
    #[must_use]
    pub fn kind(&self) -> CallsiteKind {
        self.kind
    }

    /// Its name: a function, with its type if it is a method; a region; a category.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let Some(Inside { path, is_method }) = self.inside else { return self.name };
        self.qualified.get_or_init(|| {
            let qualified = owner::qualified(self.name, self.module_path, path(), is_method);
            // Once for each call site; those are statics.
            qualified.map_or(self.name, |name| name.leak())
        })
    }

    /// The module it is in, as `module_path!()` has it.
    #[must_use]
    pub fn module_path(&self) -> &'static str {
        self.module_path
    }

    /// The source file, as `file!()` has it.
    #[must_use]
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// From 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// From 1.
    #[must_use]
    pub fn column(&self) -> u32 {
        self.column
    }

    /// Regions shorter than this leave nothing behind; 0 for none.
    #[must_use]
    pub fn min_nanos(&self) -> u64 {
        self.min_nanos
    }

    /// Names and kinds of its arguments.
    #[must_use]
    pub fn arguments(&self) -> &'static [ArgumentName] {
        self.arguments
    }

    /// Whether it will emit while a trace runs. All do, until they are switched off.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.off.load(Ordering::Relaxed)
    }

    /// Switches it on or off, at once if a trace is running, and for later traces. What is open
    /// here still ends properly.
    pub fn set_on(&'static self, on: bool) {
        let was_on = !self.off.swap(!on, Ordering::Relaxed);
        if was_on != on {
            recorder::switched(self, on);
        }
    }

    /// Whether an event from here would be recorded now.
    #[inline(always)]
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed) != 0
    }

    /// The id if events are wanted, else 0.
    #[inline(always)]
    pub(crate) fn live(&self) -> u32 {
        self.live_word() & !STACK
    }

    /// The same, with [`STACK`] if what begins here may have a stack.
    #[inline(always)]
    pub(crate) fn live_word(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// The stack of what begins here now; 0 for none.
    #[inline(always)]
    pub(crate) fn stack(&self) -> u32 {
        if self.live_word() & STACK == 0 { 0 } else { stack::for_region() }
    }

    pub(crate) fn min_ticks(&self) -> u64 {
        self.min_ticks.load(Ordering::Relaxed)
    }

    pub(crate) fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    /// Gives it an id and its threshold, if it has none yet. Events from here find its name made.
    pub(crate) fn prepare(&self, id: u32) {
        let _ = self.name();
        if self.id.load(Ordering::Relaxed) == 0 {
            self.id.store(id, Ordering::Relaxed);
            self.min_ticks.store(clock::ticks_in(self.min_nanos), Ordering::Relaxed);
        }
    }

    /// What a trace says of it.
    pub(crate) fn definition(&self) -> Definition<'static> {
        Definition::Callsite {
            id: SiteId(self.id()),
            kind: self.kind,
            name: cut(self.name()),
            module: cut(self.module_path),
            file: cut(self.file),
            line: self.line,
            column: self.column,
            min: Nanos(self.min_nanos),
            arguments: self.arguments.iter().map(|it| (cut(it.name), it.kind)).collect(),
        }
    }

    /// Lets it emit, unless it is switched off; or silences it.
    pub(crate) fn set_live(&self, live: bool) {
        let id = if live && self.is_on() { self.id() } else { 0 };
        let stack = if id != 0 && stack::regions_want() { STACK } else { 0 };
        self.live.store(id | stack, Ordering::Relaxed);
    }
}

/// No name in a source is longer, unless a macro made it.
pub(crate) fn cut(text: &str) -> &[u8] {
    Text::cut(text.as_bytes(), TEXT_BYTES_MAX).bytes
}

/// What `inventory` collects.
#[derive(Debug)]
pub struct Registered(pub &'static Callsite);

inventory::collect!(Registered);

/// Every call site linked into the program, in no particular order, and those that were made
/// while it ran.
pub fn callsites() -> impl Iterator<Item = &'static Callsite> {
    linked().chain(sites::made())
}

/// Those that were linked into the program.
pub(crate) fn linked() -> impl Iterator<Item = &'static Callsite> {
    inventory::iter::<Registered>.into_iter().map(|registered| registered.0)
}

/// Switches every call site on or off whose module path is `module` or lies below it, and returns
/// how many those are.
pub fn set_module_on(module: &str, on: bool) -> usize {
    let below = |site: &&'static Callsite| {
        let rest = site.module_path().strip_prefix(module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    callsites().filter(below).map(|site| site.set_on(on)).count()
}
