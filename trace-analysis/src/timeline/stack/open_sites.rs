//! How often each call site is open on one thread, for recursion to be found at once.
//!
//! Ids come from the file, so memory is in proportion to what is open, not to the greatest id.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use trace_format::id::SiteId;

/// Lower ids have a place in an array: most programs have fewer call sites.
const FEW: usize = 256;

/// The counts of one thread.
#[derive(Debug, Default)]
pub(crate) struct OpenSites {
    few: Vec<u32>,
    /// Of the others those that are open.
    rest: HashMap<u32, u32, Folding>,
}

impl OpenSites {
    /// A region of this call site begins.
    #[inline(always)]
    pub(crate) fn begin(&mut self, SiteId(site): SiteId) {
        match self.few.get_mut(site as usize) {
            Some(count) => *count += 1,
            None => self.begin_rare(site),
        }
    }

    #[inline(never)]
    fn begin_rare(&mut self, site: u32) {
        if (site as usize) < FEW {
            self.few.resize(site as usize + 1, 0);
            self.few[site as usize] = 1;
        } else {
            *self.rest.entry(site).or_default() += 1;
        }
    }

    /// One of them ends.
    #[inline(always)]
    pub(crate) fn end(&mut self, SiteId(site): SiteId) {
        match self.few.get_mut(site as usize) {
            Some(count) => *count -= 1,
            None => self.end_rare(site),
        }
    }

    #[inline(never)]
    fn end_rare(&mut self, site: u32) {
        if let Some(count) = self.rest.get_mut(&site) {
            *count -= 1;
            if *count == 0 {
                self.rest.remove(&site);
            }
        }
    }

    /// Whether one is open.
    #[inline(always)]
    pub(crate) fn is_open(&self, SiteId(site): SiteId) -> bool {
        match self.few.get(site as usize) {
            Some(&count) => count > 0,
            None => !self.rest.is_empty() && self.rest.contains_key(&site),
        }
    }
}

/// Hashes a call site's id in two instructions. The factor is drawn once a process, so that no file
/// can hold ids that collide.
#[derive(Clone, Copy, Debug)]
struct Folding(u64);

static FACTOR: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish() | 1);

impl Default for Folding {
    fn default() -> Self {
        Self(*FACTOR)
    }
}

impl BuildHasher for Folding {
    type Hasher = Folded;

    #[inline(always)]
    fn build_hasher(&self) -> Folded {
        Folded { factor: self.0, hash: 0 }
    }
}

/// See [`Folding`].
struct Folded {
    factor: u64,
    hash: u64,
}

impl Hasher for Folded {
    #[inline(always)]
    fn write_u32(&mut self, number: u32) {
        let wide = u128::from(u64::from(number) ^ self.factor) * u128::from(self.factor);
        self.hash ^= (wide >> 64) as u64 ^ wide as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_open_as_often_as_it_began_and_did_not_end() {
        let mut sites = OpenSites::default();
        let ids = [0, 7, 255, 256, 70_000, u32::MAX].map(SiteId);
        for id in ids {
            assert!(!sites.is_open(id));
            (0..2).for_each(|_| sites.begin(id));
            sites.end(id);
            assert!(sites.is_open(id), "{id:?}");
        }
        ids.into_iter().for_each(|id| sites.end(id));
        assert!(!ids.into_iter().any(|id| sites.is_open(id)));
    }

    #[test]
    fn memory_does_not_grow_with_the_id() {
        let mut sites = OpenSites::default();
        sites.begin(SiteId(u32::MAX));
        assert_eq!((sites.few.len(), sites.rest.len()), (0, 1));
        sites.end(SiteId(u32::MAX));
        assert_eq!(sites.rest.len(), 0);
    }
}
