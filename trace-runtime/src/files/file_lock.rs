//! Locks on files that other processes see.
//!
//! They are what `File::try_lock` and `File::unlock` are since Rust 1.89, but also work with 1.88:
//! on Unix the same `flock`, called here; elsewhere the standard library's, if it has them
//! (`build.rs` asks the compiler for its version), and otherwise no lock.
//!
//! May contain `unsafe`: it calls libc.

use std::fs::File;
use std::io;

/// Locks an open file, for as long as it is open.
///
/// - `Ok(false)`: another process, or another open file of this one, has it locked.
/// - `Err`: files can't be locked where this one is.
#[cfg(unix)]
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, libc::LOCK_EX | libc::LOCK_NB) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Unlocks a file. To be called before closing it: a child that is being forked at that moment also
/// has the file open.
#[cfg(unix)]
pub(crate) fn unlock(file: &File) {
    // At worst it is unlocked by being closed.
    let _ = flock(file, libc::LOCK_UN);
}

#[cfg(unix)]
fn flock(file: &File, operation: libc::c_int) -> io::Result<()> {
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(file);
    // SAFETY: `flock` wants an open descriptor, which is the borrowed file's.
    match unsafe { libc::flock(descriptor, operation) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// As on Unix.
#[cfg(all(not(unix), std_file_lock))]
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// As on Unix.
#[cfg(all(not(unix), std_file_lock))]
pub(crate) fn unlock(file: &File) {
    // At worst it is unlocked by being closed.
    let _ = file.unlock();
}

/// Not possible with this compiler.
#[cfg(not(any(unix, std_file_lock)))]
pub(crate) fn try_lock(_: &File) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not possible with this compiler.
#[cfg(not(any(unix, std_file_lock)))]
pub(crate) fn unlock(_: &File) {}

#[cfg(all(test, unix, not(exectrace_loom)))]
mod tests {
    use super::{try_lock, unlock};
    use std::fs::File;

    #[test]
    fn a_file_is_locked_once_until_it_is_unlocked_or_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let first = File::create(&path).expect("a file");
        let second = File::open(&path).expect("the same file");
        assert!(try_lock(&first).expect("it can be locked"));
        assert!(try_lock(&first).expect("it is its own already"));
        assert!(!try_lock(&second).expect("it could be locked"));
        unlock(&first);
        assert!(try_lock(&second).expect("it is free"));
        assert!(!try_lock(&first).expect("it could be locked"));
        drop(second);
        assert!(try_lock(&first).expect("it is free again"));
    }
}
