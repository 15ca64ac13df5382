//! The twin of what tokio tells of its tasks, where it tells nothing: without
//! `--cfg tokio_unstable`.

use super::watch::Watched;
use std::sync::Arc;
use tokio::runtime::Builder;
use trace_runtime::Callsite;

/// Whether runtimes of this process may tell of their tasks.
pub(super) const fn are_there() -> bool {
    false
}

pub(super) fn instrument(_: &mut Builder, _: &Arc<Watched>) {}

pub(super) fn announce(_: &'static Callsite) {}

pub(super) const fn take_back() -> bool {
    false
}

pub(super) fn note_adopted(_: u64) {}
