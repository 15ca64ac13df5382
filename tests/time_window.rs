//! Any window of a real trace can be read alone: what was open at its begin is known, and
//! everything in it is read.

mod common;

use common::annotated;

use common::alone;
use common::decoded::{self, Decoded};
use common::waiting::wait_for_generations_in;
use common::writers::Memory;
use exectrace::{Task, instant, trace_region, traced};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;
use trace_format::definition::OpenSince;
use trace_format::event::{Event, EventKind};
use trace_format::id::{Open, ThreadId};
use trace_format::read::{Batch, TraceFile, Window};
use trace_format::time::Ticks;

#[traced]
fn leaf() {}

#[traced(args(depth))]
fn nested(depth: u32) {
    leaf();
    if depth > 0 {
        trace_region!("pending" => thread::sleep(Duration::from_micros(300)));
        instant!("moment", depth);
        nested(depth - 1);
    }
    leaf();
}

/// Records a few threads with many generations, and returns the trace's bytes.
fn record() -> Vec<u8> {
    let _alone = alone();
    let memory = Memory::default();
    let options = annotated().generation(Duration::from_millis(10));
    let trace = exectrace::start_with(options, memory.clone()).expect("none is running");
    thread::scope(|scope| {
        for at in 0..3 {
            let memory = &memory;
            scope.spawn(move || {
                let task = Task::new("work");
                let _working = task.enter();
                (0..12).for_each(|_| nested(3 + at));
                // A thread that records nothing for generations, with something open.
                trace_region!("silent");
                wait_for_generations_in(memory, 3);
                leaf();
            });
        }
    });
    trace.stop().expect("memory takes every byte");
    memory.take()
}

/// When an event began and ended, and what it opened.
fn extent(event: &Event<'_>) -> (u64, u64) {
    let duration = match event.kind {
        EventKind::Region { duration, .. }
        | EventKind::Poll { duration, .. }
        | EventKind::TaskRun { duration, .. }
        | EventKind::Call { duration, .. } => duration.0,
        _ => 0,
    };
    (event.ticks.0, event.ticks.0 + duration)
}

/// What an event opens, or has opened and ended, if it is complete.
fn opened(kind: &EventKind<'_>) -> Option<Open> {
    match *kind {
        EventKind::Region { site, .. } | EventKind::RegionBegin { site, .. } => {
            Some(Open::Region(site))
        }
        EventKind::Poll { future, .. } | EventKind::PollBegin { future } => {
            Some(Open::Poll(future))
        }
        EventKind::TaskRun { task, .. } | EventKind::TaskRunBegin { task } => {
            Some(Open::Task(task))
        }
        EventKind::Call { call, .. } | EventKind::CallBegin { call } => Some(Open::Call(call)),
        _ => None,
    }
}

/// What is open behind some events of a thread, of what they begin.
fn open_behind(events: impl Iterator<Item = Event<'static>>) -> Vec<OpenSince> {
    let mut stack = Vec::new();
    for event in events {
        match event.kind {
            EventKind::RegionBegin { .. }
            | EventKind::PollBegin { .. }
            | EventKind::TaskRunBegin { .. }
            | EventKind::CallBegin { .. } => {
                let open = opened(&event.kind).expect("it opens something");
                stack.push(OpenSince { open, begin: event.ticks });
            }
            EventKind::End
            | EventKind::EndValue { .. }
            | EventKind::EndCall { .. }
            | EventKind::EndPoll { .. } => drop(stack.pop()),
            _ => {}
        }
    }
    stack
}

/// What a walk over the whole trace finds open at `time`, counting only original begins, and the
/// number of events that reach to `time` or beyond.
fn truth(trace: &Decoded, time: Ticks) -> (BTreeMap<ThreadId, Vec<OpenSince>>, usize) {
    let (mut open, mut behind) = (BTreeMap::new(), 0);
    for &thread in trace.tables.threads.keys() {
        let told = |event: &Event<'_>| !matches!(event.kind, EventKind::Reopen { .. });
        let is_before = |event: &Event<'_>| extent(event).1 < time.0;
        let (before, rest): (Vec<_>, Vec<_>) =
            trace.events(thread).filter(told).partition(is_before);
        behind += rest.len();
        let stack = open_behind(before.into_iter());
        if !stack.is_empty() {
            open.insert(thread, stack);
        }
    }
    (open, behind)
}

#[test]
fn what_is_open_at_a_windows_begin_is_what_a_whole_walk_finds() {
    let bytes = record();
    let trace = Decoded::new(&bytes);
    common::checks::check(&trace);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let generations = &file.tables().generations;
    assert!(generations.len() >= 4, "{}", generations.len());
    let (first, last) = (generations[0].ticks.0, generations[generations.len() - 1].ticks.0);
    let (mut somewhere, mut nowhere) = (0, 0);
    for step in 0..200 {
        let time = Ticks(first + (last - first) * step / 199);
        let (open, behind) = truth(&trace, time);
        let mut order = file.in_order(Window { from: Some(time), ..Window::default() });
        assert_eq!(*order.open_at_start(), open, "at {time:?}");
        let mut count = 0;
        while let Some(event) = order.next_event() {
            event.expect("a trace without faults");
            count += 1;
        }
        assert_eq!(count, behind, "at {time:?}");
        *(if open.is_empty() { &mut nowhere } else { &mut somewhere }) += 1;
    }
    // The number depends on when the threads begin and end.
    assert!(somewhere > 0, "none of {nowhere} windows begins within something");
}

#[test]
fn the_state_of_every_generation_is_the_truth() {
    let bytes = record();
    let trace = Decoded::new(&bytes);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let mut listed = 0;
    for generation in &file.tables().generations {
        let state = file.state_at(generation.number).expect("whole").expect("it is there");
        assert_eq!(state.ticks, generation.ticks);
        for thread in &state.threads {
            // It is what is open before a byte of the thread, and pieces of events end there. When
            // that was, nobody knows: the generation's time was taken later.
            let is_before = |piece: &&Batch<'_>| {
                (piece.header.sequence, piece.header.offset) < (thread.sequence, thread.offset)
            };
            let pieces = trace.pieces().filter(|piece| piece.header.thread == thread.id);
            let (before, behind): (Vec<_>, Vec<_>) = pieces.partition(is_before);
            let written = open_behind(before.into_iter().flat_map(decoded::events));
            let pending = thread.open.strip_prefix(&*written).expect("what was written is listed");
            for open in pending {
                // It had begun, and is written later: as a begin, or with its end.
                let mut behind = behind.iter().flat_map(|piece| decoded::events(piece));
                let is_it = |event: &Event<'_>| {
                    event.ticks == open.begin && opened(&event.kind) == Some(open.open)
                };
                assert!(behind.any(|event| is_it(&event)), "{open:?} is not written later");
            }
            assert!(thread.open.iter().all(|open| open.begin <= state.ticks));
            listed += thread.open.len();
        }
    }
    // Three threads record nothing for two generations at least, each with a task and a region
    // open.
    assert!(listed >= 12, "{listed} things were open");
}
