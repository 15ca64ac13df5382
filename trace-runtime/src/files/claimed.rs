//! A file that this process writes, and no other one: it is locked for as long as it is written.
//!
//! Others may do to it what they like all the same: shorten it, as `copytruncate` of logrotate
//! does, remove it, or put another in its place. Then what had been written is [`Gone`]: the write
//! fails, and the file can be begun [`again`](Claimed::again). One that is only renamed goes on.
//!
//! Elsewhere: what may be opened (`destination`); which files a trace has (`start/file`,
//! `rotation`).

use crate::base::error::StartError;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicBool;
#[cfg(unix)]
use crate::files::destination::with_ending;
use crate::files::destination::{self, Access};
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
    access: Access,
    /// It was made by this process.
    is_new: bool,
    /// So many bytes were appended, and must be there.
    written: u64,
}

/// The file. It is locked, and unlocked before it is closed: a child that is just being forked has
/// it open, too, and would keep the lock. One that was made for a trace which did not begin goes
/// again.
#[derive(Debug)]
struct Locked {
    file: OpenFile,
    path: PathBuf,
    process: u32,
    /// Nothing but a beginning may be in it: it goes if there is no more.
    is_provisional: AtomicBool,
}

/// What had been written is not there any more.
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
    pub(crate) fn new(path: &Path, access: Access) -> Result<Self, StartError> {
        let fail = |error| StartError::File(path.to_owned(), error);
        let (file, is_new) = match destination::make(path, access) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match destination::open(path, access) {
                    Ok(file) => (file, false),
                    // It is gone by now: another process has just done with it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        (destination::make(path, access).map_err(fail)?, true)
                    }
                    Err(error) => return Err(fail(error)),
                }
            }
            Err(error) => return Err(fail(error)),
        };
        // Where files can't be locked there is nothing to ask. If the file is not at its name any
        // more, another process has just gone on to its next part: the name is that one's.
        if file_lock::try_lock(&file).unwrap_or(true) && is_at(&file, path) {
            return Self::of(file, path, access, is_new).map_err(fail);
        }
        Err(StartError::InUse(path.to_owned()))
    }

    fn of(file: File, path: &Path, access: Access, is_new: bool) -> io::Result<Self> {
        let file = OpenFile::new(file)?;
        let (path, process) = (path.to_owned(), std::process::id());
        let is_provisional = AtomicBool::new(is_new);
        let locked = Arc::new(Locked { file, path, process, is_provisional });
        Ok(Self { locked, access, is_new, written: 0 })
    }

    /// A new file in its place, if it was not made by this process: it is this user's, nobody else
    /// has it open, and its mode is ours. At any moment a locked file has the name.
    ///
    /// # Errors
    /// The system's. Then all is as it was.
    #[cfg(unix)]
    pub(crate) fn renew(self) -> io::Result<Self> {
        if self.is_new {
            return Ok(self);
        }
        let path = &self.locked.path;
        let aside = with_ending(path, ".new");
        // Of a process that was killed here: who has the lock has that name, too.
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

    /// As on unix, but the same file, empty: one that is open can't be replaced everywhere.
    ///
    /// # Errors
    /// The system's.
    #[cfg(not(unix))]
    pub(crate) fn renew(self) -> io::Result<Self> {
        self.empty()?;
        Ok(self)
    }

    /// The same file, for somebody who may have to begin it anew.
    pub(crate) fn share(&self) -> Self {
        let Self { access, is_new, written, .. } = *self;
        Self { locked: Arc::clone(&self.locked), access, is_new, written }
    }

    /// The file anew, when what was in it is [`Gone`]. Nobody writes to this one any more.
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

    /// More than a beginning is in it, or will be: it stays.
    pub(crate) fn note_begun(&self) {
        self.locked.is_provisional.store(false, Ordering::Relaxed);
    }

    /// Sees to it that there is room for so many bytes.
    pub(crate) fn reserve(&self, bytes: u64) -> io::Result<()> {
        #[cfg(all(unix, not(exectrace_loom)))]
        return crate::buffer::arena::reserve(self.file()?, bytes as usize);
        #[cfg(not(all(unix, not(exectrace_loom))))]
        self.file()?.set_len(bytes)
    }

    /// Writes in the middle of it.
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

    /// How long it is.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        self.file()?.metadata().map(|it| it.len())
    }

    /// Takes out what is in it.
    pub(crate) fn empty(&self) -> io::Result<()> {
        self.file()?.set_len(0)
    }

    /// Whether this process has taken it; else it is a forked child's copy.
    pub(crate) fn is_ours(&self) -> bool {
        self.locked.is_ours()
    }

    /// The file, if the program has not closed it.
    fn file(&self) -> io::Result<&File> {
        self.locked.file.get()
    }

    /// Whether no name leads to it any more.
    fn is_removed(&self) -> bool {
        #[cfg(unix)]
        return {
            use std::os::unix::fs::MetadataExt as _;
            self.file().and_then(File::metadata).is_ok_and(|it| it.nlink() == 0)
        };
        #[cfg(not(unix))]
        false
    }

    /// The file, if all is there that was written. Its end is looked for by the cheapest call there
    /// is, for it is asked with each write.
    fn check(&self) -> io::Result<&File> {
        let mut file = self.file()?;
        if self.access != Access::Append || file.seek(SeekFrom::End(0))? >= self.written {
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
