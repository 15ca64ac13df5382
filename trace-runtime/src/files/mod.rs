//! Files that the recorder writes: opening them so that no other user may read them
//! (`destination`), claiming them for this process (`claimed`, `file_lock`), and noticing when the
//! program has closed their descriptor (`open_file`).
//!
//! Elsewhere: what is in them (`output`).

pub(crate) mod claimed;
pub(crate) mod destination;
pub(crate) mod file_lock;
pub(crate) mod open_file;
