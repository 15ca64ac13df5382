//! How a trace starts and stops.
//!
//! - `recorder`: the one session of a process, which all starts begin or join.
//! - `trace`: a trace into the user's writer.
//! - `file`: a trace in a file that survives the process; while it runs, threads' batches are in a
//!   second file (`backing_file`).
//! - `flight`: the flight recorder, which keeps the last seconds in its ring.
//! - `test_dump`: traces of what led to a failed test.
//! - `sources`: what is collected besides the threads' batches.
//!
//! Elsewhere: a start before `main` (`auto`), what the parties of a session share (`session`).

pub(crate) mod backing_file;
pub(crate) mod file;
pub(crate) mod flight;
pub(crate) mod recorder;
pub(crate) mod sources;
pub(crate) mod test_dump;
pub(crate) mod trace;
