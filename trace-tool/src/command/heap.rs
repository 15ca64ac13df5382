//! `exectrace heap`: what lives on the heap, since when, and who allocates.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use trace_analysis::heap::{Heap, HeapOptions, HeapPoint, HeapStack};
use trace_format::read::TraceFile;
use trace_format::time::Nanos;

use super::reading::{Reading, limited, missing, open, parse_time, symbols};
use super::{Failure, Verdict};
use crate::describe::Names;
use crate::graph;
use crate::json::Trace;
use crate::json::heap::HeapReport;
use crate::json::life::Words;
use crate::output::{Output, advance, progress, say};
use crate::symbols::binaries;
use crate::table::{Column, Table};
use crate::units;
use trace_export::label::place::{Place, Places};

/// The graph's size, without the numbers beside it.
const GRAPH_ROWS: usize = 6;
const GRAPH_COLUMNS_MAX: usize = 100;
/// The numbers beside the graph, and the margin.
const GRAPH_MARGIN: usize = 12;

/// If samples stand for more than lived by more than this part, it is said.
const SCALED_PART: u64 = 8;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The trace.
    file: PathBuf,
    /// When to look at what lives: a time, `end`, or `peak`, when most lived. Else the trace's end,
    /// or the peak if nothing lives at the end.
    #[arg(long, value_name = "TIME|peak|end", value_parser = parse_at)]
    at: Option<At>,
    /// Measure growth and allocations from this time on; else from the trace's begin.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Nanos>,
    /// What stacks are sorted by; the greatest first.
    #[arg(long, value_enum, default_value_t = Sort::Live)]
    sort: Sort,
    /// At most so many places or stacks; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Show whole stacks; else those of one place in the program are put together.
    #[arg(long)]
    stacks: bool,
    /// Print JSON; its fields: trace-tool/JSON.md in exectrace's repository.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    naming: binaries::Options,
}

/// When to look at what lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Time(Nanos),
    Peak,
    End,
}

fn parse_at(text: &str) -> Result<At, String> {
    match text {
        "peak" => Ok(At::Peak),
        "end" => Ok(At::End),
        time => parse_time(time).map(At::Time),
    }
}

/// What stacks are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Live bytes.
    Live,
    /// How many live bytes there are more than at the begin.
    Growth,
    /// Bytes allocated, freed or not.
    Allocated,
}

/// Prints the heap.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    if let (Some(from), Some(At::Time(at))) = (arguments.from, arguments.at)
        && from >= at
    {
        return Err(Failure::Usage("--from must be before --at".to_owned()));
    }
    let reading = Reading::whole(open(&arguments.file)?);
    let file = &reading.file;
    let (mut heap, is_peak) = read(arguments, file);
    sort(&mut heap.stacks, arguments.sort);
    let completeness = reading.completeness();
    let verdict = completeness.warn();
    if heap.points.is_empty() && heap.samples == 0 && !arguments.json {
        let off = missing(file.tables());
        let why = off.iter().find(|line| line.starts_with("without heap")).cloned();
        let why = why.unwrap_or_else(|| "is `exectrace::Heap` its global allocator?".to_owned());
        say(&format!("the trace has nothing about the heap; {why}"));
        return Ok(verdict);
    }
    let symbols = symbols(file, &arguments.naming)?;
    let names = Names::new(file.tables());
    let words = Words { names: &names, places: Places::new(file.tables(), &symbols) };
    if arguments.json {
        let trace = Trace::new(&arguments.file, file);
        let shown = limited(&heap.stacks, arguments.top);
        out.json(&HeapReport::new(trace, words, &heap, shown, &completeness))?;
        return Ok(verdict);
    }
    if is_peak && arguments.at.is_none() {
        let line = "nothing that was sampled lives at the end: this is when most lived (--at end)";
        writeln!(out, "{line}")?;
    }
    print_counters(&heap, out)?;
    print_stacks(arguments, &heap, words, out)?;
    Ok(verdict)
}

fn sort(stacks: &mut [HeapStack], by: Sort) {
    match by {
        Sort::Live => stacks.sort_by_key(|stack| Reverse(stack.live_bytes)),
        Sort::Growth => stacks.sort_by_key(|stack| Reverse(stack.grown_bytes)),
        Sort::Allocated => stacks.sort_by_key(|stack| Reverse(stack.allocated_bytes)),
    }
}

/// The heap when it was asked for, and whether that is the peak.
fn read(arguments: &Arguments, file: &TraceFile<super::reading::Bytes>) -> (Heap, bool) {
    let at = match arguments.at {
        Some(At::Time(at)) => Some(at),
        _ => None,
    };
    let heap = read_at(arguments, at, file);
    let is_wanted = match arguments.at {
        None => heap.stacks.iter().all(|stack| stack.live_bytes == 0),
        Some(at) => at == At::Peak,
    };
    let points = heap.points.iter().filter(|point| point.at >= heap.from);
    let peak = points.max_by_key(|point| point.live_bytes).filter(|_| is_wanted);
    match peak.map(|peak| peak.at) {
        Some(peak) => (read_at(arguments, Some(peak), file), true),
        None => (heap, false),
    }
}

fn read_at(
    arguments: &Arguments,
    at: Option<Nanos>,
    file: &TraceFile<super::reading::Bytes>,
) -> Heap {
    let ticks = |at| file.tables().clock.ticks(at);
    let options = HeapOptions { from: arguments.from.map(ticks), at: at.map(ticks), to: None };
    let bar = progress(file.bytes());
    let heap = Heap::read(file, &options, |progress| advance(&bar, progress));
    bar.finish_and_clear();
    heap
}

/// What lived when, as numbers and as a picture.
fn print_counters(heap: &Heap, out: &mut Output) -> Result<(), Failure> {
    let until: Vec<_> = heap.points.iter().filter(|point| point.at <= heap.at).collect();
    let Some(last) = until.last() else { return Ok(()) };
    let since = until.iter().find(|point| point.at >= heap.from).unwrap_or(last);
    let live = units::bytes(last.live_bytes);
    let allocations = units::plural(last.live_allocations, "allocation", "allocations");
    let title = format!("{live} live in {allocations}, at {} s", units::moment(last.at));
    writeln!(out, "{}", out.bold(&title))?;
    let window = || heap.points.iter().filter(|point| point.at >= heap.from);
    let most = window().max_by_key(|point| point.live_bytes).unwrap_or(last);
    let mut parts =
        vec![format!("at most {} at {} s", units::bytes(most.live_bytes), units::moment(most.at))];
    let passed = last.at.0.saturating_sub(since.at.0);
    if passed > 0 {
        let grown = i128::from(last.live_bytes) - i128::from(since.live_bytes);
        parts.push(format!("{} since {} s", signed(grown), units::moment(since.at)));
    }
    if let (Some(first), Some(end)) = (window().next(), window().next_back())
        && end.at > first.at
    {
        parts.push(allocated(first, end));
    }
    out.wrapped(&parts.join(", "), 2)?;
    let points: Vec<_> = heap.points.iter().map(|point| (point.at.0, point.live_bytes)).collect();
    print_graph(&points, out)
}

/// `+12.3 MB`.
fn signed(bytes: i128) -> String {
    let size = u64::try_from(bytes.unsigned_abs()).unwrap_or(u64::MAX);
    format!("{}{}", if bytes < 0 { '-' } else { '+' }, units::bytes(size))
}

/// What was allocated in all the window, whenever it was looked at.
fn allocated(first: &HeapPoint, end: &HeapPoint) -> String {
    let seconds = end.at.0.saturating_sub(first.at.0) as f64 / 1e9;
    let bytes = end.allocated_bytes.saturating_sub(first.allocated_bytes);
    let count = end.allocations.saturating_sub(first.allocations);
    let per_second = |number: u64| (number as f64 / seconds) as u64;
    format!(
        "allocated {} in {} ({}/s, {}/s) until {} s",
        units::bytes(bytes),
        units::plural(count, "allocation", "allocations"),
        units::bytes(per_second(bytes)),
        units::count(per_second(count)),
        units::moment(end.at),
    )
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

fn print_stacks(
    arguments: &Arguments,
    heap: &Heap,
    words: Words<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    if heap.stacks.is_empty() {
        writeln!(out, "\nno sampled allocation lives")?;
        return Ok(());
    }
    let every = units::bytes(heap.sample_bytes);
    let samples = units::plural(heap.samples, "sample", "samples");
    let by = if arguments.stacks { "stack" } else { "place" };
    let title = format!("By {by}, estimated from {samples}, one in {every}");
    writeln!(out, "\n{}", out.bold(&title))?;
    let live = units::sum(heap.stacks.iter().map(|stack| stack.live_bytes));
    if heap.estimated_bytes > live.saturating_add(live / SCALED_PART) {
        let told = units::bytes(heap.estimated_bytes);
        let few = "too few samples: those that live stand for";
        let line = format!("{few} {told}, which is shown as the {} that lived", units::bytes(live));
        out.wrapped(&line, 2)?;
    }
    let more = if arguments.stacks {
        let shown = limited(&heap.stacks, arguments.top);
        for stack in shown {
            let live = units::bytes(stack.live_bytes);
            let grown = signed(stack.grown_bytes.into());
            let allocated = units::bytes(stack.allocated_bytes);
            writeln!(out, "{live:>9} live, {grown} since, {allocated} allocated")?;
            for frame in words.places.lines(stack.stack) {
                out.wrapped(&format!("{:11}{frame}", ""), 15)?;
            }
        }
        heap.stacks.len() - shown.len()
    } else {
        let places = by_place(&heap.stacks, arguments.sort, words);
        let shown = limited(&places, arguments.top);
        out.write_all(table(shown, heap, words).render(out.width).as_bytes())?;
        places.len() - shown.len()
    };
    if more > 0 {
        writeln!(out, "… and {}: --top 0", units::plural(more as u64, "more", "more"))?;
    }
    Ok(())
}

/// Stacks that are of one place in the program, put together: ways to it are many.
fn by_place(stacks: &[HeapStack], by: Sort, words: Words<'_>) -> Vec<HeapStack> {
    let mut places: Vec<HeapStack> = Vec::new();
    let mut known: HashMap<(String, String), usize> = HashMap::new();
    for stack in stacks {
        let place = words.places.own(stack.stack);
        let place = place.map(|place| (place.shown_function(), place.source().unwrap_or_default()));
        let next = places.len();
        let at = *known.entry(place.unwrap_or_default()).or_insert(next);
        match places.get_mut(at) {
            Some(place) => place.add(stack),
            None => places.push(*stack),
        }
    }
    sort(&mut places, by);
    places
}

/// A row for each place, named by one of its stacks.
#[must_use]
pub fn table(stacks: &[HeapStack], heap: &Heap, words: Words<'_>) -> Table {
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
    let all = units::sum(heap.stacks.iter().map(|stack| stack.live_bytes));
    for stack in stacks {
        let place = words.places.own(stack.stack);
        let function = place.as_ref().map(Place::shown_function);
        table.row([
            function.unwrap_or_else(|| "(no stack)".to_owned()),
            place.map_or_else(String::new, |place| place.shown_line()),
            units::bytes(stack.live_bytes),
            units::percent(stack.live_bytes, all),
            units::count(stack.live_count),
            signed(stack.grown_bytes.into()),
            units::bytes(stack.allocated_bytes),
            units::count(stack.allocated_count),
        ]);
    }
    table
}
