//! What differs from system to system: one surface, and one file per system behind it. `system` is
//! the file of the system that this is compiled for:
//!
//! - `unix`: POSIX calls. Linux, macOS.
//! - `portable`: what Rust's std offers. Windows.
//! - `wasm`: WebAssembly has no threads and no process id, `wasm32-unknown-unknown` no clock
//!   either, and std's functions for them panic. Nothing can be recorded there.
//!
//! Each file has the same functions, with the same signatures:
//!
//! - `IS_SUPPORTED`: whether a trace can be recorded. If not, each start is an error.
//! - `at_fork`: registers a function that is called in every forked child.
//! - `around_fork`: the same, and functions called before and after each fork. Only with stacks.
//! - `monotonic`, `wall`, `thread_cpu`, `thread_cpu_of`: the system's clocks, in nanoseconds. They
//!   never panic.
//! - `check_clock`, `clock_faked_by`: whether libc's clock differs from the kernel's, as a library
//!   took its place.
//! - `program`: the executable's path.
//! - `suspended`, `thread_counts`: what shows that the process was stopped (`standstill`).
//!
//! Beside them: clocks and their ticks (`clock`), signals that the recorder's threads block
//! (`signals`) and handlers that it has (`handler`, `bus_error`), `errno`, Linux's system calls
//! without libc (`raw`), whether the system has memory left (`headroom`), and whether the process
//! was stopped (`standstill`).
//!
//! Elsewhere: files in memory (`arena`), ends of threads (`thread/exit`, `heap/own`).

#[cfg(all(unix, not(exectrace_loom)))]
pub(crate) mod bus_error;
pub(crate) mod clock;
#[cfg(any(unix, feature = "heap"))]
pub(crate) mod errno;
pub(crate) mod handler;
pub(crate) mod headroom;
#[cfg(os_hooks)]
pub(crate) mod raw;
pub(crate) mod signals;
pub(crate) mod standstill;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(all(target_family = "wasm", not(unix)), path = "wasm.rs")]
#[cfg_attr(not(any(unix, target_family = "wasm")), path = "portable.rs")]
mod system;

#[cfg(stacks)]
pub(crate) use system::around_fork;
pub(crate) use system::{
    IS_SUPPORTED, at_fork, check_clock, clock_faked_by, monotonic, program, suspended,
    thread_counts, thread_cpu, thread_cpu_of, wall,
};
