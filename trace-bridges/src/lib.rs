//! Connects the recorder to other crates' instrumentation: one file or folder for each crate.
//!
//! - `tracing`: a layer that makes regions, tasks and messages of spans and events.
//! - `logger`: a logger that makes messages of `log`'s records.
//! - `tokio`: tasks, threads and queues of tokio's runtimes.
//! - `smol`: tasks of smol's executors.
//! - `names`: keeps texts that other crates hand in for the life of the process.
//!
//! Each is a feature of its name. Always true: without the feature `enabled` everything is there,
//! does nothing and succeeds; user code that prints (`Debug`, `Display`) is called only while a
//! trace runs, and never while a bridge holds a lock or a borrow. Elsewhere: how anything is
//! recorded (`trace_runtime`), and all `unsafe`; benchmarks of
//! criterion (`trace-criterion`).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "log")]
mod logger;
#[cfg(all(feature = "enabled", any(feature = "log", feature = "tokio", feature = "tracing")))]
mod names;
#[cfg(feature = "smol")]
pub mod smol;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "log")]
pub use logger::{InstallError, Logger};
#[cfg(feature = "tracing")]
pub use tracing::{TraceLayer, layer};
