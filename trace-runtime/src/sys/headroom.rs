//! Whether the system still gives memory, asked before what can't be refused: an allocation of
//! `std`'s collections that fails ends the program.
//!
//! The bytes that are asked for are given back at once. So what is taken after that is there,
//! unless other threads take it first, or the system promises what it does not have.

use std::hint::black_box;

/// What starting takes beside what is asked for elsewhere, and what then should be left for the
/// collector and the program: whoever starts with less would not get far.
const START_BYTES: usize = 4 << 20;

/// What a call site takes while a trace starts: its definition, twice, as lists grow.
const SITE_BYTES: usize = 1 << 10;

/// Whether there are so many bytes.
pub(crate) fn has(bytes: usize) -> bool {
    let mut probe = Vec::<u8>::new();
    let is_there = probe.try_reserve_exact(bytes).is_ok();
    // Without this the compiler may leave the allocation out, and say that it went well.
    black_box(&mut probe);
    is_there
}

/// Whether there is enough to start a trace with so many call sites.
pub(crate) fn has_for_start(sites: usize) -> bool {
    has_beside_start(sites.saturating_mul(SITE_BYTES))
}

/// Whether the system gives this number of bytes, and enough to start a trace beside them.
pub(crate) fn has_beside_start(bytes: usize) -> bool {
    has(START_BYTES.saturating_add(bytes))
}
