//! Files that the recorder writes: opening one that nobody else may read (`destination`), one that
//! this process alone writes (`claimed`, `file_lock`), and one whose descriptor the program may
//! close (`open_file`).
//!
//! Elsewhere: what is in them (`output`).

pub(crate) mod claimed;
pub(crate) mod destination;
pub(crate) mod file_lock;
pub(crate) mod open_file;
