//! A folder of traces that the flight recorder writes by itself: complete ones only, named by time
//! and reason, and only the newest of them.
//!
//! Several processes may write to one folder, and the wall clock may step back at any time. So a
//! name is taken by making its file, which fails if there is one. A file from the future was made
//! before the clock was set back, so it counts as older than all others.
//!
//! Elsewhere: when a trace is written (`dump`).

use crate::base::error::{SnapshotError, SnapshotReport};
use crate::files::destination::{self, FileAccess};
use crate::files::file_lock;
use crate::files::open_file::OpenFile;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Stands behind the name of a trace that is being written.
const PART: &str = ".part";

/// How many names are tried, a millisecond apart.
const NAMES_MAX: u64 = 1_000;

/// Names may be ahead of the clock by this many milliseconds, as several processes that write at
/// once take the next free name.
const AHEAD: u64 = 20;

/// How long an unfinished file is left alone, in milliseconds, after which its process counts as
/// killed: the file may just have been made, and not be locked yet.
const PART_AGE: u64 = 60_000;

/// Milliseconds since 1970, on the clock of names.
pub(crate) fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

/// Adds a trace that `write` writes, and removes the oldest beyond `kept`.
///
/// - `wall`: the clock of names.
///
/// # Errors
/// Those of `write`, and of the folder. An incomplete trace is removed.
pub(crate) fn add(
    dir: &Path,
    why: &str,
    kept: usize,
    wall: impl Fn() -> u64,
    write: impl FnOnce(&File) -> Result<SnapshotReport, SnapshotError>,
) -> Result<(), SnapshotError> {
    let part = UnfinishedDump::new(dir, why, wall()).map_err(SnapshotError::Write)?;
    let bytes = write(part.file.get().map_err(SnapshotError::Write)?)?.bytes;
    part.check(bytes).map_err(SnapshotError::Write)?;
    let name = part.finish().map_err(SnapshotError::Write)?;
    forget_oldest(dir, &name, kept, wall());
    Ok(())
}

/// A trace that is being written. Dropping it removes the file.
struct UnfinishedDump {
    file: OpenFile,
    path: PathBuf,
    dir: PathBuf,
    name: String,
}

impl UnfinishedDump {
    /// Takes the first free name, from this time on. The file has another name until it is
    /// complete, so that the folder only has complete traces.
    fn new(dir: &Path, why: &str, now: u64) -> io::Result<Self> {
        for time in now..now + NAMES_MAX {
            let name = format!("{time:013}-{why}.trace");
            let path = dir.join(format!("{name}{PART}"));
            let file = match destination::make(&path, FileAccess::Append) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            // The lock says that a process writes. If files can't be locked, no process looks at
            // it.
            let _ = file_lock::try_lock(&file);
            let file = OpenFile::new(file)?;
            let part = Self { file, path, dir: dir.to_owned(), name };
            // Checked only now: while the other name is ours, no process takes this one.
            if fs::symlink_metadata(part.dir.join(&part.name)).is_err() {
                return Ok(part);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Fails if the file has become shorter than what was written.
    fn check(&self, bytes: u64) -> io::Result<()> {
        match self.file.get()?.metadata()?.len() {
            found if found < bytes => Err(io::Error::other("somebody has shortened the file")),
            _ => Ok(()),
        }
    }

    /// The trace is complete. Gives the file its name, and returns that.
    fn finish(mut self) -> io::Result<String> {
        fs::rename(&self.path, self.dir.join(&self.name))?;
        Ok(std::mem::take(&mut self.name))
    }
}

impl Drop for UnfinishedDump {
    fn drop(&mut self) {
        // Unlocked, as a forked child that has the file open would keep the lock.
        if let Ok(file) = self.file.get() {
            file_lock::unlock(file);
        }
        if !self.name.is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The time in the name of a trace in this folder.
fn time_of(name: &str) -> Option<u64> {
    let time = name.strip_suffix(".trace")?.split('-').next()?;
    let is_time = time.len() == 13 && time.bytes().all(|byte| byte.is_ascii_digit());
    is_time.then(|| time.parse().ok())?
}

/// Removes all but the newest. Failures are ignored, as another process may do the same; all
/// processes agree on which to keep, by the names. A file with a later time than now and than
/// `newest`, which was just written, is from before the clock was set back.
fn forget_oldest(dir: &Path, newest: &str, kept: usize, now: u64) {
    let now = now.max(time_of(newest).unwrap_or(now)) + AHEAD;
    let Ok(entries) = fs::read_dir(dir) else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut whole = Vec::new();
    for name in names {
        if let Some(time) = time_of(&name) {
            whole.push((time <= now, time, name));
        } else if let Some(time) = name.strip_suffix(PART).and_then(time_of)
            && time.abs_diff(now) > PART_AGE
        {
            forget_part(&dir.join(name));
        }
    }
    whole.sort();
    for (_, _, name) in whole.iter().take(whole.len().saturating_sub(kept)) {
        let _ = fs::remove_file(dir.join(name));
    }
}

/// Removes an unfinished file whose process was killed: one that no process has locked.
fn forget_part(path: &Path) {
    let Ok(file) = destination::open(path, FileAccess::Append) else { return };
    if matches!(file_lock::try_lock(&file), Ok(true)) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("it is there");
        let names = entries.map(|entry| entry.expect("a name").file_name());
        let mut names: Vec<_> =
            names.map(|name| name.into_string().expect("plain letters")).collect();
        names.sort();
        names
    }

    /// Adds a trace at each of these times, and returns the names in the folder.
    fn after(kept: usize, times: &[u64]) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a folder");
        for &time in times {
            add(dir.path(), "slow", kept, || time, |_| Ok(SnapshotReport::default()))
                .expect("there is room");
            let newest = format!("{time:013}-slow.trace");
            assert!(names(dir.path()).contains(&newest), "{newest} was just written");
        }
        names(dir.path())
    }

    #[test]
    fn the_newest_are_kept() {
        let newest = ["0000000000003-slow.trace", "0000000000004-slow.trace"];
        assert_eq!(after(2, &[1, 2, 3, 4]), newest);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_make_the_newest_the_oldest() {
        assert_eq!(
            after(2, &[1_000, 2_000, 500]),
            ["0000000000500-slow.trace", "0000000002000-slow.trace"],
            "of those from before it was set back the newest is kept"
        );
        let newest = ["0000000000500-slow.trace", "0000000000600-slow.trace"];
        assert_eq!(after(2, &[1_000, 2_000, 500, 600]), newest);
        // The clock passes the times of existing files again.
        let newest = ["0000000000950-slow.trace", "0000000001050-slow.trace"];
        assert_eq!(after(2, &[1_000, 900, 950, 1_050]), newest);
        assert_eq!(after(1, &[2_000, 1_000]), ["0000000001000-slow.trace"]);
    }

    #[test]
    fn a_clock_that_was_far_ahead_leaves_nothing_for_ever() {
        let newest = ["0000000000002-slow.trace", "0000000000003-slow.trace"];
        assert_eq!(after(2, &[9_999_999_999_999, 1, 2, 3]), newest);
    }

    #[test]
    fn two_of_one_time_are_two() {
        let dir = tempfile::tempdir().expect("a folder");
        for text in ["one", "two"] {
            let write = |mut file: &File| {
                io::Write::write_all(&mut file, text.as_bytes()).map_err(SnapshotError::Write)?;
                Ok(SnapshotReport::default())
            };
            add(dir.path(), "panic", 5, || 7, write).expect("there is room");
        }
        let both = names(dir.path());
        assert_eq!(both, ["0000000000007-panic.trace", "0000000000008-panic.trace"]);
        let texts = both.iter().map(|name| fs::read_to_string(dir.path().join(name)));
        assert_eq!(texts.map(|text| text.expect("text")).collect::<String>(), "onetwo");
    }

    #[test]
    #[cfg(unix)]
    fn a_planted_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").expect("a name is free");
        // At the next names, and at their temporary ones; one leads nowhere.
        let links = ["0000000000007-slow.trace.part", "0000000000008-slow.trace"];
        for link in links.map(|name| dir.path().join(name)) {
            std::os::unix::fs::symlink(&victim, link).expect("a name is free");
        }
        let nowhere = dir.path().join("0000000000009-slow.trace.part");
        std::os::unix::fs::symlink(dir.path().join("made"), nowhere).expect("a name is free");
        let write = |mut file: &File| {
            io::Write::write_all(&mut file, b"a trace").map_err(SnapshotError::Write)?;
            Ok(SnapshotReport { bytes: 7, ..SnapshotReport::default() })
        };
        add(dir.path(), "slow", 5, || 7, write).expect("the next name is free");
        assert_eq!(fs::read_to_string(&victim).expect("it is there"), "precious");
        assert!(!dir.path().join("made").exists());
        let written = dir.path().join("0000000000010-slow.trace");
        assert!(written.symlink_metadata().expect("it was written").is_file());
    }

    #[test]
    fn what_is_not_whole_goes_at_once_or_when_nobody_writes_it_any_more() {
        let dir = tempfile::tempdir().expect("a folder");
        let fail = |_: &File| Err(SnapshotError::NotRunning);
        assert!(add(dir.path(), "slow", 5, || 7, fail).is_err());
        assert_eq!(names(dir.path()), [""; 0]);
        // Files of a process that was killed, of one that is writing, of one that has just begun,
        // and others.
        let file = |name: &str| File::create_new(dir.path().join(name)).expect("a name is free");
        drop(file("0000000000001-slow.trace.part"));
        let at_work = file("0000000000002-slow.trace.part");
        assert!(file_lock::try_lock(&at_work).expect("files can be locked here"));
        let just_begun = format!("{PART_AGE:013}-slow.trace.part");
        drop((file(&just_begun), file("notes.part"), file("mine.trace")));
        let now = || PART_AGE + 10;
        add(dir.path(), "slow", 1, now, |_| Ok(SnapshotReport::default())).expect("there is room");
        let newest = format!("{:013}-slow.trace", now());
        let left = ["0000000000002-slow.trace.part", &just_begun, &newest];
        assert_eq!(names(dir.path())[..3], left);
        assert_eq!(names(dir.path())[3..], ["mine.trace", "notes.part"]);
    }
}
