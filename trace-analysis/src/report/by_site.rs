//! Sums by call site: found by the id at once, in memory for those alone that were seen.

use trace_format::id::SiteId;

/// One `T` for each call site that was asked for, and one for all that the trace does not define.
#[derive(Debug)]
pub(crate) struct BySite<T> {
    /// By id: the place in `sums` plus 1, 0 for none.
    places: Vec<u32>,
    sums: Vec<(SiteId, T)>,
    sites_max: SiteId,
}

impl<T: Default> BySite<T> {
    /// None yet.
    ///
    /// - `sites_max`: the greatest id that is defined; greater ones count as call site 0.
    pub(crate) const fn new(sites_max: SiteId) -> Self {
        Self { places: Vec::new(), sums: Vec::new(), sites_max }
    }

    /// The id under which this one is summed.
    pub(crate) fn known(&self, site: SiteId) -> SiteId {
        if site <= self.sites_max { site } else { SiteId(0) }
    }

    /// The sums of a call site.
    #[inline(always)]
    pub(crate) fn at(&mut self, site: SiteId) -> &mut T {
        let place = match self.places.get(site.0 as usize) {
            Some(&place) if place > 0 => place as usize - 1,
            _ => self.come(site),
        };
        &mut self.sums[place].1
    }

    /// Makes room for a call site that was not there yet.
    #[cold]
    #[inline(never)]
    fn come(&mut self, site: SiteId) -> usize {
        let site = self.known(site);
        let at = site.0 as usize;
        if at >= self.places.len() {
            self.places.resize(at + 1, 0);
        }
        if self.places[at] == 0 {
            self.sums.push((site, T::default()));
            self.places[at] = self.sums.len() as u32;
        }
        self.places[at] as usize - 1
    }

    /// All of them, by id.
    pub(crate) fn into_sorted(mut self) -> Vec<(SiteId, T)> {
        self.sums.sort_by_key(|(site, _)| *site);
        self.sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_defined_shares_the_place_of_site_0() {
        let mut sums = BySite::<u64>::new(SiteId(9));
        for (site, add) in [(9, 1), (3, 2), (9, 4), (10, 8), (u32::MAX, 16), (0, 32)] {
            *sums.at(SiteId(site)) += add;
        }
        let expected = [(SiteId(0), 56), (SiteId(3), 2), (SiteId(9), 5)];
        assert_eq!(sums.into_sorted(), expected);
    }
}
