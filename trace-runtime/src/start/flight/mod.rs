//! The flight recorder: recording that stays on, keeps the last seconds in memory, and writes them
//! when something has gone wrong.
//!
//! It is another outlet of the one session a process has, so it runs beside a trace, and costs the
//! threads nothing more. `dump` writes what is worth it, into a `folder`.

pub(crate) mod dump;
pub(crate) mod folder;

use crate::base::error::{SnapshotError, SnapshotReport, StartError};
use crate::base::options::Options;
use crate::files::destination::Access;
use crate::output::outlet::{Mirror, Outlet, Ring, Snapshot};
use crate::session::{Request, Session};
use crate::start::file;
use crate::start::flight::dump::Limits;
use crate::start::kept::Kept;
use crate::start::recorder::{self, Occupied, Party};
use crate::sys::signals::Shield;
use crate::thread::local;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// A flight recorder that runs. Dropping it stops it.
#[derive(Debug)]
#[must_use = "dropping a flight recorder stops it"]
pub struct FlightRecorder {
    session: Arc<Session>,
    limits: Limits,
    /// What is there only while it runs.
    kept: Option<Kept>,
}

/// How a flight recorder is to be.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it starts the recorder"]
pub struct FlightRecorderBuilder {
    min_age: Duration,
    max_bytes: usize,
    options: Options,
    limits: Limits,
    mapped: Option<PathBuf>,
}

/// The least that is enough for what every snapshot has.
const BYTES_MIN: usize = 256 << 10;

impl FlightRecorder {
    /// One that keeps 10 s, in 16 MiB at most.
    pub fn builder() -> FlightRecorderBuilder {
        FlightRecorderBuilder {
            min_age: Duration::from_secs(10),
            max_bytes: 16 << 20,
            options: Options::default(),
            limits: Limits::default(),
            mapped: None,
        }
    }

    /// Starts one as the builder's defaults are.
    ///
    /// # Errors
    /// Those of [`FlightRecorderBuilder::start`].
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Writes what is kept, as a whole trace: what is open in it has its true begin. Recording goes
    /// on meanwhile, and so may other snapshots.
    ///
    /// The collector is asked for it, and the calling thread writes. No thread of the program is
    /// stopped; one that records something at that moment opens a new batch. Beside a trace, the
    /// collector answers when that trace's writer lets it: one that hangs keeps snapshots waiting,
    /// those of panics among them.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] if the writer fails; [`SnapshotError::NotRunning`] in a forked
    /// child.
    pub fn snapshot(&self, writer: impl Write) -> Result<SnapshotReport, SnapshotError> {
        snapshot(&self.session, writer)
    }

    /// As [`FlightRecorder::snapshot`], with the names of the functions in its stacks, whatever
    /// [`Options::names`] says, which tells what that takes.
    ///
    /// # Errors
    /// Those of [`FlightRecorder::snapshot`].
    pub fn snapshot_with_names(&self, writer: impl Write) -> Result<SnapshotReport, SnapshotError> {
        snapshot_as(&self.session, Snapshot::named, writer)
    }

    /// From now on, whenever a task of this name has taken so long, a snapshot is written into the
    /// folder `dir`, which is made if it is not there: its name tells when, and why. Another thread
    /// writes it; nobody waits.
    ///
    /// Of these, and of those of [`FlightRecorder::on_panic`] and [`FlightRecorder::on_signal`],
    /// there are as many as [`FlightRecorderBuilder::dumps`] says.
    ///
    /// # Errors
    /// If the folder can't be made, no thread can be started, or 64 names are watched already.
    pub fn on_slow(&self, name: &str, at_least: Duration, dir: impl AsRef<Path>) -> io::Result<()> {
        dump::on_slow(&self.session, self.limits, name, at_least, dir.as_ref())
    }

    /// From now on, a thread that panics writes a snapshot into the folder `dir` first. The hook
    /// that was set before is called after that.
    ///
    /// # Errors
    /// Those of [`FlightRecorder::on_slow`].
    pub fn on_panic(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        dump::on_panic(&self.session, self.limits, dir.as_ref())
    }

    /// From now on, the signal SIGUSR2 has a snapshot written into the folder `dir`. A handler of
    /// that signal which was set before is replaced.
    ///
    /// # Errors
    /// Those of [`FlightRecorder::on_slow`], and where there are no signals.
    #[cfg(unix)]
    pub fn on_signal(&self, dir: impl AsRef<Path>) -> io::Result<()> {
        dump::on_signal(&self.session, self.limits, dir.as_ref())
    }

    /// Stops it. What it has kept is gone, but for a file of
    /// [`FlightRecorderBuilder::mapped`].
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for FlightRecorder {
    fn drop(&mut self) {
        dump::forget(&self.session);
        // In a forked child it is the parent's; a collector that has panicked keeps nothing.
        let _ = recorder::leave(Party::Recorder, &self.session);
        // All is in its file, or never will be.
        let _quiet = local::quiet();
        drop(self.kept.take());
    }
}

impl FlightRecorderBuilder {
    /// Whatever is older than this may go, even if there is room for it: 10 s unless told
    /// otherwise. Less is kept where [`FlightRecorderBuilder::max_bytes`] does not allow for it.
    pub fn min_age(mut self, age: Duration) -> Self {
        self.min_age = age;
        self
    }

    /// The most bytes a snapshot has, definitions included but for names of functions
    /// ([`Options::names`]), and what is kept takes in memory; 16 MiB unless told otherwise, at
    /// least 256 KiB. A snapshot that is being written keeps what it has until it is done. What
    /// threads are just filling is beside it, and has the bound of [`Options::memory_max`].
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes.max(BYTES_MIN);
        self
    }

    /// What is recorded, and how. If a trace is running already, its options hold.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Snapshots that are written by themselves are so far apart at least, and only so many are
    /// kept in a folder, the newest: 10 s and 10, unless told otherwise.
    pub fn dumps(mut self, every: Duration, kept: usize) -> Self {
        self.limits = Limits { every, kept: kept.max(1) };
        self
    }

    /// What is kept is in this file as well, which has [`FlightRecorderBuilder::max_bytes`] and
    /// survives whatever ends the process; the tool reads it as any trace. Beside it, while the
    /// recorder runs, lies `PATH.live`, as large as [`Options::memory_max`]: what threads are just
    /// filling. So much room is taken on the disk when it starts, and no more later. If there are
    /// such files of a process that was killed, both are kept, as `PATH.old` and `PATH.old.live`;
    /// else a file of this name is overwritten.
    pub fn mapped(mut self, path: impl Into<PathBuf>) -> Self {
        self.mapped = Some(path.into());
        self
    }

    /// Starts it, beside a trace if there is one.
    ///
    /// # Errors
    /// [`StartError::AlreadyRunning`] if there is a flight recorder in this process;
    /// [`StartError::Thread`] if the collector's thread can't be started; [`StartError::InUse`] and
    /// [`StartError::File`], as for [`start_file`](crate::start_file), if it is to be in a file.
    pub fn start(self) -> Result<FlightRecorder, StartError> {
        let mut kept = None;
        let mapped = self.mapped.as_deref().map(file::resolve).transpose()?;
        let session = {
            let _quiet = local::quiet();
            let place = Occupied::new(Party::Recorder)?;
            recorder::join(place, &self.options, || {
                let mirror = match &mapped {
                    Some(path) => {
                        let claimed = file::take(path, Access::Anywhere)?;
                        kept = Some(file::keep(path, &self.options)?);
                        let mirror = Mirror::new(claimed, self.max_bytes);
                        Some(mirror.map_err(|error| StartError::File(path.clone(), error))?)
                    }
                    None => None,
                };
                let ring = Ring::new(self.max_bytes, self.min_age, mirror);
                let ring = ring.named(self.options.names);
                Ok(Outlet::Ring(Box::new(ring)))
            })?
        };
        #[cfg(os_hooks)]
        if self.options.os {
            // What this thread waits for is seen from now on.
            local::arrive(local::Arrival::default());
        }
        Ok(FlightRecorder { session, limits: self.limits, kept })
    }
}

/// Writes what the ring of a session has.
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
    // What it takes is the recorder's, not the program's.
    let _quiet = local::quiet();
    let (done, is_done) = mpsc::sync_channel(1);
    session.ask(Request::Snapshot(done));
    let snapshot = session.wait_for_answer(&is_done).ok_or(SnapshotError::NotRunning)?;
    let snapshot = change(snapshot);
    // The program does not end because there is no room for a snapshot, or no reader.
    let _shield = Shield::new();
    snapshot.write(BufWriter::with_capacity(64 << 10, writer)).map_err(SnapshotError::Write)
}
