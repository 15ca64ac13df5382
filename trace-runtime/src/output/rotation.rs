//! A trace that goes on in another file when one is full: the parts, their names, and the room that
//! they may take.
//!
//! The part that is being written has the name that was asked for, always. When the next one
//! begins, it gets a number in its name; the oldest go when all of them together would take more
//! than was allowed. Each part is a whole trace.
//!
//! Elsewhere: what is in the parts, and when the next one begins (`collect`, `outlet`); files that
//! one process writes (`files/claimed`).

use crate::base::error::StartError;
use crate::files::claimed::Claimed;
use crate::files::destination::with_ending;
use crate::files::destination::{self, Access};
use crate::sys::clock::Instant;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a trace is cut into parts, and how many are kept.
///
/// All parts of one name, also those of earlier processes, take so many bytes at most: before that,
/// the oldest is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is an argument of `start_rotating`"]
pub struct Rotation {
    total_bytes: u64,
    part_bytes: u64,
    every: Option<Duration>,
}

/// The least that all parts together may have: each begins with what it needs to stand by itself.
const TOTAL_BYTES_MIN: u64 = 1 << 20;

/// Behind a part that could not be written the next one is tried after this time.
const RETRY: Duration = Duration::from_secs(1);

/// Digits of a part's number in its name, at least.
const DIGITS: usize = 6;

/// The largest number of a part. One that is larger is no part's: at a part in a millisecond it
/// would take thirty years to come so far.
const NUMBER_MAX: u64 = 999_999_999_999;

impl Rotation {
    /// All parts together have this many bytes at most (1 MiB at least), and each about an eighth
    /// of it.
    pub fn new(total_bytes: u64) -> Self {
        let total_bytes = total_bytes.max(TOTAL_BYTES_MIN);
        Self { total_bytes, part_bytes: total_bytes / 8, every: None }
    }

    /// A part ends when it has about this many bytes; a quarter of the total at most. A part that
    /// begins with more names than that is as long again.
    pub fn part_bytes(mut self, bytes: u64) -> Self {
        self.part_bytes = bytes.clamp(TOTAL_BYTES_MIN / 16, self.total_bytes / 4);
        self
    }

    /// A part ends after this time, too; 1 s at least.
    pub fn every(mut self, time: Duration) -> Self {
        self.every = Some(time.max(Duration::from_secs(1)));
        self
    }

    /// So much may wait in memory to be written. A part that is ending and the next one must have
    /// room for what was in memory, each.
    pub(crate) fn memory_max(&self) -> usize {
        usize::try_from(self.total_bytes / 4).unwrap_or(usize::MAX)
    }
}

/// The parts of one trace. Used by the collector's thread.
#[derive(Debug)]
pub(crate) struct Series {
    path: PathBuf,
    rotation: Rotation,
    room: Arc<Mutex<Room>>,
    /// Of the next part that gets one.
    number: u64,
    began: Instant,
    /// What the part that is written now had when it began to hold events.
    bytes_at_begin: u64,
    /// It has its name.
    is_placed: bool,
}

/// What all parts take.
#[derive(Debug)]
struct Room {
    total: u64,
    used: u64,
    /// Those that are ended, oldest first, with their bytes.
    parts: VecDeque<(PathBuf, u64)>,
    /// The name of a part that is about to end.
    ending: Option<PathBuf>,
}

impl Series {
    /// The parts named after `path`, and the writer of the first one. What earlier processes have
    /// left under these names belongs to them.
    pub(crate) fn begin(path: &Path, rotation: Rotation) -> Result<(Self, Part), StartError> {
        let fail = |error| StartError::File(path.to_owned(), error);
        let claimed = Claimed::new(path, Access::Append)?;
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
            // A process that was killed while it put a part in its place has left it two names.
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
            Claimed::new(path, Access::Append)?
        } else {
            claimed
        };
        let claimed = claimed.renew().map_err(fail)?;
        let used = parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let room = Room { total: rotation.total_bytes, used, parts, ending: None };
        let room = Arc::new(Mutex::new(room));
        let part = Part { claimed, bytes: 0, room: Arc::clone(&room) };
        let (path, began) = (path.to_owned(), Instant::now());
        Ok((Self { path, rotation, room, number, began, bytes_at_begin: 0, is_placed: true }, part))
    }

    /// Whether the part that is written now, with so many bytes, should end.
    pub(crate) fn is_due(&self, bytes: u64, now: Instant) -> bool {
        let limit = self.rotation.part_bytes.max(2 * self.bytes_at_begin);
        let age = now.since(self.began);
        bytes >= limit || self.rotation.every.is_some_and(|every| age >= every)
    }

    /// Whether it is time to try the next part, as this one could not be written.
    pub(crate) fn may_retry(&self, now: Instant) -> bool {
        now.since(self.began) >= RETRY
    }

    /// The part that is written now could not even begin: the name stays with the one before.
    pub(crate) fn abandon(&mut self) {
        self.began = Instant::now();
        if !self.is_placed {
            let _ = fs::remove_file(with_ending(&self.path, ".next"));
            self.is_placed = true;
        }
    }

    /// The writer of the next part. It has no name that anybody knows before [`Series::place`].
    ///
    /// # Errors
    /// The system's. Then the part before goes on.
    pub(crate) fn next(&mut self) -> io::Result<Part> {
        // However this goes, it is not tried again at once.
        self.began = Instant::now();
        if !self.is_placed {
            self.put_in_place()?;
        }
        let claimed = match Claimed::new(&with_ending(&self.path, ".next"), Access::Append) {
            Ok(claimed) => claimed.renew()?,
            Err(StartError::File(_, error)) => return Err(error),
            Err(error) => return Err(io::Error::other(error)),
        };
        self.is_placed = false;
        Ok(Part { claimed, bytes: 0, room: Arc::clone(&self.room) })
    }

    /// The part that is written now has begun, with so many bytes: it is a trace, and gets the name
    /// of the part before, and that one a number.
    ///
    /// # Errors
    /// The system's. Then it is tried again when the next part is to begin.
    pub(crate) fn place(&mut self, bytes: u64) -> io::Result<()> {
        (self.began, self.bytes_at_begin) = (Instant::now(), bytes);
        if self.is_placed { Ok(()) } else { self.put_in_place() }
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        let kept = numbered(&self.path, self.number)?;
        // There is a locked file of this name at any moment: nobody else takes it.
        fs::hard_link(&self.path, &kept).or_else(|_| fs::rename(&self.path, &kept))?;
        self.number += 1;
        lock(&self.room).ending = Some(kept);
        fs::rename(with_ending(&self.path, ".next"), &self.path)?;
        self.is_placed = true;
        Ok(())
    }
}

/// The file of a part.
pub(crate) struct Part {
    claimed: Claimed,
    bytes: u64,
    room: Arc<Mutex<Room>>,
}

impl Part {
    fn wrote(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        if let Ok(count) = written {
            self.bytes += count as u64;
            lock(&self.room).used += count as u64;
        }
        written
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.room).make(bytes.len() as u64)?;
        let written = self.claimed.write(bytes);
        self.wrote(written)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        lock(&self.room).make(slices.iter().map(|slice| slice.len() as u64).sum())?;
        let written = self.claimed.write_vectored(slices);
        self.wrote(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.claimed.flush()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // A forked child leaves its parent's files alone.
        if !self.claimed.is_ours() {
            return;
        }
        let mut room = lock(&self.room);
        // The last part of all keeps its name.
        if let Some(path) = room.ending.take() {
            let bytes = self.bytes;
            room.parts.push_back((path, bytes));
        }
    }
}

fn lock(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Room {
    /// Sees to it that there is room for so many more bytes.
    fn make(&mut self, bytes: u64) -> io::Result<()> {
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

/// Whether two names are those of one file.
#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let of = |path: &Path| fs::symlink_metadata(path).map(|kind| (kind.dev(), kind.ino()));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one == other)
}

/// Where files can't be told apart there are no such links either.
#[cfg(not(unix))]
fn is_same(_: &Path, _: &Path) -> bool {
    false
}

/// What a part takes, with what a killed process has left beside it.
fn bytes_of(path: &Path) -> u64 {
    let bytes = |path: &Path| fs::symlink_metadata(path).map_or(0, |it| it.len());
    bytes(path).saturating_add(bytes(&with_ending(path, ".live")))
}

/// `folder/app.trace` as part 7: `folder/app.000007.trace`.
///
/// # Errors
/// There are no more numbers.
fn numbered(path: &Path, number: u64) -> io::Result<PathBuf> {
    if number > NUMBER_MAX {
        let what = format!("there is a part {NUMBER_MAX} already: remove it to go on");
        return Err(io::Error::other(what));
    }
    let mut name = path.file_stem().map(OsString::from).unwrap_or_default();
    name.push(format!(".{number:0DIGITS$}"));
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    Ok(path.with_file_name(name))
}

/// The parts of this name that are there, by number.
fn parts(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(number) = number_of(path, Path::new(&name)) {
            parts.push((number, path.with_file_name(name)));
        }
    }
    parts.sort();
    Ok(parts)
}

/// The number of a part, if it is one.
fn number_of(path: &Path, name: &Path) -> Option<u64> {
    let stem = name.file_stem()?.to_str()?;
    // Without an ending the number is one.
    let (ending, stem) = match path.extension() {
        Some(_) => (name.extension(), stem),
        None => (None, name.to_str()?),
    };
    let (before, digits) = stem.rsplit_once('.')?;
    let is_number = digits.len() >= DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
    let is_ours = Some(before) == path.file_stem()?.to_str() && ending == path.extension();
    let number = (is_number && is_ours).then(|| digits.parse().ok())?;
    number.filter(|number| *number <= NUMBER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_parts_end_and_do_not_begin_anew() {
        let path = Path::new("app.trace");
        let last = numbered(path, NUMBER_MAX).expect("it is one");
        assert_eq!(number_of(path, &last), Some(NUMBER_MAX));
        let fault = numbered(path, NUMBER_MAX + 1).expect_err("it would not be found again");
        assert!(fault.to_string().contains("part 999999999999 already"), "{fault}");
    }

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

    #[test]
    fn a_parts_name_says_its_number() {
        for path in ["traces/app.trace", "app", "a.b.trace"].map(Path::new) {
            for number in [1, 999_999, 1_234_567] {
                let name = numbered(path, number).expect("it is small enough");
                let name = Path::new(name.file_name().expect("it has one"));
                assert_eq!(number_of(path, name), Some(number), "{name:?}");
            }
        }
        let others = [
            "app.trace",
            "app.7.trace",
            "bpp.000001.trace",
            "app.000001.trace.live",
            "app.1000000000000.trace",
            "app.18446744073709551615.trace",
        ];
        for other in others {
            assert_eq!(number_of(Path::new("app.trace"), Path::new(other)), None, "{other}");
        }
    }
}
