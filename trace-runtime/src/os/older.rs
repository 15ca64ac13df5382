//! Hooks of older names of hooked functions, which programs and libraries call that were built
//! against glibc before 2.33.
//!
//! `stat` was linked into each program then, and called `__xstat` with the version of the structure
//! that it knows. 64-bit systems have one version only, the kernel's. A call is recorded as today's
//! function.
//!
//! Invariants and the macro are in `hook`.

use crate::os::fd::resource;
use crate::os::files;
use crate::os::hook::{hooks, observe};
use libc::{c_char, c_int, stat as Stat, stat64 as Stat64};
use trace_format::id::CallId;

hooks! { real:
    fn __xstat(version: c_int, path: *const c_char, into: *mut Stat) -> c_int,
        files::instead::stat(path, into),
        observe(CallId::STAT, || 0, real);
    fn __xstat64(version: c_int, path: *const c_char, into: *mut Stat64) -> c_int,
        files::instead::stat64(path, into),
        observe(CallId::STAT, || 0, real);
    fn __fxstat(version: c_int, fd: c_int, into: *mut Stat) -> c_int,
        files::instead::fstat(fd, into),
        observe(CallId::FSTAT, || resource(fd), real);
    fn __fxstat64(version: c_int, fd: c_int, into: *mut Stat64) -> c_int,
        files::instead::fstat64(fd, into),
        observe(CallId::FSTAT, || resource(fd), real);
    fn __lxstat(version: c_int, path: *const c_char, into: *mut Stat) -> c_int,
        files::instead::lstat(path, into),
        observe(CallId::LSTAT, || 0, real);
    fn __lxstat64(version: c_int, path: *const c_char, into: *mut Stat64) -> c_int,
        files::instead::lstat64(path, into),
        observe(CallId::LSTAT, || 0, real);
    fn __fxstatat(
        version: c_int, folder: c_int, path: *const c_char, into: *mut Stat, flags: c_int,
    ) -> c_int,
        files::instead::fstatat(folder, path, into, flags),
        observe(CallId::FSTATAT, || 0, real);
    fn __fxstatat64(
        version: c_int, folder: c_int, path: *const c_char, into: *mut Stat64, flags: c_int,
    ) -> c_int,
        files::instead::fstatat64(folder, path, into, flags),
        observe(CallId::FSTATAT, || 0, real);
}
