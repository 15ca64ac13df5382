//! The backing file: the file beside a trace that is to survive its process. It has the trace's
//! name with `.live` behind it.
//!
//! While it exists, threads' batches are in it. A process has at most one: a party that needs a
//! backing file while there is one gives it another name (a hard link), and it stays in use until
//! all its names are gone. It can't have a name on another file system, so a party whose trace lies
//! there has no backing file.
//!
//! Elsewhere: the memory in it (`arena`), which parties need one (`file`, `flight`).

use crate::base::options::Options;
#[cfg(all(unix, not(exectrace_loom)))]
use crate::files::destination::{self, FileAccess};
#[cfg(all(unix, not(exectrace_loom)))]
use crate::files::open_file::OpenFile;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The one file, if there is one, and the names it has.
#[cfg(all(unix, not(exectrace_loom)))]
#[derive(Debug, Default)]
pub(crate) struct SharedFile {
    mapped: Option<MappedFile>,
    names: Vec<PathBuf>,
}

/// The file while threads have batches in it.
#[cfg(all(unix, not(exectrace_loom)))]
#[derive(Debug)]
struct MappedFile {
    file: OpenFile,
    bytes: u64,
    /// Whether [`take_fault`] has returned what was done to it.
    is_reported: bool,
    _arena: crate::buffer::arena::Serving,
}

/// One name of the backing file. Dropping it removes the name.
#[derive(Debug)]
pub(crate) struct BackingFile {
    path: PathBuf,
    process: u32,
}

impl BackingFile {
    /// Gives the process's backing file this name; if there is none, makes one that has room for
    /// [`Options::memory_max`] bytes of batches.
    ///
    /// # Errors
    /// The system's, such as a full disk.
    pub(crate) fn new(path: &Path, options: &Options) -> io::Result<Self> {
        join(path, options)?;
        Ok(Self { path: path.to_owned(), process: std::process::id() })
    }
}

impl Drop for BackingFile {
    fn drop(&mut self) {
        // A forked child leaves its parent's file alone.
        if self.process == std::process::id() {
            let _ = fs::remove_file(&self.path);
            leave(&self.path);
        }
    }
}

#[cfg(any(exectrace_loom, not(unix)))]
fn join(_: &Path, _: &Options) -> io::Result<()> {
    Ok(())
}

#[cfg(any(exectrace_loom, not(unix)))]
fn leave(_: &Path) {}

#[cfg(all(unix, not(exectrace_loom)))]
fn join(path: &Path, options: &Options) -> io::Result<()> {
    let mut shared = crate::start::recorder::lock_backing_file();
    match shared.names.first() {
        Some(name) => match fs::hard_link(name, path) {
            // This party has no backing file.
            Err(error) if is_link_impossible(&error) => return Ok(()),
            linked => linked?,
        },
        None => shared.mapped = Some(map(path, options)?),
    }
    shared.names.push(path.to_owned());
    Ok(())
}

/// Whether the file can't have a name there, as that is another file system, or one without links.
#[cfg(all(unix, not(exectrace_loom)))]
fn is_link_impossible(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, Unsupported};
    matches!(error.kind(), CrossesDevices | PermissionDenied | Unsupported)
}

#[cfg(all(unix, not(exectrace_loom)))]
fn leave(path: &Path) {
    let mut shared = crate::start::recorder::lock_backing_file();
    shared.names.retain(|name| name != path);
    if shared.names.is_empty() {
        shared.mapped = None;
    }
}

#[cfg(all(unix, not(exectrace_loom)))]
fn map(path: &Path, options: &Options) -> io::Result<MappedFile> {
    use std::os::unix::fs::FileExt as _;
    let file = destination::make(path, FileAccess::Mapped)?;
    let process = std::process::id().into();
    let header = trace_format::survive::live::LiveHeader { process };
    // Clears what was lost in an earlier file.
    crate::sys::bus_error::take_lost();
    let made = crate::buffer::arena::Serving::new(&file, options.memory_max).and_then(|arena| {
        file.write_all_at(&header.encode(), 0)?;
        let bytes = file.metadata()?.len();
        Ok((OpenFile::new(file)?, bytes, arena))
    });
    match made {
        Ok((file, bytes, arena)) => {
            Ok(MappedFile { file, bytes, is_reported: false, _arena: arena })
        }
        Err(error) => {
            // Removed, as it is useless without its space.
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

/// What another program has done to the file so that it is useless after a kill. Returned once.
#[cfg(all(unix, not(exectrace_loom)))]
pub(crate) fn take_fault() -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;
    let mut shared = crate::start::recorder::lock_backing_file();
    let mapped = shared.mapped.as_mut().filter(|it| !it.is_reported)?;
    let is_lost = crate::sys::bus_error::take_lost();
    let now = mapped.file.get().and_then(fs::File::metadata).ok();
    let fault = if now.as_ref().is_some_and(|now| now.nlink() == 0) {
        "somebody has removed the file beside the trace: a crash loses the last second"
    } else if is_lost || now.is_some_and(|now| now.len() < mapped.bytes) {
        "somebody has shortened the file beside the trace: what threads had in it is lost, and a \
         crash loses the last second"
    } else {
        return None;
    };
    mapped.is_reported = true;
    Some(fault)
}

#[cfg(any(exectrace_loom, not(unix)))]
pub(crate) fn take_fault() -> Option<&'static str> {
    None
}
