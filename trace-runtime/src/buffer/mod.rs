//! Memory for events: batches that threads write and the collector reads (`batch`), the one budget
//! they come from (`memory`), the mapped file that they lie in if they are to outlive the process
//! (`arena`), a list without a lock (`inbox`), and counts of what had no room (`losses`).

pub(crate) mod arena;
pub(crate) mod batch;
pub(crate) mod inbox;
pub(crate) mod losses;
pub(crate) mod memory;
