//! Names where none are resolved: the feature is off, or the target has no stacks.

use trace_format::definition::Definition;
use trace_format::facility;

/// None.
#[derive(Debug)]
pub(crate) struct ResolvedNames;

impl ResolvedNames {
    /// Says that there are none, if there are stacks.
    pub(crate) fn for_each(&self, mut act: impl FnMut(&Definition<'_>)) {
        if cfg!(stacks) {
            let note = b"the program was built without the feature `names`";
            let name = facility::SYMBOLS.as_bytes();
            act(&Definition::Facility { name, on: false, note });
        }
    }
}

/// None.
pub(crate) fn resolve_all(_: impl IntoIterator<Item = u64>) -> ResolvedNames {
    ResolvedNames
}
