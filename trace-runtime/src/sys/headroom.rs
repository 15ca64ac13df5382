//! Whether the system has memory left. Asked before allocations of `std`'s collections: one that
//! fails ends the program.
//!
//! The probe is freed at once, so the memory is there for the allocation that follows, unless
//! another thread takes it first, or the system promises memory that it does not have.

use std::hint::black_box;

/// Memory for starting a trace, beyond what other checks cover, and for the collector and the
/// program afterwards: with less left they would soon fail.
const START_BYTES: usize = 4 << 20;

/// Memory of a call site while a trace starts: its definition, twice, as lists grow.
const SITE_BYTES: usize = 1 << 10;

/// Whether this number of bytes can be allocated.
pub(crate) fn has(bytes: usize) -> bool {
    let mut probe = Vec::<u8>::new();
    let is_there = probe.try_reserve_exact(bytes).is_ok();
    // Without this the compiler may remove the allocation and assume that it succeeded.
    black_box(&mut probe);
    is_there
}

/// Whether there is enough memory to start a trace with this number of call sites.
pub(crate) fn has_for_start(sites: usize) -> bool {
    has_beside_start(sites.saturating_mul(SITE_BYTES))
}

/// Whether the system gives this number of bytes, and enough to start a trace beside them.
pub(crate) fn has_beside_start(bytes: usize) -> bool {
    has(START_BYTES.saturating_add(bytes))
}
