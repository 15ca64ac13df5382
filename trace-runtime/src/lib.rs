//! The recorder: what traced programs link.
//!
//! # How bytes leave a running thread without a lock
//!
//! 1. A macro asks its call site whether it is live (`callsite`): one relaxed load.
//! 2. What the macro expands to (`annotate`) finds its thread's state, reads the clock, and writes
//!    the event behind the committed bytes of the thread's open batch (`thread`).
//! 3. The event is committed: one release store of how far the batch is written, and when.
//! 4. A full batch is sealed by storing its successor. Batches come from spares and from one
//!    budget, and lie in a mapped file if they are to outlive the process (`buffer`).
//! 5. The collector walks every thread's chain, reads committed events in place, and gives batches
//!    back as spares (`collect`). It writes the events to a file, or keeps them in the flight
//!    recorder's ring (`output`). It also collects from each `source` what the kernel, libc and the
//!    allocator report: `sched`, `os`, `heap`.
//! 6. `start` starts and stops a trace; its `session` is what it shares with recording threads.
//!    `auto` starts one before `main`, if the environment says so.
//!
//! Stacks (`stack`) and what calls are about get numbers as ids (`intern`). `files` opens the files
//! to be written. All modules use `base` and `sys`: options, errors, atomics, and what differs by
//! system. `buffers` tests buffers for Miri; `alone` runs a test in its own process; `tests` are
//! the models.
//!
//! # Locks
//!
//! Only ordinary code takes locks, never the code that records an event. The order is: changes of
//! the session (a start or stop), the process's state or its backing file, a session's news
//! (switches, names, requests). A thread attaches and opens batches, and tasks begin and end,
//! without a lock and without the program's allocator, as all of that may happen in a signal
//! handler (`handler`): a word says which session runs (`running`), threads' states have counts of
//! references (`thread_ref`) and reach the collector by a list (`inbox`), and released memory waits
//! until ordinary code frees it (`limbo`).
//!
//! # Unsafe
//!
//! Only the files that `tests/tidy/unsafety.rs` lists may contain `unsafe`; the header of each says
//! why. Invariants: B (`batch`), T (`thread/state`), M (`memory`), D (`drain`), L (`local`), H
//! (`heap`), N (`intern`), E (`intern/resources`), A (`arena`), W (`stack/pool`), C (`os/hook`), O
//! (`os/waiting`), R (`liveness`), F (`registry`), Q (`inbox`), S (`running`), P (`thread_ref`), K
//! (`open_tasks`); their models are in `tests`.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(test, not(exectrace_loom)))]
mod alone;
mod annotate;
#[cfg(all(feature = "auto", target_os = "linux", not(exectrace_loom)))]
mod auto;
mod base;
mod buffer;
#[cfg(all(test, not(exectrace_loom)))]
#[path = "tests/buffers.rs"]
mod buffers;
mod callsite;
mod collect;
mod files;
#[cfg(any(feature = "heap", exectrace_loom))]
mod heap;
#[cfg(any(stacks, exectrace_loom))]
mod intern;
mod os;
mod output;
#[cfg(all(test, exectrace_loom))]
#[path = "stack/pool.rs"]
mod pool;
#[cfg(all(feature = "sched", not(exectrace_loom)))]
#[cfg_attr(
    not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))),
    path = "sched/disabled.rs"
)]
mod sched;
mod session;
mod source;
#[cfg_attr(not(stacks), path = "stack/disabled.rs")]
mod stack;
mod start;
mod sys;
#[cfg(all(test, exectrace_loom))]
mod tests;
mod thread;

#[doc(hidden)]
pub use annotate::future::executor;
pub use annotate::future::{FutureName, Traced, TracedExt};
pub use annotate::task::{Task, TaskGuard};
pub use annotate::traceparent::Traceparent;
pub use base::error::{Report, SnapshotError, SnapshotReport, StartError, StopError};
pub use base::options::{Compression, OnFull, Options, Stacks};
pub use callsite::{ArgumentKind, ArgumentName, Callsite, CallsiteKind, callsites, set_module_on};
#[cfg(all(feature = "heap", not(exectrace_loom)))]
pub use heap::Heap;
pub use output::rotation::Rotation;
pub use session::process::is_enabled;
pub use start::file::{start_file, start_file_with, start_rotating};
pub use start::flight::{FlightRecorder, FlightRecorderBuilder};
pub use start::trace::{Trace, start, start_with};
pub use thread::value::{Argument, Value};

/// Items for the expansion of macros. Not for use by hand; they may change with any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::annotate::future::{FutureEnd, FutureGuard, Ignore, InTask, Traced};
    pub use crate::base::options::HAS_NAMES;
    pub use crate::callsite::{ArgumentKind, ArgumentName, Callsite, CallsiteKind, Registered};

    pub use crate::annotate::region::{Region, counter, enter, enter_args, instant, log};
    pub use crate::annotate::task::{TaskScope, enter_task, enter_task_args};
    pub use crate::callsite::sites::SitePlace;
    pub use crate::judge;
    pub use crate::start::test_dump::{Judged, JudgedOther, JudgedResult, KeptIfFailed, keep};
    pub use crate::sys::signals::without_signals;
    pub use crate::thread::naming::name_thread;
    pub use crate::thread::value::{Argument, Value};
    pub use crate::{register, returned_value};
    pub use inventory;
    /// Macros do not name `::core` and `::std`, which may be other crates where a macro is used.
    pub use {core, std};

    /// A returned value that is to be recorded: typed if the trace keeps its type.
    #[derive(Debug)]
    pub struct Returned<'a, T: ?Sized>(pub &'a T);

    /// The first choice: the type is kept.
    pub trait ReturnedArgument<'a> {
        /// The value.
        fn returned(&self) -> Value<'a>;
    }

    impl<'a, T: Argument + ?Sized> ReturnedArgument<'a> for Returned<'a, T> {
        fn returned(&self) -> Value<'a> {
            self.0.value()
        }
    }

    /// The second choice: what `Debug` prints. The additional reference makes it second.
    pub trait ReturnedDebug<'a> {
        /// The value.
        fn returned(&self) -> Value<'a>;
    }

    impl<'a, T: std::fmt::Debug> ReturnedDebug<'a> for &Returned<'a, T> {
        fn returned(&self) -> Value<'a> {
            Value::Debug(self.0)
        }
    }
}

/// Registers a call site's static for `callsites()`.
#[doc(hidden)]
#[macro_export]
macro_rules! register {
    ($site:ident) => {
        $crate::__private::inventory::submit! { $crate::__private::Registered(&$site) }
    };
}

/// The value of a reference to what a function returns.
#[doc(hidden)]
#[macro_export]
macro_rules! returned_value {
    ($value:expr) => {{
        use $crate::__private::{ReturnedArgument as _, ReturnedDebug as _};
        (&$crate::__private::Returned($value)).returned()
    }};
}
