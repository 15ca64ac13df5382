//! The twin of what is done at a runtime's threads, for the feature `enabled` off: nothing.

use tokio::runtime::Builder;

pub(super) fn instrument(_: &mut Builder, _: &str) {}
