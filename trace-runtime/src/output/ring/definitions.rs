//! Definitions for a snapshot or a ring's file, in batches.

use crate::output::CurrentDefinitions;
use trace_format::definition::{Definition, put_definition};
use trace_format::header::BATCH_HEADER_BYTES;

/// The definitions that still hold, as the session has them.
pub(crate) struct SessionNames<'a> {
    /// What every trace begins with.
    pub(crate) beginning: Vec<Definition<'static>>,
    pub(crate) definitions: &'a CurrentDefinitions,
    /// Hands out definitions of call sites, of what is interned, and of live futures.
    pub(crate) for_each: &'a ForEachDefinition<'a>,
}

/// A function that hands definitions out to the one that it gets.
pub(crate) type ForEachDefinition<'a> = dyn Fn(&mut dyn FnMut(&Definition<'_>)) + 'a;

impl SessionNames<'_> {
    pub(super) fn put_beginning(&self, batches: &mut DefinitionBatches) {
        self.beginning.iter().for_each(|definition| batches.put(definition));
    }
}

/// Definitions in batches of limited size.
#[derive(Debug)]
pub(in crate::output) struct DefinitionBatches {
    /// Approximate maximum of a batch.
    bytes_max: usize,
    pub(super) batches: Vec<(Vec<u8>, u32)>,
}

impl DefinitionBatches {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, batches: Vec::new() }
    }

    pub(in crate::output) fn batches(&self) -> &[(Vec<u8>, u32)] {
        &self.batches
    }

    pub(super) fn put(&mut self, definition: &Definition<'_>) {
        let is_full = self.batches.last().is_none_or(|last| last.0.len() > self.bytes_max);
        if is_full {
            self.batches.push((Vec::new(), 0));
        }
        if let Some((bytes, count)) = self.batches.last_mut() {
            put_definition(bytes, definition);
            *count += 1;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.batches.iter().map(|(bytes, _)| bytes.len() + BATCH_HEADER_BYTES).sum()
    }
}
