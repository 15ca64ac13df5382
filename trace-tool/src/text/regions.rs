//! `exectrace regions`: every call site, and its longest regions.

use std::io::Write;

use trace_analysis::Summary;
use trace_analysis::life::RegionTimes;
use trace_analysis::regions::RegionSummary;
use trace_format::time::Nanos;

use super::table::{Column, Table};
use super::{print_more, print_table};
use crate::answer::regions::{RegionsAnswer, by_site};
use crate::error::Failure;
use crate::label::names::{Names, owned_outcome};
use crate::label::units;
use crate::output::{Output, say};

/// Prints the regions.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &RegionsAnswer, out: &mut Output) -> Result<(), Failure> {
    let RegionsAnswer { subject, summary, times, regions_self, omitted } = answer;
    let names = subject.names();
    if summary.regions.is_empty() {
        say("the trace has no regions here");
        return Ok(());
    }
    print_table(out, table(summary, times, *regions_self, &names))?;
    print_more(out, *omitted, "--top 0")?;
    let with_outliers = || summary.regions.iter().filter(|region| !region.outliers.is_empty());
    if with_outliers().next().is_some() {
        writeln!(out, "\n{}", out.bold("The longest of each"))?;
        for region in with_outliers() {
            print_outliers(region, &names, out)?;
        }
    }
    Ok(())
}

fn print_outliers(
    region: &RegionSummary,
    names: &Names<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    writeln!(out, "{}", names.site(region.site))?;
    for outlier in &region.outliers {
        let duration = units::time(outlier.duration);
        let begin = units::since(outlier.begin);
        let thread = names.thread(outlier.thread);
        let arguments = names.arguments(region.site, outlier.arguments.values());
        let result = owned_outcome(outlier.outcome.as_ref());
        let line = format!("  {duration:>8} at {begin} on {thread}  {arguments} {result}");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A row for each call site. `self%` is of the time of all regions of the window, so all rows
/// together have 100%; `wall%` is of the time that passed, so with several threads it may be more.
///
/// - `times`: what threads did in them, where the trace says so; of the total, that of whole
///   regions.
/// - `regions_self`: the own time of all regions.
#[must_use]
pub fn table(
    summary: &Summary,
    times: &[RegionTimes],
    regions_self: Nanos,
    names: &Names<'_>,
) -> Table {
    let mut table = Table::new(&[
        Column::Name("region"),
        Column::Number("self"),
        Column::Number("self%"),
        Column::Number("total"),
        Column::Optional("on CPU", 10),
        Column::Optional("ready", 9),
        Column::Optional("blocked", 11),
        Column::Optional("wall%", 5),
        Column::Number("count"),
        Column::Optional("mean", 6),
        Column::Optional("p50", 7),
        Column::Optional("p90", 1),
        Column::Optional("p99", 8),
        Column::Number("max"),
        Column::Optional("failed", 4),
        Column::Optional("open", 3),
        Column::OptionalText("where", 0),
    ]);
    let times = by_site(times);
    for region in &summary.regions {
        // A region that has not ended has no duration.
        let time = |time| if region.count > 0 { units::time(time) } else { "-".to_owned() };
        let own = times.get(&region.site);
        let part = |time: fn(&RegionTimes) -> Nanos| match own.map(|times| time(times)) {
            Some(time) => units::time(time),
            None => "-".to_owned(),
        };
        table.row([
            names.site(region.site),
            units::time(region.self_time),
            units::percent(region.self_time.0, regions_self.0),
            units::time(region.total),
            part(|times| times.cpu),
            part(|times| times.ready),
            part(|times| times.blocked),
            units::percent(region.total.0, summary.wall().0),
            units::count(region.count),
            time(region.mean),
            time(region.quantiles.p50),
            time(region.quantiles.p90),
            time(region.quantiles.p99),
            time(region.quantiles.max),
            units::count(region.failed),
            units::count(region.unfinished + region.lost_ends),
            names.place(region.site),
        ]);
    }
    for column in ["on CPU", "ready", "blocked"] {
        table = table.without_empty(column, "-");
    }
    table.without_empty("failed", "0").without_empty("open", "0")
}
