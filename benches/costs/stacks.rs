//! What a stack adds to the cost of a region, by depth.
//!
//! How stacks are walked depends on how the program was compiled: by default by unwind tables; with
//! `RUSTFLAGS="-C force-frame-pointers=yes" cargo bench --bench costs` by frame pointers, best with
//! a `--target-dir` of its own.

use crate::floor::{Table, floor, median, time};
use exectrace::{Options, Stacks, traced};
use std::hint::black_box;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use trace_format::event::EventKind;
use trace_format::header::BatchKind;
use trace_format::id::StackId;
use trace_format::read::{BatchReader, Tables};

#[traced]
#[inline(never)]
fn leaf() {
    black_box(());
}

pub(crate) fn measure(table: &mut Table) {
    let (fewest, note) = at_depth(0, Stacks::All, leaf);
    for (frames, goal) in [(16, "<= 3"), (30, "")] {
        let mut costs = [(0.0, 0.0); 2];
        for (stacks, cost) in [Stacks::None, Stacks::All].into_iter().zip(&mut costs) {
            at_depth(frames - fewest, stacks, || *cost = compare());
        }
        let [without, with] = costs;
        let name = format!("region with its stack, {frames} frames");
        let note = format!("{:.0} ns more than without; {note}", with.0 - without.0);
        table.row(&name, &format!("{:.2} x floor", with.1), goal, &note);
    }
}

/// The cost of a region in nanoseconds and in floors.
fn compare() -> (f64, f64) {
    const RUNS: u64 = 2_000;
    let rounds: Vec<_> = (0..101).map(|_| (time(RUNS, floor), time(RUNS, leaf))).collect();
    let nanos = rounds.iter().map(|(_, leaf)| leaf / RUNS as f64);
    let ratios = rounds.iter().map(|(floor, leaf)| leaf / floor);
    (median(nanos), median(ratios))
}

/// Runs `act` below `depth` calls on a thread of its own, under a trace. Returns the number of
/// frames of the last stack, and how stacks were walked, in short.
fn at_depth(depth: usize, stacks: Stacks, act: impl FnMut() + Send) -> (usize, String) {
    let memory = Memory::default();
    let options = Options::new().os(false).sched(false).heap(false).stacks(stacks);
    let trace = exectrace::start_with(options, memory.clone()).expect("no trace is running");
    std::thread::scope(|scope| {
        let mut act = act;
        let deep = scope.spawn(move || call(depth, &mut act));
        deep.join().expect("no panic");
    });
    trace.stop().expect("memory takes it");
    let bytes = std::mem::take(&mut *memory.0.lock().unwrap_or_else(PoisonError::into_inner));
    let mut reader = BatchReader::new(bytes.as_slice()).expect("a trace");
    let mut tables = Tables::default();
    let mut last = None;
    while let Some(Ok(batch)) = reader.next_batch() {
        if batch.header.kind == BatchKind::Definitions {
            tables.apply_batch(&batch).expect("whole definitions");
        } else {
            let named = batch.events().filter_map(|event| stack_of(&event.ok()?.kind));
            last = named.last().or(last);
        }
    }
    let frames = last.and_then(|id| tables.stacks.get(&id)).map(|stack| stack.addresses.len());
    let note = tables.facilities.get("stacks").map(|facility| facility.note.as_str());
    let note = note.unwrap_or("no stacks").split([',', ';']).next().unwrap_or_default();
    (frames.unwrap_or_default(), note.to_owned())
}

fn stack_of(kind: &EventKind<'_>) -> Option<StackId> {
    match kind {
        EventKind::Region { values, .. } | EventKind::RegionBegin { values, .. } => values.stack(),
        _ => None,
    }
}

#[inline(never)]
fn call(depth: usize, act: &mut dyn FnMut()) {
    if depth == 0 {
        act()
    } else {
        call(black_box(depth - 1), act)
    }
    black_box(depth);
}

/// A writer for a small trace.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
