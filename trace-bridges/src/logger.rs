//! Records of `log` as messages of the trace: the category is the target, the text is the level and
//! the message.
//!
//! Each place in the source that logs is a call site of its own, with its file and line, so it can
//! be switched off like any other. A record whose file and module are not constants of the source
//! gets a call site by its target alone. Structured values of records (the feature `kv` of `log`)
//! are not recorded.

use log::{LevelFilter, Log, Metadata, Record};
use std::error::Error;
use std::fmt;

/// A logger that records, and passes on to another one if it was given one.
///
/// While no trace runs, a record costs one load more than in the other logger. The message is
/// formatted for the trace only while a trace runs.
///
/// ```
/// use trace_bridges::Logger;
///
/// # let other = Logger::default();
/// Logger::over(Box::new(other)).set(log::LevelFilter::Info)?;
/// log::info!("recorded, and passed on");
/// # Ok::<(), trace_bridges::InstallError>(())
/// ```
#[derive(Default)]
pub struct Logger {
    inner: Option<Box<dyn Log>>,
}

impl Logger {
    /// Installs a logger that only records, up to `max_level`, as the program's logger. With the
    /// recorder compiled out it installs none.
    ///
    /// # Errors
    /// [`InstallError`] if the program has a logger already.
    pub fn install(max_level: LevelFilter) -> Result<(), InstallError> {
        if !cfg!(feature = "enabled") {
            return Ok(());
        }
        Self::default().set(max_level)
    }

    /// A logger that records, and passes every record on to `inner`.
    #[must_use]
    pub fn over(inner: Box<dyn Log>) -> Self {
        Self { inner: Some(inner) }
    }

    /// Makes this the program's logger, up to `max_level`.
    ///
    /// # Errors
    /// [`InstallError`] if the program has a logger already.
    pub fn set(self, max_level: LevelFilter) -> Result<(), InstallError> {
        log::set_boxed_logger(Box::new(self)).map_err(|_| InstallError {})?;
        log::set_max_level(max_level);
        Ok(())
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_recording() || self.inner.as_ref().is_some_and(|inner| inner.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if is_recording() {
            write(record);
        }
        if let Some(inner) = &self.inner {
            inner.log(record);
        }
    }

    fn flush(&self) {
        if let Some(inner) = &self.inner {
            inner.flush();
        }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("passes_on", &self.inner.is_some()).finish()
    }
}

/// Why the logger could not be installed: the program has one already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstallError {}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the program has a logger already")
    }
}

impl Error for InstallError {}

#[cfg(feature = "enabled")]
use trace_runtime::is_enabled as is_recording;

#[cfg(not(feature = "enabled"))]
fn is_recording() -> bool {
    false
}

#[cfg(feature = "enabled")]
fn write(record: &Record<'_>) {
    let site = site(record);
    if site.is_live() {
        trace_runtime::__private::log(site, format_args!("{} {}", record.level(), record.args()));
    }
}

#[cfg(feature = "enabled")]
fn site(record: &Record<'_>) -> &'static trace_runtime::Callsite {
    let module = record.module_path_static().unwrap_or_default();
    let target = record.target();
    // The macros use the module as the target, unless the program names another one.
    let name = if target == module { module } else { crate::names::kept(target) };
    let (file, line) = match record.file_static() {
        Some(file) => (file, record.line().unwrap_or_default()),
        // A line without a file says nothing, and would use up a call site.
        None => ("", 0),
    };
    let kind = trace_runtime::CallsiteKind::Log;
    trace_runtime::__private::SitePlace { kind, name, module, file, line, column: 0 }.callsite(&[])
}

#[cfg(not(feature = "enabled"))]
fn write(_: &Record<'_>) {}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;
    use std::sync::atomic::{AtomicU32, Ordering};

    static SEEN: AtomicU32 = AtomicU32::new(0);

    struct Counts;

    impl Log for Counts {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() == Level::Warn
        }

        fn log(&self, record: &Record<'_>) {
            SEEN.fetch_add(u32::from(self.enabled(record.metadata())), Ordering::Relaxed);
        }

        fn flush(&self) {
            SEEN.fetch_add(10, Ordering::Relaxed);
        }
    }

    #[test]
    fn records_are_passed_on_whatever_is_compiled_in() {
        let logger = Logger::over(Box::new(Counts));
        for level in [Level::Warn, Level::Info] {
            let metadata = Metadata::builder().level(level).target("test").build();
            assert_eq!(logger.enabled(&metadata), level == Level::Warn);
            logger.log(&Record::builder().metadata(metadata).args(format_args!("text")).build());
        }
        logger.flush();
        assert_eq!(SEEN.load(Ordering::Relaxed), 11);
        assert!(!Logger::default().enabled(&Metadata::builder().build()), "no trace runs");
    }

    #[cfg(not(feature = "enabled"))]
    #[test]
    fn with_the_recorder_compiled_out_none_is_installed() {
        assert_eq!(Logger::install(LevelFilter::Info), Ok(()));
        assert_eq!(Logger::install(LevelFilter::Info), Ok(()), "there is none yet");
        assert_eq!(log::max_level(), LevelFilter::Off);
    }
}
