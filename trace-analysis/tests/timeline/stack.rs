//! The stack of one thread, fed by hand: what it says has ended, when, and how.

use trace_analysis::stack::{Closed, Ending, Room, Stack, Visitor};
use trace_format::definition::OpenSince;
use trace_format::event::{Event, EventKind, Outcome};
use trace_format::id::{FutureId, Open, SiteId, StackId, TaskId};
use trace_format::read::NESTING_MAX;
use trace_format::time::Ticks;
use trace_format::value::{Value, Values, put_value};

/// One line for each thing that ended: what, begin, end, self time, depth, how.
#[derive(Default)]
struct Told(Vec<String>);

impl Visitor for Told {
    fn closed(&mut self, closed: &Closed<'_>) {
        let what = match closed.open {
            Open::Region(SiteId(id)) => format!("r{id}"),
            Open::Poll(FutureId(id)) => format!("p{id}"),
            Open::Task(TaskId(id)) => format!("t{id}"),
            Open::Call(call) => format!("c{}", call.call.0),
        };
        let how = match closed.ending {
            Ending::Ended => "",
            Ending::With(Outcome::Failed, _) => " failed",
            Ending::With(..) => " with",
            Ending::Misnested => " misnested",
            Ending::Elsewhere => " elsewhere",
            Ending::Unseen => " unseen",
            Ending::Lost => " lost",
            Ending::Unfinished => " unfinished",
        };
        let again = if closed.outermost { "" } else { " again" };
        let values = if closed.values.is_empty() { "" } else { " with values" };
        self.0.push(format!(
            "{what} {}..{} self {} depth {}{how}{again}{values}",
            closed.begin.0, closed.end.0, closed.self_time.0, closed.depth
        ));
    }

    fn end_without_begin(&mut self, at: Ticks) {
        self.0.push(format!("end without begin {}", at.0));
    }

    fn too_deep(&mut self, at: Ticks) {
        self.0.push(format!("too deep {}", at.0));
    }
}

const NONE: Values<'static> = Values::new(&[]);

fn begin(at: u64, site: u32) -> Event<'static> {
    Event { ticks: Ticks(at), kind: EventKind::RegionBegin { site: SiteId(site), values: NONE } }
}

fn end(at: u64) -> Event<'static> {
    Event { ticks: Ticks(at), kind: EventKind::End }
}

fn region(at: u64, site: u32, duration: u64) -> Event<'static> {
    let (site, duration) = (SiteId(site), Ticks(duration));
    Event { ticks: Ticks(at), kind: EventKind::Region { site, duration, values: NONE } }
}

fn reopen(at: u64, site: u32, since: u64) -> Event<'static> {
    let (open, since) = (Open::Region(SiteId(site)), Ticks(since));
    Event { ticks: Ticks(at), kind: EventKind::Reopen { open, since } }
}

fn detached(at: u64, open: Open, since: u64) -> Event<'static> {
    Event { ticks: Ticks(at), kind: EventKind::EndDetached { open, since: Ticks(since) } }
}

fn stack() -> Stack {
    Stack::new()
}

fn feed(stack: &mut Stack, told: &mut Told, events: &[Event<'_>]) {
    events.iter().for_each(|event| stack.feed(event, told));
}

#[track_caller]
fn check(events: &[Event<'_>], finish: u64, expected: &[&str]) {
    let (mut stack, mut told) = (stack(), Told::default());
    feed(&mut stack, &mut told, events);
    stack.finish(Ticks(finish), &mut told);
    assert_eq!(told.0, expected);
    assert_eq!(stack.depth(), 0);
}

#[test]
fn self_time_is_duration_minus_direct_children() {
    check(
        &[begin(0, 1), begin(10, 2), region(20, 3, 5), region(30, 3, 5), end(60), end(100)],
        100,
        &[
            "r3 20..25 self 5 depth 2",
            "r3 30..35 self 5 depth 2",
            "r2 10..60 self 40 depth 1",
            "r1 0..100 self 50 depth 0",
        ],
    );
}

#[test]
fn a_task_run_is_no_callee_and_a_poll_is_one() {
    let run = Event { ticks: Ticks(10), kind: EventKind::TaskRunBegin { task: TaskId(7) } };
    let kind = EventKind::Poll { future: FutureId(9), waits_at: StackId(0), duration: Ticks(20) };
    let poll = Event { ticks: Ticks(20), kind };
    check(
        &[begin(0, 1), run, poll, end(50), end(100)],
        100,
        &["p9 20..40 self 20 depth 2", "t7 10..50 self 20 depth 1", "r1 0..100 self 80 depth 0"],
    );
}

#[test]
fn only_the_outermost_of_a_recursion_stands_alone() {
    check(
        &[begin(0, 1), begin(1, 1), region(2, 1, 1), end(9), end(10), region(11, 1, 1)],
        20,
        &[
            "r1 2..3 self 1 depth 2 again",
            "r1 1..9 self 7 depth 1 again",
            "r1 0..10 self 2 depth 0",
            "r1 11..12 self 1 depth 0",
        ],
    );
    // Whatever its id.
    check(
        &[begin(0, 5000), region(2, 5000, 1), end(10)],
        20,
        &["r5000 2..3 self 1 depth 1 again", "r5000 0..10 self 9 depth 0"],
    );
}

#[test]
fn an_end_with_nothing_open_is_told_and_harmless() {
    check(
        &[end(5), region(6, 1, 1), end(8)],
        9,
        &["end without begin 5", "r1 6..7 self 1 depth 0", "end without begin 8"],
    );
}

#[test]
fn a_detached_end_takes_what_is_above_it_off_the_stack() {
    check(
        &[
            begin(0, 1),
            begin(10, 2),
            begin(20, 3),
            detached(50, Open::Region(SiteId(2)), 40),
            end(60),
        ],
        60,
        &[
            "r2 10..50 self 10 depth 1",
            "r1 0..60 self 20 depth 0",
            "r3 20..50 self 30 depth 2 misnested",
        ],
    );
}

#[test]
fn what_is_mis_nested_ends_once_with_its_own_end() {
    // Two guards of one thread that are not nested: 1 from 0 to 30, 2 from 10 to 60.
    check(
        &[
            begin(0, 1),
            begin(10, 2),
            region(12, 3, 5),
            detached(30, Open::Region(SiteId(1)), 30),
            region(40, 2, 5),
            detached(60, Open::Region(SiteId(2)), 50),
            region(70, 2, 5),
            detached(80, Open::Region(SiteId(2)), 70),
        ],
        90,
        &[
            "r3 12..17 self 5 depth 2",
            "r1 0..30 self 10 depth 0",
            "r2 40..45 self 5 depth 0 again",
            "r2 10..60 self 15 depth 1 misnested",
            "r2 70..75 self 5 depth 0",
            "r2 10..80 self 0 depth 0 elsewhere",
        ],
    );
}

#[test]
fn of_what_is_mis_nested_and_never_ends_is_known_when_it_was_left() {
    check(
        &[
            begin(0, 1),
            begin(10, 2),
            begin(20, 3),
            detached(30, Open::Region(SiteId(1)), 30),
            begin(40, 4),
        ],
        50,
        &[
            "r1 0..30 self 10 depth 0",
            "r3 20..30 self 10 depth 2 misnested",
            "r2 10..30 self 10 depth 1 misnested",
            "r4 40..50 self 10 depth 0 unfinished",
        ],
    );
}

#[test]
fn what_lies_too_deep_is_counted_and_its_ends_pair() {
    let (mut stack, mut told) = (stack(), Told::default());
    let most = NESTING_MAX as u64;
    (0..most + 2).for_each(|at| stack.feed(&begin(at, 1), &mut told));
    assert_eq!(told.0, [format!("too deep {most}"), format!("too deep {}", most + 1)]);
    assert_eq!((stack.depth(), stack.open().count()), (NESTING_MAX + 2, NESTING_MAX));
    told.0.clear();
    let at = most + 10;
    feed(&mut stack, &mut told, &[region(at, 2, 1), end(at + 2), end(at + 3), end(at + 4)]);
    let inner = format!("r1 {}..{} self 14 depth {} again", most - 1, at + 4, most - 1);
    assert_eq!(told.0, [format!("r2 {at}..{} self 1 depth {}", at + 1, most + 2), inner]);
    assert_eq!(stack.depth(), NESTING_MAX - 1);
}

#[test]
fn stacks_that_share_a_room_stay_within_it() {
    let (room, mut told) = (Room::default(), Told::default());
    let values = vec![0; 1 << 20];
    let values = Values::new(&values);
    let kept = (0..4).map(|thread| {
        let mut stack = Stack::new().with_room(&room);
        for at in 0..100 {
            let kind = EventKind::RegionBegin { site: SiteId(thread), values };
            stack.feed(&Event { ticks: Ticks(at), kind }, &mut told);
        }
        told.0.clear();
        stack.finish(Ticks(100), &mut told);
        told.0.drain(..).filter(|line| line.contains("with values")).count()
    });
    // 128 MiB, and a little of that is for the places.
    assert_eq!(kept.sum::<usize>(), 127);
}

#[test]
fn detached_ends_of_others_do_not_search_a_deep_stack() {
    let (mut stack, mut told) = (stack(), Told::default());
    (0..1_000).for_each(|at| stack.feed(&begin(at, 1), &mut told));
    let ended = |site, since| detached(1_000, Open::Region(SiteId(site)), since);
    // The third is open here, and ends what lies above it; then it is so no longer.
    feed(&mut stack, &mut told, &[ended(7, 10), ended(1, 0), ended(1, 10), ended(1, 10)]);
    assert_eq!(stack.depth(), 990);
    let elsewhere = told.0.iter().filter(|line| line.contains("elsewhere")).count();
    assert_eq!((told.0.len(), elsewhere), (4, 3), "{:?}", told.0);
}

#[test]
fn a_detached_end_of_another_threads_region_leaves_the_stack_alone() {
    check(
        &[begin(0, 1), detached(50, Open::Region(SiteId(2)), 500), end(60)],
        60,
        &["r2 0..50 self 0 depth 0 elsewhere", "r1 0..60 self 60 depth 0"],
    );
}

#[test]
fn what_never_ended_is_unfinished_innermost_first() {
    check(
        &[begin(0, 1), begin(10, 2)],
        30,
        &["r2 10..30 self 20 depth 1 unfinished", "r1 0..30 self 10 depth 0 unfinished"],
    );
}

#[test]
fn a_restated_batch_that_agrees_changes_nothing() {
    let (mut stack, mut told) = (stack(), Told::default());
    feed(&mut stack, &mut told, &[begin(0, 1), begin(10, 2)]);
    stack.restate();
    feed(&mut stack, &mut told, &[reopen(40, 1, 40), reopen(40, 2, 30), end(50), end(60)]);
    assert_eq!(told.0, ["r2 10..50 self 40 depth 1", "r1 0..60 self 20 depth 0"]);
}

#[test]
fn a_restated_batch_tells_what_lost_its_end_or_its_begin() {
    let (mut stack, mut told) = (stack(), Told::default());
    feed(&mut stack, &mut told, &[begin(0, 1), begin(10, 2)]);
    stack.restate();
    feed(&mut stack, &mut told, &[reopen(40, 1, 40), reopen(40, 3, 5), region(41, 4, 1)]);
    stack.restate();
    feed(&mut stack, &mut told, &[region(50, 4, 1)]);
    stack.finish(Ticks(60), &mut told);
    assert_eq!(
        told.0,
        [
            "r2 10..40 self 30 depth 1 lost",
            "r4 41..42 self 1 depth 2",
            "r3 35..50 self 14 depth 1 lost",
            "r1 0..50 self 49 depth 0 lost",
            "r4 50..51 self 1 depth 0"
        ]
    );
}

#[test]
fn a_lost_end_keeps_the_time_of_what_was_inside_with_the_parent() {
    let (mut stack, mut told) = (stack(), Told::default());
    feed(&mut stack, &mut told, &[begin(0, 1), begin(10, 2), region(20, 3, 7)]);
    stack.restate();
    feed(&mut stack, &mut told, &[reopen(40, 1, 40), end(100)]);
    assert_eq!(told.0.last().map(String::as_str), Some("r1 0..100 self 93 depth 0"));
}

#[test]
fn deeper_than_a_batch_restates_stays_open() {
    let (mut stack, mut told) = (stack(), Told::default());
    for depth in 0..40 {
        stack.feed(&begin(depth, 1), &mut told);
    }
    stack.restate();
    for depth in 0..32 {
        stack.feed(&reopen(100, 1, 100 - depth), &mut told);
    }
    stack.feed(&end(200), &mut told);
    assert_eq!(told.0, ["r1 39..200 self 161 depth 39 again"]);
    assert_eq!(stack.depth(), 39);
}

#[test]
fn after_a_gap_ends_of_unknown_begins_are_no_findings() {
    let (mut stack, mut told) = (stack(), Told::default());
    feed(&mut stack, &mut told, &[begin(0, 1)]);
    stack.gap(Ticks(50), &mut told);
    feed(&mut stack, &mut told, &[end(60), region(61, 2, 1), end(65)]);
    stack.restate();
    feed(&mut stack, &mut told, &[reopen(70, 3, 30), end(80), end(90)]);
    assert_eq!(
        told.0,
        [
            "r2 61..62 self 1 depth 0",
            "r1 0..50 self 50 depth 0 lost",
            "r3 40..80 self 40 depth 0",
            "end without begin 90"
        ]
    );
}

#[test]
fn what_is_restated_behind_a_gap_and_the_rest_of_a_batch_has_gone_on() {
    let (mut stack, mut told) = (stack(), Told::default());
    feed(&mut stack, &mut told, &[begin(0, 1), begin(10, 2), begin(20, 4)]);
    stack.gap(Ticks(50), &mut told);
    // Between the gap and the next restated batch: what begins here may go on, too.
    feed(&mut stack, &mut told, &[region(60, 3, 5), begin(66, 5)]);
    assert!(!stack.is_sure());
    stack.restate();
    let front = [reopen(70, 1, 70), reopen(70, 2, 60), reopen(70, 5, 4)];
    feed(&mut stack, &mut told, &front);
    feed(&mut stack, &mut told, &[end(76), end(80), end(100), end(110)]);
    assert!(stack.is_sure());
    assert_eq!(
        told.0,
        [
            "r3 60..65 self 5 depth 0",
            "r4 20..50 self 30 depth 2 lost",
            "r5 66..76 self 10 depth 2",
            "r2 10..80 self 55 depth 1",
            "r1 0..100 self 30 depth 0",
            "end without begin 110"
        ]
    );
    assert_eq!(stack.busy(), Ticks(100), "each moment once");
}

#[test]
fn a_detached_end_of_what_was_open_at_a_gap_is_its_own() {
    let (mut stack, mut told) = (stack(), Told::default());
    feed(&mut stack, &mut told, &[begin(0, 1), begin(10, 2)]);
    stack.gap(Ticks(50), &mut told);
    let ended = |at, site, since| detached(at, Open::Region(SiteId(site)), since);
    // The last one was begun in what is missing, or on another thread.
    feed(&mut stack, &mut told, &[begin(60, 3), ended(80, 1, 80), ended(90, 7, 35)]);
    stack.finish(Ticks(100), &mut told);
    assert_eq!(
        told.0,
        [
            "r2 10..50 self 40 depth 1 lost",
            "r1 0..80 self 60 depth 0",
            "r7 55..90 self 0 depth 0 unseen",
            "r3 60..80 self 20 depth 0 misnested"
        ]
    );
    assert_eq!(stack.busy(), Ticks(80));
}

#[test]
fn a_window_counts_only_what_lies_in_it() {
    let mut stack = stack().with_window(Ticks(100), Ticks(200));
    let mut told = Told::default();
    let events = [begin(0, 1), region(10, 2, 20), region(90, 3, 20), region(150, 4, 10), end(300)];
    feed(&mut stack, &mut told, &events);
    assert_eq!(
        told.0,
        [
            "r2 10..30 self 0 depth 1",
            "r3 90..110 self 10 depth 1",
            "r4 150..160 self 10 depth 1",
            "r1 0..300 self 80 depth 0"
        ]
    );
    assert_eq!(stack.busy(), Ticks(100));
}

#[test]
fn what_the_last_generation_knows_is_unfinished_too() {
    let (mut stack, mut told) = (stack(), Told::default());
    feed(&mut stack, &mut told, &[begin(0, 1)]);
    let open = [(1, 0), (2, 30)];
    let open =
        open.map(|(site, at)| OpenSince { open: Open::Region(SiteId(site)), begin: Ticks(at) });
    stack.resume(open, false, Ticks(100), &mut told);
    stack.finish(Ticks(100), &mut told);
    assert_eq!(
        told.0,
        ["r2 30..100 self 70 depth 1 unfinished", "r1 0..100 self 30 depth 0 unfinished"]
    );
}

#[test]
fn forgetting_a_region_leaves_what_is_above_it_open() {
    let (mut stack, mut told) = (stack(), Told::default());
    feed(&mut stack, &mut told, &[begin(0, 1), begin(10, 2), begin(20, 3)]);
    let gone = OpenSince { open: Open::Region(SiteId(2)), begin: Ticks(10) };
    stack.forget(|it| it == gone);
    assert_eq!(stack.depth(), 2);
    stack.forget(|it| it == gone);
    feed(&mut stack, &mut told, &[end(30), end(40)]);
    assert_eq!(told.0, ["r3 20..30 self 10 depth 1", "r1 0..40 self 30 depth 0"]);
}

#[test]
fn arguments_of_a_begin_reach_its_end_and_no_other() {
    let mut bytes = Vec::new();
    put_value(&mut bytes, &Value::U64(7));
    let kind = EventKind::RegionBegin { site: SiteId(1), values: Values::new(&bytes) };
    let with = Event { ticks: Ticks(0), kind };
    let kind = EventKind::EndValue { outcome: Outcome::Failed, values: NONE };
    let failed = Event { ticks: Ticks(9), kind };
    check(
        &[with, failed, begin(10, 2), end(20)],
        20,
        &["r1 0..9 self 9 depth 0 failed with values", "r2 10..20 self 10 depth 0"],
    );
}
