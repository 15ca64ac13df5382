//! The twin of `hooks` for builds without `--cfg tokio_unstable`, in which tokio reports nothing.

use super::spawn::Spawn;
use super::watch::Watched;
use std::sync::Arc;
use tokio::runtime::Builder;

/// Whether runtimes of this process may report their tasks.
pub(super) const fn are_there() -> bool {
    false
}

pub(super) fn instrument(_: &mut Builder, _: &Arc<Watched>) {}

pub(super) fn announce(_: Spawn) {}

pub(super) const fn take_back() -> Option<Spawn> {
    None
}

pub(super) fn note_adopted(_: u64) {}
