//! The file beside a trace that is to survive its process: its name, and `.live` behind it.
//!
//! Threads have their batches in it while it is there. There is one for all parties: whoever comes
//! while there is one gives it another name, and it serves until all names are gone. On another
//! file system it can't have one: who is there has no such file.
//!
//! Elsewhere: the memory in it (`arena`), who wants one (`file`, `flight`).

use crate::base::options::Options;
#[cfg(all(unix, not(exectrace_loom)))]
use crate::files::destination::{self, Access};
#[cfg(all(unix, not(exectrace_loom)))]
use crate::files::open_file::OpenFile;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The one file, if there is one, and the names it has.
#[cfg(all(unix, not(exectrace_loom)))]
#[derive(Debug, Default)]
pub(crate) struct Shared {
    serving: Option<Serving>,
    names: Vec<PathBuf>,
}

/// The file while threads have batches in it.
#[cfg(all(unix, not(exectrace_loom)))]
#[derive(Debug)]
struct Serving {
    file: OpenFile,
    bytes: u64,
    /// What has become of it was told.
    is_told: bool,
    _arena: crate::buffer::arena::Serving,
}

/// One name of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    process: u32,
}

impl Kept {
    /// The file of this name: a new one, with as much room as memory may have; or the one there is.
    ///
    /// # Errors
    /// The system's: there is no room.
    pub(crate) fn new(path: &Path, options: &Options) -> io::Result<Self> {
        join(path, options)?;
        Ok(Self { path: path.to_owned(), process: std::process::id() })
    }
}

impl Drop for Kept {
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
    let mut shared = crate::start::recorder::lock_kept();
    match shared.names.first() {
        Some(name) => match fs::hard_link(name, path) {
            // Then this party does without, for nothing else could be had.
            Err(error) if can_have_one_name(&error) => return Ok(()),
            linked => linked?,
        },
        None => shared.serving = Some(serve(path, options)?),
    }
    shared.names.push(path.to_owned());
    Ok(())
}

/// Whether the file can't have a name there: on another file system, or as there are no such links.
#[cfg(all(unix, not(exectrace_loom)))]
fn can_have_one_name(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, Unsupported};
    matches!(error.kind(), CrossesDevices | PermissionDenied | Unsupported)
}

#[cfg(all(unix, not(exectrace_loom)))]
fn leave(path: &Path) {
    let mut shared = crate::start::recorder::lock_kept();
    shared.names.retain(|name| name != path);
    if shared.names.is_empty() {
        shared.serving = None;
    }
}

#[cfg(all(unix, not(exectrace_loom)))]
fn serve(path: &Path, options: &Options) -> io::Result<Serving> {
    use std::os::unix::fs::FileExt as _;
    let file = destination::make(path, Access::Mapped)?;
    let header = trace_format::live::Header { process: std::process::id().into() };
    // Of an earlier one.
    crate::sys::bus_error::take_lost();
    let made = crate::buffer::arena::Serving::new(&file, options.memory_max).and_then(|arena| {
        file.write_all_at(&header.encode(), 0)?;
        let bytes = file.metadata()?.len();
        Ok((OpenFile::new(file)?, bytes, arena))
    });
    match made {
        Ok((file, bytes, arena)) => Ok(Serving { file, bytes, is_told: false, _arena: arena }),
        Err(error) => {
            // What there was no room for is not to lie about.
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

/// What somebody else has done to the file, so that it is of no use after a kill. Told once.
#[cfg(all(unix, not(exectrace_loom)))]
pub(crate) fn take_fault() -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;
    let mut shared = crate::start::recorder::lock_kept();
    let serving = shared.serving.as_mut().filter(|it| !it.is_told)?;
    let is_lost = crate::sys::bus_error::take_lost();
    let now = serving.file.get().and_then(fs::File::metadata).ok();
    let fault = if now.as_ref().is_some_and(|now| now.nlink() == 0) {
        "somebody has removed the file beside the trace: a crash loses the last second"
    } else if is_lost || now.is_some_and(|now| now.len() < serving.bytes) {
        "somebody has shortened the file beside the trace: what threads had in it is lost, and a \
         crash loses the last second"
    } else {
        return None;
    };
    serving.is_told = true;
    Some(fault)
}

#[cfg(any(exectrace_loom, not(unix)))]
pub(crate) fn take_fault() -> Option<&'static str> {
    None
}
