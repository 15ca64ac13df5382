//! From a trace's bytes to lines.

use std::fmt::{self, Write as _};
use std::io::{self, Cursor, Read, Seek};

use super::word::{put_call, put_hex, put_one, put_open, put_text, put_values};
use super::{TextWriteError, definition};
use crate::definition::{Definition, put_definition};
use crate::event::{Event, EventKind, put_event};
use crate::header::{BatchKind, CODEC_LZ4};
use crate::id::{OpenCall, StackId};
use crate::read::{Batch, BatchReader, ReadError, ReadErrorKind};
use crate::time::Ticks;

/// A trace as text; whatever `bytes` are, there is something to say of them.
///
/// Index batches are left out: they follow from the others. Batches of kinds of newer versions are
/// their bytes. What is damaged is named by a comment.
#[must_use]
pub fn to_text(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    match write_text(Cursor::new(bytes), &mut out) {
        Ok(_) => {}
        Err(TextWriteError::Read(error)) => out = format!("# {error}\n").into_bytes(),
        Err(TextWriteError::Write(error)) => unreachable!("memory takes every write: {error}"),
    }
    String::from_utf8(out).expect("every line is text")
}

/// Writes a trace as text, as [`to_text`] does, one batch in memory at a time.
///
/// - `source`: all bytes of a trace. It is read once to its first compressed batch, if it has one,
///   and then once to its end.
/// - Returns whether the trace is whole: nothing is damaged, and it has its trailer.
///
/// # Errors
/// [`TextWriteError::Read`] if `source` is no trace or fails, and then nothing may have been
/// written; [`TextWriteError::Write`] if `out` fails.
pub fn write_text<R: Read + Seek>(
    mut source: R,
    out: &mut impl io::Write,
) -> Result<bool, TextWriteError> {
    let failed = |error| TextWriteError::Read(ReadError::new(0, ReadErrorKind::Io(error)));
    let is_compressed = has_compressed(&mut source)?;
    source.rewind().map_err(failed)?;
    let mut reader = BatchReader::new(source).map_err(TextWriteError::Read)?;
    let header = reader.header();
    let codec = if is_compressed { " lz4" } else { "" };
    writeln!(out, "file {}.{}{codec}", header.major, header.minor)?;
    let (mut lines, mut is_whole) = (String::new(), true);
    while let Some(batch) = reader.next_batch() {
        lines.clear();
        match batch {
            Ok(batch) if batch.header.kind == BatchKind::Index => {}
            Ok(batch) => put_batch(&mut lines, &batch),
            Err(error) => {
                is_whole = false;
                let _ = writeln!(lines, "# {error}");
            }
        }
        out.write_all(lines.as_bytes())?;
    }
    if reader.is_complete() {
        out.write_all(b"trailer\n")?;
    }
    Ok(is_whole && reader.is_complete())
}

/// Whether any batch that is whole is compressed: the first line says so.
fn has_compressed(source: impl Read) -> Result<bool, TextWriteError> {
    let mut reader = BatchReader::new(source).map_err(TextWriteError::Read)?;
    while let Some(batch) = reader.next_batch() {
        let is_listed = |batch: &Batch<'_>| batch.header.kind != BatchKind::Index;
        if batch.is_ok_and(|it| is_listed(&it) && it.header.codec == CODEC_LZ4) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn put_batch(out: &mut String, batch: &Batch<'_>) {
    let header = &batch.header;
    let kind = match header.kind {
        BatchKind::Events => "events",
        BatchKind::Definitions => "definitions",
        _ => "other",
    };
    let _ = write!(out, "batch {kind} kind={} thread={}", header.kind.to_byte(), header.thread.0);
    let _ = write!(out, " sequence={} offset={}", header.sequence, header.offset);
    let _ = write!(out, " generation={} base={}", header.generation, header.base_ticks.0);
    let _ = write!(out, " last={} flags={}", header.last_ticks.0, header.flags);
    let _ = writeln!(out, " events={}", header.events);
    match header.kind {
        BatchKind::Events => put_events(out, batch),
        BatchKind::Definitions => put_definitions(out, batch),
        _ => put_rest(out, batch.payload),
    }
}

/// Bytes that have no words.
fn put_rest(out: &mut String, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.push_str("  hex ");
        put_hex(out, bytes);
        out.push('\n');
    }
}

fn put_events(out: &mut String, batch: &Batch<'_>) {
    let (mut events, mut again) = (batch.events(), Vec::new());
    loop {
        let (from, mut clock) = (events.bytes_taken(), events.now());
        match events.next() {
            None => return,
            Some(Err(_)) => return put_rest(out, &batch.payload[from..]),
            Some(Ok(event)) => {
                let bytes = &batch.payload[from..events.bytes_taken()];
                again.clear();
                put_event(&mut again, &mut clock, &event);
                let unknown = matches!(event.kind, EventKind::Unknown { .. });
                if again == bytes && !unknown {
                    put_event_line(out, &event);
                } else {
                    put_rest(out, bytes);
                }
            }
        }
    }
}

fn put_event_line(out: &mut String, event: &Event<'_>) {
    let _ = write!(out, "  {} ", event.ticks.0);
    put_event_words(out, &event.kind);
    if let Some(Ticks(duration)) = event.kind.duration() {
        let _ = write!(out, " for {duration}");
    }
    match event.kind {
        EventKind::Region { values, .. }
        | EventKind::RegionBegin { values, .. }
        | EventKind::EndValue { values, .. }
        | EventKind::Instant { values, .. }
        | EventKind::TaskBeginSite { values, .. }
        | EventKind::FutureBegin { values, .. }
        | EventKind::FutureEnd { values, .. } => put_values(out, values),
        _ => {}
    }
    out.push('\n');
}

/// All but durations and values.
fn put_event_words(out: &mut String, kind: &EventKind<'_>) {
    let _ = match *kind {
        EventKind::Region { site, .. } => write!(out, "region {}", site.0),
        EventKind::RegionBegin { site, .. } => write!(out, "region-begin {}", site.0),
        EventKind::Poll { future, waits_at: StackId(0), .. } => write!(out, "poll {}", future.0),
        EventKind::Poll { future, waits_at, .. } => {
            write!(out, "poll {} waits-at {}", future.0, waits_at.0)
        }
        EventKind::PollBegin { future } => write!(out, "poll-begin {}", future.0),
        EventKind::TaskRun { task, .. } => write!(out, "task-run {}", task.0),
        EventKind::TaskRunBegin { task } => write!(out, "task-run-begin {}", task.0),
        EventKind::End => write!(out, "end"),
        EventKind::EndValue { outcome, .. } => write!(out, "end-value {}", outcome.name()),
        EventKind::EndDetached { open, since } => {
            out.push_str("end-detached ");
            put_open(out, open);
            write!(out, " since {}", since.0)
        }
        EventKind::Reopen { open, since } => {
            out.push_str("reopen ");
            put_open(out, open);
            write!(out, " since {}", since.0)
        }
        EventKind::Instant { site, .. } => write!(out, "instant {}", site.0),
        EventKind::Log { site, text } => {
            let _ = write!(out, "log {} ", site.0);
            put_text(out, text);
            Ok(())
        }
        EventKind::Counter { site, value } => {
            let _ = write!(out, "counter {} ", site.0);
            put_one(out, &value);
            Ok(())
        }
        EventKind::TaskBegin { task, parent, name } => {
            let _ = write!(out, "task-begin {} parent {} ", task.0, parent.0);
            put_text(out, name);
            Ok(())
        }
        EventKind::TaskBeginSite { task, parent, site, .. } => {
            write!(out, "task-begin-site {} parent {} site {}", task.0, parent.0, site.0)
        }
        EventKind::TaskEnd { task } => write!(out, "task-end {}", task.0),
        EventKind::FutureBegin { future, task, site, .. } => {
            write!(out, "future-begin {} task {} site {}", future.0, task.0, site.0)
        }
        EventKind::FutureEnd { future, outcome, .. } => {
            write!(out, "future-end {} {}", future.0, outcome.name())
        }
        EventKind::Dropped { events, ends, from, to } => {
            write!(out, "dropped {events} ends {ends} from {} to {}", from.0, to.0)
        }
        _ => put_words_of_async(out, kind),
    };
}

fn put_words_of_async(out: &mut String, kind: &EventKind<'_>) -> fmt::Result {
    match *kind {
        EventKind::FutureSpawn { future, parent, task, site, stack } => {
            write!(out, "future-spawn {} parent {} task {}", future.0, parent.0, task.0)?;
            write!(out, " site {} stack {}", site.0, stack.0)
        }
        EventKind::Wake { future, stack } => write!(out, "wake {} stack {}", future.0, stack.0),
        EventKind::EndPoll { waits_at } => write!(out, "end-poll waits-at {}", waits_at.0),
        EventKind::Ready { future, since } => write!(out, "ready {} since {}", future.0, since.0),
        EventKind::Unwakeable { future } => write!(out, "unwakeable {}", future.0),
        EventKind::TaskLink { task, trace, span, parent } => {
            write!(out, "task-link {} {trace:032x} {span:016x} {parent:016x}", task.0)
        }
        _ => put_words_of_system(out, kind),
    }
}

fn put_words_of_system(out: &mut String, kind: &EventKind<'_>) -> fmt::Result {
    match *kind {
        EventKind::Call { call, result, .. } => {
            put_call_words(out, "call ", call)?;
            write!(out, " result {result}")
        }
        EventKind::CallBegin { call } => put_call_words(out, "call-begin ", call),
        EventKind::EndCall { result } => write!(out, "end-call {result}"),
        EventKind::Alloc { sample, address, bytes, stack } => {
            let (sample, stack) = (sample.0, stack.0);
            write!(out, "alloc {sample} address {address:#x} bytes {bytes} stack {stack}")
        }
        EventKind::Free { sample } => write!(out, "free {}", sample.0),
        EventKind::SwitchIn { os_thread } => write!(out, "switch-in {os_thread}"),
        EventKind::SwitchOut { os_thread, preempted } => {
            write!(out, "switch-out {os_thread} {}", if preempted { "preempted" } else { "left" })
        }
        EventKind::Sample { os_thread, stack } => {
            write!(out, "sample {os_thread} stack {}", stack.0)
        }
        EventKind::Fault { os_thread, address, stack } => {
            write!(out, "fault {os_thread} address {address:#x} stack {}", stack.0)
        }
        EventKind::LostKernel { records } => write!(out, "lost-kernel {records}"),
        // Such an event stands as its bytes.
        _ => Ok(()),
    }
}

fn put_call_words(out: &mut String, word: &str, call: OpenCall) -> fmt::Result {
    out.push_str(word);
    put_call(out, call.call);
    write!(out, " resource {} stack {}", call.resource.0, call.stack.0)
}

fn put_definitions(out: &mut String, batch: &Batch<'_>) {
    let (mut definitions, mut again) = (batch.definitions(), Vec::new());
    loop {
        let from = batch.payload.len() - definitions.rest();
        let Some(definition) = definitions.next() else {
            return put_rest(out, &batch.payload[from..]);
        };
        let bytes = &batch.payload[from..batch.payload.len() - definitions.rest()];
        again.clear();
        put_definition(&mut again, &definition);
        if again == bytes && !matches!(definition, Definition::Unknown { .. }) {
            out.push(' ');
            definition::put_words(out, &definition);
            out.push('\n');
        } else {
            put_rest(out, bytes);
        }
    }
}
