//! What has been interned, on its way into a trace: every stack and resource is defined before the
//! first event of the trace that may name it.
//!
//! The table of stacks outlives traces, so a trace begins with all that earlier ones have left.
//! That of resources is emptied when a session begins.

use crate::intern::{STACKS, Table};
#[cfg(os_hooks)]
use crate::resources::RESOURCES;
use trace_format::definition::{Definition, StackFlags};
use trace_format::id::StackId;
#[cfg(os_hooks)]
use trace_format::{definition::ResourceKind, id::ResourceId};

/// Up to where the tables are in the trace.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    stacks: Seen,
}

impl Interned {
    /// Hands out what is new, by a look that is later than that at the events it goes before.
    pub(crate) fn define_new(&mut self, mut define: impl FnMut(&Definition<'_>)) {
        define_stacks(&mut self.stacks, &mut define);
        #[cfg(os_hooks)]
        RESOURCES.for_each_new(|id, words| define_resource(id, words, &mut define));
    }
}

fn define_stacks(seen: &mut Seen, mut define: impl FnMut(&Definition<'_>)) {
    seen.for_each_new(&STACKS, |id, words| {
        let Some((flags, addresses)) = words.split_first() else { return };
        define(&Definition::Stack {
            id: StackId(id),
            flags: StackFlags::from_number(*flags),
            addresses: addresses.to_vec(),
        });
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

impl Interned {
    /// Hands out once more what was handed out before.
    pub(crate) fn define_old(&self, mut define: impl FnMut(&Definition<'_>)) {
        let mut again = Seen { to: 0, gaps: Vec::new(), limit: self.stacks.to };
        define_stacks(&mut again, &mut define);
        #[cfg(os_hooks)]
        RESOURCES.for_each_told(|id, words| define_resource(id, words, &mut define));
    }
}

/// Of one table.
#[derive(Debug)]
struct Seen {
    to: u32,
    /// Ids below that were being given when they were looked at.
    gaps: Vec<u32>,
    /// Beyond it nothing is wanted.
    limit: u32,
}

impl Default for Seen {
    fn default() -> Self {
        Self { to: 0, gaps: Vec::new(), limit: u32::MAX }
    }
}

impl Seen {
    fn for_each_new(&mut self, table: &Table, mut act: impl FnMut(u32, &[u64])) {
        let count = table.count().min(self.limit);
        if count == self.to && self.gaps.is_empty() {
            return;
        }
        let gaps = std::mem::take(&mut self.gaps);
        for id in gaps.into_iter().chain(self.to + 1..=count) {
            match table.get(id) {
                Some(words) => act(id, &words),
                None => self.gaps.push(id),
            }
        }
        self.to = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_handed_out_once() {
        let table = Box::leak(Box::new(Table::new()));
        table.prepare();
        let (mut seen, mut found) = (Seen::default(), Vec::new());
        for round in 1..4 {
            for word in 0..round * 3 {
                table.intern(&[word]);
            }
            seen.for_each_new(table, |id, words| found.push((id, words[0])));
        }
        assert_eq!(found, (0..9).map(|word| (word as u32 + 1, word)).collect::<Vec<_>>());
    }
}
