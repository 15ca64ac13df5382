//! Sets limits of this process; a test that sets one has a process of its own.
//!
//! May contain `unsafe`: it calls the system.

#![allow(dead_code, reason = "every test file uses its own part")]

/// The type of constants such as `libc::RLIMIT_AS`, which differs by C library.
#[cfg(target_env = "gnu")]
pub(crate) type Kind = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
pub(crate) type Kind = libc::c_int;

/// Sets the limit of a resource for this process, for good.
pub(crate) fn set(kind: Kind, most: u64) {
    put(kind, libc::rlimit { rlim_cur: most, rlim_max: most });
}

/// Lowers the limit of a resource, until another limit is set; never above the hard limit.
pub(crate) fn lower(kind: Kind, most: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `getrlimit` wants a place for a limit.
    assert_eq!(unsafe { libc::getrlimit(kind, &raw mut limit) }, 0);
    limit.rlim_cur = most.min(limit.rlim_max);
    put(kind, limit);
}

fn put(kind: Kind, limit: libc::rlimit) {
    // SAFETY: `setrlimit` wants a limit.
    assert_eq!(unsafe { libc::setrlimit(kind, &raw const limit) }, 0);
}

/// From here on no thread gets an arena of `malloc` of its own. Call it before other threads start,
/// where a limit is measured from [`address_space`]: for an arena, glibc maps 128 MB for a moment
/// and gives half of it back, so a limit that is set meanwhile leaves that much too much.
pub(crate) fn one_arena() {
    // SAFETY: `mallopt` wants numbers.
    #[cfg(target_env = "gnu")]
    assert_eq!(unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) }, 1);
}

/// Bytes of this process's address space.
pub(crate) fn address_space() -> u64 {
    let words = std::fs::read_to_string("/proc/self/statm").expect("every process has it");
    let pages = words.split(' ').next().and_then(|it| it.parse::<u64>().ok());
    pages.expect("a number") * 4096
}
