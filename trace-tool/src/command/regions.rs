//! `exectrace regions`: every call site, and its longest regions.

use std::cmp::Reverse;
use std::io::Write;

use clap::{Args, ValueEnum};
use trace_analysis::Summary;
use trace_analysis::life::RegionTimes;
use trace_analysis::regions::RegionSummary;
use trace_analysis::symbols::Symbols;
use trace_format::time::Nanos;

use super::reading::{Source, limited, say_if_empty};
use super::{Failure, Verdict};
use crate::completeness::Completeness;
use crate::describe::{Names, owned_outcome};
use crate::json::{Parts, Report, Trace};
use crate::output::Output;
use crate::table::{Column, Table};
use crate::units;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// At most so many call sites; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    /// What they are sorted by.
    #[arg(long, value_enum, default_value_t = Sort::SelfTime)]
    sort: Sort,
    /// Show so many of the longest regions of each call site, with their arguments.
    #[arg(long, value_name = "N", default_value_t = 3)]
    outliers: usize,
}

/// What regions are sorted by; the greatest first.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Sort {
    /// Time in the region itself, without what it called.
    #[value(name = "self")]
    SelfTime,
    /// Time in the region and what it called.
    Total,
    /// How many there were.
    Count,
    /// The mean duration.
    Mean,
    /// The median duration.
    P50,
    /// The duration that one in a hundred exceeds.
    P99,
    /// The longest.
    Max,
    /// The name, from A to Z.
    Name,
}

/// Prints the regions.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = arguments.source.open()?;
    let mut summary = reading.summary(arguments.outliers.min(1000), 0);
    let names = Names::new(reading.file.tables());
    say_if_empty(&reading, &summary);
    sort(&mut summary.regions, arguments.sort, &names);
    // What threads did is told without names, which take time to look up.
    let lives = reading.has_life().then(|| reading.lives(&Symbols::default()));
    let missing = Completeness::new(&reading.file, &summary, lives.as_ref());
    let verdict = missing.warn();
    let times = lives.as_ref().map_or(&[][..], |lives| &lives.regions);
    if arguments.source.json {
        let kept = limited(&summary.regions, arguments.limit).len();
        summary.regions.truncate(kept);
        let trace = Trace::new(&arguments.source.file, &reading.file);
        let report = Report::new(trace, &names, &summary, Parts::Regions, &missing);
        out.json(&report.with_region_times(times))?;
        return Ok(verdict);
    }
    let shown = limited(&summary.regions, arguments.limit);
    if !shown.is_empty() {
        out.write_all(table(shown, times, &summary, &names).render(out.width).as_bytes())?;
    }
    if arguments.outliers > 0 && shown.iter().any(|region| !region.outliers.is_empty()) {
        writeln!(out, "\n{}", out.bold("The longest of each"))?;
        for region in shown.iter().filter(|region| !region.outliers.is_empty()) {
            print_outliers(region, &names, out)?;
        }
    }
    Ok(verdict)
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

/// Puts call sites in order.
pub fn sort(regions: &mut [RegionSummary], by: Sort, names: &Names<'_>) {
    match by {
        Sort::SelfTime => regions.sort_by_key(|region| Reverse(region.self_time)),
        Sort::Total => regions.sort_by_key(|region| Reverse(region.total)),
        Sort::Count => regions.sort_by_key(|region| Reverse(region.count)),
        Sort::Mean => regions.sort_by_key(|region| Reverse(region.mean)),
        Sort::P50 => regions.sort_by_key(|region| Reverse(region.quantiles.p50)),
        Sort::P99 => regions.sort_by_key(|region| Reverse(region.quantiles.p99)),
        Sort::Max => regions.sort_by_key(|region| Reverse(region.quantiles.max)),
        Sort::Name => regions.sort_by_cached_key(|region| names.site(region.site)),
    }
}

/// A row for each call site. `self%` is of the time of all regions of the summary, so all rows
/// together have 100%; `wall%` is of the time that passed, so with several threads it may be more.
/// `times`: what threads did in them, where the trace says so; of the total, that of whole regions.
#[must_use]
pub fn table(
    regions: &[RegionSummary],
    times: &[RegionTimes],
    summary: &Summary,
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
    let all: u64 = summary.regions.iter().map(|region| region.self_time.0).sum();
    for region in regions {
        // Of regions that have not ended there is no duration.
        let time = |time| if region.count > 0 { units::time(time) } else { "-".to_owned() };
        let own = times.iter().find(|times| times.site == region.site);
        let part = |time: fn(&RegionTimes) -> Nanos| match own.map(time) {
            Some(time) => units::time(time),
            None => "-".to_owned(),
        };
        table.row([
            names.site(region.site),
            units::time(region.self_time),
            units::percent(region.self_time.0, all),
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
