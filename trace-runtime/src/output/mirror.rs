//! The flight recorder's ring in a file, in case the process is killed. FORMAT.md, section 12.
//!
//! Everything is written when the ring gets it: pieces, and definitions that belong to a moment,
//! into a log that goes round; names into one of two tables. When that table is nearly full, the
//! names that are still needed are written to the other one, which is valid from then on. The file
//! has its full size from the beginning, so writes have room even if the disk gets full.
//!
//! Elsewhere: the ring in memory, from which snapshots are made (`ring`); threads' open batches
//! (`start/backing_file`).

use super::ring::DefinitionBatches;
use crate::files::claimed::Claimed;
use crate::sys::clock;
use std::io;
use trace_format::batch::BatchInfo;
use trace_format::definition::{Definition, put_definition};
use trace_format::facility;
use trace_format::header::BATCH_HEADER_BYTES;
use trace_format::survive::ring::{END, RingHeader, TABLE_HEADER_BYTES};
use trace_format::time::{ClockSnapshot, Ticks};

/// Definitions are written in batches of about this size.
const GATHER_BYTES: usize = 8 << 10;

/// Maximum size of what a table has besides names.
const NOTE_BYTES_MAX: usize = 256;

/// The file.
#[derive(Debug)]
pub(crate) struct Mirror {
    file: Claimed,
    header: RingHeader,
    /// Which table is valid, its number, and where it ends.
    table: u64,
    number: u64,
    table_end: u64,
    /// Where it ended when it became valid.
    table_base: u64,
    /// Whether some names did not fit into it.
    is_overfull: bool,
    /// Where the log goes on.
    log_end: u64,
    names: Gathered,
    moments: Gathered,
    generation: u32,
    /// The last snapshot of the clock. Readers need it, with another, to turn ticks into times, and
    /// it may be the only one left.
    clock: Option<ClockSnapshot>,
    bytes: Vec<u8>,
    /// The first failure, after which nothing is written.
    error: Option<io::Error>,
    /// What has happened to the file, until the collector takes it.
    news: Option<String>,
}

/// Definitions that are gathered, to be written together.
#[derive(Debug, Default)]
struct Gathered {
    payload: Vec<u8>,
    count: u32,
}

impl Mirror {
    /// Makes a file of this many bytes.
    ///
    /// # Errors
    /// The system's, such as a full disk.
    pub(crate) fn new(file: Claimed, bytes: usize) -> io::Result<Self> {
        let header = RingHeader::divide(bytes as u64, std::process::id().into());
        let file = file.renew()?;
        file.reserve(header.bytes())?;
        let mut mirror = Self {
            file,
            header,
            table: 0,
            number: 1,
            table_end: TABLE_HEADER_BYTES as u64,
            table_base: 0,
            is_overfull: false,
            log_end: 0,
            names: Gathered::default(),
            moments: Gathered::default(),
            generation: 1,
            clock: None,
            bytes: Vec::new(),
            error: None,
            news: None,
        };
        mirror.put_number(mirror.number);
        mirror.file.write_all_at(&header.encode(), 0)?;
        if let Some(error) = mirror.error.take() {
            return Err(error);
        }
        mirror.file.note_begun();
        Ok(mirror)
    }

    pub(super) fn define(&mut self, definition: &Definition<'_>) {
        let gathered = match definition {
            Definition::Generation { number, .. } => {
                self.flush();
                self.check_length();
                self.generation = *number;
                &mut self.moments
            }
            Definition::Clock(clock) => {
                if self.clock.replace(*clock).is_none() {
                    put_definition(&mut self.names.payload, definition);
                    self.names.count += 1;
                }
                &mut self.moments
            }
            _ if definition.is_of_moment() => &mut self.moments,
            _ => &mut self.names,
        };
        put_definition(&mut gathered.payload, definition);
        gathered.count += 1;
        if gathered.payload.len() > GATHER_BYTES {
            self.flush();
        }
    }

    pub(super) fn events(&mut self, info: &BatchInfo, payload: &[u8]) {
        self.flush();
        self.put_into_log(info, payload);
    }

    /// Writes the gathered definitions: names first, as the others may refer to them.
    pub(super) fn flush(&mut self) {
        if self.names.count > 0 {
            let Gathered { payload, count } = std::mem::take(&mut self.names);
            if !self.put_into_table(&payload, count) {
                self.is_overfull = true;
            }
        }
        if self.moments.count > 0 {
            let Gathered { payload, count } = std::mem::take(&mut self.moments);
            let info = definitions(self.generation, count);
            self.put_into_log(&info, &payload);
        }
    }

    /// Whether the names should be written anew.
    pub(super) fn wants_names(&self) -> bool {
        let is_long =
            self.table_end > (self.header.table_bytes / 4 * 3).max(self.table_base * 3 / 2);
        self.error.is_none() && (self.is_overfull || is_long)
    }

    /// Writes the names that are still needed to the other table, which is valid from then on.
    pub(super) fn renew(&mut self, names: &DefinitionBatches) {
        self.table = 1 - self.table;
        self.put_number(0);
        self.table_end = TABLE_HEADER_BYTES as u64;
        self.is_overfull = false;
        let room = self.header.table_bytes as usize - NOTE_BYTES_MAX;
        let mut end = TABLE_HEADER_BYTES + END.len();
        let fits = |(payload, _): &&(Vec<u8>, u32)| {
            end += BATCH_HEADER_BYTES + payload.len();
            end <= room
        };
        let fitting = names.batches().iter().take_while(fits).count();
        let (kept, lost) = names.batches().split_at(fitting);
        let lost: u32 = lost.iter().map(|(_, count)| count).sum();
        let mut told = Vec::new();
        if lost > 0 {
            let note = format!("{lost} names did not fit into the recorder's file");
            let (name, note) = (facility::MAPPED.as_bytes(), note.as_bytes());
            put_definition(&mut told, &Definition::Facility { name, on: false, note });
        }
        if let Some(clock) = self.clock {
            put_definition(&mut told, &Definition::Clock(clock));
        }
        let count = u32::from(lost > 0) + u32::from(self.clock.is_some());
        for (payload, count) in kept {
            self.put_into_table(payload, *count);
        }
        self.put_into_table(&told, count);
        self.number += 1;
        self.put_number(self.number);
        self.table_base = self.table_end;
    }

    /// Begins the file anew if another program has shortened it. It then has what comes from now
    /// on.
    fn check_length(&mut self) {
        if self.error.is_some() {
            return;
        }
        match self.file.bytes() {
            Ok(bytes) if bytes >= self.header.bytes() => return,
            Ok(_) => {}
            Err(error) => {
                self.news = Some(error.to_string());
                self.error = Some(error);
                return;
            }
        }
        self.news = Some("somebody has shortened the file: what it had before is lost".to_owned());
        let renewed = self.file.empty();
        let renewed = renewed.and_then(|()| self.file.reserve(self.header.bytes()));
        self.error = renewed.err();
        self.write(&self.header.encode(), 0);
        self.log_end = 0;
        // The names are written anew, and the last snapshot of the clock with them.
        self.is_overfull = true;
    }

    /// What has happened to the file, and whether it is still written. Returned once.
    pub(super) fn take_news(&mut self) -> Option<(bool, String)> {
        self.news.take().map(|news| (self.error.is_none(), news))
    }

    fn put_number(&mut self, number: u64) {
        let at = self.header.table_at(self.table);
        self.write(&number.to_le_bytes(), at);
    }

    /// Appends names to the valid table. False if they do not fit.
    fn put_into_table(&mut self, payload: &[u8], count: u32) -> bool {
        let bytes = (BATCH_HEADER_BYTES + payload.len()) as u64;
        if self.table_end + bytes + END.len() as u64 > self.header.table_bytes {
            return false;
        }
        let at = self.header.table_at(self.table) + self.table_end;
        self.put(&definitions(self.generation, count), payload, at);
        self.table_end += bytes;
        true
    }

    /// Appends a batch to the log, over its oldest batches.
    fn put_into_log(&mut self, info: &BatchInfo, payload: &[u8]) {
        let bytes = (BATCH_HEADER_BYTES + payload.len()) as u64;
        let room = self.header.log_bytes - self.log_end;
        if bytes + END.len() as u64 > room {
            // Readers would take what is left of the round before for newer than it is.
            self.bytes.clear();
            self.bytes.resize(room as usize, 0);
            let (zeros, at) =
                (std::mem::take(&mut self.bytes), self.header.log_at() + self.log_end);
            self.write(&zeros, at);
            self.bytes = zeros;
            self.log_end = 0;
        }
        let at = self.header.log_at() + self.log_end;
        self.put(info, payload, at);
        self.log_end += bytes;
    }

    /// Writes a batch, and behind it the mark of the end.
    fn put(&mut self, info: &BatchInfo, payload: &[u8], at: u64) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.extend_from_slice(&info.header(payload));
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&END);
        self.write(&bytes, at);
        self.bytes = bytes;
    }

    fn write(&mut self, bytes: &[u8], at: u64) {
        if self.error.is_none() {
            self.error = self.file.write_all_at(bytes, at).err();
            self.news = self.error.as_ref().map(io::Error::to_string).or(self.news.take());
        }
    }
}

/// A batch of definitions, as of now.
fn definitions(generation: u32, count: u32) -> BatchInfo {
    let now = Ticks(clock::ticks());
    BatchInfo::of_definitions(0, generation, now, count)
}
