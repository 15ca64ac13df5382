//! Facilities: parts of the recorder that do not work everywhere. Here are their names in traces,
//! and those words of their notes that readers depend on (FORMAT.md, section 7).
//!
//! A note is for people. Where a reader decides by a word of it, that word is here, and the
//! recorder takes it from here, so that rewording a note does not change what readers do.

/// Stacks of waits, calls and samples.
pub const STACKS: &str = "stacks";
/// Calls into the system.
pub const OS: &str = "os";
/// Which thread runs on which CPU.
pub const SCHED: &str = "sched";
/// Samples of running threads.
pub const SAMPLES: &str = "samples";
/// Major page faults.
pub const FAULTS: &str = "faults";
/// What is allocated on the heap.
pub const HEAP: &str = "heap";
/// Names of addresses that the program itself has written.
pub const SYMBOLS: &str = "symbols";
/// Stacks and resources that have no name: there were too many distinct ones.
pub const NAMES: &str = "names";
/// Live futures that found no room in the recorder's list: there were too many at once.
pub const FUTURES: &str = "futures";
/// The clock: the one that the program reads differs from the kernel's.
pub const CLOCK: &str = "clock";
/// The system's folder of processes can't be read.
pub const PROC: &str = "proc";
/// The flight recorder's own file.
pub const MAPPED: &str = "mapped";
/// The file beside a trace, by which it survives its process.
pub const LIVE: &str = "live";

/// The begin of the note of a facility that is off because nobody asked for it.
pub const NOT_ASKED_FOR: &str = "not asked for";
/// The begin of the note of [`STACKS`] if stacks follow the program's frame pointers.
pub const FRAME_POINTERS: &str = "frame pointers";
