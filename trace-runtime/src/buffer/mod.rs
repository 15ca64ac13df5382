//! Memory for events: batches that threads write and the collector reads (`batch`, `front`,
//! `slot`), the process's budget for them (`memory`), the mapped file that holds them if they are
//! to outlive the process (`arena`), a list without a lock (`inbox`), and counts of what was lost
//! (`losses`).

pub(crate) mod arena;
pub(crate) mod batch;
pub(crate) mod front;
pub(crate) mod inbox;
pub(crate) mod losses;
pub(crate) mod memory;
pub(crate) mod slot;
