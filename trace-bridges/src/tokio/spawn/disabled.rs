//! The twin of `spawn` for the feature `enabled` off: does nothing around tasks.

use std::panic::Location;
use tokio::task::Id;

/// Has nothing to settle.
#[derive(Debug)]
pub(super) struct Announced;

impl Announced {
    pub(super) fn settle(self, _: impl FnOnce() -> Id) {}
}

pub(super) fn wrap<F: Future>(
    _: Option<&'static str>,
    _: &'static Location<'static>,
    future: F,
) -> (F, Announced) {
    (future, Announced)
}

pub(super) fn wrap_blocking<F: FnOnce() -> R, R>(
    _: Option<&'static str>,
    _: &'static Location<'static>,
    work: F,
) -> F {
    work
}
