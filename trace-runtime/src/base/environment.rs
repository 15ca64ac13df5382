//! Which environment variables the recorder obeys: none, in a program that has more rights than the
//! user who started it.
//!
//! A setuid program, or one whose file has capabilities, can write files that its user may not
//! write; a variable that names such a file would let any user overwrite it. The recorder prints
//! nothing in such a program either: standard error may be any file.
//!
//! May contain `unsafe`: it asks the system who has started the program.

use std::ffi::OsString;

/// The value of a variable; `None` if it is empty or not set, or if the program is privileged.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty() && !is_privileged())
}

/// Whether the program has more rights than its user. The kernel's answer covers capabilities and
/// security modules, too.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_privileged() -> bool {
    // SAFETY: `getauxval` takes a number; it returns 0 for a number that it does not know.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether the program runs as another user or group than those that started it.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn is_privileged() -> bool {
    // SAFETY: `getuid` takes nothing.
    let user = unsafe { libc::getuid() };
    // SAFETY: `geteuid` takes nothing.
    let effective_user = unsafe { libc::geteuid() };
    // SAFETY: `getgid` takes nothing.
    let group = unsafe { libc::getgid() };
    // SAFETY: `getegid` takes nothing.
    let effective_group = unsafe { libc::getegid() };
    user != effective_user || group != effective_group
}

/// This system has no privileged programs.
#[cfg(not(unix))]
fn is_privileged() -> bool {
    false
}
