//! Names of threads: one that was given for the trace, by code that knows better than the system
//! what the thread is for, such as an executor; else Rust's name; else the kernel's.
//!
//! A given name stays with its thread, so that later traces have it, too. Reading it registers no
//! destructor and allocates nothing: a thread's first event may come in a signal handler that has
//! interrupted the allocator.
//!
//! Elsewhere: when a name is read (`attach`).
//!
//! May contain `unsafe`: it asks the kernel.

use crate::sys::clock;
use crate::thread::RecordingThread;
use crate::thread::attach;
use crate::thread::local;
use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use trace_format::value::Text;

thread_local! {
    /// Freed by [`forget`], as a destructor would have to be registered.
    static GIVEN: Cell<ManuallyDrop<Option<Box<str>>>> =
        const { Cell::new(ManuallyDrop::new(None)) };
}

/// Maximum number of bytes of a thread's or a task's name; longer ones are cut.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// A name, cut at [`NAME_BYTES_MAX`] bytes; without memory of its own.
#[derive(Clone, Copy)]
pub(crate) struct ThreadName {
    len: u16,
    bytes: [u8; NAME_BYTES_MAX],
}

impl ThreadName {
    /// The name, cut if it is longer.
    pub(crate) fn new(name: &[u8]) -> Self {
        let cut = Text::cut(name, NAME_BYTES_MAX).bytes;
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..cut.len()].copy_from_slice(cut);
        Self { len: cut.len() as u16, bytes }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Default for ThreadName {
    fn default() -> Self {
        Self { len: 0, bytes: [0; NAME_BYTES_MAX] }
    }
}

impl fmt::Debug for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

/// Gives the calling thread a name, in the running trace from now on, and in later traces.
pub fn name_thread(name: &str) {
    // The allocation is the recorder's, not the program's.
    let suppressed = local::suppress();
    attach::watch_exit();
    let kept = GIVEN.replace(ManuallyDrop::new(Some(name.into())));
    drop(ManuallyDrop::into_inner(kept));
    drop(suppressed);
    local::with_attached(|thread| {
        let _suppressed = local::suppress();
        thread.session.note_name(thread.id, clock::ticks(), name.to_owned());
    });
}

/// The name that the calling thread was given.
pub(crate) fn given() -> Option<ThreadName> {
    let given = GIVEN.take();
    let name = given.as_deref().map(|name| ThreadName::new(name.as_bytes()));
    GIVEN.set(given);
    name
}

/// Frees the name that was given: the calling thread ends.
pub(crate) fn forget() {
    drop(ManuallyDrop::into_inner(GIVEN.take()));
}

/// The calling thread's name, for a state that is about to be made. In a signal handler the
/// kernel's is taken instead of Rust's, as reading Rust's may allocate.
pub(crate) fn for_new_state(may_allocate: bool) -> ThreadName {
    let rusts = || rust_name().map(|name| ThreadName::new(name.as_bytes()));
    let of_system = || if may_allocate { rusts() } else { kernel_name() };
    given().or_else(of_system).unwrap_or_default()
}

/// Where the name of an attached thread comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameSource {
    /// Only a name that it was given.
    Given,
    /// Rust, if it was given no name.
    Rust,
}

/// Tells the collector the calling thread's name, if its state has another one. Not in signal
/// handlers.
pub(crate) fn update(thread: &RecordingThread, source: NameSource) {
    let rusts = || rust_name().map(|name| ThreadName::new(name.as_bytes()));
    let name = given().or_else(|| if source == NameSource::Rust { rusts() } else { None });
    if let Some(name) = name.filter(|name| name.as_bytes() != thread.identity.name.as_bytes()) {
        let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
        thread.session.note_name(thread.id, clock::ticks(), name);
    }
}

/// The calling thread's name in Rust. May allocate.
pub(crate) fn rust_name() -> Option<String> {
    if is_nameless() { None } else { std::thread::current().name().map(str::to_owned) }
}

/// Whether the calling thread has no name, or its name is gone: in a destructor of a POSIX thread
/// key, Rust's own state may be gone, and `thread::current` would panic. A scope has the thread
/// without panicking, and prints it.
fn is_nameless() -> bool {
    let scope = std::thread::scope(|scope| format!("{scope:?}"));
    scope.contains("main_thread: ") && !scope.contains("name: Some(")
}

/// The calling thread's name in the kernel: the first 15 bytes of Rust's name, or, if it was given
/// none, the name of the thread that made it.
#[cfg(target_os = "linux")]
fn kernel_name() -> Option<ThreadName> {
    if local::system_id() == u64::from(std::process::id()) {
        // Rust's name of the main thread; the kernel has the program's name for it.
        return Some(ThreadName::new(b"main"));
    }
    let mut name = [0_u8; 16];
    // SAFETY: the option wants a place for 16 bytes.
    let failed = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    (failed == 0).then(|| ThreadName::new(name))
}

/// The kernel is not asked.
#[cfg(not(target_os = "linux"))]
fn kernel_name() -> Option<ThreadName> {
    None
}
