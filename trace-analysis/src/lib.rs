//! What a trace means: from events to summaries. Published, so that programs can analyse traces.
//!
//! Pure: nothing here prints, opens a file or reads a clock. A trace comes in as an open
//! `TraceFile` of `trace-format`; results are plain values, their times in nanoseconds since the
//! trace's first clock snapshot; a [`Moment`] may lie before it. Names of call sites and threads
//! are in the trace's tables.
//!
//! - [`Trace`] (in `trace`): the file, the names of its code, and the part that is asked about.
//! - [`summary`]: where the time went, of a whole trace or a window. Start here.
//! - [`report`]: everything that events tell in the order of time, in one walk.
//! - [`regions`], [`threads`], [`tasks`], [`futures`], [`counters`]: its parts.
//! - [`open_tasks`]: tasks that began before what is read, and what tasks are called.
//! - [`slow_tasks`]: which tasks took longer than others of their name, and what was done in them.
//! - [`async_tasks`]: what executors poll, what it waits for, and who delays whom.
//! - [`life`]: what each thread did with its time, what it waited for, who woke it. [`reason`]: why
//!   a thread waits. [`heap`]: what lives on the heap. [`profile`]: any of it by stack.
//! - [`kernel_times`]: what the kernel counted for threads, beside what events show of them.
//! - [`standstill`]: when the whole process was stopped.
//! - [`explain`]: what made the program slow, in words.
//! - [`findings`]: what is odd about a trace or about the traced program.
//! - [`stack`]: what is open on one thread, for programs that walk events themselves.
//! - [`symbols`]: names of code addresses. [`sources`]: paths of source files in one spelling.
//! - [`units`]: times, counts and sizes as people read them.
//! - `walk` (private): the one loop in the order of time; `pending` is what has begun without an
//!   event, `missing` what could not be read.
//! - [`timeline`]: what that walk finds out, one by one, for those who draw it.
//! - `durations`, `time` and `hash` (private): distributions, ticks to nanoseconds, fast maps.
//! - `path` (private): the critical path of a thread.
//! - `by_site` and `open_sites` (private): sums and counts by call site.
//! - `shard` and `notes` (private): one worker's share, and what it tells about tasks and futures.
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

pub mod async_tasks;
mod by_site;
pub mod counters;
mod durations;
pub mod explain;
pub mod findings;
pub mod futures;
mod hash;
pub mod heap;
pub mod kernel_times;
pub mod life;
mod missing;
mod notes;
mod open_sites;
pub mod open_tasks;
mod path;
mod pending;
pub mod profile;
pub mod reason;
pub mod regions;
pub mod report;
mod shard;
pub mod slow_tasks;
pub mod sources;
pub mod stack;
pub mod standstill;
pub mod summary;
pub mod symbols;
pub mod tasks;
pub mod threads;
mod time;
pub mod timeline;
mod trace;
pub mod units;
mod walk;

pub use durations::Quantiles;
pub use findings::{Finding, FindingKind, Findings};
pub use report::{Report, Wanted};
pub use summary::{Options, Progress, Summary};
pub use time::Moment;
pub use trace::Trace;
