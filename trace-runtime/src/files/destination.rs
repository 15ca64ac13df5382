//! Opening the files that traces are written to: regular files that no other user may read.
//!
//! A trace contains names, paths, arguments and addresses, and a traced program may run with more
//! rights than the users who can write to the folder. So always:
//!
//! - A file that is made is private to its owner (mode 0600), and new: an existing file, perhaps
//!   with another owner or mode, is replaced and not written to.
//! - The last part of a name is never followed if it is a symbolic link.
//! - Opening does not wait, as it would for a FIFO that nobody reads from.
//!
//! Elsewhere: which process a file belongs to (`claimed`); pipes and devices (`auto/stream`).

use std::ffi::OsString;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// How a file will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileAccess {
    /// At its end as of each write: a file that another program has shortened gets no hole.
    Append,
    /// At any place.
    Anywhere,
    /// Through a mapping, which also has to read it.
    Mapped,
}

/// Makes a file.
///
/// # Errors
/// `AlreadyExists` if the name is taken, even by a symbolic link that leads nowhere.
pub(crate) fn make(path: &Path, access: FileAccess) -> io::Result<File> {
    options(access, 0).create_new(true).open(path)
}

/// Opens an existing file, to lock it or to go on writing it.
///
/// # Errors
/// If it is no regular file: what it is, and what to do.
pub(crate) fn open(path: &Path, access: FileAccess) -> io::Result<File> {
    check(path)?;
    let file = options(access, system::NO_FOLLOW).open(path)?;
    // It may have been replaced in between.
    match fault(file.metadata()?.file_type()) {
        Some(fault) => Err(fault),
        None => Ok(file),
    }
}

/// Whether there is a regular file of this name; `false` if the name is free.
///
/// # Errors
/// If the name is something else's: what that is, and what to do.
pub(crate) fn check(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) => fault(found.file_type()).map_or(Ok(true), Err),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Options to open a file for writing, with these flags in addition to the usual ones.
pub(crate) fn options(access: FileAccess, flags: i32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).append(access == FileAccess::Append).read(access == FileAccess::Mapped);
    system::restrict(&mut options, flags);
    options
}

/// The error for what is no regular file; `None` for a regular file.
fn fault(kind: FileType) -> Option<io::Error> {
    let error = |kind, what: &str| Some(io::Error::new(kind, what));
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_symlink() => Some(linked()),
        kind if kind.is_dir() => error(ErrorKind::IsADirectory, "it is a directory"),
        kind => {
            let what = format!("it is {}, and not a regular file", system::name(kind));
            error(ErrorKind::InvalidInput, &what)
        }
    }
}

/// The error for a symbolic link.
pub(crate) fn linked() -> io::Error {
    let what = "it is a symbolic link, and those are not followed: give the name of the file";
    io::Error::new(ErrorKind::InvalidInput, what)
}

#[cfg(unix)]
mod system {
    use std::fs::{FileType, OpenOptions};
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};

    pub(super) const NO_FOLLOW: i32 = libc::O_NOFOLLOW;

    /// Mode 0600; a terminal does not become the process's own, and opening does not wait.
    pub(super) fn restrict(options: &mut OpenOptions, flags: i32) {
        options.mode(0o600).custom_flags(flags | libc::O_NONBLOCK | libc::O_NOCTTY);
    }

    pub(super) fn name(kind: FileType) -> &'static str {
        match kind {
            kind if kind.is_fifo() => "a FIFO",
            kind if kind.is_char_device() || kind.is_block_device() => "a device",
            kind if kind.is_socket() => "a socket",
            _ => "something else",
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::{FileType, OpenOptions};

    pub(super) const NO_FOLLOW: i32 = 0;

    pub(super) fn restrict(_: &mut OpenOptions, _: i32) {}

    pub(super) fn name(_: FileType) -> &'static str {
        "something else"
    }
}

/// The path with `ending` appended to its name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
