//! What is defined once and holds for long: threads that live, what is mapped, how parts of the
//! recorder serve. Whoever comes late is told of it. (What is interned, and call sites, are in
//! tables of their own.)

use std::collections::BTreeMap;
use trace_format::definition::{Definition, Definitions, put_definition};
use trace_format::id::ThreadId;

/// It, as bytes of definitions.
#[derive(Debug, Default)]
pub(crate) struct Lasting {
    /// Of modules, in the order in which they were told.
    modules: Vec<u8>,
    /// Of facilities, what was said last, by name.
    facilities: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of threads that have not ended: what they are, and what they are called now.
    threads: BTreeMap<ThreadId, Vec<u8>>,
}

impl Lasting {
    /// Remembers a definition, if it is one that lasts.
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

    /// Tells all of it.
    pub(crate) fn tell(&self, mut tell: impl FnMut(&Definition<'_>)) {
        self.tell_system(&mut tell);
        for bytes in self.threads.values() {
            Definitions::new(bytes).for_each(|definition| tell(&definition));
        }
    }

    /// Tells what is not of threads.
    pub(crate) fn tell_system(&self, mut tell: impl FnMut(&Definition<'_>)) {
        for bytes in std::iter::once(&self.modules).chain(self.facilities.values()) {
            Definitions::new(bytes).for_each(|definition| tell(&definition));
        }
    }
}
