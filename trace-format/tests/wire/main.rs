//! The bytes: written, read back, damaged, and as the specification has them.
//!
//! - `clock_steps`: a wall clock that is set while a trace runs: no event's time is of it, and what
//!   it said is told.
//! - `damage`: cut, flipped and lying files: an error that names the place, the rest of the events,
//!   no panic.
//! - `ring`: a flight recorder's file, whatever has become of it, gives a trace, or nothing.
//! - `golden`: checked-in traces: every golden text yields what its first line says, and the bytes
//!   of every kind of item are still those that version 1.0 was published with.
//! - `live`: the file beside a trace: its layout is FORMAT.md's, and whatever is in it does no
//!   harm.
//! - `order`: the merge by time, windows, generations: against a plain sort of everything.
//! - `rewrite`: a rewritten trace has all that the old one had, and the new definitions.
//! - `roundtrip`: properties: what was encoded is what is decoded, in every form; any bytes are
//!   survived.
//! - `source`: sources that are slow, short, or fail: the trace is the same, or the error is
//!   theirs.
//! - `spec`: FORMAT.md and the code can't disagree: its tables are read and compared with the
//!   numbers used.
//! - `tables`: what readers keep of definitions, and what of those that contradict each other.
//!
//! Shared with others: `common`.

mod clock_steps;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod golden;
mod live;
mod order;
mod rewrite;
mod ring;
mod roundtrip;
mod source;
mod spec;
mod tables;
