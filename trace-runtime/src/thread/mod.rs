//! The recording thread: its state, and the path of each event into its open batch.
//!
//! - `record` is the door: each of its calls finds the calling thread's state (`local`) and does
//!   one thing with it. `state` begins, ends and appends; `own` encodes; `refill` opens batches.
//! - `encoded`, `value` and `body` are what is written: an event's front, its values, its bytes.
//! - `call` and `poll` are regions of a kind of their own; `working` has the tasks that the thread
//!   works for.
//! - `thread_ref` counts references to a state, `limbo` keeps what must not be freed yet, `exit`
//!   notices that a thread ends, `naming` finds its name.
//! - `worker` makes the recorder's own threads, and `own_threads` lists them.
//!
//! Elsewhere: batches (`buffer`), what reads them (`collect`), what macros call (`annotate`).

pub(crate) mod body;
#[cfg(any(os_hooks, all(test, exectrace_loom)))]
pub(crate) mod call;
pub(crate) mod encoded;
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
pub(crate) mod refill;
pub(crate) mod state;
pub(crate) mod thread_ref;
pub(crate) mod value;
pub(crate) mod worker;
pub(crate) mod working;

pub(crate) use state::{Identity, RESERVE, Thread};
