//! What the flight recorder's ring has, in a file, for the process may be killed. FORMAT.md,
//! section 12.
//!
//! Everything is written when the ring gets it: pieces and what belongs to a moment into a log that
//! goes round, names into one of two tables. When that is nearly full, the names that are still of
//! use are written into the other one, which holds from then on. The file has its size from the
//! beginning on, so there is room for what is written whatever becomes of the disk.
//!
//! Elsewhere: the ring in memory, of which snapshots are made (`ring`); batches that threads have
//! open (`kept`).

use super::ring::Head;
use crate::files::claimed::Claimed;
use crate::sys::clock;
use std::io;
use trace_format::batch::BatchInfo;
use trace_format::definition::{Definition, put_definition};
use trace_format::facility;
use trace_format::flight::{END, Header, TABLE_HEADER_BYTES};
use trace_format::header::BATCH_HEADER_BYTES;
use trace_format::time::{ClockSnapshot, Ticks};

/// Definitions are written in batches of about this.
const GATHER_BYTES: usize = 8 << 10;

/// What a table has beside names, at most.
const NOTE_BYTES_MAX: usize = 256;

/// The file.
#[derive(Debug)]
pub(crate) struct Mirror {
    file: Claimed,
    header: Header,
    /// Which table holds, its number, and where it ends.
    table: u64,
    number: u64,
    table_end: u64,
    /// Where it ended when it began to hold.
    table_base: u64,
    /// There were names that it had no room for.
    is_overfull: bool,
    /// Where the log goes on.
    log_end: u64,
    names: Gathered,
    moments: Gathered,
    generation: u32,
    /// The last look at the clock: with another it makes times of ticks, and may be the only one
    /// that is left.
    clock: Option<ClockSnapshot>,
    bytes: Vec<u8>,
    /// After this nothing is written.
    error: Option<io::Error>,
    /// Of what has happened to the file, what is to be told.
    news: Option<String>,
}

/// Definitions that are to be written.
#[derive(Debug, Default)]
struct Gathered {
    payload: Vec<u8>,
    count: u32,
}

impl Mirror {
    /// A file of so many bytes.
    ///
    /// # Errors
    /// The system's: there is no room.
    pub(crate) fn new(file: Claimed, bytes: usize) -> io::Result<Self> {
        let header = Header::divide(bytes as u64, std::process::id().into());
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
                self.look();
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
            Definition::ThreadState { .. }
            | Definition::ThreadEnd { .. }
            | Definition::ThreadTime { .. }
            | Definition::TaskState { .. }
            | Definition::Switch { .. }
            | Definition::Heap { .. }
            | Definition::Stopped { .. }
            | Definition::Stop { .. } => &mut self.moments,
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

    /// Writes the definitions that wait: names first, for the others may use them.
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

    /// Whether the names should be told anew.
    pub(super) fn wants_names(&self) -> bool {
        let is_long =
            self.table_end > (self.header.table_bytes / 4 * 3).max(self.table_base * 3 / 2);
        self.error.is_none() && (self.is_overfull || is_long)
    }

    /// The names that are of use.
    pub(super) fn renew(&mut self, names: &Head) {
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

    /// Somebody else may have shortened the file: then it begins anew, with what comes from now on.
    fn look(&mut self) {
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
        // Names are told anew, and the last look at the clock with them.
        self.is_overfull = true;
    }

    /// What has happened to the file: whether it is still written, and why. Told once.
    pub(super) fn take_news(&mut self) -> Option<(bool, String)> {
        self.news.take().map(|news| (self.error.is_none(), news))
    }

    fn put_number(&mut self, number: u64) {
        let at = self.header.table_at(self.table);
        self.write(&number.to_le_bytes(), at);
    }

    /// Appends names to the table that holds. Whether there was room.
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

    /// Appends a batch to the log, over the oldest in it.
    fn put_into_log(&mut self, info: &BatchInfo, payload: &[u8]) {
        let bytes = (BATCH_HEADER_BYTES + payload.len()) as u64;
        let room = self.header.log_bytes - self.log_end;
        if bytes + END.len() as u64 > room {
            // What is left of the round before would be taken for newer than it is.
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

    /// Writes a batch, and behind it that there is none.
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
