//! Definitions of what has been interned: every stack and resource is defined before the first
//! event of the trace that may refer to it.
//!
//! The table of stacks outlives traces; a trace defines only the stacks that it uses. The table of
//! resources is emptied when a session begins.

#[cfg(os_hooks)]
use crate::intern::resources::RESOURCES;
use crate::intern::{InternTable, STACKS};
use trace_format::definition::{Definition, StackFlags};
use trace_format::id::StackId;
#[cfg(os_hooks)]
use trace_format::{definition::ResourceKind, id::ResourceId};

/// Which ids the trace has defined.
#[derive(Debug, Default)]
pub(crate) struct InternedDefinitions {
    stacks: DefinedIds,
}

impl InternedDefinitions {
    /// Hands out new definitions. To be called after the look at the events that they go before.
    pub(crate) fn define_new(&mut self, mut define: impl FnMut(&Definition<'_>)) {
        self.stacks.for_each_new(&STACKS, |id, words| define_stack(id, words, &mut define));
        #[cfg(os_hooks)]
        RESOURCES.for_each_new(|id, words| define_resource(id, words, &mut define));
    }

    /// Hands out once more all that was handed out before.
    pub(crate) fn define_old(&self, mut define: impl FnMut(&Definition<'_>)) {
        self.stacks.for_each(&STACKS, |id, words| define_stack(id, words, &mut define));
        #[cfg(os_hooks)]
        RESOURCES.for_each_defined(|id, words| define_resource(id, words, &mut define));
    }
}

fn define_stack(id: u32, words: &[u64], mut define: impl FnMut(&Definition<'_>)) {
    let Some((flags, addresses)) = words.split_first() else { return };
    define(&Definition::Stack {
        id: StackId(id),
        flags: StackFlags::from_number(*flags),
        addresses: addresses.to_vec(),
    });
}

/// Hands out the definition of a resource with these words.
#[cfg(os_hooks)]
pub(crate) fn define_resource(id: u32, words: &[u64], mut define: impl FnMut(&Definition<'_>)) {
    let &[kind, value, bytes, ref name @ ..] = words else { return };
    let mut name: Vec<u8> = name.iter().flat_map(|word| word.to_le_bytes()).collect();
    name.truncate(bytes as usize);
    define(&Definition::Resource {
        id: ResourceId(id),
        kind: ResourceKind::from_number(kind),
        value,
        name: &name,
    });
}

/// The ids of one table that were handed out, one bit per id.
#[derive(Debug, Default)]
struct DefinedIds(Vec<u64>);

impl DefinedIds {
    /// Hands out ids that are used and were not handed out. One that is just being given to a
    /// thread comes later.
    fn for_each_new(&mut self, table: &InternTable, mut act: impl FnMut(u32, &[u64])) {
        for (at, used) in table.used_words().enumerate() {
            if at == self.0.len() {
                self.0.push(0);
            }
            let defined = &mut self.0[at];
            for bit in ones(used & !*defined) {
                let id = at as u32 * 64 + bit + 1;
                if let Some(words) = table.get(id) {
                    act(id, &words);
                    *defined |= 1 << bit;
                }
            }
        }
    }

    fn for_each(&self, table: &InternTable, mut act: impl FnMut(u32, &[u64])) {
        for (at, &defined) in self.0.iter().enumerate() {
            for id in ones(defined).map(|bit| at as u32 * 64 + bit + 1) {
                if let Some(words) = table.get(id) {
                    act(id, &words);
                }
            }
        }
    }
}

/// The places of the bits that are 1.
fn ones(mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let place = (bits != 0).then(|| bits.trailing_zeros())?;
        bits &= bits - 1;
        Some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(act: impl FnOnce(&mut dyn FnMut(u32, &[u64]))) -> Vec<(u32, u64)> {
        let mut found = Vec::new();
        act(&mut |id, words| found.push((id, words[0])));
        found
    }

    #[test]
    fn each_that_is_used_is_handed_out_once() {
        let table = Box::leak(Box::new(InternTable::new()));
        table.prepare();
        let (mut defined, mut found) = (DefinedIds::default(), Vec::new());
        for round in 1..=60 {
            for word in 0..round * 3 {
                let id = table.intern(&[word]);
                if word % 3 != 0 {
                    table.note_used(id);
                }
            }
            found.extend(all(|act| defined.for_each_new(table, act)));
        }
        let used: Vec<_> =
            (0..180).filter(|word| word % 3 != 0).map(|word| (word as u32 + 1, word)).collect();
        assert_eq!(found, used);
        assert_eq!(all(|act| defined.for_each(table, act)), used, "the same once more");
    }

    #[test]
    fn a_trace_has_none_that_only_an_earlier_one_used() {
        let table = Box::leak(Box::new(InternTable::new()));
        table.prepare();
        let ids: Vec<u32> = (0..500).map(|word| table.intern(&[word])).collect();
        ids.iter().for_each(|&id| table.note_used(id));
        assert_eq!(all(|act| DefinedIds::default().for_each_new(table, act)).len(), 500);
        table.begin();
        let mut defined = DefinedIds::default();
        assert_eq!(all(|act| defined.for_each_new(table, act)), []);
        // One that a thread still has from before, and one that is found anew.
        table.note_used(ids[7]);
        table.note_used(table.intern(&[400]));
        let found = all(|act| defined.for_each_new(table, act));
        assert_eq!(found, [(8, 7), (401, 400)]);
    }
}
