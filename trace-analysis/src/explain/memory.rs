//! Rules about the heap, and about what the trace itself lacks.

use std::collections::HashMap;

use trace_format::id::StackId;
use trace_format::time::Nanos;

use super::words::{Facts, bytes, count, is_part, moment, percent, plural, time};
use super::{Insight, InsightKind};
use crate::report::heap::{Heap, HeapPoint};

/// Growth of the heap by so much ...
const GROWTH_BYTES_MIN: u64 = 16 << 20;

/// ... and by so much of what it was, in per cents, is growth.
const GROWTH_PERCENT: u64 = 50;

/// Each part of the trace's time must have more on its heap than the one before: four parts tell
/// going on growing from having grown.
const PARTS: usize = 4;

/// What to allocate and to free costs at least, in nanoseconds: fast allocators need so much.
const ALLOCATION_NANOS: u64 = 20;

/// Allocating is a finding if it costs at least this part of the CPU time, in per cents, ...
const ALLOCATION_PERCENT: u64 = 20;

/// ... and this part of the trace's time, in thousandths.
const ALLOCATION_THOUSANDTHS: u64 = 50;

/// A heap that grew by fewer allocations than this held no queue: a buffer, say.
const QUEUED_MIN: u64 = 1_000;

/// What the trace lacks.
pub(super) fn loss(facts: &Facts<'_>) -> Vec<Insight> {
    let ends = facts.tables.threads.values().filter_map(|thread| thread.end);
    let dropped = ends.map(|end| end.dropped_events.saturating_add(end.dropped_ends));
    let dropped = dropped.fold(0_u64, u64::saturating_add);
    // A thread that has not ended has no end that says so, but its events do.
    let dropped = dropped.max(facts.lives.events_dropped);
    let mut insights = Vec::new();
    let mut add = |title: String, evidence: &str, command: &str| {
        let mut insight = Insight::new(InsightKind::Loss, Nanos(0), title);
        insight.evidence.push(evidence.to_owned());
        insight.command = command.to_owned();
        insights.push(insight);
    };
    if dropped > 0 {
        let title = format!("{} not recorded for want of memory", were(dropped, "event"));
        let evidence = "what is said below may leave out the busiest moments; give the recorder \
                        more memory, or record less";
        add(title, evidence, "check");
    }
    if facts.lives.lost_records > 0 {
        let title = format!("{} lost by the kernel", were(facts.lives.lost_records, "record"));
        let evidence = "for some time after each loss it is unknown which threads ran";
        add(title, evidence, "threads");
    }
    if facts.lives.unreadable > 0 {
        let title = format!(
            "{} of the file can't be read",
            plural(facts.lives.unreadable, "part", "parts")
        );
        add(title, "times of the threads that wrote them are unknown there", "check");
    }
    insights
}

fn were(number: u64, what: &str) -> String {
    let many = format!("{what}s were");
    plural(number, &format!("{what} was"), &many)
}

/// All that is said of the heap.
pub(super) fn all(facts: &Facts<'_>, heap: &Heap) -> Vec<Insight> {
    let grown = growth(facts, heap).or_else(|| swelling(facts, heap));
    grown.into_iter().chain(allocation_rate(facts, heap)).collect()
}

/// The exact counters that were taken in the time that is looked at. One before it is of use to
/// know what lived when it began, and says nothing of what was done in it.
fn inside(heap: &Heap) -> &[HeapPoint] {
    let points = heap.window();
    &points[points.partition_point(|point| point.at < heap.from)..]
}

/// Much of the CPU time goes into allocating.
fn allocation_rate(facts: &Facts<'_>, heap: &Heap) -> Option<Insight> {
    let points = inside(heap);
    let (first, last) = (points.first()?, points.last()?);
    let number = last.allocations.saturating_sub(first.allocations);
    let cost = number.saturating_mul(ALLOCATION_NANOS);
    // Without switches nobody knows how long it ran.
    let is_timed = facts.lives.cpus_watched > 0;
    let cpu = if is_timed { facts.program_cpu() } else { facts.wall() };
    let is_much = is_part(cost, cpu, ALLOCATION_PERCENT);
    if cpu == 0 || !is_much || !facts.is_worth(Nanos(cost), ALLOCATION_THOUSANDTHS) {
        return None;
    }
    let span = Nanos(last.at.0.saturating_sub(first.at.0).max(1));
    let rate = |sum: u64| (sum as f64 / (span.0 as f64 / 1e9)).round() as u64;
    let sum = last.allocated_bytes.saturating_sub(first.allocated_bytes);
    let places = places(facts, heap);
    let sampled: u64 = places.iter().map(|(_, count, _)| *count).fold(0, u64::saturating_add);
    let most = places.first().map_or(String::new(), |(at, count, _)| {
        format!(", {} of them{at}", percent(*count, sampled))
    });
    let title = format!(
        "{} allocations in {}, {} and {} a second{most}",
        count(number),
        time(span),
        count(rate(number)),
        bytes(rate(sum)),
    );
    let mut insight = match is_timed {
        true => {
            let share = cost.min(cpu) as f64 / cpu as f64;
            let times = facts.lives.threads.iter();
            let times = times.map(|it| (it.thread, (it.times.cpu().0 as f64 * share) as u64));
            facts.finding(InsightKind::AllocationRate, &facts.cpu_cost(times), title)
        }
        false => Insight::new(InsightKind::AllocationRate, Nanos(cost.min(cpu)), title),
    };
    let each = plural(sum / number.max(1), "byte", "bytes");
    insight.evidence.push(format!(
        "{each} each on average; to allocate and free takes some {ALLOCATION_NANOS} ns or more: a \
         buffer that is used again takes none"
    ));
    let next = places.iter().skip(1).take(2);
    let next = next.map(|(at, count, _)| format!("{}{at}", percent(*count, sampled)));
    let next: Vec<_> = next.collect();
    if !next.is_empty() {
        insight.evidence.push(format!("next: {}", next.join(", ")));
    }
    insight.stacks = places.iter().take(3).map(|(.., stack)| *stack).collect();
    insight.command = "heap".to_owned();
    Some(insight)
}

/// Where is allocated, how often, and one stack of each: the most often first.
fn places(facts: &Facts<'_>, heap: &Heap) -> Vec<(String, u64, StackId)> {
    let mut places: HashMap<String, (u64, StackId)> = HashMap::new();
    for stack in heap.stacks.iter().filter(|stack| stack.allocated_count > 0) {
        let at = match facts.own_at(stack.stack) {
            at if at.is_empty() => " somewhere unknown".to_owned(),
            at => at,
        };
        let place = places.entry(at).or_insert((0, stack.stack));
        place.0 = place.0.saturating_add(stack.allocated_count);
    }
    let mut places: Vec<_> =
        places.into_iter().map(|(at, (count, stack))| (at, count, stack)).collect();
    places.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    places
}

/// A heap that grew and shrank again: so does a queue that is filled faster than it is emptied.
fn swelling(facts: &Facts<'_>, heap: &Heap) -> Option<Insight> {
    let points = inside(heap);
    let (first, last) = (points.first()?, points.last()?);
    let most = points.iter().max_by_key(|point| point.live_bytes)?;
    let grown = most.live_bytes.saturating_sub(first.live_bytes);
    let is_much =
        u128::from(grown) * 100 >= u128::from(first.live_bytes) * u128::from(GROWTH_PERCENT);
    let freed = most.live_bytes.saturating_sub(last.live_bytes);
    let allocations = most.live_allocations.saturating_sub(first.live_allocations);
    if grown < GROWTH_BYTES_MIN || !is_much || freed < grown / 2 || allocations < QUEUED_MIN {
        return None;
    }
    let title = format!(
        "The heap grew from {} to {} in {}, by {} allocations, and shrank again",
        bytes(first.live_bytes),
        bytes(most.live_bytes),
        time(Nanos(most.at.0.saturating_sub(first.at.0))),
        count(allocations),
    );
    let mut insight = Insight::new(InsightKind::HeapGrowth, Nanos(0), title);
    insight.evidence.push(format!(
        "from {} on it shrank, by {} until the end: so does a queue that is filled faster than it \
         is emptied",
        moment(most.at),
        bytes(freed),
    ));
    let places = places(facts, heap);
    let sampled: u64 = places.iter().map(|(_, count, _)| *count).fold(0, u64::saturating_add);
    for (at, count, _) in places.iter().take(3).filter(|it| is_part(it.1, sampled, 10)) {
        insight.evidence.push(format!("{} was allocated{at}", percent(*count, sampled)));
    }
    insight.stacks = places.iter().take(3).map(|(.., stack)| *stack).collect();
    insight.at = Some(most.at.into());
    insight.command = "heap".to_owned();
    Some(insight)
}

/// A heap that goes on growing.
fn growth(facts: &Facts<'_>, heap: &Heap) -> Option<Insight> {
    let points: Vec<_> = heap.window().iter().collect();
    let means = means(&points)?;
    let is_steady = means.windows(2).all(|pair| pair[0] < pair[1]);
    let (first, last) = (points.first()?, points.last()?);
    let grown = last.live_bytes.saturating_sub(first.live_bytes);
    let is_much =
        u128::from(grown) * 100 >= u128::from(first.live_bytes) * u128::from(GROWTH_PERCENT);
    if !is_steady || grown < GROWTH_BYTES_MIN || !is_much {
        return None;
    }
    let span = Nanos(last.at.0.saturating_sub(first.at.0).max(1));
    let rate = (grown as f64 / (span.0 as f64 / 1e9)) as u64;
    let title = format!(
        "The heap grew by {} in {}, from {} to {}",
        bytes(grown),
        time(span),
        bytes(first.live_bytes),
        bytes(last.live_bytes),
    );
    let mut insight = Insight::new(InsightKind::HeapGrowth, Nanos(0), title);
    insight.evidence.push(format!("{} a second, to the end", bytes(rate)));
    let mut growing: Vec<_> = heap.stacks.iter().filter(|stack| stack.grown_bytes > 0).collect();
    growing.sort_by_key(|stack| std::cmp::Reverse(stack.grown_bytes));
    for stack in growing.iter().take(3) {
        let at = facts.at(stack.stack);
        let at = if at.is_empty() { " somewhere unknown".to_owned() } else { at };
        let grown = bytes(stack.grown_bytes.unsigned_abs());
        insight.evidence.push(format!(
            "about {grown} of it was allocated{at}, in {} allocations that live",
            count(stack.live_count)
        ));
    }
    insight.stacks = growing.iter().take(3).map(|stack| stack.stack).collect();
    insight.at = Some(last.at.into());
    insight.command = "heap".to_owned();
    Some(insight)
}

/// The mean of what was live in each part of the time; `None` if one has no point.
fn means(points: &[&HeapPoint]) -> Option<Vec<u64>> {
    let (first, last) = (points.first()?.at.0, points.last()?.at.0);
    let span = (last - first.min(last)).max(1);
    let mut sums = [(0_u128, 0_u128); PARTS];
    for point in points {
        let part =
            u128::from(point.at.0 - first.min(point.at.0)) * PARTS as u128 / u128::from(span);
        let sum = &mut sums[(part as usize).min(PARTS - 1)];
        sum.0 += u128::from(point.live_bytes);
        sum.1 += 1;
    }
    sums.iter().map(|(sum, count)| sum.checked_div(*count).map(|mean| mean as u64)).collect()
}
