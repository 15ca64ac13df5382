//! The twin of the hooks of a runtime's threads, for the feature `enabled` off: they do nothing.

use tokio::runtime::Builder;

pub(super) fn instrument(_: &mut Builder, _: &str) {}
