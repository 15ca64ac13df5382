//! What a trace means: from events to summaries. Published, so that programs can analyse traces.
//!
//! Pure: nothing here prints, opens a file or reads a clock. A trace comes in as an open
//! `TraceFile` of `trace-format`; results are plain values, their times in nanoseconds since the
//! trace's first clock snapshot; a [`Moment`] may lie before it. Names of call sites and threads
//! are in the trace's tables.
//!
//! From the bottom to the top; what lies higher uses what lies lower, never the other way:
//!
//! - [`units`]: times, counts and sizes as people read them. `time`, `hash`, `spans` and
//!   `durations` (private): ticks to nanoseconds, fast maps, sets of times, distributions.
//! - [`symbols`]: names of code addresses. [`sources`]: paths of source files in one spelling.
//! - [`reason`]: why a thread waits, told by the stack it waits in.
//! - [`Trace`] (in `trace`): the file, the names of its code, and the part that is asked about.
//! - `walk` (private): the one loop in the order of time. [`states_behind`]: what was open at its
//!   end where events are missing.
//! - [`timeline`]: the rules that give events a meaning, each once: what is open, who runs, who
//!   waits for what, who woke whom, who held what. An [`Observer`](timeline::Observer) sees each
//!   interval and edge that it finds out. [`stack`], [`standstill`] and [`open_tasks`] are parts of
//!   it for programs that walk events themselves.
//! - [`report`]: sums over these, plain values. [`Report`] has everything that one walk tells:
//!   [`life`] what each thread did with its time, [`async_tasks`] what executors poll, [`heap`]
//!   what lives, [`slow_tasks`] which tasks took longer than others of their name. [`profile`]:
//!   any of it by stack. [`kernel_times`]: what the kernel counted for threads.
//! - `parallel` (private): the fast way to [`Summary`]: batches in file order, by several workers.
//!   [`regions`], [`threads`], [`tasks`], [`futures`], [`counters`] and [`findings`] are its parts.
//!   Start there.
//! - [`explain`]: what made the program slow, in words.
//!
//! ```
//! use trace_analysis::{Summary, Trace};
//! use trace_format::read::TraceFile;
//!
//! # fn main() -> Result<(), trace_format::read::ReadError> {
//! # let bytes = trace_format::testgen::tight_loops(1, 1000, Default::default());
//! let file = TraceFile::open(bytes)?; // or a `std::fs::File`
//! let summary = Summary::read(&Trace::new(&file), |_| {});
//! for region in &summary.regions {
//!     let site = file.tables().callsite(region.site);
//!     let name = site.map_or("?", |site| site.name.as_str());
//!     println!("{name}: {} times, {} ns in all", region.count, region.total.0);
//! }
//! assert!(summary.findings.is_empty());
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod durations;
pub mod explain;
mod hash;
mod parallel;
pub mod reason;
pub mod report;
pub mod sources;
mod spans;
pub mod symbols;
mod time;
pub mod timeline;
mod trace;
pub mod units;
mod walk;

pub use durations::Quantiles;
pub use report::findings::{Finding, FindingKind, Findings};
pub use report::summary::Summary;
pub use report::{Report, Wanted};
pub use report::{
    async_tasks, counters, findings, futures, heap, kernel_times, life, profile, regions,
    slow_tasks, tasks, threads,
};
pub use time::Moment;
pub use timeline::{open_tasks, stack, standstill};
pub use trace::{Options, Progress, Threads, Trace};
pub use walk::states_behind;
