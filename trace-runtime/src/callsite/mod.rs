//! Call sites: the places in the source that events come from, and the list of all of them.
//!
//! Each is a static that `inventory` links into one list. Its `live` word is both switch and id:
//! the hot path reads nothing else. Ids are given once and stay for the life of the process.
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

/// A bit of [`Callsite::live`]: what begins here may have a stack. No program has so many call
/// sites that an id would need it.
pub(crate) const STACK: u32 = 1 << 31;

/// An argument of a call site: its name, and how it becomes a value.
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

/// A place in the source that events come from.
#[derive(Debug)]
pub struct Callsite {
    /// The id while events from here are recorded, else 0; with [`STACK`] if they may have stacks.
    live: AtomicU32,
    /// The id, once given.
    id: AtomicU32,
    /// `min_nanos` in ticks, once the clock's rate is known.
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
    /// For a function that may be a method.
    inside: Option<Enclosing>,
    /// `name` with a method's type, from the first use on.
    qualified: OnceLock<&'static str>,
}

/// What is known about a function whose `impl` the attribute could not see.
#[derive(Clone, Copy, Debug)]
struct Enclosing {
    /// Gives the compiler's name of an item inside the function.
    path: fn() -> &'static str,
    /// Whether it takes `self`.
    is_method: bool,
}

impl Callsite {
    /// For the macros; `register!` puts it into the list.
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

    /// For the macros: adds that it is in a function which may be a method of a type.
    ///
    /// - `path`: gives the compiler's name of itself; it is a function `path` in the initial value
    ///   of the static `__SITE` in the function.
    /// - `is_method`: whether the function takes `self`.
    #[must_use]
    pub const fn inside(mut self, path: fn() -> &'static str, is_method: bool) -> Self {
        self.inside = Some(Enclosing { path, is_method });
        self
    }

    /// What kind of events it emits.
    #[must_use]
    pub fn kind(&self) -> CallsiteKind {
        self.kind
    }

    /// Its name: a function, with its type if it is a method; a region; a category.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let Some(Enclosing { path, is_method }) = self.inside else { return self.name };
        self.qualified.get_or_init(|| {
            let qualified = owner::qualified(self.name, self.module_path, path(), is_method);
            // Leaked once for each call site, which is a static itself.
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

    /// Regions shorter than this are not recorded; 0 if all are.
    #[must_use]
    pub fn min_nanos(&self) -> u64 {
        self.min_nanos
    }

    /// Names and kinds of its arguments.
    #[must_use]
    pub fn arguments(&self) -> &'static [ArgumentName] {
        self.arguments
    }

    /// Whether its events are recorded while a trace runs. They are, until it is switched off.
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

    /// The id if its events are recorded now, else 0.
    #[inline(always)]
    pub(crate) fn live(&self) -> u32 {
        self.live_word() & !STACK
    }

    /// The same, with the bit [`STACK`] if what begins here may have a stack.
    #[inline(always)]
    pub(crate) fn live_word(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// The stack of an event that begins here now; 0 for none.
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

    /// Gives it an id and its threshold, if it has none yet, and makes its name, so that events
    /// need not.
    pub(crate) fn prepare(&self, id: u32) {
        let _ = self.name();
        if self.id.load(Ordering::Relaxed) == 0 {
            self.id.store(id, Ordering::Relaxed);
            self.min_ticks.store(clock::ticks_in(self.min_nanos), Ordering::Relaxed);
        }
    }

    /// Its definition in a trace.
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

    /// Makes it live, unless it is switched off; or not live.
    pub(crate) fn set_live(&self, live: bool) {
        let id = if live && self.is_on() { self.id() } else { 0 };
        let stack = if id != 0 && stack::regions_want() { STACK } else { 0 };
        self.live.store(id | stack, Ordering::Relaxed);
    }
}

/// The text, cut at the format's limit. Only a macro makes longer names.
pub(crate) fn cut(text: &str) -> &[u8] {
    Text::cut(text.as_bytes(), TEXT_BYTES_MAX).bytes
}

/// A call site in `inventory`'s list.
#[derive(Debug)]
pub struct Registered(pub &'static Callsite);

inventory::collect!(Registered);

/// All call sites: those linked into the program, in no particular order, then those made while it
/// ran.
pub fn callsites() -> impl Iterator<Item = &'static Callsite> {
    linked().chain(sites::made())
}

/// The call sites that are linked into the program.
pub(crate) fn linked() -> impl Iterator<Item = &'static Callsite> {
    inventory::iter::<Registered>.into_iter().map(|registered| registered.0)
}

/// Switches all call sites in `module`, and in modules below it, on or off. Returns how many those
/// are.
pub fn set_module_on(module: &str, on: bool) -> usize {
    let below = |site: &&'static Callsite| {
        let rest = site.module_path().strip_prefix(module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    callsites().filter(below).map(|site| site.set_on(on)).count()
}
