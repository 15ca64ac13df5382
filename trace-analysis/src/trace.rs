//! A trace as every report takes it: the file, the names of its code, and what is asked of it.

use std::sync::LazyLock;

use trace_format::read::TraceFile;

use crate::summary::Options;
use crate::symbols::Symbols;

/// The names of a trace's code if nobody gives any.
static NAMELESS: LazyLock<Symbols> = LazyLock::new(Symbols::default);

/// A trace, the names of its code, and the part that is to be read.
///
/// ```
/// use trace_analysis::{Options, Trace};
/// # use trace_analysis::symbols::Symbols;
/// # use trace_format::read::{ReadAt, TraceFile};
/// # fn of<S: ReadAt>(file: &TraceFile<S>) {
/// let symbols = Symbols::of_trace(file.tables());
/// let whole = Trace::new(file).named(&symbols);
/// let part = whole.with(Options { threads: vec![], ..Options::default() });
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Trace<'t, S> {
    /// The file.
    pub file: &'t TraceFile<S>,
    /// The names of its code, by which reasons are found: without them a lock is only a futex.
    pub symbols: &'t Symbols,
    /// The part that is to be read, and how much is kept of it.
    pub options: Options,
}

impl<'t, S> Trace<'t, S> {
    /// All of a trace, without names.
    #[must_use]
    pub fn new(file: &'t TraceFile<S>) -> Self {
        Self { file, symbols: &NAMELESS, options: Options::default() }
    }

    /// With these names.
    #[must_use]
    pub fn named(self, symbols: &'t Symbols) -> Self {
        Self { symbols, ..self }
    }

    /// The part that these options name.
    #[must_use]
    pub fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }
}
