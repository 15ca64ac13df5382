//! Per call site of `counter!`: how far it went. And of `log!` and `instant!`: how often.

use trace_format::id::SiteId;
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Value;

use crate::report::by_site::BySite;
use crate::time::Scale;

/// The values of one counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CounterSummary {
    /// Where in the source; 0 for all call sites that the trace does not define.
    pub site: SiteId,
    /// How often it was set.
    pub count: u64,
    /// The least value: a number.
    pub min: Value<'static>,
    /// The greatest.
    pub max: Value<'static>,
    /// The one that was set last.
    pub last: Value<'static>,
    /// When that was, since the first clock snapshot.
    pub last_at: Nanos,
}

/// How often a `log!` or an `instant!` was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MomentSummary {
    /// Where in the source; 0 for all call sites that the trace does not define.
    pub site: SiteId,
    /// How often.
    pub count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    count: u64,
    min: Value<'static>,
    max: Value<'static>,
    last: (Ticks, Value<'static>),
}

/// One reader's counters and counts, by the id of the call site.
#[derive(Debug)]
pub(crate) struct Counters {
    ranges: BySite<Option<Range>>,
    moments: BySite<u64>,
}

impl Counters {
    pub(crate) fn new(sites_max: SiteId) -> Self {
        Self { ranges: BySite::new(sites_max), moments: BySite::new(sites_max) }
    }

    pub(crate) fn add_moment(&mut self, site: SiteId) {
        *self.moments.at(site) += 1;
    }

    pub(crate) fn add(&mut self, site: SiteId, at: Ticks, value: Value<'_>) {
        let Some(value) = number(value) else { return };
        let range = Range { count: 1, min: value, max: value, last: (at, value) };
        merge(self.ranges.at(site), range);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (site, theirs) in other.ranges.into_sorted() {
            if let Some(theirs) = theirs {
                merge(self.ranges.at(site), theirs);
            }
        }
        for (site, theirs) in other.moments.into_sorted() {
            *self.moments.at(site) += theirs;
        }
    }

    /// The sums of all counters, by call site; and of all logs and instants, the most frequent
    /// first.
    pub(crate) fn summarise(self, scale: &Scale<'_>) -> (Vec<CounterSummary>, Vec<MomentSummary>) {
        let sites = self.ranges.into_sorted().into_iter();
        let seen = sites.filter_map(|(site, range)| range.map(|range| (site, range)));
        let counters = seen.map(|(site, range)| CounterSummary {
            site,
            count: range.count,
            min: range.min,
            max: range.max,
            last: range.last.1,
            last_at: scale.nanos(range.last.0),
        });
        let counters = counters.collect();
        let sites = self.moments.into_sorted().into_iter();
        let mut moments: Vec<_> =
            sites.map(|(site, count)| MomentSummary { site, count }).collect();
        moments.sort_by_key(|moment| (std::cmp::Reverse(moment.count), moment.site));
        (counters, moments)
    }
}

fn merge(mine: &mut Option<Range>, theirs: Range) {
    let Some(mine) = mine else {
        *mine = Some(theirs);
        return;
    };
    mine.count += theirs.count;
    if as_f64(theirs.min) < as_f64(mine.min) {
        mine.min = theirs.min;
    }
    if as_f64(theirs.max) > as_f64(mine.max) {
        mine.max = theirs.max;
    }
    if theirs.last.0 >= mine.last.0 {
        mine.last = theirs.last;
    }
}

/// A number keeps its type; anything else counts nothing.
fn number(value: Value<'_>) -> Option<Value<'static>> {
    Some(match value {
        Value::U64(number) => Value::U64(number),
        Value::I64(number) => Value::I64(number),
        Value::F64(number) => Value::F64(number),
        Value::U128(number) => Value::U128(number),
        Value::I128(number) => Value::I128(number),
        Value::Bool(truth) => Value::U64(u64::from(truth)),
        _ => return None,
    })
}

/// For comparing: near 2^64 two neighbours count as equal.
fn as_f64(value: Value<'_>) -> f64 {
    match value {
        Value::U64(number) => number as f64,
        Value::I64(number) => number as f64,
        Value::F64(number) => number,
        Value::U128(number) => number as f64,
        Value::I128(number) => number as f64,
        _ => 0.0,
    }
}
