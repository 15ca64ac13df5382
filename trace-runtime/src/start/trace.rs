//! A trace into the user's writer, and the handle of a running trace.
//!
//! Elsewhere: the session that it joins (`recorder`), a trace in a file (`file`).

use crate::base::error::{Report, StartError, StopError};
use crate::base::options::Options;
use crate::output::sink::Sink;
use crate::output::{FileOutput, Output};
use crate::session::Session;
use crate::start::backing_file::BackingFile;
use crate::start::recorder::{self, Occupied, SessionParty};
use crate::thread::local;
use std::io::Write;
use std::sync::Arc;

/// Starts a trace that is written to `writer`, with the default [`Options`].
///
/// The writer is used on the collector's thread only, and dropped there when the trace stops. That
/// thread blocks all signals except those of faults, and so do threads that the writer starts. A
/// file needs no buffer around it: it gets pieces of about 64 KiB.
///
/// # Errors
/// [`StartError::AlreadyRunning`] if there is a trace in this process; [`StartError::Memory`] if
/// the system has no memory; others if the writer fails at once or no thread can be started. Then
/// no trace runs.
pub fn start(writer: impl Write + Send + 'static) -> Result<Trace, StartError> {
    start_with(Options::default(), writer)
}

/// As [`start`], with options.
///
/// # Errors
/// Those of [`start`].
pub fn start_with(
    options: Options,
    writer: impl Write + Send + 'static,
) -> Result<Trace, StartError> {
    let trace = start_suppressed(&options, writer)?;
    #[cfg(os_hooks)]
    if options.os {
        // Attached now, so that the trace has this thread's waits from now on.
        crate::thread::attach::arrive(Default::default());
    }
    Ok(trace)
}

fn start_suppressed(
    options: &Options,
    writer: impl Write + Send + 'static,
) -> Result<Trace, StartError> {
    // A signal handler that records must not come in here again while this holds locks.
    let _suppressed = local::suppress();
    let place = Occupied::new(SessionParty::Trace)?;
    let sink = || Sink::new(Box::new(writer), options.compression);
    let session = recorder::join(place, options, || {
        Ok(Output::File(Box::new(FileOutput::new(sink()).with_names(options.names))))
    })?;
    Ok(Trace::new(session, None))
}

/// A running trace. Dropping it stops it, and ignores errors.
#[derive(Debug)]
#[must_use = "dropping a trace stops it"]
pub struct Trace {
    /// `None` once it is stopped.
    session: Option<Arc<Session>>,
    /// The file beside the trace, while it runs.
    backing_file: Option<BackingFile>,
}

impl Trace {
    pub(crate) fn new(session: Arc<Session>, backing_file: Option<BackingFile>) -> Self {
        Self { session: Some(session), backing_file }
    }

    /// Stops recording, writes everything, and returns a report.
    ///
    /// # Errors
    /// [`StopError::Write`] with the first failure of the writer, and with a report that says what
    /// was lost; [`StopError::Forked`] in a forked child; [`StopError::Collector`] if dropping the
    /// writer panicked. A panic while writing counts as a failure of the writer.
    pub fn stop(mut self) -> Result<Report, StopError> {
        self.end()
    }

    fn end(&mut self) -> Result<Report, StopError> {
        let Some(session) = self.session.take() else { return Ok(Report::default()) };
        let left = recorder::leave(SessionParty::Trace, &session);
        // Everything is written, or never will be.
        let _suppressed = local::suppress();
        drop(self.backing_file.take());
        match left? {
            (report, None) => Ok(report),
            (report, Some(error)) => Err(StopError::Write { error, report }),
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Callers that want to know of errors call `stop`.
        let _ = self.end();
    }
}
