//! `exectrace heap`: what lives on the heap, since when, and who allocates.

use std::io::Write;

use trace_analysis::heap::{HeapPoint, HeapStack};

use super::table::{Column, Table};
use trace_format::facility;

use super::{graph, print_more, print_stack, print_table, why_nothing};
use crate::answer::heap::{HeapAnswer, HeapCounters};
use crate::error::Failure;
use crate::label::places::Place;
use crate::label::{Labels, units};
use crate::output::{Output, say};

/// The graph's size, without the numbers beside it.
const GRAPH_ROWS: usize = 6;
const GRAPH_COLUMNS_MAX: usize = 100;
/// The numbers beside the graph, and the margin.
const GRAPH_MARGIN: usize = 12;

/// A line is printed if samples stand for more bytes than lived, by more than one part in this
/// many.
const SCALED_PART: u64 = 8;

/// A program that allocates little is sampled this often, in bytes.
const SAMPLE_BYTES_FINE: u64 = 4096;
const FINER: &str = ": record with `heap_sample=4K` in EXECTRACE, or \
    `Options::heap_sample_bytes(4096)`";

/// Prints the heap.
///
/// - `with_stacks`: whole stacks; else those of one place in the program are put together.
///
/// # Errors
/// If it can't be written.
pub fn print(answer: &HeapAnswer, with_stacks: bool, out: &mut Output) -> Result<(), Failure> {
    if answer.is_empty() {
        say(&why_nothing(&answer.subject, "nothing about the heap", facility::HEAP));
        return Ok(());
    }
    if answer.is_peak_instead {
        let line = "nothing that was sampled lives at the end: this is when most lived (for the \
                    end: --at end)";
        writeln!(out, "{line}")?;
    }
    if let Some(counters) = &answer.counters {
        print_counters(answer, counters, out)?;
        let points = &answer.heap.points;
        let points: Vec<_> = points.iter().map(|point| (point.at.0, point.live_bytes)).collect();
        print_graph(&points, out)?;
    }
    print_stacks(answer, with_stacks, out)
}

/// Prints how much lived, and when.
fn print_counters(
    answer: &HeapAnswer,
    counters: &HeapCounters,
    out: &mut Output,
) -> Result<(), Failure> {
    let HeapCounters { at, next, most, first, last } = counters;
    out.wrapped_bold(&title(answer, at, next.as_ref()), 2)?;
    let (highest, when) = (units::bytes(most.live_bytes), units::moment(most.at));
    let mut parts = vec![format!("at most {highest} at {when} s")];
    // Between two counts, the growth up to the first of them is not the growth up to now.
    if let Some(grown) = counters.grown().filter(|_| next.is_none()) {
        parts.push(format!("{} since {} s", signed(grown), units::moment(first.at)));
    }
    if let Some((bytes, count)) = counters.allocated() {
        let seconds = last.at.0.saturating_sub(first.at.0) as f64 / 1e9;
        let per_second = |number: u64| (number as f64 / seconds) as u64;
        let size = units::bytes(bytes);
        let mut allocated = match count {
            0 => "allocated nothing".to_owned(),
            1 => format!("allocated {size} in 1 allocation"),
            _ => {
                let (size_rate, rate) = (units::bytes(per_second(bytes)), per_second(count));
                let (count, rate) = (units::count(count), units::count(rate));
                format!("allocated {size} in {count} allocations ({size_rate}/s, {rate}/s)")
            }
        };
        let (from, to) = (units::moment(first.at), units::moment(last.at));
        allocated.push_str(&format!(" from {from} s to {to} s"));
        parts.push(allocated);
    }
    Ok(out.wrapped(&parts.join(", "), 2)?)
}

/// How much lives: counted at that moment, or counted before and after it and estimated between.
fn title(answer: &HeapAnswer, at: &HeapPoint, next: Option<&HeapPoint>) -> String {
    let counted = |point: &HeapPoint, live: &str| {
        let allocations = units::plural(point.live_allocations, "allocation", "allocations");
        let (size, when) = (units::bytes(point.live_bytes), units::moment(point.at));
        format!("{size}{live} in {allocations}, at {when} s")
    };
    let mut title = counted(at, " live");
    if let Some(next) = next {
        title.push_str(&format!("; {}", counted(next, "")));
        if answer.heap.samples > 0 {
            let (about, when) = (units::bytes(answer.live), units::moment(answer.heap.at));
            title.push_str(&format!("; about {about} at {when} s"));
        }
    }
    title
}

/// `+12.3 MB`.
fn signed(bytes: i128) -> String {
    let size = u64::try_from(bytes.unsigned_abs()).unwrap_or(u64::MAX);
    format!("{}{}", if bytes < 0 { '-' } else { '+' }, units::bytes(size))
}

fn print_graph(points: &[(u64, u64)], out: &mut Output) -> Result<(), Failure> {
    let width = out.width.unwrap_or(80).saturating_sub(GRAPH_MARGIN).min(GRAPH_COLUMNS_MAX);
    if points.len() < 2 || width < 10 {
        return Ok(());
    }
    let highest = points.iter().map(|(_, value)| *value).max().unwrap_or(0);
    let lines = graph::draw(points, width, GRAPH_ROWS);
    let last = lines.len().saturating_sub(1);
    for (row, line) in lines.iter().enumerate() {
        let label = match row {
            0 => units::bytes(highest),
            row if row == last => "0".to_owned(),
            _ => String::new(),
        };
        writeln!(out, "{label:>9} │{line}")?;
    }
    if let (Some((first, _)), Some((end, _))) = (points.first(), points.last()) {
        let (first, end) = (seconds(*first), seconds(*end));
        let gap = width.saturating_sub(first.len());
        writeln!(out, "{:>9} └{first}{end:>gap$}", "")?;
    }
    Ok(())
}

fn seconds(nanos: u64) -> String {
    format!("{:.3} s", nanos as f64 / 1e9)
}

fn print_stacks(answer: &HeapAnswer, with_stacks: bool, out: &mut Output) -> Result<(), Failure> {
    let heap = &answer.heap;
    let every = units::bytes(heap.sample_bytes);
    if heap.samples == 0 {
        let more = if heap.sample_bytes > SAMPLE_BYTES_FINE { FINER } else { "" };
        writeln!(out)?;
        out.wrapped(&format!("no allocation was sampled (one in {every}){more}"), 2)?;
        return Ok(());
    }
    let samples = units::plural(heap.samples, "sample", "samples");
    let by = if with_stacks { "stack" } else { "place" };
    let title = format!("By {by}, estimated from {samples}, one in {every}");
    writeln!(out, "\n{}", out.bold(&title))?;
    let live = answer.live;
    if heap.estimated_bytes > live.saturating_add(live / SCALED_PART) {
        let estimated = units::bytes(heap.estimated_bytes);
        let few = "too few samples: those that live stand for";
        let live = units::bytes(live);
        let line = format!("{few} {estimated}, which is shown as the {live} that lived");
        out.wrapped(&line, 2)?;
    }
    let names = answer.subject.names();
    let labels = answer.subject.labels(&names);
    if !with_stacks {
        print_table(out, table(&answer.places, live, labels))?;
        return Ok(print_more(out, answer.places_omitted, "--top 0")?);
    }
    for stack in &heap.stacks {
        let live = units::bytes(stack.live_bytes);
        let grown = signed(stack.grown_bytes.into());
        let allocated = units::bytes(stack.allocated_bytes);
        writeln!(out, "{live:>9} live, {grown} since, {allocated} allocated")?;
        print_stack(out, labels, stack.stack, 11)?;
    }
    Ok(print_more(out, answer.stacks_omitted, "--top 0")?)
}

/// A row for each place, named by one of its stacks.
///
/// - `live`: bytes of all.
#[must_use]
pub fn table(stacks: &[HeapStack], live: u64, labels: Labels<'_>) -> Table {
    let mut table = Table::new(&[
        Column::Name("function"),
        Column::OptionalText("where", 4),
        Column::Number("live"),
        Column::Number("live%"),
        Column::Optional("count", 2),
        Column::Number("growth"),
        Column::Optional("allocated", 3),
        Column::Optional("in", 1),
    ]);
    for stack in stacks {
        let place = labels.places.own(stack.stack);
        let function = place.as_ref().map(Place::shown_function);
        table.row([
            function.unwrap_or_else(|| "(no stack)".to_owned()),
            place.map_or_else(String::new, |place| place.shown_line()),
            units::bytes(stack.live_bytes),
            units::percent(stack.live_bytes, live),
            units::count(stack.live_count),
            signed(stack.grown_bytes.into()),
            units::bytes(stack.allocated_bytes),
            units::count(stack.allocated_count),
        ]);
    }
    table
}
