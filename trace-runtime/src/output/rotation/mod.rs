//! A trace in parts, which goes on in another file when one is full: the parts and the disk space
//! that they may take.
//!
//! The part that is being written always has the name that the program asked for. When the next one
//! begins, it gets a number in its name; the oldest parts are removed when all of them together
//! would take more than is allowed. Each part is a complete trace.
//!
//! Elsewhere: the names of parts (`part_names`); what is in the parts, and when the next one begins
//! (`collect`, `output`); files that one process writes (`files/claimed`).

mod part_names;

use crate::base::error::StartError;
use crate::files::claimed::Claimed;
use crate::files::destination::{self, FileAccess, with_ending};
use crate::sys::clock::Instant;
use part_names::{bytes_of, is_same, numbered, parts};
use std::collections::VecDeque;
use std::fs;
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a trace is divided into parts, and how many are kept.
///
/// All parts of one name, also those of earlier processes, take a limited number of bytes: the
/// oldest is removed before they take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is an argument of `start_rotating`"]
pub struct Rotation {
    total_bytes: u64,
    part_bytes: u64,
    every: Option<Duration>,
}

/// Minimum for all parts together: each begins with all definitions that it needs.
const TOTAL_BYTES_MIN: u64 = 1 << 20;

/// After a part could not be written, the next one is tried after this time.
const RETRY: Duration = Duration::from_secs(1);

impl Rotation {
    /// All parts together have at most this many bytes (minimum 1 MiB), and each has about an
    /// eighth of it.
    pub fn new(total_bytes: u64) -> Self {
        let total_bytes = total_bytes.max(TOTAL_BYTES_MIN);
        Self { total_bytes, part_bytes: total_bytes / 8, every: None }
    }

    /// A part ends when it has about this many bytes, at most a quarter of the total. A part whose
    /// first definitions take more than half of that may have twice their bytes.
    pub fn part_bytes(mut self, bytes: u64) -> Self {
        self.part_bytes = bytes.clamp(TOTAL_BYTES_MIN / 16, self.total_bytes / 4);
        self
    }

    /// A part also ends after this time, at least 1 s.
    pub fn every(mut self, time: Duration) -> Self {
        self.every = Some(time.max(Duration::from_secs(1)));
        self
    }

    /// How many bytes may wait in memory to be written. A part that ends and the next one must each
    /// have room for what was in memory.
    pub(crate) fn memory_max(&self) -> usize {
        usize::try_from(self.total_bytes / 4).unwrap_or(usize::MAX)
    }
}

/// The parts of one trace. Used by the collector's thread.
#[derive(Debug)]
pub(crate) struct Series {
    path: PathBuf,
    rotation: Rotation,
    room: Arc<Mutex<DiskRoom>>,
    /// The number for the next part that gets one.
    number: u64,
    began: Instant,
    /// Bytes of the current part when its first events came.
    bytes_at_begin: u64,
    /// Whether the current part has its name.
    is_placed: bool,
}

/// The disk space of all parts.
#[derive(Debug)]
struct DiskRoom {
    total: u64,
    used: u64,
    /// Parts that have ended, oldest first, with their bytes.
    parts: VecDeque<(PathBuf, u64)>,
    /// The name of a part that is about to end.
    ending: Option<PathBuf>,
}

impl Series {
    /// Begins the parts named after `path`, and returns the writer of the first one. Files that
    /// earlier processes have left under these names count as parts.
    pub(crate) fn begin(path: &Path, rotation: Rotation) -> Result<(Self, PartFile), StartError> {
        let fail = |error| StartError::File(path.to_owned(), error);
        let claimed = Claimed::new(path, FileAccess::Append)?;
        let live = with_ending(path, ".live");
        let is_left =
            destination::check(&live).map_err(|error| StartError::File(live.clone(), error))?;
        let parts = parts(path).map_err(fail)?;
        let mut number = parts.last().map_or(1, |(number, _)| number + 1);
        let sized = |(_, path): (u64, PathBuf)| {
            let bytes = bytes_of(&path);
            (path, bytes)
        };
        let mut parts: VecDeque<_> = parts.into_iter().map(sized).collect();
        let claimed = if bytes_of(path) > 0 || is_left {
            claimed.note_begun();
            // A process that was killed while it renamed a part may have left the part with two
            // names.
            let is_named = parts.back().is_some_and(|(last, _)| is_same(last, path));
            let named = if is_named { parts.pop_back() } else { None };
            let kept = if let Some((last, _)) = named {
                fs::remove_file(path).map_err(fail)?;
                last
            } else {
                let kept = numbered(path, number).map_err(fail)?;
                fs::rename(path, &kept).map_err(fail)?;
                number += 1;
                kept
            };
            if is_left {
                fs::rename(&live, with_ending(&kept, ".live")).map_err(fail)?;
            }
            let bytes = bytes_of(&kept);
            parts.push_back((kept, bytes));
            drop(claimed);
            Claimed::new(path, FileAccess::Append)?
        } else {
            claimed
        };
        let claimed = claimed.renew().map_err(fail)?;
        let used = parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let room = DiskRoom { total: rotation.total_bytes, used, parts, ending: None };
        let room = Arc::new(Mutex::new(room));
        let part = PartFile { claimed, bytes: 0, room: Arc::clone(&room) };
        let (path, began) = (path.to_owned(), Instant::now());
        Ok((Self { path, rotation, room, number, began, bytes_at_begin: 0, is_placed: true }, part))
    }

    /// Whether the current part, which has this many bytes, should end.
    pub(crate) fn is_due(&self, bytes: u64, now: Instant) -> bool {
        let limit = self.rotation.part_bytes.max(2 * self.bytes_at_begin);
        let age = now.since(self.began);
        bytes >= limit || self.rotation.every.is_some_and(|every| age >= every)
    }

    /// Whether it is time to try the next part, after the current one could not be written.
    pub(crate) fn may_retry(&self, now: Instant) -> bool {
        now.since(self.began) >= RETRY
    }

    /// The current part could not even begin: the previous one keeps the name.
    pub(crate) fn abandon(&mut self) {
        self.began = Instant::now();
        if !self.is_placed {
            let _ = fs::remove_file(with_ending(&self.path, ".next"));
            self.is_placed = true;
        }
    }

    /// The writer of the next part. Its file has a temporary name until [`Series::place`].
    ///
    /// # Errors
    /// The system's. Then the previous part goes on.
    pub(crate) fn next(&mut self) -> io::Result<PartFile> {
        // Also if this fails: it is not tried again at once.
        self.began = Instant::now();
        if !self.is_placed {
            self.put_in_place()?;
        }
        let claimed = match Claimed::new(&with_ending(&self.path, ".next"), FileAccess::Append) {
            Ok(claimed) => claimed.renew()?,
            Err(StartError::File(_, error)) => return Err(error),
            Err(error) => return Err(io::Error::other(error)),
        };
        self.is_placed = false;
        Ok(PartFile { claimed, bytes: 0, room: Arc::clone(&self.room) })
    }

    /// The current part has begun, with this many bytes. It is a trace now, so it gets the name of
    /// the previous part, and that one a number.
    ///
    /// # Errors
    /// The system's. Then the renaming is tried again when the next part is to begin.
    pub(crate) fn place(&mut self, bytes: u64) -> io::Result<()> {
        (self.began, self.bytes_at_begin) = (Instant::now(), bytes);
        if self.is_placed { Ok(()) } else { self.put_in_place() }
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        let kept = numbered(&self.path, self.number)?;
        // There is a locked file of this name at any moment, so that no other process takes the
        // name.
        fs::hard_link(&self.path, &kept).or_else(|_| fs::rename(&self.path, &kept))?;
        self.number += 1;
        lock(&self.room).ending = Some(kept);
        fs::rename(with_ending(&self.path, ".next"), &self.path)?;
        self.is_placed = true;
        Ok(())
    }
}

/// The file of a part.
pub(crate) struct PartFile {
    claimed: Claimed,
    bytes: u64,
    room: Arc<Mutex<DiskRoom>>,
}

impl PartFile {
    fn wrote(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        if let Ok(count) = written {
            self.bytes += count as u64;
            lock(&self.room).used += count as u64;
        }
        written
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.room).make_room(bytes.len() as u64)?;
        let written = self.claimed.write(bytes);
        self.wrote(written)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        lock(&self.room).make_room(slices.iter().map(|slice| slice.len() as u64).sum())?;
        let written = self.claimed.write_vectored(slices);
        self.wrote(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.claimed.flush()
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // A forked child leaves its parent's files alone.
        if !self.claimed.is_ours() {
            return;
        }
        let mut room = lock(&self.room);
        // The trace's last part keeps its name.
        if let Some(path) = room.ending.take() {
            let bytes = self.bytes;
            room.parts.push_back((path, bytes));
        }
    }
}

fn lock(room: &Mutex<DiskRoom>) -> MutexGuard<'_, DiskRoom> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DiskRoom {
    /// Removes the oldest parts until there is room for this many more bytes.
    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        while self.used.saturating_add(bytes) > self.total {
            let Some((path, freed)) = self.parts.pop_front() else {
                let total = self.total;
                let what = format!("the {total} bytes that all parts may have are used up");
                return Err(io::Error::new(io::ErrorKind::StorageFull, what));
            };
            let _ = fs::remove_file(with_ending(&path, ".live"));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.used = self.used.saturating_sub(freed),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_part_that_was_left_with_two_names_is_one_part() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.trace");
        let part = numbered(&path, 7).expect("it is small enough");
        let live = |path: &Path| with_ending(path, ".live");
        for path in [&path, &live(&path)] {
            fs::write(path, "of a process that was killed").expect("a name is free");
        }
        fs::hard_link(&path, &part).expect("a name is free");
        let begun = Series::begin(&path, Rotation::new(1 << 20)).expect("nobody has it");
        assert_eq!(begun.0.number, 8);
        assert_eq!(bytes_of(&path), 0, "another file");
        assert!(live(&part).exists() && !live(&path).exists(), "it goes with its part");
        let found = parts(&path).expect("a folder");
        assert_eq!(found, [(7, part.clone())]);
        let room = lock(&begun.0.room);
        assert_eq!((room.used, room.parts.len()), (bytes_of(&part), 1), "it is counted once");
    }

    #[test]
    fn a_part_that_lasts_for_ever_is_never_due_by_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let rotation = Rotation::new(u64::MAX).every(Duration::MAX);
        let begun = Series::begin(&folder.path().join("app.trace"), rotation);
        let (series, _part) = begun.expect("nobody has it");
        assert!(!series.is_due(0, Instant::now()));
    }
}
