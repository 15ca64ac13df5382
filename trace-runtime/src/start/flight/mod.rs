//! The flight recorder: it records all the time, keeps the last seconds in memory, and writes them
//! when something has gone wrong.
//!
//! It is another output of the process's one session, so it can run beside a trace without further
//! cost for threads. `dump` writes snapshots by itself, into a `folder`; `bell` wakes the thread
//! that does.

mod bell;
pub(crate) mod dump;
pub(crate) mod folder;

use crate::base::error::{SnapshotError, SnapshotReport, StartError};
use crate::base::options::Options;
use crate::files::destination::FileAccess;
use crate::output::{Mirror, Output, Ring, Snapshot};
use crate::session::{Request, Session};
use crate::start::backing_file::BackingFile;
use crate::start::file;
use crate::start::flight::dump::DumpLimits;
use crate::start::recorder::{self, Occupied, SessionParty};
use crate::sys::signals::Shield;
use crate::thread::local;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// A running flight recorder. Dropping it stops it.
#[derive(Debug)]
#[must_use = "dropping a flight recorder stops it"]
pub struct FlightRecorder {
    session: Arc<Session>,
    limits: DumpLimits,
    /// The file beside the recorder's, while it runs.
    backing_file: Option<BackingFile>,
}

/// The settings of a flight recorder, before it starts.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it starts the recorder"]
pub struct FlightRecorderBuilder {
    min_age: Duration,
    max_bytes: usize,
    options: Options,
    limits: DumpLimits,
    mapped: Option<PathBuf>,
}

/// Minimum for what every snapshot has.
const BYTES_MIN: usize = 256 << 10;

impl FlightRecorder {
    /// A builder whose flight recorder keeps 10 s, in at most 16 MiB.
    pub fn builder() -> FlightRecorderBuilder {
        FlightRecorderBuilder {
            min_age: Duration::from_secs(10),
            max_bytes: 16 << 20,
            options: Options::default(),
            limits: DumpLimits::default(),
            mapped: None,
        }
    }

    /// Starts a flight recorder with the builder's defaults.
    ///
    /// # Errors
    /// Those of [`FlightRecorderBuilder::start`].
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Writes what is kept as a complete trace: what was open at its beginning has its true begin
    /// time. Recording goes on meanwhile, and other snapshots may be written at the same time.
    ///
    /// The collector takes the snapshot, and the calling thread writes it. No thread of the program
    /// is stopped; a thread that records something at that moment opens a new batch. If a trace
    /// runs as well, its writer also runs on the collector's thread: if that writer hangs, all
    /// snapshots wait, including those for panics.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] if the writer fails; [`SnapshotError::NotRunning`] in a forked
    /// child.
    pub fn snapshot(&self, writer: impl Write) -> Result<SnapshotReport, SnapshotError> {
        snapshot(&self.session, writer)
    }

    /// As [`FlightRecorder::snapshot`], with the names of the functions in its stacks, even if
    /// [`Options::names`] is off. The docs of that option say what names cost.
    ///
    /// # Errors
    /// Those of [`FlightRecorder::snapshot`].
    pub fn snapshot_with_names(&self, writer: impl Write) -> Result<SnapshotReport, SnapshotError> {
        snapshot_as(&self.session, Snapshot::with_names, writer)
    }

    /// From now on, whenever a task of this name has taken at least this long, a snapshot is
    /// written to the folder `dir`, which is made if it does not exist. The file's name says when
    /// and why. Another thread writes it, so no thread of the program waits.
    ///
    /// [`FlightRecorderBuilder::dumps`] limits the number of these snapshots and those of
    /// [`FlightRecorder::on_panic`] and [`FlightRecorder::on_signal`] together.
    ///
    /// # Errors
    /// If the folder can't be made, no thread can be started, or 64 names are watched already.
    pub fn on_slow(&self, name: &str, at_least: Duration, dir: impl AsRef<Path>) -> io::Result<()> {
        dump::on_slow(&self.session, self.limits, name, at_least, dir.as_ref())
    }

    /// From now on, a thread that panics first writes a snapshot to the folder `dir`. The panic
    /// hook that was set before is called after that.
    ///
    /// # Errors
    /// Those of [`FlightRecorder::on_slow`].
    pub fn on_panic(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        dump::on_panic(&self.session, self.limits, dir.as_ref())
    }

    /// From now on, the signal SIGUSR2 causes a snapshot in the folder `dir`. An earlier handler of
    /// this signal is replaced.
    ///
    /// # Errors
    /// Those of [`FlightRecorder::on_slow`], and if the system has no signals.
    #[cfg(unix)]
    pub fn on_signal(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        dump::on_signal(&self.session, self.limits, dir.as_ref())
    }

    /// Stops it. What it has kept is freed, except for the file of
    /// [`FlightRecorderBuilder::mapped`].
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for FlightRecorder {
    fn drop(&mut self) {
        dump::forget(&self.session);
        // Fails in a forked child, as the recorder is the parent's, or if the collector has
        // panicked.
        let _ = recorder::leave(SessionParty::Recorder, &self.session);
        // Everything is in its file, or never will be.
        let _suppressed = local::suppress();
        drop(self.backing_file.take());
    }
}

impl FlightRecorderBuilder {
    /// Events older than this may be dropped, even if there is room for them. The default is 10 s.
    /// Less is kept if [`FlightRecorderBuilder::max_bytes`] is too small for it.
    pub fn min_age(mut self, age: Duration) -> Self {
        self.min_age = age;
        self
    }

    /// Maximum bytes of a snapshot, with all definitions except names of functions
    /// ([`Options::names`]), and of what is kept in memory. The default is 16 MiB, the minimum 256
    /// KiB. A snapshot keeps its memory until it is written. The batches that threads are filling
    /// come on top, up to [`Options::memory_max`].
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes.max(BYTES_MIN);
        self
    }

    /// What is recorded, and how. If a trace runs already, its options are used instead.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets the minimum time between two snapshots that the recorder writes by itself, and how many
    /// of them are kept in a folder, the newest ones. The defaults are 10 s and 10.
    pub fn dumps(mut self, every: Duration, kept: usize) -> Self {
        self.limits = DumpLimits { every, kept: kept.max(1) };
        self
    }

    /// Keeps everything in this file, too, which has [`FlightRecorderBuilder::max_bytes`] bytes and
    /// survives however the process ends; the tool reads it as any trace. While the recorder runs,
    /// there is also the file `PATH.live`, as large as [`Options::memory_max`], with the batches
    /// that threads are filling. Both take their disk space when the recorder starts, and no more
    /// later. If a process that was killed has left such files, both are kept, as `PATH.old` and
    /// `PATH.old.live`; otherwise a file of this name is overwritten.
    pub fn mapped(mut self, path: impl Into<PathBuf>) -> Self {
        self.mapped = Some(path.into());
        self
    }

    /// Starts the flight recorder. A trace may run as well.
    ///
    /// # Errors
    /// [`StartError::AlreadyRunning`] if there is a flight recorder in this process;
    /// [`StartError::Thread`] if the collector's thread can't be started; [`StartError::InUse`] and
    /// [`StartError::File`], as for [`start_file`](crate::start_file), if it has a file.
    pub fn start(self) -> Result<FlightRecorder, StartError> {
        let mut backing_file = None;
        let mapped = self.mapped.as_deref().map(file::resolve).transpose()?;
        let session = {
            let _suppressed = local::suppress();
            let place = Occupied::new(SessionParty::Recorder)?;
            recorder::join(place, &self.options, || {
                let mirror = match &mapped {
                    Some(path) => {
                        let claimed = file::take(path, FileAccess::Anywhere)?;
                        backing_file = Some(file::make_backing_file(path, &self.options)?);
                        let mirror = Mirror::new(claimed, self.max_bytes);
                        Some(mirror.map_err(|error| StartError::File(path.clone(), error))?)
                    }
                    None => None,
                };
                let ring = Ring::new(self.max_bytes, self.min_age, mirror);
                let ring = ring.with_names(self.options.names);
                Ok(Output::Ring(Box::new(ring)))
            })?
        };
        #[cfg(os_hooks)]
        if self.options.os {
            // Attached now, so that the trace has this thread's waits from now on.
            crate::thread::attach::arrive(Default::default());
        }
        Ok(FlightRecorder { session, limits: self.limits, backing_file })
    }
}

/// Writes what a session's ring has.
pub(crate) fn snapshot(
    session: &Session,
    writer: impl Write,
) -> Result<SnapshotReport, SnapshotError> {
    snapshot_as(session, |snapshot| snapshot, writer)
}

fn snapshot_as(
    session: &Session,
    change: impl FnOnce(Snapshot) -> Snapshot,
    writer: impl Write,
) -> Result<SnapshotReport, SnapshotError> {
    if session.process != std::process::id() || session.is_ended() {
        return Err(SnapshotError::NotRunning);
    }
    // The program's trace does not show what a snapshot takes.
    let _suppressed = local::suppress();
    let (done, is_done) = mpsc::sync_channel(1);
    session.ask(Request::Snapshot(done));
    let snapshot = session.wait_for_answer(&is_done).ok_or(SnapshotError::NotRunning)?;
    let snapshot = change(snapshot);
    // So that a full disk or a reader that has closed does not end the program by a signal.
    let _shield = Shield::new();
    snapshot.write(BufWriter::with_capacity(64 << 10, writer)).map_err(SnapshotError::Write)
}
