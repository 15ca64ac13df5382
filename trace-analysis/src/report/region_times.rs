//! What the threads did in regions, by call site.

use std::cmp::Reverse;

use trace_format::id::SiteId;
use trace_format::read::Tables;

use super::life::RegionTimes;
use crate::timeline::EndedRegion;

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
    fn at(&mut self, site: SiteId) -> &mut RegionTimes {
        let place = site.0 as usize;
        let is_known = self.sites.get(place).is_some_and(|times| times.site == site);
        &mut self.sites[if is_known { place } else { 0 }]
    }

    /// Adds a region; only the outermost of those of a site that are open at once has times.
    #[inline]
    pub(super) fn add(&mut self, region: &EndedRegion) {
        let EndedRegion { site, is_over, is_inner, wall, inside } = region;
        let times = self.at(*site);
        times.count += u64::from(*is_over);
        if *is_inner {
            return;
        }
        let cpu = inside.cpu.min(*wall);
        let ready = inside.ready.min(wall - cpu);
        let blocked = inside.blocked.min(wall - cpu - ready);
        times.cpu.0 = times.cpu.0.saturating_add(cpu);
        times.ready.0 = times.ready.0.saturating_add(ready);
        times.blocked.0 = times.blocked.0.saturating_add(blocked);
        let rest = wall - cpu - ready - blocked;
        let stopped = inside.stopped.min(rest);
        times.stopped.0 = times.stopped.0.saturating_add(stopped);
        times.unknown.0 = times.unknown.0.saturating_add(rest - stopped);
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
