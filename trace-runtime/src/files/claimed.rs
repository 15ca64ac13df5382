//! A file that only this process writes traces to: it is locked for as long as it is written.
//!
//! The lock does not keep other programs from shortening the file, as `copytruncate` of logrotate
//! does, removing it, or putting another file in its place. Then what had been written is [`Gone`]:
//! the write fails, and the file can be begun [`again`](Claimed::again). A file that was only
//! renamed is written on.
//!
//! Elsewhere: what may be opened (`destination`); which files a trace has (`start/file`,
//! `rotation`).

use crate::base::error::StartError;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicBool;
#[cfg(unix)]
use crate::files::destination::with_ending;
use crate::files::destination::{self, FileAccess};
use crate::files::file_lock;
use crate::files::open_file::OpenFile;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, IoSlice, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that no other process writes a trace to, and how far this one has written it.
#[derive(Debug)]
pub(crate) struct Claimed {
    locked: Arc<Locked>,
    access: FileAccess,
    /// Whether this process made it.
    is_new: bool,
    /// Number of bytes that were appended; the file must be at least as long.
    written: u64,
}

/// The locked file. It is unlocked before it is closed: a child that is being forked at that moment
/// also has it open, and would keep the lock. A file that was made for a trace which then did not
/// begin is removed.
#[derive(Debug)]
struct Locked {
    file: OpenFile,
    path: PathBuf,
    process: u32,
    /// Whether it may hold no more than a trace's beginning: such a file is removed when it is
    /// closed.
    is_provisional: AtomicBool,
}

/// The error of a write whose file was shortened or removed by another program.
#[derive(Debug)]
pub(crate) struct Gone(&'static str);

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(how) = self;
        write!(f, "the file was {how} by somebody else while it was written")
    }
}

impl std::error::Error for Gone {}

impl Gone {
    /// Whether an error is this one.
    pub(crate) fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl Claimed {
    pub(crate) fn new(path: &Path, access: FileAccess) -> Result<Self, StartError> {
        let fail = |error| StartError::File(path.to_owned(), error);
        let (file, is_new) = match destination::make(path, access) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match destination::open(path, access) {
                    Ok(file) => (file, false),
                    // Another process has removed it in between.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        (destination::make(path, access).map_err(fail)?, true)
                    }
                    Err(error) => return Err(fail(error)),
                }
            }
            Err(error) => return Err(fail(error)),
        };
        // Where files can't be locked, no process claims them. If the path leads to another file by
        // now, another process has just gone on to its next part, and the path belongs to that
        // process.
        if file_lock::try_lock(&file).unwrap_or(true) && is_at(&file, path) {
            return Self::of(file, path, access, is_new).map_err(fail);
        }
        Err(StartError::InUse(path.to_owned()))
    }

    fn of(file: File, path: &Path, access: FileAccess, is_new: bool) -> io::Result<Self> {
        let file = OpenFile::new(file)?;
        let (path, process) = (path.to_owned(), std::process::id());
        let is_provisional = AtomicBool::new(is_new);
        let locked = Arc::new(Locked { file, path, process, is_provisional });
        Ok(Self { locked, access, is_new, written: 0 })
    }

    /// Puts a new file in its place, if this process did not make it: the new one belongs to this
    /// user, no other process has it open, and it has mode 0600. The path leads to a locked file at
    /// any moment.
    ///
    /// # Errors
    /// The system's. Then nothing has changed.
    #[cfg(unix)]
    pub(crate) fn renew(self) -> io::Result<Self> {
        if self.is_new {
            return Ok(self);
        }
        let path = &self.locked.path;
        let aside = with_ending(path, ".new");
        // A process that was killed at this point has left it. It belongs to the holder of the
        // lock, too.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = destination::make(&aside, self.access)?;
        let _ = file_lock::try_lock(&file);
        if let Err(error) = fs::rename(&aside, path) {
            let _ = fs::remove_file(&aside);
            return Err(error);
        }
        Self::of(file, path, self.access, true)
    }

    /// Empties the file. Not all systems can replace a file that is open.
    ///
    /// # Errors
    /// The system's.
    #[cfg(not(unix))]
    pub(crate) fn renew(self) -> io::Result<Self> {
        self.empty()?;
        Ok(self)
    }

    /// A second handle of the same file, to begin it [`again`](Claimed::again) later.
    pub(crate) fn share(&self) -> Self {
        let Self { access, is_new, written, .. } = *self;
        Self { locked: Arc::clone(&self.locked), access, is_new, written }
    }

    /// Begins the file again, when what was in it is [`Gone`]. The caller writes no more through
    /// `self`.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` if the file was removed, and another one has its name.
    pub(crate) fn again(self) -> io::Result<Self> {
        if self.is_removed() {
            let path = &self.locked.path;
            let file = destination::make(path, self.access)?;
            let _ = file_lock::try_lock(&file);
            return Self::of(file, path, self.access, true);
        }
        self.empty()?;
        Ok(Self { written: 0, ..self })
    }

    /// It holds more than a trace's beginning, or soon will: it stays when it is closed.
    pub(crate) fn note_begun(&self) {
        self.locked.is_provisional.store(false, Ordering::Relaxed);
    }

    /// Makes the file this long, with room reserved on the disk.
    pub(crate) fn reserve(&self, bytes: u64) -> io::Result<()> {
        #[cfg(all(unix, not(exectrace_loom)))]
        return crate::buffer::arena::reserve(self.file()?, bytes as usize);
        #[cfg(not(all(unix, not(exectrace_loom))))]
        self.file()?.set_len(bytes)
    }

    /// Writes at this offset.
    pub(crate) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_all_at(self.file()?, bytes, at);
        #[cfg(not(unix))]
        {
            let mut file = self.file()?;
            file.seek(SeekFrom::Start(at))?;
            file.write_all(bytes)
        }
    }

    /// Its length now.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        self.file()?.metadata().map(|it| it.len())
    }

    /// Makes it empty.
    pub(crate) fn empty(&self) -> io::Result<()> {
        self.file()?.set_len(0)
    }

    /// Whether this process claimed it; if not, this is a forked child's copy.
    pub(crate) fn is_ours(&self) -> bool {
        self.locked.is_ours()
    }

    /// The file, if the program has not closed it.
    fn file(&self) -> io::Result<&File> {
        self.locked.file.get()
    }

    /// Whether all its names were removed.
    fn is_removed(&self) -> bool {
        #[cfg(unix)]
        return {
            use std::os::unix::fs::MetadataExt as _;
            self.file().and_then(File::metadata).is_ok_and(|it| it.nlink() == 0)
        };
        #[cfg(not(unix))]
        false
    }

    /// The file, if it still has all that was written. Seeking to its end is the cheapest way to
    /// ask, which every write does.
    fn check(&self) -> io::Result<&File> {
        let mut file = self.file()?;
        if self.access != FileAccess::Append || file.seek(SeekFrom::End(0))? >= self.written {
            return Ok(file);
        }
        Err(io::Error::other(Gone("shortened")))
    }

    fn wrote(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        self.written += written.as_ref().map_or(0, |&count| count as u64);
        written
    }
}

impl Locked {
    fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A forked child leaves its parent's lock alone.
        if self.is_ours() {
            if self.is_provisional.load(Ordering::Relaxed) {
                let _ = fs::remove_file(&self.path);
            }
            if let Ok(file) = self.file.get() {
                file_lock::unlock(file);
            }
        }
    }
}

impl Write for Claimed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.check()?.write(bytes);
        self.wrote(written)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.check()?.write_vectored(slices);
        self.wrote(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.note_begun();
        let mut file = self.check()?;
        if self.is_removed() {
            return Err(io::Error::other(Gone("removed")));
        }
        file.flush()
    }
}

/// Whether this path leads to the open file.
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
