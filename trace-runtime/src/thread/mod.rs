//! The recording thread: its state, and the path of each event into its open batch.
//!
//! - `record` is the entrance: each of its functions finds the calling thread's state (`local`;
//!   `attach` makes one if there is none) and does one thing with it. `state` begins, ends (also
//!   `end`) and appends; `own` encodes; `refill` opens batches.
//! - `encoded`, `value` and `body` are the parts of an event: its head, its values, its bytes.
//! - `call` and `poll` are special kinds of regions; `working` is the list of tasks that the thread
//!   works for.
//! - `thread_ref` counts references to a state, `limbo` keeps what can't be freed yet, `exit`
//!   notices the end of a thread, `naming` finds its name.
//! - `recorder_thread` makes the recorder's own threads, and `own_threads` lists them.
//!
//! Elsewhere: batches (`buffer`), the collector (`collect`), what macros call (`annotate`).

pub(crate) mod attach;
pub(crate) mod body;
#[cfg(any(os_hooks, all(test, exectrace_loom)))]
pub(crate) mod call;
pub(crate) mod encoded;
mod end;
pub(crate) mod exit;
#[cfg(not(exectrace_loom))]
pub(crate) mod limbo;
pub(crate) mod local;
pub(crate) mod naming;
pub(crate) mod own;
#[cfg(all(feature = "sched", stacks))]
pub(crate) mod own_threads;
pub(crate) mod poll;
pub(crate) mod record;
pub(crate) mod recorder_thread;
pub(crate) mod refill;
pub(crate) mod state;
pub(crate) mod thread_ref;
pub(crate) mod value;
pub(crate) mod working;

pub(crate) use state::{RESERVE, RecordingThread, ThreadIdentity};
