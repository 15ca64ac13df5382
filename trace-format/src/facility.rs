//! Facilities: parts of the recorder that may not be had everywhere, what traces call them, and the
//! words of their notes that readers go by (FORMAT.md, section 7).
//!
//! A note is for people. Where a reader decides by one, the word stands here, and the recorder
//! takes it from here, so that a note that is reworded changes no answer unseen.

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
/// What lives on the heap.
pub const HEAP: &str = "heap";
/// Names of addresses, given by the program itself.
pub const SYMBOLS: &str = "symbols";
/// Stacks and resources that have no name: there were too many distinct ones.
pub const NAMES: &str = "names";
/// Futures that are not in the list of those that live: there were too many at once.
pub const FUTURES: &str = "futures";
/// The program's own clock was not the kernel's.
pub const CLOCK: &str = "clock";
/// The system's folder of processes can't be read.
pub const PROC: &str = "proc";
/// The flight recorder's own file.
pub const MAPPED: &str = "mapped";
/// The file beside a trace, with which it survives its process.
pub const LIVE: &str = "live";

/// How the note of a facility begins that is off because nobody asked for it.
pub const NOT_ASKED_FOR: &str = "not asked for";
/// How the note of [`STACKS`] begins if stacks follow the frame pointers that the program keeps.
pub const FRAME_POINTERS: &str = "frame pointers";
