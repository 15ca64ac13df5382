//! What threads are called: names they are given for the trace, by whoever knows better than the
//! system what a thread is for, as an executor does of its workers; Rust's names; the kernel's.
//!
//! A given name stays with its thread, so that later traces have it, too. Where a name is kept, no
//! destructor is registered and nothing is allocated when it is read: a thread's first event may
//! come in a signal handler that has interrupted the allocator.
//!
//! Elsewhere: when a thread is asked (`local`).
//!
//! May contain `unsafe`: it asks the kernel.

use crate::sys::clock;
use crate::thread::Thread;
use crate::thread::local;
use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use trace_format::value::Text;

thread_local! {
    /// Freed by [`forget`], for a destructor would have to be registered.
    static GIVEN: Cell<ManuallyDrop<Option<Box<str>>>> =
        const { Cell::new(ManuallyDrop::new(None)) };
}

/// The most bytes of a task's name that are kept, and of a thread's.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// A name, cut at [`NAME_BYTES_MAX`] bytes; without memory of its own.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    len: u16,
    bytes: [u8; NAME_BYTES_MAX],
}

impl Name {
    /// What is longer is cut.
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

impl Default for Name {
    fn default() -> Self {
        Self { len: 0, bytes: [0; NAME_BYTES_MAX] }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

/// Gives the calling thread a name: in the trace that runs, from now on, and in those to come.
pub fn name_thread(name: &str) {
    // What this allocates is the recorder's, not the program's.
    let quiet = local::quiet();
    local::watch_exit();
    let kept = GIVEN.replace(ManuallyDrop::new(Some(name.into())));
    drop(ManuallyDrop::into_inner(kept));
    drop(quiet);
    local::with_attached(|thread| {
        let _quiet = local::quiet();
        thread.session.note_name(thread.id, clock::ticks(), name.to_owned());
    });
}

/// What the calling thread was given.
pub(crate) fn given() -> Option<Name> {
    let given = GIVEN.take();
    let name = given.as_deref().map(|name| Name::new(name.as_bytes()));
    GIVEN.set(given);
    name
}

/// The calling thread ends.
pub(crate) fn forget() {
    drop(ManuallyDrop::into_inner(GIVEN.take()));
}

/// What the calling thread is called, for a state that is about to be made. In a signal handler
/// Rust is not asked, for that may allocate.
pub(crate) fn own(may_allocate: bool) -> Name {
    let rusts = || own_name().map(|name| Name::new(name.as_bytes()));
    let of_system = || if may_allocate { rusts() } else { kernels() };
    given().or_else(of_system).unwrap_or_default()
}

/// Who is asked for the name of a thread that has been attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Only the one it was given.
    Given,
    /// Rust, if it was given none.
    Rust,
}

/// By ordinary code of a thread that was attached: tells its name if its state has another.
pub(crate) fn tell(thread: &Thread, ask: Ask) {
    let rusts = || own_name().map(|name| Name::new(name.as_bytes()));
    let name = given().or_else(|| if ask == Ask::Rust { rusts() } else { None });
    if let Some(name) = name.filter(|name| name.as_bytes() != thread.identity.name.as_bytes()) {
        let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
        thread.session.note_name(thread.id, clock::ticks(), name);
    }
}

/// The calling thread's name, as Rust has it. May allocate.
pub(crate) fn own_name() -> Option<String> {
    if is_nameless() { None } else { std::thread::current().name().map(str::to_owned) }
}

/// Whether the calling thread has no name, or none any more: in a destructor of one of the system's
/// thread keys Rust's own state may be gone, and `thread::current` would panic there. A scope knows
/// the thread without panicking, and tells when it is printed.
fn is_nameless() -> bool {
    let scope = std::thread::scope(|scope| format!("{scope:?}"));
    scope.contains("main_thread: ") && !scope.contains("name: Some(")
}

/// The calling thread's name, as the kernel has it: the first 15 bytes of what Rust has, or that of
/// the thread it was made by, if it was never given one.
#[cfg(target_os = "linux")]
fn kernels() -> Option<Name> {
    if local::system_id() == u64::from(std::process::id()) {
        // Rust calls it so; the kernel has the program's name there.
        return Some(Name::new(b"main"));
    }
    let mut name = [0_u8; 16];
    // SAFETY: the option wants a place for 16 bytes.
    let failed = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    (failed == 0).then(|| Name::new(name))
}

/// The kernel is not asked.
#[cfg(not(target_os = "linux"))]
fn kernels() -> Option<Name> {
    None
}
