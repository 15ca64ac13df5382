//! How a trace starts and stops: into the user's writer (`recorder`), into a file that survives the
//! process (`file`, with its batches in the file that `kept` shares), into the flight recorder's
//! ring (`flight`), and what led to a test that fails (`keep`). `sources` lists what is collected
//! beside the threads' batches.
//!
//! Elsewhere: a start before `main` (`auto`), what the parties of a session share (`session`).

pub(crate) mod file;
pub(crate) mod flight;
pub(crate) mod keep;
pub(crate) mod kept;
pub(crate) mod recorder;
pub(crate) mod sources;
