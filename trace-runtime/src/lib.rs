//! The recorder: what traced programs link.
//!
//! # How bytes leave a running thread without a lock
//!
//! 1. A macro asks its call site whether it is live (`callsite`): one relaxed load.
//! 2. The thread's state is found (`local`), the clock is read (`clock`), and the event (`encoded`,
//!    `body`) is written behind the committed bytes of the thread's open batch (`thread`, `own`,
//!    `batch`).
//! 3. It is committed: one release store of how far the batch is written, and when.
//! 4. A full batch is sealed by naming its successor (`refill`); memory comes from spares and
//!    from one budget (`memory`), and lies in a mapped file if it is to outlive the process
//!    (`arena`).
//! 5. The collector (`collector`) walks every thread's chain (`drain`), reads what is committed
//!    where it lies, writes it (`output`, `outlet`, `sink`), and gives batches back as spares. What
//!    the kernel and the system tell beside, it collects from each `source`: the kernel's switches
//!    (`sched`).
//! 6. Start and stop are `recorder`'s; the recorder's own threads are made by `worker`, listed by
//!    `own_threads`, and `signals` keeps the program's signals away from them; the flight recorder
//!    (`flight`) is another outlet, and writes by itself what is worth it (`dump`, into a
//!    `folder`); a trace that survives its process is started by `file`, which shares its batches
//!    by way of `kept`, and may go on in another file (`rotation`); `claimed` says which process a
//!    file belongs to, and `destination` what may be opened as one; what threads and the collector
//!    share of one trace is in `session`.
//!
//! `auto` starts a trace before `main`, if the environment says so; `keep` keeps what led to a test
//! that fails.
//!
//! A call site is a static of a macro's, or made by `sites` while the program runs; the type of a
//! method that has one is found by `owner`.
//!
//! A future is traced by a wrapper (`future`), whose polls end where it waits (`poll`), and which
//! hands out wakers that record (`waker`) and notice when nobody is left to wake it (`holders`).
//! Those that live are listed (`living`); which one is polled here is in `current`. What an
//! executor's own hooks tell comes by `hooked`, and what its threads are called by `naming`; `exit`
//! notices that a thread ends.
//!
//! `headroom` asks for memory before it is taken for good, `environment` for variables, and
//! `errno` keeps what a failed call has left there. `file_lock` locks files against other
//! processes; `open_file` leaves alone what a program has opened under a number of ours;
//! `bus_error` lets the program go on when somebody shortens the file that is mapped. `standstill`
//! proves that the whole process was stopped; `thread_time` reads what the kernel counts for each
//! thread, `proc_folder` whether `/proc` can be read. `buffers` tests buffers for Miri.
//!
//! Annotations are `region`, `task` and `future`, all by way of `record`; `open_tasks` has the
//! tasks that are open, `working` whom a thread works for; `value` turns arguments into bytes;
//! `traceparent` links tasks of several processes; `options` and `error` are the user's;
//! `primitive` swaps in loom; `sys` is what differs by system. `heap` is the allocator that counts
//! and samples. `stack` finds the calling thread's stack, in what `modules` knows is mapped;
//! `intern` names it by a number, which `interned` tells the trace, as it does what calls are about
//! (`resources`). `losses` counts what is lost. `names` names what is in stacks when a trace ends.
//!
//! # Locks
//!
//! Two, taken by ordinary code only, never held together, and never on the way of an event: the
//! process's state (start, stop) and a session's news (switches, names, requests). A thread
//! attaches and opens batches, and tasks begin and end, without a lock and without the program's
//! allocator, for any of that may come in a signal handler (`handler`): the session is found in a
//! word (`running`), threads' states are counted (`thread_ref`) and told by a list (`inbox`), what
//! is let go of waits until ordinary code frees it (`limbo`).
//!
//! # Unsafe
//!
//! In the files that `tests/tidy/unsafety.rs` lists, and nowhere else; each says at its top why.
//! Invariants: B (`batch`), T (`thread`), M (`memory`), D (`drain`), L (`local`), H (`heap`), N
//! (`intern`), E (`resources`), W (`stack/pool`), C (`os/hook`), O (`os/waiting`), R (`holders`),
//! F (`living`), Q (`inbox`), S (`running`), P (`thread_ref`), K (`open_tasks`); their models are
//! in `tests`. `alone` runs a test in a process of its own.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(test, not(exectrace_loom)))]
mod alone;
mod arena;
#[cfg(all(feature = "auto", target_os = "linux", not(exectrace_loom)))]
mod auto;
mod batch;
mod body;
#[cfg(all(test, not(exectrace_loom)))]
#[path = "tests/buffers.rs"]
mod buffers;
#[cfg(all(unix, not(exectrace_loom)))]
mod bus_error;
#[cfg(any(os_hooks, all(test, exectrace_loom)))]
mod call;
mod callsite;
mod claimed;
mod clock;
mod collector;
mod current;
mod destination;
mod drain;
mod dump;
mod encoded;
mod environment;
#[cfg(any(unix, feature = "heap"))]
mod errno;
mod error;
mod exit;
mod file;
mod file_lock;
mod flight;
mod folder;
mod future;
mod handler;
mod headroom;
#[cfg(any(feature = "heap", exectrace_loom))]
mod heap;
mod holders;
#[doc(hidden)]
pub mod hooked;
mod inbox;
#[cfg(any(stacks, exectrace_loom))]
mod intern;
#[cfg(stacks)]
mod interned;
mod keep;
mod kept;
#[cfg(not(exectrace_loom))]
mod limbo;
mod living;
mod local;
mod losses;
mod memory;
#[cfg(stacks)]
mod modules;
#[cfg_attr(not(all(feature = "names", stacks)), path = "names/disabled.rs")]
mod names;
mod naming;
mod open_file;
mod open_tasks;
mod options;
mod os;
mod outlet;
mod output;
mod own;
#[cfg(all(feature = "sched", stacks))]
mod own_threads;
mod owner;
mod poll;
#[cfg(all(test, exectrace_loom))]
#[path = "stack/pool.rs"]
mod pool;
mod primitive;
#[cfg(all(any(feature = "os", feature = "sched"), target_os = "linux", not(exectrace_loom)))]
mod proc_folder;
mod record;
mod recorder;
mod refill;
mod region;
#[cfg(any(os_hooks, exectrace_loom))]
mod resources;
mod rotation;
mod running;
#[cfg(all(feature = "sched", not(exectrace_loom)))]
#[cfg_attr(
    not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))),
    path = "sched_absent.rs"
)]
mod sched;
mod session;
mod signals;
mod sink;
mod sites;
mod source;
#[cfg_attr(not(stacks), path = "stack/absent.rs")]
mod stack;
mod standstill;
mod sys;
mod task;
#[cfg(all(test, exectrace_loom))]
mod tests;
mod thread;
mod thread_ref;
mod thread_time;
mod traceparent;
mod value;
mod waker;
mod worker;
mod working;

pub use callsite::{ArgumentKind, ArgumentName, Callsite, CallsiteKind, callsites, set_module_on};
pub use error::{Report, SnapshotError, SnapshotReport, StartError, StopError};
pub use file::{start_file, start_file_with, start_rotating};
pub use flight::{FlightRecorder, FlightRecorderBuilder};
pub use future::{FutureName, Traced, TracedExt};
#[cfg(all(feature = "heap", not(exectrace_loom)))]
pub use heap::Heap;
pub use options::{Compression, OnFull, Options, Stacks};
pub use recorder::{Trace, is_enabled, start, start_with};
pub use rotation::Rotation;
pub use task::{Task, TaskGuard};
pub use traceparent::Traceparent;
pub use value::{Argument, Value};

/// What macros expand to. Not for use by hand; may change with any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::callsite::{ArgumentKind, ArgumentName, Callsite, CallsiteKind, Registered};
    pub use crate::future::{FutureEnd, FutureGuard, Ignore, InTask, Traced};

    pub use crate::judge;
    pub use crate::keep::{Judged, JudgedOther, JudgedResult, KeptIfFailed, keep};
    pub use crate::naming::name_thread;
    pub use crate::region::{Region, counter, enter, enter_args, instant, log};
    pub use crate::signals::without_signals;
    pub use crate::sites::Place;
    pub use crate::task::{TaskScope, enter_task, enter_task_args};
    pub use crate::value::{Argument, Value};
    pub use crate::{register, returned_value};
    pub use inventory;
    /// Not by `::core` and `::std`, which may be other crates where a macro is used.
    pub use {core, std};

    /// Whether traces can bring names of functions along.
    pub const HAS_NAMES: bool = cfg!(all(feature = "names", stacks));

    /// A returned value on its way to being recorded: typed if the trace keeps its type.
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

    /// The second: what `Debug` prints. One more reference makes it second.
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

/// Makes a call site's static known to `callsites()`.
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
