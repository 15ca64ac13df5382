//! Exports of traces that are damaged, cut, incomplete or odd, and exports to outputs that fail.

use std::collections::HashMap;
use std::io::{self, Write};

use prost::Message;
use trace_analysis::Progress;
use trace_analysis::symbols::Symbols;
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, Definition, OpenSince};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, Open, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, everything, tight_loops};
use trace_format::time::Ticks;
use trace_format::value::Values;

use super::super::export;
use super::super::message::{CLOCK_MONOTONIC, EventType, Trace};
use super::picture::picture;
use super::{OUTER, PARSE, builder, check, exported};

#[test]
fn drops_are_loud_and_their_ends_do_not_stay_open() {
    let mut trace = builder();
    trace.begin(1, OUTER.0, 10);
    trace.begin(1, OUTER.0, 20);
    let (from, to) = (Ticks(30), Ticks(80));
    trace.event(1, 100, EventKind::Dropped { events: 1000, ends: 1, from, to });
    trace.end(1, 110);
    let outer = "outer [testgen] @src/testgen.rs:2";
    let totals = check(
        &trace.stop(1_000),
        &[
            &format!("10 main ( {outer}"),
            &format!("20 main ( {outer}"),
            "30 main/EVENTS DROPPED ( EVENTS DROPPED [exectrace] events=1000u ends=1u",
            r#"80 main ) ended="earlier: its end is not in the trace""#,
            "80 main/EVENTS DROPPED )",
            "100 main ! EVENTS DROPPED [exectrace] events=1000u ends=1u",
            "110 main )",
        ],
    );
    assert_eq!((totals.dropped_events, totals.dropped_ends), (1000, 1));
}

#[test]
fn what_a_thread_lost_at_its_end_is_loud_too() {
    let mut trace = builder();
    trace.begin(1, OUTER.0, 10);
    trace.begin(1, OUTER.0, 20);
    let (from, to) = (Ticks(30), Ticks(80));
    trace.event(1, 100, EventKind::Dropped { events: 1, ends: 1, from, to });
    trace.seal(1);
    let id = ThreadId(1);
    let (ended, ticks, events) = (true, Ticks(300), 3);
    let (dropped_events, dropped_ends) = (8, 2);
    let end = Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends };
    trace.define(&end);
    let (out, totals) = exported(&trace.killed());
    assert_eq!(
        picture(&out)[6..],
        [
            "100 main/EVENTS DROPPED ( EVENTS DROPPED [exectrace] events=7u ends=1u",
            r#"300 main ) ended="earlier: its end is not in the trace"*"#,
            "300 main ! EVENTS DROPPED [exectrace] events=7u ends=1u",
            "300 main/EVENTS DROPPED )",
        ]
    );
    assert_eq!((totals.dropped_events, totals.dropped_ends, totals.unfinished), (8, 2, 0));
}

#[test]
fn what_is_pending_when_the_trace_ends_is_open_in_the_picture() {
    let mut trace = builder();
    trace.begin(1, OUTER.0, 10);
    trace.seal(1);
    trace.generation(40);
    let state = |at: &[(SiteId, u64)]| -> Vec<OpenSince> {
        at.iter()
            .map(|&(site, begin)| OpenSince { open: Open::Region(site), begin: Ticks(begin) })
            .collect()
    };
    trace.define(&Definition::Generation { number: 3, ticks: Ticks(50) });
    for (thread, open) in [(1, state(&[(OUTER, 10), (PARSE, 20)])), (2, state(&[(PARSE, 30)]))] {
        let (id, sequence) = (ThreadId(thread), 1);
        trace.define(&Definition::ThreadState { id, sequence, offset: 0, more: false, open });
    }
    let parse = "parse [demo::work] @src/work.rs:12 in demo::work::parse";
    let totals = check(
        &trace.stop(1_000),
        &[
            "10 main ( outer [testgen] @src/testgen.rs:2",
            &format!("20 main ( {parse}"),
            &format!("30 worker-1 ( {parse}"),
        ],
    );
    assert_eq!(totals.unfinished, 3);
}

#[test]
fn packets_that_look_alike_are_not_mixed_up() {
    let mut trace = TraceBuilder::started(Compression::None);
    let sites = 2_500;
    (1..=sites).for_each(|site| trace.callsite(site, CallsiteKind::Region, &format!("r{site}")));
    let threads = [1, 65, 1_000_000];
    threads.iter().for_each(|&thread| trace.thread(thread, &format!("t{thread}")));
    let mut expected = Vec::new();
    let rounds = (0..2).flat_map(|_| 1..=sites).zip((10..).step_by(10));
    for ((site, at), thread) in rounds.zip(threads.iter().cycle()) {
        trace.region(*thread, site, at, 5);
        expected.push(format!("{at} t{thread} ( r{site} [testgen] @src/testgen.rs:{site}"));
        expected.push(format!("{} t{thread} )", at + 5));
    }
    let (out, _) = exported(&trace.stop(1_000_000));
    assert_eq!(picture(&out), expected);
}

#[test]
fn a_damaged_batch_costs_its_events_and_no_nesting() {
    let mut trace = builder();
    trace.begin(1, OUTER.0, 10);
    trace.begin(1, PARSE.0, 20);
    trace.seal(1);
    let damaged = trace.bytes() + 64;
    trace.end(1, 30);
    trace.begin(1, OUTER.0, 40);
    trace.seal(1);
    trace.end(1, 50);
    trace.end(1, 60);
    let mut bytes = trace.stop(1_000);
    bytes[damaged] ^= 1;
    let outer = "outer [testgen] @src/testgen.rs:2";
    let totals = check(
        &bytes,
        &[
            &format!("10 main ( {outer}"),
            "20 main ( parse [demo::work] @src/work.rs:12 in demo::work::parse",
            r#"40 main ) ended="earlier: its end is not in the trace""#,
            &format!("40 main ( {outer}"),
            "50 main )",
            "60 main )",
        ],
    );
    assert!(totals.unreadable > 0);
    assert_eq!((totals.misnested, totals.unfinished), (0, 0));
}

#[test]
fn every_kind_of_event_is_exported_and_every_slice_is_paired() {
    let (out, totals) = exported(&everything(Compression::Lz4));
    assert_eq!((totals.unknown, totals.unreadable), (0, 0));
    assert_eq!(slices_open(&out), Some(totals.unfinished));
}

#[test]
fn cut_and_flipped_traces_have_no_unpaired_end() {
    let bytes = everything(Compression::None);
    // Trying every byte takes ten seconds without optimisation; a prime stride reaches all fields.
    for at in (0..bytes.len()).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        for trace in [&bytes[..at], &flipped] {
            let Ok(file) = TraceFile::open(trace) else { continue };
            let mut out = Vec::new();
            export(&file, &Symbols::default(), &mut out, |_| {})
                .expect("a damaged trace is exported all the same");
            assert!(slices_open(&out).is_some(), "byte {at}");
        }
    }
}

#[test]
fn an_output_that_fails_ends_the_export_at_once() {
    let trace = tight_loops(2, 100_000, Compression::None);
    let file = TraceFile::open(trace.as_slice()).expect("a trace");
    for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::StorageFull] {
        let mut seen = 0;
        let mut out = Full { left: 1_000_000, kind };
        let mut progress = |at: Progress| seen += u64::from(at.bytes < at.bytes_total);
        let error =
            export(&file, &Symbols::default(), &mut out, &mut progress).expect_err("it is full");
        assert_eq!(error.kind(), kind);
        assert!(seen < 2, "the trace was read on although the output was full");
    }
}

#[test]
fn progress_reaches_the_end() {
    let trace = tight_loops(2, 100_000, Compression::None);
    let file = TraceFile::open(trace.as_slice()).expect("a trace");
    let mut seen = Vec::new();
    let progress = |at: Progress| seen.push((at.bytes, at.bytes_total));
    let totals = export(&file, &Symbols::default(), &mut io::sink(), progress).expect("a sink");
    assert_eq!(totals.drawn.events, 200_000);
    assert!(seen.is_sorted() && seen.len() > 2, "{seen:?}");
    assert!(seen.last().is_some_and(|(bytes, total)| bytes == total), "{seen:?}");
}

/// Number of slices left open; `None` if an end has no begin. Checks that times on a track do not
/// run back.
fn slices_open(out: &[u8]) -> Option<u64> {
    let mut open = HashMap::<Option<u64>, u64>::new();
    let mut last = HashMap::<Option<u64>, u64>::new();
    let trace = Trace::decode(out).expect("a trace");
    let mut clock = trace.packet[0].clock_snapshot.as_ref().expect("clocks").clocks[2].timestamp();
    for packet in trace.packet.iter().filter(|packet| packet.timestamp.is_some()) {
        let time = packet.timestamp();
        let is_late = packet.timestamp_clock_id == Some(CLOCK_MONOTONIC);
        clock = if is_late { clock } else { clock + time };
        let time = if is_late { time } else { clock };
        let Some(event) = &packet.track_event else { continue };
        let before = last.insert(event.track_uuid, time).unwrap_or(0);
        assert!(before <= time, "{before} and then {time}: {event:?}");
        let count = open.entry(event.track_uuid).or_default();
        match event.r#type() {
            EventType::SliceBegin => *count += 1,
            EventType::SliceEnd => *count = count.checked_sub(1)?,
            _ => {}
        }
    }
    Some(open.values().sum())
}

/// Random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Any event with few different ids, so that events often concern the same thing: undefined
    /// ids, begins and ends in any order, ends without begins.
    fn event(&mut self, ticks: u64) -> EventKind<'static> {
        let values = Values::new(&[]);
        let (site, task) = (SiteId(self.below(9) as u32), TaskId(self.below(4)));
        let (future, duration) = (FutureId(self.below(4)), Ticks(self.below(20)));
        let since = Ticks(self.below(ticks.min(200)));
        let open =
            [Open::Region(site), Open::Poll(future), Open::Task(task)][self.below(3) as usize];
        let outcome = Outcome::ALL[self.below(4) as usize];
        let (stack, parent) = (StackId(self.below(3) as u32), FutureId(self.below(4)));
        match self.below(30) {
            0 => EventKind::Region { site, duration, values },
            1..=3 => EventKind::RegionBegin { site, values },
            4 | 20 => EventKind::Poll { future, waits_at: stack, duration },
            5 | 6 => EventKind::PollBegin { future },
            7 => EventKind::TaskRun { task, duration },
            8 => EventKind::TaskRunBegin { task },
            9 | 10 => EventKind::End,
            11 => EventKind::EndValue { outcome, values },
            12..=14 => EventKind::EndDetached { open, since },
            15 => EventKind::TaskBeginSite { task, parent: task, site, values },
            16 => EventKind::TaskEnd { task },
            17 => EventKind::FutureBegin { future, task, site, values },
            18 => EventKind::FutureEnd { future, outcome, values },
            19 => EventKind::EndPoll { waits_at: stack },
            21 | 22 => EventKind::FutureSpawn { future, parent, task, site, stack },
            23..=25 => EventKind::Wake { future, stack },
            26 => EventKind::Ready { future, since },
            27 => EventKind::Unwakeable { future },
            28 => EventKind::TaskLink { task, trace: 1, span: 2, parent: 3 },
            _ => {
                let (from, to) = (Ticks(ticks - since.0), Ticks(ticks + duration.0));
                EventKind::Dropped { events: 1, ends: self.below(3), from, to }
            }
        }
    }
}

#[test]
fn whatever_threads_write_every_end_has_its_begin() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..200 {
        let mut trace = builder();
        let mut begins = Vec::new();
        let mut clocks = [1_000; 3];
        for _ in 0..300 {
            let thread = random.below(3) as usize;
            clocks[thread] += random.below(5);
            let ticks = clocks[thread];
            let mut kind = random.event(ticks);
            if let EventKind::EndDetached { open, since } = &mut kind
                && !begins.is_empty()
                && random.below(4) > 0
            {
                // Mostly the end of something that began on any thread.
                let (what, begin): (Open, u64) = begins[random.below(begins.len() as u64) as usize];
                (*open, *since) = (what, Ticks(ticks.saturating_sub(begin)));
            }
            match kind {
                EventKind::RegionBegin { site, .. } => begins.push((Open::Region(site), ticks)),
                EventKind::PollBegin { future } => begins.push((Open::Poll(future), ticks)),
                EventKind::TaskRunBegin { task } => begins.push((Open::Task(task), ticks)),
                _ => clocks[thread] += kind.duration().map_or(0, |it| it.0),
            }
            trace.event(thread as u32 + 1, ticks, kind);
            if random.below(50) == 0 {
                trace.seal(thread as u32 + 1);
            }
        }
        let (out, totals) = exported(&trace.stop(1_000_000));
        assert_eq!(slices_open(&out), Some(totals.unfinished), "round {round}");
    }
}

/// Accepts this number of bytes, then fails.
struct Full {
    left: usize,
    kind: io::ErrorKind,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(self.kind.into());
        }
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
