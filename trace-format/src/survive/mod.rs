//! The files that are left when a process is killed, and the traces that are made of them.
//! FORMAT.md, sections 11 and 12.
//!
//! - [`live`]: the file beside a trace, which has the batches that threads had open.
//! - [`ring`]: a flight recorder's own file, which has the last of what happened.
//!
//! The process may have ended at any moment, and anybody can write a file of this name: so a reader
//! checks everything in it.

pub mod live;
pub mod ring;

/// Both files are divided into pages of this many bytes. The first one is the header's.
pub const PAGE_BYTES: usize = 4096;
