//! What has been interned, on its way into a trace: every stack and resource is defined before the
//! first event of the trace that may name it.
//!
//! The table of stacks outlives traces; of what earlier ones have left, a trace has what it uses.
//! That of resources is emptied when a session begins.

#[cfg(os_hooks)]
use crate::intern::resources::RESOURCES;
use crate::intern::{STACKS, Table};
use trace_format::definition::{Definition, StackFlags};
use trace_format::id::StackId;
#[cfg(os_hooks)]
use trace_format::{definition::ResourceKind, id::ResourceId};

/// What is in the trace already.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    stacks: Told,
}

impl Interned {
    /// Hands out what is new, by a look that is later than that at the events it goes before.
    pub(crate) fn define_new(&mut self, mut define: impl FnMut(&Definition<'_>)) {
        self.stacks.for_each_new(&STACKS, |id, words| define_stack(id, words, &mut define));
        #[cfg(os_hooks)]
        RESOURCES.for_each_new(|id, words| define_resource(id, words, &mut define));
    }

    /// Hands out once more what was handed out before.
    pub(crate) fn define_old(&self, mut define: impl FnMut(&Definition<'_>)) {
        self.stacks.for_each(&STACKS, |id, words| define_stack(id, words, &mut define));
        #[cfg(os_hooks)]
        RESOURCES.for_each_told(|id, words| define_resource(id, words, &mut define));
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

/// As it stands in a trace.
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

/// Ids of one table that were handed out: a bit each.
#[derive(Debug, Default)]
struct Told(Vec<u64>);

impl Told {
    /// Those that are used and were not handed out. One that is just being given comes later.
    fn for_each_new(&mut self, table: &Table, mut act: impl FnMut(u32, &[u64])) {
        for (at, used) in table.used_words().enumerate() {
            if at == self.0.len() {
                self.0.push(0);
            }
            let told = &mut self.0[at];
            for bit in ones(used & !*told) {
                let id = at as u32 * 64 + bit + 1;
                if let Some(words) = table.get(id) {
                    act(id, &words);
                    *told |= 1 << bit;
                }
            }
        }
    }

    fn for_each(&self, table: &Table, mut act: impl FnMut(u32, &[u64])) {
        for (at, &told) in self.0.iter().enumerate() {
            for id in ones(told).map(|bit| at as u32 * 64 + bit + 1) {
                if let Some(words) = table.get(id) {
                    act(id, &words);
                }
            }
        }
    }
}

/// The places of the bits that are set.
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
        let table = Box::leak(Box::new(Table::new()));
        table.prepare();
        let (mut told, mut found) = (Told::default(), Vec::new());
        for round in 1..=60 {
            for word in 0..round * 3 {
                let id = table.intern(&[word]);
                if word % 3 != 0 {
                    table.note_used(id);
                }
            }
            found.extend(all(|act| told.for_each_new(table, act)));
        }
        let used: Vec<_> =
            (0..180).filter(|word| word % 3 != 0).map(|word| (word as u32 + 1, word)).collect();
        assert_eq!(found, used);
        assert_eq!(all(|act| told.for_each(table, act)), used, "the same once more");
    }

    #[test]
    fn a_trace_has_none_that_only_an_earlier_one_used() {
        let table = Box::leak(Box::new(Table::new()));
        table.prepare();
        let ids: Vec<u32> = (0..500).map(|word| table.intern(&[word])).collect();
        ids.iter().for_each(|&id| table.note_used(id));
        assert_eq!(all(|act| Told::default().for_each_new(table, act)).len(), 500);
        table.begin();
        let mut told = Told::default();
        assert_eq!(all(|act| told.for_each_new(table, act)), []);
        // Held since then, and found anew.
        table.note_used(ids[7]);
        table.note_used(table.intern(&[400]));
        let found = all(|act| told.for_each_new(table, act));
        assert_eq!(found, [(8, 7), (401, 400)]);
    }
}
