//! From bytes back to events, never panicking on any input.
//!
//! Everything here is *checked before it is believed*: lengths against limits, then the checksum,
//! then the contents. A fault costs the batch it is in and is reported with its offset.
//!
//! - [`error`]: what can be wrong, and where.
//! - [`stream`]: batches in file order from any `Read`, one in memory at a time.
//! - [`tables`]: what definitions say, owned: call sites, threads, modules, stacks.
//! - [`clock`]: ticks to nanoseconds.
//! - [`source`]: where a file's bytes come from.
//! - [`mod@file`]: random access by the index. `directory` (private) finds or rebuilds it.
//! - [`order`]: the events of all threads, merged by time, within a window; `cursor` (private):
//!   those of one thread.
//! - [`mod@open`]: what is open on a thread, and how deep. [`sequel`]: whether a thread's
//!   batches follow each other.
//! - [`mod@rewrite`]: a trace with more definitions.
//! - `check` (private): one batch's bytes, judged; `window` (private): a sliding view of a `Read`;
//!   `unowned` (private): damaged bytes that may have been any thread's last batch.

mod check;
pub mod clock;
mod cursor;
mod directory;
pub mod error;
pub mod file;
pub mod open;
pub mod order;
pub mod rewrite;
pub mod sequel;
pub mod source;
pub mod stream;
pub mod tables;
mod unowned;
mod window;

pub use clock::{Clock, ClockCursor};
pub use error::{ReadError, ReadErrorKind};
pub use file::{BatchBuffer, GenerationState, TraceFile};
pub use open::{NESTING_MAX, OpenIndex, RESTATED_MAX};
pub use order::{InOrder, Timed, Window};
pub use rewrite::{RewriteError, rewrite};
pub use sequel::Sequel;
pub use source::ReadAt;
pub use stream::{Batch, BatchReader};
pub use tables::{
    Callsite, Callsites, Counted, Facility, Function, FutureState, Generation, HeapState, Module,
    Process, Resource, Stack, Stop, Stopped, Switch, Tables, TaskState, Thread, ThreadEnd,
    ThreadState, ThreadTimes,
};
