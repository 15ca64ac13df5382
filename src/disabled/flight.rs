//! The twin of the flight recorder: it keeps nothing.

use super::{Options, StartError};
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// A flight recorder that keeps nothing.
#[derive(Debug)]
#[must_use = "dropping a flight recorder stops it"]
#[non_exhaustive]
pub struct FlightRecorder {}

impl FlightRecorder {
    /// A builder of a flight recorder.
    pub fn builder() -> FlightRecorderBuilder {
        FlightRecorderBuilder {}
    }

    /// Would start a flight recorder.
    ///
    /// # Errors
    /// None.
    pub fn start() -> Result<Self, StartError> {
        Ok(Self {})
    }

    /// Writes nothing.
    ///
    /// # Errors
    /// None.
    pub fn snapshot(&self, writer: impl Write) -> Result<SnapshotReport, SnapshotError> {
        drop(writer);
        Ok(SnapshotReport::default())
    }

    /// Writes nothing.
    ///
    /// # Errors
    /// None.
    pub fn snapshot_with_names(&self, writer: impl Write) -> Result<SnapshotReport, SnapshotError> {
        self.snapshot(writer)
    }

    /// Would write a snapshot when a task takes longer than a limit.
    ///
    /// # Errors
    /// None.
    pub fn on_slow(
        &self,
        _name: &str,
        _at_least: Duration,
        _dir: impl AsRef<Path>,
    ) -> io::Result<()> {
        Ok(())
    }

    /// Would write a snapshot when a thread panics.
    ///
    /// # Errors
    /// None.
    pub fn on_panic(&self, _dir: impl AsRef<Path>) -> io::Result<()> {
        Ok(())
    }

    /// Would write a snapshot when a signal asks for it.
    ///
    /// # Errors
    /// None.
    #[cfg(unix)]
    pub fn on_signal(&self, _dir: impl AsRef<Path>) -> io::Result<()> {
        Ok(())
    }

    /// Does nothing.
    pub fn stop(self) {}
}

/// How a flight recorder would be configured.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it starts the recorder"]
#[non_exhaustive]
pub struct FlightRecorderBuilder {}

impl FlightRecorderBuilder {
    /// Events older than this might be dropped.
    pub fn min_age(self, _age: Duration) -> Self {
        self
    }

    /// The maximum size of a snapshot.
    pub fn max_bytes(self, _bytes: usize) -> Self {
        self
    }

    /// How often the recorder may write snapshots by itself, and how many are kept.
    pub fn dumps(self, _every: Duration, _kept: usize) -> Self {
        self
    }

    /// What is recorded, and how.
    pub fn options(self, _options: Options) -> Self {
        self
    }

    /// Would start it.
    ///
    /// # Errors
    /// None.
    pub fn start(self) -> Result<FlightRecorder, StartError> {
        FlightRecorder::start()
    }
}

/// The size of a snapshot of the last seconds: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// Events in it.
    pub events: u64,
    /// Bytes written.
    pub bytes: u64,
    /// How far back it reaches.
    pub age: Duration,
    /// Events dropped in that time because memory was at its limit.
    pub dropped_events: u64,
}

/// Why there is no snapshot, or only a part of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A write failed.
    Write(io::Error),
    /// No recorder is running.
    NotRunning,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the snapshot could not be taken")
    }
}

impl Error for SnapshotError {}
