//! A trace of each benchmark that criterion profiles (`cargo bench -- --profile-time 5`).

use criterion::profiler::Profiler;
use std::path::Path;
#[cfg(feature = "enabled")]
use std::{fs, fs::OpenOptions, io};
#[cfg(feature = "enabled")]
use trace_runtime::{Options, Trace};

/// What each benchmark's trace is called, in the folder criterion has for it.
#[cfg(feature = "enabled")]
const FILE: &str = "profile.trace";

/// Writes a trace while criterion profiles a benchmark, to `profile.trace` in the folder criterion
/// has for it: `target/criterion/NAME/profile/`.
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

    fn start(&self, folder: &Path) -> io::Result<Trace> {
        fs::create_dir_all(folder)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // A trace is its owner's alone.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(folder.join(FILE))?;
        trace_runtime::start_with(self.options.clone(), file).map_err(io::Error::other)
    }
}

#[cfg(feature = "enabled")]
impl Profiler for TraceProfiler {
    fn start_profiling(&mut self, benchmark_id: &str, benchmark_dir: &Path) {
        match self.start(benchmark_dir) {
            Ok(trace) => self.trace = Some(trace),
            Err(error) => eprintln!("exectrace: {benchmark_id} is not traced: {error}"),
        }
    }

    fn stop_profiling(&mut self, benchmark_id: &str, benchmark_dir: &Path) {
        let Some(trace) = self.trace.take() else { return };
        let path = benchmark_dir.join(FILE);
        match trace.stop() {
            Ok(report) if report.dropped_events > 0 => {
                let dropped = report.dropped_events;
                eprintln!("exectrace: {}: {dropped} events were dropped", path.display());
            }
            Ok(_) => {}
            Err(error) => eprintln!("exectrace: {benchmark_id} is not traced to its end: {error}"),
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
