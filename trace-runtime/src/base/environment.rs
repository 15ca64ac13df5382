//! What the environment may say to the recorder: nothing, in a program that has more rights than
//! the user who has started it.
//!
//! A setuid program, or one with capabilities of its file, writes files that its user may not
//! write; a variable that names one would let anybody overwrite it. The recorder is silent there,
//! too: standard error may be any file.
//!
//! May contain `unsafe`: it asks the system who has started the program.

use std::ffi::OsString;

/// The value of a variable, if it has one, and its user may say what the program does.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty() && !is_privileged())
}

/// Whether the kernel says so: also for capabilities, and as security modules decide.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_privileged() -> bool {
    // SAFETY: `getauxval` takes a number; 0 is what it says where it knows nothing.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether user or group are others than those who have started it.
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

/// There are no such programs.
#[cfg(not(unix))]
fn is_privileged() -> bool {
    false
}
