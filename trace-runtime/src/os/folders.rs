//! Hooks of reading folders.
//!
//! libc asks the system for many entries at a time and keeps them in its own memory, so no system
//! call can take the place of these functions: in a static program this file is left out. Each call
//! of `readdir` is recorded, whether it asks the system or not, as only libc knows.
//!
//! Invariants and the macro are in `hook`; what descriptors are is in `fd`.
//!
//! May contain `unsafe`: it defines functions for others to call, and asks libc for a folder's
//! descriptor.

use crate::os::fd::resource;
use crate::os::files::{closing, fresh};
use crate::os::hook::{hooks, observe, system};
use crate::os::result::{CallResult, ReturnedErrno};
use crate::sys::errno;
use libc::{DIR, c_char, c_int, c_void, dirent, dirent64, size_t, ssize_t};
use std::ptr;
use trace_format::id::CallId;

hooks! { real:
    fn opendir(path: *const c_char) -> *mut DIR,
        ptr::null_mut(),
        opening(real);
    fn readdir(folder: *mut DIR) -> *mut dirent,
        ptr::null_mut(),
        // SAFETY: the caller reads from an open folder.
        reading(unsafe { descriptor(folder) }, real);
    fn readdir64(folder: *mut DIR) -> *mut dirent64,
        ptr::null_mut(),
        // SAFETY: as above.
        reading(unsafe { descriptor(folder) }, real);
    fn readdir_r(folder: *mut DIR, entry: *mut dirent, into: *mut *mut dirent) -> ReturnedErrno,
        ReturnedErrno(libc::ENOSYS),
        // SAFETY: as above.
        reading_into(unsafe { descriptor(folder) }, into, real);
    fn readdir64_r(
        folder: *mut DIR, entry: *mut dirent64, into: *mut *mut dirent64,
    ) -> ReturnedErrno,
        ReturnedErrno(libc::ENOSYS),
        // SAFETY: as above.
        reading_into(unsafe { descriptor(folder) }, into, real);
    fn closedir(folder: *mut DIR) -> c_int,
        -1,
        // SAFETY: as above; the folder is closed only later.
        closing(CallId::CLOSEDIR, unsafe { descriptor(folder) }, real);
    fn getdents64(fd: c_int, buffer: *mut c_void, bytes: size_t) -> ssize_t,
        system!(SYS_getdents64, fd, buffer, bytes),
        observe(CallId::GETDENTS64, || resource(fd), real);
}

/// The descriptor of a folder; -1 for null, which libc refuses.
///
/// # Safety
/// The folder is null, or open.
unsafe fn descriptor(folder: *mut DIR) -> c_int {
    // SAFETY: the caller's promise.
    if folder.is_null() { -1 } else { unsafe { libc::dirfd(folder) } }
}

/// `opendir` while a trace runs.
fn opening(real: impl FnOnce() -> *mut DIR) -> *mut DIR {
    let opened = observe(CallId::OPENDIR, || 0, || OpenedFolder::new(real()));
    fresh(opened.descriptor);
    opened.folder
}

/// `readdir` of the folder with this descriptor, while a trace runs.
fn reading<E>(fd: c_int, real: impl FnOnce() -> *mut E) -> *mut E {
    let real = || {
        // SAFETY: `errno` is the thread's own.
        let errno = unsafe { errno::place().read() };
        FolderEntry { place: real().cast(), errno }
    };
    observe(CallId::READDIR, || resource(fd), real).place.cast()
}

/// `readdir_r` of the folder with this descriptor, while a trace runs.
fn reading_into<E>(
    fd: c_int,
    into: *const *mut E,
    real: impl FnOnce() -> ReturnedErrno,
) -> ReturnedErrno {
    let real = || FolderEntryInto { failure: real(), into: into.cast() };
    observe(CallId::READDIR, || resource(fd), real).failure
}

/// An entry of a folder in the caller's memory, or why there is none.
#[derive(Clone, Copy, Debug)]
struct FolderEntryInto {
    failure: ReturnedErrno,
    /// Where libc writes whether there is an entry: null if there are no more.
    into: *const *mut c_void,
}

impl CallResult for FolderEntryInto {
    fn outcome(self, errno: c_int) -> i64 {
        if self.failure.0 != 0 {
            return self.failure.outcome(errno);
        }
        // SAFETY: libc has written to this place of the caller's, as the call did not fail.
        let entry = unsafe { self.into.read() };
        i64::from(!entry.is_null())
    }
}

/// A folder that was opened, or null and -1.
#[derive(Clone, Copy, Debug)]
struct OpenedFolder {
    folder: *mut DIR,
    descriptor: c_int,
}

impl OpenedFolder {
    fn new(folder: *mut DIR) -> Self {
        // SAFETY: the folder was just opened, or it is null.
        Self { folder, descriptor: unsafe { descriptor(folder) } }
    }
}

impl CallResult for OpenedFolder {
    fn outcome(self, errno: c_int) -> i64 {
        self.descriptor.outcome(errno)
    }
}

/// An entry of a folder, or null after the last one or after an error.
#[derive(Clone, Copy, Debug)]
struct FolderEntry {
    place: *mut c_void,
    /// From before the call: libc does not change it if there are no more entries.
    errno: c_int,
}

impl CallResult for FolderEntry {
    fn outcome(self, errno: c_int) -> i64 {
        match self.place.is_null() {
            false => 1,
            true if errno == self.errno => 0,
            true => -i64::from(errno),
        }
    }
}
