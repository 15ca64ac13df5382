//! Call sites, by id.

use std::collections::BTreeMap;

use crate::definition::{ArgumentKind, CallsiteKind};
use crate::id::SiteId;
use crate::time::Nanos;

/// A place in the source that events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callsite {
    /// Events name it by this.
    pub id: SiteId,
    /// What kind of events come from it.
    pub kind: CallsiteKind,
    /// Its name.
    pub name: String,
    /// The module it is in.
    pub module: String,
    /// The source file, as the compiler was given it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// Regions shorter than this were not recorded; 0 if all were.
    pub min: Nanos,
    /// Names and kinds of its arguments, in the order of its values.
    pub arguments: Vec<(String, ArgumentKind)>,
}

/// Call sites by id.
#[derive(Clone, Debug, Default)]
pub struct Callsites {
    /// Those with ids below [`DENSE_MAX`], which are all ids of a real program.
    dense: Vec<Option<Box<Callsite>>>,
    others: BTreeMap<SiteId, Callsite>,
    count: usize,
}

/// Ids from here on are kept in a map, so that one odd id does not take an array of 2^32 entries.
const DENSE_MAX: usize = 1 << 16;

impl Callsites {
    /// The call site with this id.
    #[must_use]
    pub fn get(&self, id: SiteId) -> Option<&Callsite> {
        match self.dense.get(id.0 as usize) {
            Some(site) => site.as_deref(),
            None => self.others.get(&id),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Callsite> {
        self.dense.iter().filter_map(Option::as_deref).chain(self.others.values())
    }

    /// Adds a call site. If two have the same id, the first one stays: events before the second
    /// definition mean it.
    pub(super) fn add(&mut self, site: Callsite) {
        let at = site.id.0 as usize;
        if self.get(site.id).is_some() {
            return;
        }
        self.count += 1;
        if at >= DENSE_MAX {
            self.others.insert(site.id, site);
            return;
        }
        if at >= self.dense.len() {
            self.dense.resize(at + 1, None);
        }
        self.dense[at] = Some(Box::new(site));
    }
}
