//! A trace in a file that survives the process: whatever ends it, all that was committed is there.
//!
//! Beside the trace lies another file, of the same name and `.live` behind it, for as long as the
//! trace runs. Threads write into it by way of memory; what the collector has brought into the
//! trace is in both. A trace that is stopped has no such file. One that is killed has, and readers
//! take what is only there.
//!
//! Elsewhere: that file (`kept`); a trace that goes on in another (`rotation`).

use crate::error::StartError;
use crate::kept::Kept;
use crate::local;
use crate::options::Options;
use crate::outlet::{File as FileOutlet, Outlet};
use crate::recorder::{self, Occupied, Party, Trace};
use crate::rotation::{Rotation, Series};
use crate::sink::Sink;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};

/// Starts a trace that is written to the file `path`, with the default [`Options`], and that
/// survives whatever ends the process.
///
/// While it runs, there is a second file `PATH.live`, as large as [`Options::memory_max`] says; the
/// tool reads both. If there is one already, of a process that was killed, both are kept, as
/// `PATH.old` and `PATH.old.live`; else a file of this name is overwritten. It is not compressed.
/// If a flight recorder with a file runs already, and that is on another file system, there is no
/// second file, and a crash loses the last second.
///
/// # Errors
/// [`StartError::AlreadyRunning`] if there is a trace in this process; [`StartError::InUse`] if
/// another process writes to this file; [`StartError::File`] if a file can't be made, or there is
/// no room for it.
pub fn start_file(path: impl AsRef<Path>) -> Result<Trace, StartError> {
    start_file_with(Options::default(), path)
}

/// As [`start_file`], with options.
///
/// # Errors
/// Those of [`start_file`].
pub fn start_file_with(options: Options, path: impl AsRef<Path>) -> Result<Trace, StartError> {
    start_either(&options, None, path.as_ref())
}

/// As [`start_file_with`], for a trace that runs for as long as it likes: when it is long, it goes
/// on in another file, and the oldest are removed.
///
/// `path` is the one that is being written. One that has ended gets a number in its name,
/// `app.000007.trace` for `app.trace`, and is a whole trace: what was open when it began is in it
/// with its true begin. What an earlier process has left at `path` becomes such a part, too.
///
/// Memory has a quarter of what all parts may take at most. If the disk is full, events are counted
/// in [`Report::unwritten_events`](crate::Report::unwritten_events), and the next part is tried
/// each second.
///
/// # Errors
/// Those of [`start_file`].
pub fn start_rotating(
    options: Options,
    rotation: Rotation,
    path: impl AsRef<Path>,
) -> Result<Trace, StartError> {
    start_either(&options, Some(rotation), path.as_ref())
}

pub(crate) fn start_either(
    options: &Options,
    rotation: Option<Rotation>,
    path: &Path,
) -> Result<Trace, StartError> {
    let memory_max = rotation.map_or(usize::MAX, |rotation| rotation.memory_max());
    let options = &options.clone().memory_max(options.memory_max.min(memory_max));
    let trace = start_quietly(options, rotation, path)?;
    #[cfg(os_hooks)]
    if options.os {
        // What this thread waits for is seen from now on.
        local::arrive(local::Arrival::default());
    }
    Ok(trace)
}

fn start_quietly(
    options: &Options,
    rotation: Option<Rotation>,
    path: &Path,
) -> Result<Trace, StartError> {
    // Files are the recorder's, not the program's.
    let _quiet = local::quiet();
    // Whoever may not start leaves all files as they are.
    let place = Occupied::new(Party::Trace)?;
    let mut kept = None;
    let session = recorder::join(place, options, || {
        let outlet = match rotation {
            None => {
                let claimed = take(path)?;
                // Before an older trace goes.
                kept = Some(keep(path, options)?);
                claimed.empty().map_err(|error| StartError::File(path.to_owned(), error))?;
                FileOutlet::new(Sink::unbuffered(Box::new(claimed)))
            }
            Some(rotation) => {
                let (series, part) = Series::begin(path, rotation)?;
                kept = Some(keep(path, options)?);
                FileOutlet::first_of(series, Sink::unbuffered(Box::new(part)))
            }
        };
        Ok(Outlet::File(Box::new(outlet)))
    })?;
    Ok(Trace::new(session, kept))
}

/// The file beside a trace.
pub(crate) fn keep(path: &Path, options: &Options) -> Result<Kept, StartError> {
    let live = with_ending(path, ".live");
    Kept::new(&live, options).map_err(|error| StartError::File(live, error))
}

/// The file of this name, for this process alone. One that a killed process has left goes out of
/// the way; what else is in it is left to the caller.
pub(crate) fn take(path: &Path) -> Result<Claimed, StartError> {
    let fail = |error| StartError::File(path.to_owned(), error);
    let live = with_ending(path, ".live");
    let mut claimed = Claimed::new(path)?;
    if live.exists() {
        // Of a process that was killed.
        claimed.note_begun();
        fs::rename(&live, with_ending(path, ".old.live")).map_err(fail)?;
        fs::rename(path, with_ending(path, ".old")).map_err(fail)?;
        claimed = Claimed::new(path)?;
    }
    Ok(claimed)
}

/// A file that no other process writes a trace to.
///
/// It is locked, and unlocked before it is closed: a child that is just being forked has it open,
/// too, and would keep the lock. One that was made for a trace which did not begin goes again.
#[derive(Debug)]
pub(crate) struct Claimed {
    file: File,
    process: u32,
    /// What to remove, while nothing but a beginning may be in it.
    made: Option<PathBuf>,
}

impl Claimed {
    pub(crate) fn new(path: &Path) -> Result<Self, StartError> {
        let fail = |error| StartError::File(path.to_owned(), error);
        let (file, made) = match File::create_new(path) {
            Ok(file) => (file, Some(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut options = OpenOptions::new();
                // It may be gone by now.
                let options = options.create(true).write(true).truncate(false);
                (options.open(path).map_err(fail)?, None)
            }
            Err(error) => return Err(fail(error)),
        };
        match file.try_lock() {
            // Where files can't be locked there is nothing to ask.
            Ok(()) | Err(fs::TryLockError::Error(_)) if is_at(&file, path) => {
                Ok(Self { file, process: std::process::id(), made })
            }
            // Another process has just gone on to its next part: the name is that one's.
            Ok(()) | Err(fs::TryLockError::Error(_)) => Err(StartError::InUse(path.to_owned())),
            Err(fs::TryLockError::WouldBlock) => Err(StartError::InUse(path.to_owned())),
        }
    }
}

impl Claimed {
    /// More than a beginning is in it, or will be: it stays.
    pub(crate) fn note_begun(&mut self) {
        self.made = None;
    }

    /// Takes out what is in it.
    pub(crate) fn empty(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// Sees to it that there is room for so many bytes.
    pub(crate) fn reserve(&self, bytes: u64) -> io::Result<()> {
        #[cfg(all(unix, not(exectrace_loom)))]
        return crate::arena::reserve(&self.file, bytes as usize);
        #[cfg(not(all(unix, not(exectrace_loom))))]
        self.file.set_len(bytes)
    }

    /// Writes in the middle of it.
    pub(crate) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, at);
        #[cfg(not(unix))]
        {
            use std::io::{Seek as _, SeekFrom};
            let mut file = &self.file;
            file.seek(SeekFrom::Start(at))?;
            file.write_all(bytes)
        }
    }

    /// Whether this process has taken it; else it is a forked child's copy.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // A forked child leaves its parent's lock alone.
        if self.is_ours() {
            if let Some(path) = &self.made {
                let _ = fs::remove_file(path);
            }
            // At worst it is unlocked by being closed.
            let _ = self.file.unlock();
        }
    }
}

impl Write for Claimed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.file.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.note_begun();
        self.file.flush()
    }
}

/// Whether an open file is the one of this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let of = |kind: &fs::Metadata| (kind.dev(), kind.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if of(&a) == of(&b))
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// The path with something behind its name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
