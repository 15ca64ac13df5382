//! An execution tracer: what a program did, to the nanosecond, and why it was slow.
//!
//! Annotate functions with [`macro@traced`] and scopes with [`trace_region!`], switch the feature
//! `enabled` on, and run between [`start`] and [`Trace::stop`]; the tool `exectrace` shows what
//! happened. [The guide](guide) has it step by step: a first trace, reading it, production, tests,
//! async, costs, and what every message means.
//!
//! ```
//! use exectrace::{trace_region, traced};
//!
//! #[traced(args(n))]
//! fn sum(n: u64) -> u64 {
//!     trace_region!("add");
//!     (0..n).sum()
//! }
//!
//! let trace = exectrace::start(std::io::sink())?;
//! assert_eq!(sum(4), 6);
//! let report = trace.stop()?;
//! assert_eq!(report.dropped_events, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With `enabled` off, every macro expands to the untouched code, arguments are not evaluated, and
//! every call compiles, does nothing and succeeds. [`COMPILED_IN`] tells which it is. So a library
//! depends on `exectrace` with no feature, and the binary decides for all crates of its build.
//!
//! With the feature `auto` no code is needed but `use exectrace as _;`, so that the crate is
//! linked: `EXECTRACE=out.trace` in the environment traces the program from before `main` to its
//! exit. `%p`, `%e` and `%t` in the name stand for process, executable and time; options follow
//! after commas, as in `out.trace,os=off,memory=256M`. Linux; elsewhere the feature does nothing,
//! and nor does it in a setuid program.
//! The command `cargo exectrace` sets the variable for cargo's commands, and [`macro@test`] makes a
//! task of each test.
//!
//! With the features `tracing` and `log` the program's spans, events and log records are in the
//! trace, too: `layer` and `Logger`; with `tokio` and `smol` the tasks of those executors: the
//! modules of these names.
//!
//! The recorder is the crate `trace-runtime`, and what connects it to other crates' instrumentation
//! `trace-bridges`; the twin for `enabled` off is `disabled`, that of the
//! allocator for `heap` off is `heap`; `macros` has the macros that are not an attribute; `guide`
//! is there for rustdoc alone.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(feature = "enabled"))]
mod disabled;
#[cfg(any(doc, doctest))]
#[doc = include_str!("guide/links.txt")]
#[doc = include_str!("../guide/README.md")]
pub mod guide;
#[cfg(not(feature = "heap"))]
mod heap;
mod macros;

/// Whether the recorder is compiled into this program: the feature `enabled`.
pub const COMPILED_IN: bool = cfg!(feature = "enabled");

#[cfg(not(feature = "enabled"))]
pub use disabled::*;
#[cfg(not(feature = "heap"))]
pub use heap::Heap;
#[cfg(feature = "smol")]
pub use trace_bridges::smol;
#[cfg(feature = "tokio")]
pub use trace_bridges::tokio;
#[cfg(feature = "log")]
pub use trace_bridges::{InstallError, Logger};
#[cfg(feature = "tracing")]
pub use trace_bridges::{TraceLayer, layer};
pub use trace_macros::{test, traced};
#[cfg(feature = "heap")]
pub use trace_runtime::Heap;
#[cfg(feature = "enabled")]
pub use trace_runtime::{
    Argument, ArgumentKind, ArgumentName, Callsite, CallsiteKind, Compression, FlightRecorder,
    FlightRecorderBuilder, FutureName, OnFull, Options, Report, Rotation, SnapshotError,
    SnapshotReport, Stacks, StartError, StopError, Task, TaskGuard, Trace, Traced, TracedExt,
    Traceparent, Value, callsites, is_enabled, set_module_on, start, start_file, start_file_with,
    start_rotating, start_with,
};

/// What macros expand to. Not for use by hand; may change with any version.
#[doc(hidden)]
pub mod __private {
    #[cfg(not(feature = "enabled"))]
    pub use core;
    #[cfg(feature = "enabled")]
    pub use trace_runtime::__private::*;

    /// For the crate `trace-http`: there are no traces, and no names.
    #[cfg(not(feature = "enabled"))]
    pub const HAS_NAMES: bool = false;

    /// For the crate `trace-http`, whose threads have nothing to keep out of without a recorder.
    #[cfg(not(feature = "enabled"))]
    pub fn without_signals<T>(act: impl FnOnce() -> T) -> T {
        act()
    }
}

/// The README's examples are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;
