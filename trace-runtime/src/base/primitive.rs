//! The primitives of concurrency: those of `std`, or loom's under `--cfg exectrace_loom`.
//!
//! Nothing else in this crate names `std::sync::atomic`, so that every protocol can be modelled.

#[cfg(exectrace_loom)]
pub(crate) use loom::sync::atomic::AtomicU16;
#[cfg(exectrace_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, fence};
#[cfg(all(feature = "heap", not(exectrace_loom)))]
pub(crate) use std::sync::atomic::AtomicU16;
pub(crate) use std::sync::atomic::Ordering;
#[cfg(all(os_hooks, not(exectrace_loom)))]
pub(crate) use std::sync::atomic::fence;
#[cfg(not(exectrace_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};

/// Atomics for statics, which loom does not support; no protocol rests on them alone.
pub(crate) mod global {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};
    pub(crate) use std::sync::atomic::{compiler_fence, fence};
}

/// Tells loom which bytes of a batch are touched, as it does not see raw memory. Without loom it
/// does nothing.
#[derive(Debug)]
pub(crate) struct Touches {
    #[cfg(exectrace_loom)]
    cells: Box<[loom::cell::UnsafeCell<()>]>,
}

impl Touches {
    pub(crate) fn new(_bytes: usize) -> Self {
        Self {
            #[cfg(exectrace_loom)]
            cells: (0.._bytes).map(|_| loom::cell::UnsafeCell::new(())).collect(),
        }
    }

    /// These bytes are written now: a race with any other touch is a fault.
    #[inline(always)]
    pub(crate) fn write(&self, _from: usize, _to: usize) {
        #[cfg(exectrace_loom)]
        self.cells[_from.._to].iter().for_each(|cell| cell.with_mut(|_| ()));
    }

    /// These bytes are read now: a race with a write is a fault.
    pub(crate) fn read(&self, _from: usize, _to: usize) {
        #[cfg(exectrace_loom)]
        self.cells[_from.._to].iter().for_each(|cell| cell.with(|_| ()));
    }
}
