//! The memory that several stacks share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Maximum memory of all stacks that share a [`Room`], in bytes.
const ROOM_BYTES: usize = 128 << 20;

/// Memory that several stacks share: an event may be smaller than what is kept of it, and a file
/// may have any number of threads.
#[derive(Clone, Debug)]
pub struct Room(Arc<AtomicUsize>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(ROOM_BYTES)))
    }
}

impl Room {
    /// Takes this number of bytes. Whether there were as many left.
    #[cold]
    pub(super) fn take(&self, bytes: usize) -> bool {
        let rest = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).is_ok()
    }

    /// Gives back bytes that were taken.
    #[cold]
    pub(super) fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}
