//! A trace of each benchmark that criterion profiles (`cargo bench -- --profile-time 5`).
//!
//! Whether anything is recorded depends on the feature `enabled` of `exectrace`, as everywhere.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use criterion::profiler::Profiler;
use exectrace::{Options, StartError, Trace};

/// The name of a benchmark's trace, in the folder that criterion has for the benchmark.
const FILE: &str = "profile.trace";

/// Writes a trace while criterion profiles a benchmark, to
/// `target/criterion/NAME/profile/profile.trace`.
///
/// The file is as [`exectrace::start_file`] makes it: only its owner can read it, no link is
/// followed, and it survives the end of the process, however the process ends.
///
/// If a benchmark can't be traced, a line on standard error says why, and the benchmark goes on.
///
/// ```
/// use criterion::{Criterion, criterion_group};
/// use exectrace_criterion::TraceProfiler;
///
/// fn adds(criterion: &mut Criterion) {
///     criterion.bench_function("adds", |bencher| bencher.iter(|| std::hint::black_box(1) + 1));
/// }
///
/// criterion_group! {
///     name = benches;
///     config = Criterion::default().with_profiler(TraceProfiler::new());
///     targets = adds
/// }
/// // criterion_main!(benches);
/// ```
#[derive(Debug, Default)]
pub struct TraceProfiler {
    options: Options,
    trace: Option<Trace>,
}

impl TraceProfiler {
    /// A profiler that records with the default options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A profiler that records with these options.
    #[must_use]
    pub fn with_options(options: Options) -> Self {
        Self { options, trace: None }
    }

    fn start(&self, folder: &Path) -> Result<Trace, StartError> {
        let fail = |error| StartError::File(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(fail)?;
        exectrace::start_file_with(self.options.clone(), folder.join(FILE))
    }
}

impl Profiler for TraceProfiler {
    fn start_profiling(&mut self, benchmark_id: &str, benchmark_dir: &Path) {
        // Without the recorder there is nothing to write, so no folder is made.
        if !exectrace::COMPILED_IN {
            return;
        }
        match self.start(benchmark_dir) {
            Ok(trace) => self.trace = Some(trace),
            Err(error) => warn(&format!("{benchmark_id} is not traced: {}", why(&error))),
        }
    }

    fn stop_profiling(&mut self, benchmark_id: &str, benchmark_dir: &Path) {
        let Some(trace) = self.trace.take() else { return };
        let path = benchmark_dir.join(FILE);
        match trace.stop() {
            Ok(report) if report.dropped_events > 0 => {
                let dropped = report.dropped_events;
                warn(&format!("{}: {dropped} events were dropped", path.display()));
            }
            Ok(_) => {}
            Err(error) => {
                warn(&format!("{benchmark_id} is not traced to its end: {}", why(&error)));
            }
        }
    }
}

/// An error with its cause.
fn why(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A line on standard error, which may be closed.
fn warn(line: &str) {
    // `eprintln` would panic, and end all benchmarks.
    let _ = writeln!(std::io::stderr(), "exectrace: {line}");
}
