//! The collector's way to the sink: definitions gather until something that may refer to them is
//! written, and then go first.
//!
//! Elsewhere: when to write what (`collector`, and the sources in `source`), and bytes (`sink`).

use crate::clock;
use crate::sink::Sink;
use crate::sites;
use trace_format::batch::BatchInfo;
use trace_format::definition::{Definition, put_definition};
use trace_format::header::{BatchKind, PAYLOAD_BYTES_MAX};
use trace_format::id::ThreadId;
use trace_format::time::Ticks;

/// Batches on their way to the sink, and the definitions that wait for theirs.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) sink: Sink,
    /// In which everything is written now.
    pub(crate) generation: u32,
    payload: Vec<u8>,
    #[cfg(stacks)]
    interned: crate::interned::Interned,
    /// Of those made while the program runs, so many are defined.
    sites: usize,
    count: u32,
    sequence: u32,
}

impl Output {
    /// An output in the first generation.
    pub(crate) fn new(sink: Sink) -> Self {
        Self {
            sink,
            generation: 1,
            payload: Vec::new(),
            #[cfg(stacks)]
            interned: Default::default(),
            sites: 0,
            count: 0,
            sequence: 0,
        }
    }

    /// Adds a definition. It is written before any event that comes after this call.
    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        put_definition(&mut self.payload, definition);
        self.count += 1;
        // Before it can exceed what a batch may hold.
        if self.payload.len() > PAYLOAD_BYTES_MAX / 2 {
            self.write_definitions();
        }
    }

    /// Adds definitions of what has been interned since the last time, and of call sites that were
    /// made.
    pub(crate) fn define_interned(&mut self) {
        for site in sites::made_from(self.sites) {
            self.define(&site.definition());
            self.sites += 1;
        }
        #[cfg(stacks)]
        {
            let mut interned = std::mem::take(&mut self.interned);
            interned.define_new(|definition| self.define(definition));
            self.interned = interned;
        }
    }

    /// Writes a piece of events behind all definitions so far.
    pub(crate) fn events(&mut self, info: &BatchInfo, payload: &[u8]) {
        // What these events name was interned before they were committed.
        self.define_interned();
        self.write_definitions();
        self.sink.batch(info, payload, u64::from(info.events));
    }

    /// Writes the definitions that wait.
    pub(crate) fn write_definitions(&mut self) {
        if self.count == 0 {
            return;
        }
        let now = Ticks(clock::ticks());
        let info = BatchInfo {
            kind: BatchKind::Definitions,
            thread: ThreadId(0),
            sequence: self.sequence,
            offset: 0,
            generation: self.generation,
            base_ticks: now,
            last_ticks: now,
            events: self.count,
            flags: 0,
        };
        self.sink.batch(&info, &self.payload, 0);
        self.payload.clear();
        self.count = 0;
        self.sequence += 1;
    }
}
