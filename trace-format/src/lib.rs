//! The wire: what the recorder writes and every reader reads, normatively described in FORMAT.md.
//!
//! This crate depends on no other of the workspace. It spawns no thread, reads no clock and opens
//! no file. Encoding works on the caller's bytes, decoding on any `Read`.
//!
//! - [`header`]: the file header, the batch header, the trailer.
//! - [`event`]: the event table: what a thread writes into its batches.
//! - [`call`]: the functions of the system whose calls are recorded.
//! - [`value`]: arguments of events, with their types kept.
//! - [`definition`]: what the collector writes: call sites, threads, clocks, states.
//! - [`function`]: what functions are called in there. [`facility`]: what parts of the recorder
//!   are.
//! - [`index`]: where every batch lies, written at the end.
//! - [`survive`]: the files that are left when a process is killed.
//! - [`varint`], [`time`], [`id`]: the words these are made of. `fixed` (private): structures of a
//!   fixed size.
//! - [`batch`]: from payloads to a file's bytes.
//! - `read` (feature `read`): from bytes back to events, never panicking on any input.
//! - `text` (feature `text`): a trace as lines, and back, for golden files.
//! - `testgen` (feature `testgen`): traces made by hand, for tests.
//!
//! What is written is what is read:
//!
//! ```
//! # #[cfg(feature = "testgen")] {
//! use trace_format::read::{TraceFile, Window};
//! use trace_format::testgen::TraceBuilder;
//!
//! let mut trace = TraceBuilder::default();
//! trace.thread(1, "main");
//! trace.region(1, 7, 1_000, 250); // thread 1, call site 7, from tick 1,000 for 250 ticks
//! let bytes = trace.stop(2_000);
//!
//! let file = TraceFile::open(bytes.as_slice())?;
//! let mut order = file.in_order(Window::default());
//! while let Some(timed) = order.next_event() {
//!     let timed = timed?;
//!     println!("{:?} in {}", timed.event, file.tables().thread_name(timed.thread));
//! }
//! # }
//! # Ok::<(), trace_format::read::ReadError>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod batch;
pub mod call;
pub mod definition;
pub mod event;
pub mod facility;
mod fixed;
pub mod function;
pub mod header;
pub mod id;
pub mod index;
#[cfg(feature = "read")]
pub mod read;
pub mod survive;
#[cfg(feature = "testgen")]
pub mod testgen;
#[cfg(feature = "text")]
pub mod text;
pub mod time;
pub mod value;
pub mod varint;
