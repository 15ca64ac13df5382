//! A trace of each benchmark that criterion profiles (`cargo bench -- --profile-time 5`).

use criterion::profiler::Profiler;
#[cfg(feature = "enabled")]
use std::error::Error;
#[cfg(feature = "enabled")]
use std::io::Write as _;
use std::path::Path;
#[cfg(feature = "enabled")]
use trace_runtime::{Options, StartError, Trace};

/// What each benchmark's trace is called, in the folder criterion has for it.
#[cfg(feature = "enabled")]
const FILE: &str = "profile.trace";

/// Writes a trace while criterion profiles a benchmark, to `profile.trace` in the folder criterion
/// has for it: `target/criterion/NAME/profile/`. The file is as
/// `start_file` makes it: its owner's alone, no link is followed, and it survives whatever ends the
/// process.
///
/// What can't be traced is said on standard error, and the benchmark goes on.
///
/// ```
/// use criterion::{Criterion, criterion_group};
/// use trace_bridges::criterion::TraceProfiler;
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
    #[cfg(feature = "enabled")]
    options: Options,
    #[cfg(feature = "enabled")]
    trace: Option<Trace>,
}

impl TraceProfiler {
    /// One that records with the default options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(feature = "enabled")]
impl TraceProfiler {
    /// One that records so.
    #[must_use]
    pub fn with_options(options: Options) -> Self {
        Self { options, trace: None }
    }

    fn start(&self, folder: &Path) -> Result<Trace, StartError> {
        let fail = |error| StartError::File(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(fail)?;
        trace_runtime::start_file_with(self.options.clone(), folder.join(FILE))
    }
}

/// An error with its cause.
#[cfg(feature = "enabled")]
fn why(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A line on standard error, which may be closed.
#[cfg(feature = "enabled")]
fn say(line: &str) {
    // `eprintln` would panic, and end all benchmarks.
    let _ = writeln!(std::io::stderr(), "exectrace: {line}");
}

#[cfg(feature = "enabled")]
impl Profiler for TraceProfiler {
    fn start_profiling(&mut self, benchmark_id: &str, benchmark_dir: &Path) {
        match self.start(benchmark_dir) {
            Ok(trace) => self.trace = Some(trace),
            Err(error) => say(&format!("{benchmark_id} is not traced: {}", why(&error))),
        }
    }

    fn stop_profiling(&mut self, benchmark_id: &str, benchmark_dir: &Path) {
        let Some(trace) = self.trace.take() else { return };
        let path = benchmark_dir.join(FILE);
        match trace.stop() {
            Ok(report) if report.dropped_events > 0 => {
                let dropped = report.dropped_events;
                say(&format!("{}: {dropped} events were dropped", path.display()));
            }
            Ok(_) => {}
            Err(error) => say(&format!("{benchmark_id} is not traced to its end: {}", why(&error))),
        }
    }
}

#[cfg(not(feature = "enabled"))]
impl TraceProfiler {
    /// One that would record so.
    #[must_use]
    pub fn with_options<O>(_options: O) -> Self {
        Self::default()
    }
}

#[cfg(not(feature = "enabled"))]
impl Profiler for TraceProfiler {
    fn start_profiling(&mut self, _benchmark_id: &str, _benchmark_dir: &Path) {}

    fn stop_profiling(&mut self, _benchmark_id: &str, _benchmark_dir: &Path) {}
}
