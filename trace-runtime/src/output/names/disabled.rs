//! Names where they are not resolved: the feature is off, or there are no stacks on this target.

use trace_format::definition::Definition;
use trace_format::facility;

/// None.
#[derive(Debug)]
pub(crate) struct Names;

impl Names {
    /// Says that there are none, if there are stacks whose functions they would be.
    pub(crate) fn tell(&self, mut tell: impl FnMut(&Definition<'_>)) {
        if cfg!(stacks) {
            let note = b"the program was built without the feature `names`";
            let name = facility::SYMBOLS.as_bytes();
            tell(&Definition::Facility { name, on: false, note });
        }
    }
}

/// None.
pub(crate) fn resolve_all(_: impl IntoIterator<Item = u64>) -> Names {
    Names
}
