//! Rules about the heap, and about what the trace itself lacks.

use trace_format::time::Nanos;

use super::words::{Facts, bytes, count, plural, time};
use super::{Insight, InsightKind};
use crate::report::heap::{Heap, HeapPoint};

/// Growth of the heap by so much ...
const GROWTH_BYTES_MIN: u64 = 16 << 20;

/// ... and by so much of what it was, in per cents, is growth.
const GROWTH_PERCENT: u64 = 50;

/// Each part of the trace's time must have more on its heap than the one before: four parts tell
/// going on growing from having grown.
const PARTS: usize = 4;

/// What the trace lacks.
pub(super) fn loss(facts: &Facts<'_>) -> Vec<Insight> {
    let ends = facts.tables.threads.values().filter_map(|thread| thread.end);
    let dropped = ends.map(|end| end.dropped_events.saturating_add(end.dropped_ends));
    let dropped = dropped.fold(0_u64, u64::saturating_add);
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
        let evidence = "who ran when is unknown for some time after each loss";
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

/// A heap that goes on growing.
pub(super) fn growth(facts: &Facts<'_>, heap: &Heap) -> Option<Insight> {
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
