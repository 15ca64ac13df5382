//! A trace in a file that survives the process: whatever ends it, all that was committed is there.
//!
//! Beside the trace lies another file, of the same name and `.live` behind it, for as long as the
//! trace runs. Threads write into it by way of memory; what the collector has brought into the
//! trace is in both. A trace that is stopped has no such file. One that is killed has, and readers
//! take what is only there.

use crate::error::StartError;
use crate::local;
use crate::options::Options;
use crate::outlet::{File as FileOutlet, Outlet};
use crate::recorder::{self, Occupied, Party, Trace};
use crate::sink::Sink;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Starts a trace that is written to the file `path`, with the default [`Options`], and that
/// survives whatever ends the process.
///
/// While it runs, there is a second file `PATH.live`, as large as [`Options::memory_max`] says; the
/// tool reads both. If there is one already, of a process that was killed, both are kept, as
/// `PATH.old` and `PATH.old.live`; else a file of this name is overwritten. Beside a flight
/// recorder that runs already there is no second file, and what the last second has is lost in a
/// crash. It is not compressed.
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
    let trace = start_quietly(&options, path.as_ref())?;
    #[cfg(os_hooks)]
    if options.os {
        // What this thread waits for is seen from now on.
        local::arrive(local::Arrival::default());
    }
    Ok(trace)
}

fn start_quietly(options: &Options, path: &Path) -> Result<Trace, StartError> {
    // Files are the recorder's, not the program's.
    let _quiet = local::quiet();
    let fail = |error| StartError::File(path.to_owned(), error);
    // Whoever may not start leaves all files as they are.
    let place = Occupied::new(Party::Trace)?;
    let live = with_ending(path, ".live");
    let mut file = Claimed::new(path)?;
    if live.exists() {
        // Of a process that was killed: both go out of the way, before anything is written.
        file.made = None;
        fs::rename(&live, with_ending(path, ".old.live")).map_err(fail)?;
        fs::rename(path, with_ending(path, ".old")).map_err(fail)?;
        file = Claimed::new(path)?;
    }
    let kept = (!recorder::is_enabled()).then(|| Kept::new(&live, options)).transpose();
    let kept = kept.map_err(|error| StartError::File(live.clone(), error))?;
    file.file.set_len(0).map_err(fail)?;
    let sink = || Sink::unbuffered(Box::new(file));
    let outlet = || Outlet::File(Box::new(FileOutlet::new(sink())));
    let session = recorder::join(place, options, outlet)?;
    Ok(Trace::new(session, kept))
}

/// A file that no other process writes a trace to.
///
/// It is locked, and unlocked before it is closed: a child that is just being forked has it open,
/// too, and would keep the lock. One that was made for a trace which did not begin goes again.
struct Claimed {
    file: File,
    process: u32,
    /// What to remove, while nothing but a beginning may be in it.
    made: Option<PathBuf>,
}

impl Claimed {
    fn new(path: &Path) -> Result<Self, StartError> {
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
            Ok(()) | Err(fs::TryLockError::Error(_)) => {
                Ok(Self { file, process: std::process::id(), made })
            }
            Err(fs::TryLockError::WouldBlock) => Err(StartError::InUse(path.to_owned())),
        }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // A forked child leaves its parent's lock alone.
        if self.process == std::process::id() {
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

    fn flush(&mut self) -> io::Result<()> {
        // The beginning is written, and a trace runs.
        self.made = None;
        self.file.flush()
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// The second file, while the trace runs.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    #[cfg(all(unix, not(loom)))]
    _serving: crate::arena::Serving,
    process: u32,
}

impl Kept {
    #[cfg(all(unix, not(loom)))]
    fn new(path: &Path, options: &Options) -> io::Result<Self> {
        use std::os::unix::fs::FileExt as _;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let made = crate::arena::Serving::new(&file, options.memory_max).and_then(|serving| {
            file.write_all_at(&header(), 0)?;
            Ok(Self { path: path.to_owned(), _serving: serving, process: std::process::id() })
        });
        if made.is_err() {
            // What there was no room for is not to lie about.
            let _ = fs::remove_file(path);
        }
        made
    }

    #[cfg(not(all(unix, not(loom))))]
    fn new(path: &Path, _: &Options) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), process: std::process::id() })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A forked child leaves its parent's file alone.
        if self.process == std::process::id() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The first bytes of the second file: FORMAT.md, section 11.
#[cfg(all(unix, not(loom)))]
fn header() -> [u8; trace_format::live::HEADER_BYTES] {
    trace_format::live::Header { process: std::process::id().into() }.encode()
}
