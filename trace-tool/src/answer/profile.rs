//! Stacks and what they cost.

use trace_analysis::heap::HeapOptions;
use trace_analysis::profile::{ProfileKind, ProfileSample};
use trace_format::facility;
use trace_format::read::{Facility, Tables};
use trace_format::time::{Nanos, Ticks};

use super::{Question, Reading, Subject};
use crate::error::Failure;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct ProfileAsk {
    /// What stacks are weighted by.
    pub kind: ProfileKind,
    /// For the heap: the moment to look at; `None` for the window's end.
    pub at: Option<Nanos>,
}

/// The answer.
#[derive(Debug)]
pub struct ProfileAnswer {
    /// What it is about.
    pub subject: Subject,
    /// The stacks with their weights.
    pub samples: Vec<ProfileSample>,
    /// For a heap, the bytes between two samples; else 0.
    pub sample_bytes: u64,
    /// Whether no samples were taken, which a profile of CPUs needs for the program's own code.
    pub lacks_samples: bool,
    /// Whether callers may be missing or wrong: samples follow frame pointers, and the program was
    /// built without.
    pub lacks_callers: bool,
}

impl ProfileAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none, or a file that names were to be taken from can't be read.
    pub fn read(question: &Question, ask: ProfileAsk) -> Result<Self, Failure> {
        if ask.at.is_some() && ask.kind != ProfileKind::Heap {
            return Err(Failure::Usage("--at is for --kind heap".to_owned()));
        }
        if question.part.thread.is_some() && ask.kind == ProfileKind::Heap {
            // Memory is allocated by one thread and freed by another.
            return Err(Failure::Usage("--thread is not for --kind heap".to_owned()));
        }
        let mut part = question.part.clone();
        if let (Some(from), Some(at)) = (part.from, ask.at)
            && from >= at
        {
            return Err(Failure::Usage("--from must be before --at".to_owned()));
        }
        part.to = ask.at.or(part.to);
        let reading = Reading::open(&question.file, &part)?;
        let symbols = reading.symbols(&question.naming)?;
        let summary = reading.summary(0, 0);
        let tables = reading.file.tables();
        let is_cpu = ask.kind == ProfileKind::Cpu;
        let samples = tables.facilities.get(facility::SAMPLES);
        let lacks_samples = is_cpu && samples.is_none_or(|facility| !facility.on);
        let lacks_callers = is_cpu && !lacks_samples && !has_frame_pointers(tables);
        let (samples, sample_bytes, mut subject) = if ask.kind == ProfileKind::Heap {
            let to = if ask.at.is_some() { None } else { reading.to };
            let (samples, sample_bytes) = heap_samples(&reading, to);
            let subject = Subject { symbols, ..Subject::of_summary(reading, &summary) };
            (samples, sample_bytes, subject)
        } else {
            let lives = reading.lives(&symbols);
            let mut samples = lives.profile(ask.kind).samples;
            samples.retain(|sample| reading.wants(sample.thread));
            (samples, 0, Subject::of_lives(reading, symbols, &summary, &lives))
        };
        (subject.from, subject.to) = (summary.from, summary.to);
        Ok(Self { subject, samples, sample_bytes, lacks_samples, lacks_callers })
    }
}

/// - `to`: until when allocations count. With a moment alone the window is the whole trace.
fn heap_samples(reading: &Reading, to: Option<Ticks>) -> (Vec<ProfileSample>, u64) {
    let options = HeapOptions { from: reading.from, at: reading.to, to };
    let heap = reading.heaps(&[options]).pop().unwrap_or_default();
    (heap.profile().samples, heap.sample_bytes)
}

/// Whether the recorder's own stacks followed frame pointers, as they do if there are any.
fn has_frame_pointers(tables: &Tables) -> bool {
    tables.facilities.get(facility::STACKS).is_none_or(Facility::follows_frame_pointers)
}
