//! From lines to a trace's bytes: the file, its batches, their events.
//!
//! `definition` has the lines of definitions.

use super::word::{Parsed, TextLine, expected};
use super::{TextError, TextErrorKind, definition};
use crate::batch::{BatchInfo, Compression, FileEncoder};
use crate::event::{Event, EventKind, Events, Outcome, put_event};
use crate::header::BatchKind;
use crate::id::{FutureId, SampleId, SiteId, StackId, TaskId, ThreadId};
use crate::time::Ticks;
use crate::value::{Text, Values, take_value};

/// The bytes that a text describes, which [`super::to_text`] or a person wrote.
///
/// # Errors
/// The first line that can't be understood.
pub fn from_text(text: &str) -> Result<Vec<u8>, TextError> {
    let mut file = TextTrace::default();
    for (at, line) in text.lines().enumerate() {
        file.line(line).map_err(|kind| TextError { line: at + 1, kind })?;
    }
    file.finish_batch();
    Ok(file.out)
}

#[derive(Default)]
struct TextTrace {
    encoder: Option<FileEncoder>,
    out: Vec<u8>,
    batch: Option<OpenBatch>,
    ended: bool,
}

/// A batch whose lines are being read.
struct OpenBatch {
    info: BatchInfo,
    payload: Vec<u8>,
    clock: Ticks,
}

impl TextTrace {
    fn line(&mut self, line: &str) -> Parsed<()> {
        let mut line = TextLine::new(line);
        let first = line.next();
        if first.is_empty() || first.starts_with('#') {
            return Ok(());
        }
        if self.ended || (first == "file") != self.encoder.is_none() {
            return Err(TextErrorKind::OutOfPlace);
        }
        match first {
            "file" => self.begin(&mut line)?,
            "batch" => {
                self.finish_batch();
                self.batch = Some(open_batch(&mut line)?);
            }
            "trailer" => {
                line.word();
                self.finish_batch();
                self.ended = true;
                let end = self.encoder.as_mut().map(FileEncoder::end);
                self.out.extend_from_slice(&end.unwrap_or_default());
            }
            _ => {
                let batch = self.batch.as_mut().ok_or(TextErrorKind::OutOfPlace)?;
                batch.item(&mut line)?;
            }
        }
        line.end()
    }

    fn begin(&mut self, line: &mut TextLine<'_>) -> Parsed<()> {
        line.keyword("file")?;
        line.keyword("1.0")?;
        let compression = match line.next() {
            #[cfg(feature = "lz4")]
            "lz4" => {
                line.word();
                Compression::Lz4
            }
            _ => Compression::None,
        };
        let encoder = self.encoder.insert(FileEncoder::new(compression));
        self.out.extend_from_slice(&encoder.begin());
        Ok(())
    }

    fn finish_batch(&mut self) {
        let (Some(batch), Some(encoder)) = (self.batch.take(), &mut self.encoder) else {
            return;
        };
        let encoded = encoder.batch(&batch.info, &batch.payload);
        self.out.extend_from_slice(&encoded.header);
        self.out.extend_from_slice(encoded.stored);
        if let Some(index) = encoder.index_if_due() {
            self.out.extend_from_slice(&index);
        }
    }
}

fn open_batch(line: &mut TextLine<'_>) -> Parsed<OpenBatch> {
    line.keyword("batch")?;
    line.word();
    let found = line.next();
    let kind = u8::try_from(line.field("kind")?).map_err(|_| expected("a byte", found))?;
    let info = BatchInfo {
        kind: BatchKind::from_byte(kind),
        thread: ThreadId(line.small_field("thread")?),
        sequence: line.small_field("sequence")?,
        offset: line.small_field("offset")?,
        generation: line.small_field("generation")?,
        base_ticks: Ticks(line.field("base")?),
        last_ticks: Ticks(line.field("last")?),
        flags: line.small_field("flags")?,
        events: line.small_field("events")?,
    };
    if info.kind == BatchKind::Index {
        // The encoder writes these itself.
        return Err(TextErrorKind::OutOfPlace);
    }
    Ok(OpenBatch { info, payload: Vec::new(), clock: info.base_ticks })
}

impl OpenBatch {
    fn item(&mut self, line: &mut TextLine<'_>) -> Parsed<()> {
        if line.next() == "hex" {
            line.word();
            let bytes = line.hex()?;
            let mut events = Events::new(self.info.thread, self.clock, &bytes);
            while let Some(Ok(_)) = events.next() {}
            self.clock = events.now();
            self.payload.extend_from_slice(&bytes);
            return Ok(());
        }
        match self.info.kind {
            BatchKind::Events => self.event(line),
            BatchKind::Definitions => definition::parse(line, &mut self.payload),
            _ => Err(TextErrorKind::OutOfPlace),
        }
    }

    fn event(&mut self, line: &mut TextLine<'_>) -> Parsed<()> {
        let found = line.next();
        let ticks = Ticks(line.number()?);
        if ticks < self.clock {
            return Err(expected("a time that is not before the event before", found));
        }
        let (mut bytes, word) = (Vec::new(), line.word());
        let kind = match word {
            "region" | "region-begin" | "poll" | "poll-begin" | "task-run" | "task-run-begin" => {
                stretch(word, line, &mut bytes)?
            }
            "end" => EventKind::End,
            "end-value" => {
                let outcome = outcome(line)?;
                bytes = line.values()?;
                EventKind::EndValue { outcome, values: Values::new(&bytes) }
            }
            "end-detached" | "reopen" => {
                let open = line.open()?;
                line.keyword("since")?;
                let since = Ticks(line.number()?);
                let detached = word == "end-detached";
                let reopen = EventKind::Reopen { open, since };
                if detached { EventKind::EndDetached { open, since } } else { reopen }
            }
            "instant" => {
                let site = SiteId(line.small()?);
                bytes = line.values()?;
                EventKind::Instant { site, values: Values::new(&bytes) }
            }
            "log" => {
                let site = SiteId(line.small()?);
                let text = text(line, &mut bytes)?;
                EventKind::Log { site, text }
            }
            "counter" => {
                let (site, found) = (SiteId(line.small()?), line.next());
                line.value(&mut bytes)?;
                let value = take_value(&mut bytes.as_slice());
                EventKind::Counter { site, value: value.ok_or_else(|| expected("a value", found))? }
            }
            "dropped" => dropped(line)?,
            _ => task_or_future(word, line, &mut bytes)?,
        };
        put_event(&mut self.payload, &mut self.clock, &Event { ticks, kind });
        Ok(())
    }
}

/// Regions, polls and task runs: an id, a duration if complete, values if a region.
fn stretch<'b>(
    word: &str,
    line: &mut TextLine<'_>,
    bytes: &'b mut Vec<u8>,
) -> Parsed<EventKind<'b>> {
    let region = word.starts_with("region");
    let id = if region { u64::from(line.small()?) } else { line.number()? };
    let complete = !word.ends_with("-begin");
    let waits_at =
        if word == "poll" && line.next() == "waits-at" { waits_at(line)? } else { StackId(0) };
    let mut duration = Ticks(0);
    if complete {
        line.keyword("for")?;
        duration = Ticks(line.number()?);
    }
    if region {
        *bytes = line.values()?;
    }
    let (site, values) = (SiteId(id as u32), Values::new(bytes));
    Ok(match word {
        "region" => EventKind::Region { site, duration, values },
        "region-begin" => EventKind::RegionBegin { site, values },
        "poll" => EventKind::Poll { future: FutureId(id), waits_at, duration },
        "poll-begin" => EventKind::PollBegin { future: FutureId(id) },
        "task-run" => EventKind::TaskRun { task: TaskId(id), duration },
        _ => EventKind::TaskRunBegin { task: TaskId(id) },
    })
}

fn task_or_future<'b>(
    word: &str,
    line: &mut TextLine<'_>,
    bytes: &'b mut Vec<u8>,
) -> Parsed<EventKind<'b>> {
    match word {
        "task-begin" => {
            let (task, parent) = (TaskId(line.number()?), parent(line)?);
            Ok(EventKind::TaskBegin { task, parent, name: text(line, bytes)? })
        }
        "task-begin-site" => {
            let (task, parent) = (TaskId(line.number()?), parent(line)?);
            line.keyword("site")?;
            let site = SiteId(line.small()?);
            *bytes = line.values()?;
            Ok(EventKind::TaskBeginSite { task, parent, site, values: Values::new(bytes) })
        }
        "task-end" => Ok(EventKind::TaskEnd { task: TaskId(line.number()?) }),
        "future-begin" => {
            let future = FutureId(line.number()?);
            line.keyword("task")?;
            let task = TaskId(line.number()?);
            line.keyword("site")?;
            let site = SiteId(line.small()?);
            *bytes = line.values()?;
            Ok(EventKind::FutureBegin { future, task, site, values: Values::new(bytes) })
        }
        "future-end" => {
            let (future, outcome) = (FutureId(line.number()?), outcome(line)?);
            *bytes = line.values()?;
            Ok(EventKind::FutureEnd { future, outcome, values: Values::new(bytes) })
        }
        _ => of_async(word, line),
    }
}

fn of_async<'b>(word: &str, line: &mut TextLine<'_>) -> Parsed<EventKind<'b>> {
    let future = |line: &mut TextLine<'_>| line.number().map(FutureId);
    Ok(match word {
        "future-spawn" => {
            let future = future(line)?;
            line.keyword("parent")?;
            let parent = FutureId(line.number()?);
            line.keyword("task")?;
            let task = TaskId(line.number()?);
            line.keyword("site")?;
            let (site, stack) = (SiteId(line.small()?), line.stack()?);
            EventKind::FutureSpawn { future, parent, task, site, stack }
        }
        "wake" => EventKind::Wake { future: future(line)?, stack: line.stack()? },
        "end-poll" => EventKind::EndPoll { waits_at: waits_at(line)? },
        "ready" => {
            let future = future(line)?;
            line.keyword("since")?;
            EventKind::Ready { future, since: Ticks(line.number()?) }
        }
        "unwakeable" => EventKind::Unwakeable { future: future(line)? },
        "task-link" => {
            let task = TaskId(line.number()?);
            let (trace, span) = (line.hex_number(32)?, line.hex_number(16)? as u64);
            EventKind::TaskLink { task, trace, span, parent: line.hex_number(16)? as u64 }
        }
        _ => return of_system(word, line),
    })
}

fn waits_at(line: &mut TextLine<'_>) -> Parsed<StackId> {
    line.keyword("waits-at")?;
    line.stack_id()
}

fn of_system<'b>(word: &str, line: &mut TextLine<'_>) -> Parsed<EventKind<'b>> {
    Ok(match word {
        "call" => {
            let call = line.call()?;
            line.keyword("result")?;
            let result = line.signed()?;
            line.keyword("for")?;
            EventKind::Call { call, result, duration: Ticks(line.number()?) }
        }
        "call-begin" => EventKind::CallBegin { call: line.call()? },
        "end-call" => EventKind::EndCall { result: line.signed()? },
        "alloc" => {
            let sample = SampleId(line.number()?);
            line.keyword("address")?;
            let address = line.address()?;
            line.keyword("bytes")?;
            EventKind::Alloc { sample, address, bytes: line.number()?, stack: line.stack()? }
        }
        "free" => EventKind::Free { sample: SampleId(line.number()?) },
        "switch-in" => EventKind::SwitchIn { os_thread: line.number()? },
        "switch-out" => {
            let os_thread = line.number()?;
            EventKind::SwitchOut { os_thread, preempted: line.flag("preempted", "left")? }
        }
        "sample" => EventKind::Sample { os_thread: line.number()?, stack: line.stack()? },
        "fault" => {
            let os_thread = line.number()?;
            line.keyword("address")?;
            EventKind::Fault { os_thread, address: line.address()?, stack: line.stack()? }
        }
        "lost-kernel" => EventKind::LostKernel { records: line.number()? },
        _ => return Err(expected("an event", word)),
    })
}

fn dropped<'b>(line: &mut TextLine<'_>) -> Parsed<EventKind<'b>> {
    let events = line.number()?;
    line.keyword("ends")?;
    let ends = line.number()?;
    line.keyword("from")?;
    let from = Ticks(line.number()?);
    line.keyword("to")?;
    Ok(EventKind::Dropped { events, ends, from, to: Ticks(line.number()?) })
}

fn text<'b>(line: &mut TextLine<'_>, bytes: &'b mut Vec<u8>) -> Parsed<Text<'b>> {
    let (kept, bytes_before) = line.text()?;
    *bytes = kept;
    Ok(Text { bytes, bytes_before })
}

fn parent(line: &mut TextLine<'_>) -> Parsed<TaskId> {
    line.keyword("parent")?;
    Ok(TaskId(line.number()?))
}

fn outcome(line: &mut TextLine<'_>) -> Parsed<Outcome> {
    line.one_of(Outcome::ALL, Outcome::name, "an outcome")
}
