//! Definitions that still hold: of live threads, of modules, of how parts of the recorder work. An
//! output that comes late gets them. (What is interned, and call sites, have their own tables.)

use std::collections::BTreeMap;
use trace_format::definition::{Definition, Definitions, put_definition};
use trace_format::id::ThreadId;

/// The definitions that still hold, encoded.
#[derive(Debug, Default)]
pub(crate) struct CurrentDefinitions {
    /// Modules, in the order in which they were defined.
    modules: Vec<u8>,
    /// The last definition of each facility, by name.
    facilities: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of threads that have not ended: their definitions, and all names that they have had.
    threads: BTreeMap<ThreadId, Vec<u8>>,
}

impl CurrentDefinitions {
    /// Remembers a definition if it holds for later events, too.
    pub(crate) fn note(&mut self, definition: &Definition<'_>) {
        match definition {
            Definition::Module { .. } => put_definition(&mut self.modules, definition),
            Definition::Facility { name, .. } => {
                let mut bytes = Vec::new();
                put_definition(&mut bytes, definition);
                self.facilities.insert(name.to_vec(), bytes);
            }
            Definition::Thread { id, .. } => {
                put_definition(self.threads.entry(*id).or_default(), definition);
            }
            Definition::ThreadName { id, .. } => {
                if let Some(bytes) = self.threads.get_mut(id) {
                    put_definition(bytes, definition);
                }
            }
            Definition::ThreadEnd { id, ended: true, .. } => {
                self.threads.remove(id);
            }
            _ => {}
        }
    }

    /// Hands out all definitions.
    pub(crate) fn for_each(&self, mut act: impl FnMut(&Definition<'_>)) {
        self.for_each_of_process(&mut act);
        for bytes in self.threads.values() {
            Definitions::new(bytes).for_each(|definition| act(&definition));
        }
    }

    /// Hands out the definitions of modules and facilities.
    pub(crate) fn for_each_of_process(&self, mut act: impl FnMut(&Definition<'_>)) {
        for bytes in std::iter::once(&self.modules).chain(self.facilities.values()) {
            Definitions::new(bytes).for_each(|definition| act(&definition));
        }
    }
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use trace_format::batch::Compression;
    use trace_format::definition::kind;
    use trace_format::header::BatchKind;
    use trace_format::read::BatchReader;
    use trace_format::testgen::everything;

    /// Lasting definitions that a late output gets from elsewhere: `beginning` and `sites`
    /// (`Process`, `Callsite`), what is interned, the names at a trace's end, the list of futures.
    const ELSEWHERE: [u8; 6] = [
        kind::PROCESS,
        kind::CALLSITE,
        kind::STACK,
        kind::RESOURCE,
        kind::SYMBOL,
        kind::FUTURE_STATE,
    ];

    #[test]
    fn every_lasting_definition_reaches_a_late_output() {
        let (mut remembered, mut lasting) = (CurrentDefinitions::default(), BTreeSet::new());
        let bytes = everything(Compression::None);
        let mut reader = BatchReader::new(bytes.as_slice()).expect("a trace");
        while let Some(batch) = reader.next_batch() {
            let batch = batch.expect("whole");
            if batch.header.kind != BatchKind::Definitions {
                continue;
            }
            for definition in batch.definitions() {
                remembered.note(&definition);
                if !definition.is_of_moment() {
                    lasting.insert(definition.kind());
                }
            }
        }
        let mut reached = BTreeSet::from(ELSEWHERE);
        remembered.for_each(|definition| {
            assert!(!ELSEWHERE.contains(&definition.kind()), "{definition:?} comes twice");
            reached.insert(definition.kind());
        });
        assert_eq!(reached, lasting);
    }
}
