//! An execution tracer: what a program did, to the nanosecond, and why it was slow.
//!
//! Annotate functions with [`macro@traced`] and scopes with [`trace_region!`], switch the feature
//! `enabled` on, and run the program between [`start`] and [`Trace::stop`]; the tool `exectrace`
//! shows what happened. [The guide](guide) goes step by step: a first trace, reading it,
//! production, tests, async, costs, and what every message means.
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
//! every call compiles, does nothing and succeeds. [`COMPILED_IN`] says whether the recorder is
//! there. A library depends on `exectrace` with no feature, and the binary decides for all crates
//! of its build.
//!
//! With the feature `auto` the program needs only `use exectrace as _;`, which links the crate:
//! `EXECTRACE=out.trace` in the environment traces the program from before `main` to its exit.
//! `%p`, `%e` and `%t` in the name stand for process, executable and time; options follow after
//! commas, as in `out.trace,os=off,memory=256M`. This works on Linux; on other systems, and in a
//! setuid program, the feature does nothing. The command `cargo exectrace` sets the variable for
//! cargo's commands, and [`macro@test`] makes a task of each test.
//!
//! With the features `tracing` and `log` the trace also has the program's spans, events and log
//! records: see `layer` and `Logger`. With `tokio` and `smol` it has the tasks of those executors:
//! see the modules of these names.
//!
//! The recorder is the crate `trace-runtime`; `trace-bridges` connects it to other crates'
//! instrumentation. `disabled` is the twin for `enabled` off, `heap` that of the allocator for
//! `heap` off. `macros` has the macros that are not attributes; `guide` has the guide for rustdoc.

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

/// What macros expand to. Not for direct use; may change with any version.
#[doc(hidden)]
pub mod __private {
    #[cfg(not(feature = "enabled"))]
    pub use core;
    #[cfg(feature = "enabled")]
    pub use trace_runtime::__private::*;

    /// For the crate `trace-http`: without a recorder there are no names.
    #[cfg(not(feature = "enabled"))]
    pub const HAS_NAMES: bool = false;

    /// For the crate `trace-http`: without a recorder there are no traces, and signals need no
    /// blocking.
    #[cfg(not(feature = "enabled"))]
    pub fn without_signals<T>(act: impl FnOnce() -> T) -> T {
        act()
    }
}

/// The README's examples are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;
