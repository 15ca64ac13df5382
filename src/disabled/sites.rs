//! The twins of call sites and of values: there are no call sites, and nothing is recorded.

use std::fmt;

/// A place in the source that would emit events; there are none.
#[derive(Debug)]
pub enum Callsite {}

impl Callsite {
    /// What it emits.
    #[must_use]
    pub fn kind(&self) -> CallsiteKind {
        match *self {}
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match *self {}
    }

    /// The module it is in.
    #[must_use]
    pub fn module_path(&self) -> &'static str {
        match *self {}
    }

    /// The source file.
    #[must_use]
    pub fn file(&self) -> &'static str {
        match *self {}
    }

    /// From 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        match *self {}
    }

    /// From 1.
    #[must_use]
    pub fn column(&self) -> u32 {
        match *self {}
    }

    /// Regions shorter than this would not be recorded.
    #[must_use]
    pub fn min_nanos(&self) -> u64 {
        match *self {}
    }

    /// The names and kinds of its arguments.
    #[must_use]
    pub fn arguments(&self) -> &'static [ArgumentName] {
        match *self {}
    }

    /// Whether it will emit while a trace runs.
    #[must_use]
    pub fn is_on(&self) -> bool {
        match *self {}
    }

    /// Switches it on or off.
    pub fn set_on(&'static self, _on: bool) {
        match *self {}
    }

    /// Whether an event from here would be recorded now.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match *self {}
    }
}

/// What a call site emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallsiteKind {
    /// `#[traced]` on a function.
    Function,
    /// `trace_region!`.
    Region,
    /// A traced `async fn` or a function that returns a future.
    Future,
    /// A call that is a user task of its own.
    Task,
    /// `log!`; the name is the category.
    Log,
    /// `counter!`.
    Counter,
    /// `instant!`.
    Instant,
}

/// How an argument is turned into a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgumentKind {
    /// Its type is kept.
    Typed,
    /// As `Debug` prints it.
    Debug,
    /// As `Display` prints it.
    Display,
}

/// An argument, as the call site knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgumentName {
    name: &'static str,
    kind: ArgumentKind,
}

impl ArgumentName {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How it is turned into a value.
    #[must_use]
    pub const fn kind(&self) -> ArgumentKind {
        self.kind
    }
}

/// A type whose values would keep their type in a trace.
pub trait Argument {
    /// The value to record.
    fn value(&self) -> Value<'_>;
}

/// The value of one argument.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `None`, `()`.
    None,
    /// Unsigned integers up to 64 bits.
    U64(u64),
    /// Signed integers up to 64 bits.
    I64(i64),
    /// Floats.
    F64(f64),
    /// Truth values.
    Bool(bool),
    /// Characters.
    Char(char),
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// `u128`.
    U128(u128),
    /// `i128`.
    I128(i128),
    /// Printed by `Debug` when the event is recorded.
    Debug(&'a dyn fmt::Debug),
    /// Printed by `Display` when the event is recorded.
    Display(&'a dyn fmt::Display),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}
