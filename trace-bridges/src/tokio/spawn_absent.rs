//! The twin of what is done around tasks, for the feature `enabled` off: nothing.

use std::panic::Location;
use tokio::task::Id;

/// Nothing to be told.
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
