//! What the threads did in regions, by call site.

use std::cmp::Reverse;

use trace_format::id::SiteId;
use trace_format::read::Tables;

use super::RegionTimes;

/// Sites with greater ids count as unknown: the sums lie in an array.
const SITES_MAX: u32 = 1 << 16;

/// The sums of all call sites; those that the trace does not define share one, of site 0.
#[derive(Debug)]
pub(super) struct RegionTable {
    sites: Vec<RegionTimes>,
}

impl RegionTable {
    pub(super) fn new(tables: &Tables) -> Self {
        let last = tables.callsites.iter().map(|site| site.id.0).filter(|id| *id < SITES_MAX);
        let mut sites = vec![RegionTimes::default(); last.max().unwrap_or(0) as usize + 1];
        for site in tables.callsites.iter() {
            if let Some(times) = sites.get_mut(site.id.0 as usize) {
                times.site = site.id;
            }
        }
        Self { sites }
    }

    /// The sums of this call site.
    #[inline]
    pub(super) fn at(&mut self, site: SiteId) -> &mut RegionTimes {
        let place = site.0 as usize;
        let is_known = self.sites.get(place).is_some_and(|times| times.site == site);
        &mut self.sites[if is_known { place } else { 0 }]
    }

    /// Those that threads were in, the most time on CPUs first.
    pub(super) fn finish(&mut self) -> Vec<RegionTimes> {
        let sites = std::mem::take(&mut self.sites).into_iter();
        let is_seen = |times: &RegionTimes| {
            let RegionTimes { site, .. } = *times;
            *times != RegionTimes { site, ..RegionTimes::default() }
        };
        let mut regions: Vec<_> = sites.filter(is_seen).collect();
        regions.sort_by_key(|times| (Reverse(times.cpu), times.site));
        regions
    }
}
