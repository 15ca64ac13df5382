//! Which functions of which libraries mean what when a thread waits in them, and which functions
//! of a stack are libraries' plumbing rather than the program's.
//!
//! Functions are known by their path, `std::sys::sync::mutex::futex::Mutex::lock_contended`, or,
//! where the compiler inlined them and kept only lines, by their short name and their file. The
//! names below were taken from stacks of real programs, built with and without optimisation.

use super::Reason;
use crate::symbols::{Frame, is_std};

/// A function that says why its caller waits.
struct Rule {
    /// Its path begins so.
    path: &'static str,
    /// Or its file contains this, and then this.
    file: (&'static str, &'static str),
    /// The function's own name begins with one of these; empty for any function.
    functions: &'static [&'static str],
    reason: Reason,
    /// Whether the futex belongs to what is waited for; else it is the waiting thread's own.
    named: bool,
}

/// The futex belongs to what is waited for, or to the waiting thread.
const NAMED: bool = true;
const OWN: bool = false;

const STD: &str = "/std/src/";
const PARKING_LOT: &str = "/parking_lot-";
const PARKING_LOT_CORE: &str = "/parking_lot_core-";
const LOCK_API: &str = "/lock_api-";
const CROSSBEAM: &str = "/crossbeam-channel-";
const CROSSBEAM_UTILS: &str = "/crossbeam-utils-";
const FLUME: &str = "/flume-";
const ASYNC_CHANNEL: &str = "/async-channel-";
const PARKING: &str = "/parking-";
const TOKIO: &str = "/tokio-";
const FUTURES: &str = "/futures-executor-";
const POLLSTER: &str = "/pollster-";
const RAYON: &str = "/rayon-core-";

macro_rules! rules {
    ($(
        $folder:ident $path:literal $file:literal [$($function:literal),*]
        $reason:ident $whose:ident;
    )*) => {
        /// The first that fits a function is its meaning.
        const RULES: &[Rule] = &[$(Rule {
            path: $path,
            file: ($folder, $file),
            functions: &[$($function),*],
            reason: Reason::$reason,
            named: $whose,
        }),*];
    };
}

// Where the sources are, the path, the file's end or part, the functions (none: any), the meaning.
rules! {
    STD "std::sys::sync::mutex" "sys/sync/mutex/" [] Mutex NAMED;
    STD "std::sys::sync::rwlock" "sys/sync/rwlock/" ["read"] RwLockRead NAMED;
    STD "std::sys::sync::rwlock" "sys/sync/rwlock/" ["write"] RwLockWrite NAMED;
    STD "std::sys::sync::condvar" "sys/sync/condvar/" [] Condvar NAMED;
    STD "std::sys::sync::once" "sys/sync/once/" [] Once NAMED;
    STD "std::sys::sync::thread_parking" "sys/sync/thread_parking/" [] Park OWN;
    STD "std::sync::barrier" "sync/barrier.rs" [] Barrier NAMED;
    STD "std::sync::mpmc" "sync/mpmc/" ["send"] ChannelSend OWN;
    STD "std::sync::mpmc" "sync/mpmc/" [] ChannelReceive OWN;
    STD "std::sync::mpsc" "sync/mpsc" ["send"] ChannelSend OWN;
    STD "std::sync::mpsc" "sync/mpsc" [] ChannelReceive OWN;
    STD "std::thread::scoped" "thread/scoped.rs" [] Join OWN;
    STD "std::process" "src/process.rs" ["output", "wait_with_output"] Process OWN;
    PARKING_LOT_CORE "parking_lot_core::" "/src/" [] Park OWN;
    PARKING_LOT "parking_lot::raw_mutex" "raw_mutex.rs" [] Mutex OWN;
    LOCK_API "lock_api::mutex" "/mutex.rs" ["lock"] Mutex OWN;
    LOCK_API "lock_api::remutex" "/remutex.rs" ["lock"] Mutex OWN;
    PARKING_LOT "parking_lot::raw_rwlock" "raw_rwlock.rs" ["lock_shared"] RwLockRead OWN;
    PARKING_LOT "parking_lot::raw_rwlock" "raw_rwlock.rs" ["lock_upgradable"] RwLockRead OWN;
    PARKING_LOT "parking_lot::raw_rwlock" "raw_rwlock.rs" ["lock_exclusive"] RwLockWrite OWN;
    PARKING_LOT "parking_lot::raw_rwlock" "raw_rwlock.rs" ["wait_for_readers"] RwLockWrite OWN;
    PARKING_LOT "parking_lot::raw_rwlock" "raw_rwlock.rs" ["upgrade"] RwLockWrite OWN;
    LOCK_API "lock_api::rwlock" "/rwlock.rs" ["read", "upgradable_read"] RwLockRead OWN;
    LOCK_API "lock_api::rwlock" "/rwlock.rs" ["write", "upgrade"] RwLockWrite OWN;
    PARKING_LOT "parking_lot::condvar" "condvar.rs" [] Condvar OWN;
    PARKING_LOT "parking_lot::once" "once.rs" [] Once OWN;
    CROSSBEAM "crossbeam_channel::" "/src/" ["send"] ChannelSend OWN;
    CROSSBEAM "crossbeam_channel::" "/src/" [] ChannelReceive OWN;
    CROSSBEAM_UTILS "crossbeam_utils::sync::parker" "parker.rs" [] Park OWN;
    CROSSBEAM_UTILS "crossbeam_utils::sync::wait_group" "wait_group.rs" [] Barrier NAMED;
    FLUME "flume::" "/src/" ["send", "wait_send"] ChannelSend OWN;
    FLUME "flume::" "/src/" [] ChannelReceive OWN;
    ASYNC_CHANNEL "async_channel::" "/src/" ["send"] ChannelSend OWN;
    ASYNC_CHANNEL "async_channel::" "/src/" ["recv"] ChannelReceive OWN;
    PARKING "parking::" "/src/" [] Park OWN;
    TOKIO "tokio::runtime::scheduler::multi_thread::park" "multi_thread/park.rs" [] Worker OWN;
    TOKIO "tokio::runtime::scheduler::multi_thread::worker" "multi_thread/worker.rs" [] Worker OWN;
    TOKIO "tokio::runtime::scheduler::current_thread" "current_thread/" ["block_on"] Future OWN;
    TOKIO "tokio::runtime::scheduler::current_thread" "current_thread/" ["park"] Worker OWN;
    TOKIO "tokio::runtime::blocking::pool" "blocking/pool.rs" ["shutdown", "drop"] Join OWN;
    TOKIO "tokio::runtime::blocking::pool" "blocking/pool.rs" ["run", "wait"] Worker OWN;
    TOKIO "tokio::runtime::" "/runtime/" ["block_on"] Future OWN;
    TOKIO "tokio::runtime::park" "runtime/park.rs" [] Park OWN;
    TOKIO "tokio::sync::" "/sync/" ["blocking_send"] ChannelSend OWN;
    TOKIO "tokio::sync::" "/sync/" ["blocking_recv"] ChannelReceive OWN;
    TOKIO "tokio::sync::mutex" "sync/mutex.rs" ["blocking_lock"] Mutex OWN;
    TOKIO "tokio::sync::rwlock" "sync/rwlock.rs" ["blocking_read"] RwLockRead OWN;
    TOKIO "tokio::sync::rwlock" "sync/rwlock.rs" ["blocking_write"] RwLockWrite OWN;
    FUTURES "futures_executor::" "/src/" [] Future OWN;
    POLLSTER "pollster::" "/src/" [] Future OWN;
    RAYON "rayon_core::sleep" "/sleep/" [] Worker NAMED;
    RAYON "rayon_core::latch" "/latch.rs" [] Join NAMED;
}

/// Libraries that programs wait in: as a path begins, and as their folder is called.
const LIBRARIES: &[(&str, &str)] = &[
    ("parking_lot::", PARKING_LOT),
    ("parking_lot_core::", PARKING_LOT_CORE),
    ("lock_api::", LOCK_API),
    ("crossbeam_channel::", CROSSBEAM),
    ("crossbeam_utils::", CROSSBEAM_UTILS),
    ("flume::", FLUME),
    ("async_channel::", ASYNC_CHANNEL),
    ("event_listener::", "/event-listener-"),
    ("event_listener_strategy::", "/event-listener-strategy-"),
    ("parking::", PARKING),
    ("once_cell::", "/once_cell-"),
    ("tokio::", TOKIO),
    ("mio::", "/mio-"),
    ("futures_executor::", FUTURES),
    ("futures_util::", "/futures-util-"),
    ("futures_core::", "/futures-core-"),
    ("pollster::", POLLSTER),
    ("rayon_core::", RAYON),
    ("rayon::", "/rayon-"),
    ("tokio_stream::", "/tokio-stream-"),
    ("tokio_util::", "/tokio-util-"),
    ("async_io::", "/async-io-"),
    ("async_net::", "/async-net-"),
    ("async_fs::", "/async-fs-"),
    ("async_lock::", "/async-lock-"),
    ("async_task::", "/async-task-"),
    ("async_executor::", "/async-executor-"),
    ("async_process::", "/async-process-"),
    ("async_signal::", "/async-signal-"),
    ("blocking::", "/blocking-"),
    ("smol::", "/smol-"),
    ("futures_channel::", "/futures-channel-"),
    ("futures_lite::", "/futures-lite-"),
    ("futures_timer::", "/futures-timer-"),
    ("pin_project_lite::", "/pin-project-lite-"),
];

/// Why the caller of these functions waits, as far as a library tells: of those that stand between
/// the wait and the program's own code the outermost that means something, as a channel is built
/// on parking. And whether the futex belongs to what is waited for.
pub(super) fn meaning(frames: &[Frame<'_>]) -> Option<(Reason, bool)> {
    let plumbing = frames.iter().take_while(|frame| is_plumbing(frame));
    let mut found: Option<&Rule> = None;
    for frame in plumbing {
        let (path, function) = split(&frame.name);
        let rule = RULES.iter().find(|rule| rule.fits(path, function, frame.file));
        // A closure inside `send` has no name of its own; it must not turn it into receiving.
        let is_vague = |rule: &Rule| rule.functions.is_empty();
        match (rule, found) {
            (Some(rule), Some(before)) if is_vague(rule) && is_channel(before) => {}
            // The lock inside a channel is held for a moment, whether there is room or not.
            (Some(rule), Some(before)) if is_of_channel(rule) && before.reason.is_lock() => {}
            (Some(rule), _) => found = Some(rule),
            (None, _) => {}
        }
    }
    found.map(|rule| (rule.reason, rule.named))
}

/// The place in the program where a wait, a call or a wake was made: the innermost function that
/// is neither the standard library's nor a library's that programs wait in.
#[must_use]
pub fn site<'f, 's>(frames: &'f [Frame<'s>]) -> Option<&'f Frame<'s>> {
    frames.iter().find(|frame| !is_plumbing(frame))
}

/// The function that stands for a stack: its [`site`]; of a stack without any of the program's code
/// the innermost function of a library that is not the standard library, else the innermost of all.
#[must_use]
pub fn place<'f, 's>(frames: &'f [Frame<'s>]) -> Option<&'f Frame<'s>> {
    let library = || frames.iter().find(|frame| !is_of_system(frame));
    site(frames).or_else(library).or(frames.first())
}

/// Whether a stack is inside tokio's `block_in_place`: then the thread's other tasks have gone to
/// another worker, and to block is right.
#[must_use]
pub fn blocks_in_place(frames: &[Frame<'_>]) -> bool {
    frames.iter().any(|frame| {
        let (path, function) = split(&frame.name);
        let is_tokio = path.starts_with("tokio::") || is_in_package(frame.file, TOKIO);
        is_tokio && function == "block_in_place"
    })
}

/// Whether a function is the standard library's, libc's, or of a library that programs wait in.
#[must_use]
pub fn is_plumbing(frame: &Frame<'_>) -> bool {
    let path = path_of(&frame.name);
    is_of_system(frame)
        || LIBRARIES.iter().any(|(start, _)| path.starts_with(start))
        || LIBRARIES.iter().any(|(_, folder)| is_in_package(frame.file, folder))
}

/// Whether a function is the standard library's or libc's.
fn is_of_system(frame: &Frame<'_>) -> bool {
    let libc = ["libc.", "libc-", "libpthread", "ld-linux", "ld-musl", "linux-vdso", "[vdso]"];
    let function = own_name(&frame.name);
    is_std(&frame.name)
        || libc.iter().any(|module| frame.module.starts_with(module))
        || is_of_std(frame.file)
        || matches!(function, "_start" | "start_thread" | "clone3" | "__clone3" | "__clone")
}

impl Rule {
    fn fits(&self, path: &str, function: &str, file: &str) -> bool {
        let (first, then) = self.file;
        let is_file = || {
            let found = file.split_once(first).is_some_and(|(_, rest)| rest.contains(then));
            found && (first == STD || is_in_package(file, first))
        };
        let is_function = self.functions.is_empty()
            || self.functions.iter().any(|start| function.starts_with(start));
        is_function && (path.starts_with(self.path) || is_file())
    }
}

fn is_channel(rule: &Rule) -> bool {
    is_of_channel(rule) && !rule.functions.is_empty()
}

fn is_of_channel(rule: &Rule) -> bool {
    matches!(rule.reason, Reason::ChannelSend | Reason::ChannelReceive)
}

/// The standard library's sources, as the compiler names them and as an installation does.
fn is_of_std(file: &str) -> bool {
    let library = |name: &str| file.contains(name);
    file.starts_with("/rustc/")
        || library("/library/std/src/")
        || library("/library/core/src/")
        || library("/library/alloc/src/")
}

/// Whether a file is in a package's folder: its name, a hyphen and a version. `/parking-2.2.1/`
/// is, `/parking-lot/` is not.
fn is_in_package(file: &str, folder: &str) -> bool {
    let mut rest = file;
    while let Some((_, behind)) = rest.split_once(folder) {
        if behind.starts_with(|c: char| c.is_ascii_digit()) {
            return true;
        }
        rest = behind;
    }
    false
}

/// A function's path and its own name:
/// `std::sync::mpmc::list::Channel` and `recv` of `<std::sync::mpmc::list::Channel<u8>>::recv`.
fn split(name: &str) -> (&str, &str) {
    (path_of(name), own_name(name))
}

/// A function's path without type arguments as far as they stand in front.
pub(super) fn path_of(name: &str) -> &str {
    let path = name.trim_start_matches(['<', '&', '*', '(', '[']);
    let path = path.strip_prefix("mut ").or_else(|| path.strip_prefix("dyn ")).unwrap_or(path);
    path.split(['<', ' ', '(', ',', '>']).next().unwrap_or("")
}

/// The last part of a path that is not inside angle brackets, without closures.
pub(super) fn own_name(name: &str) -> &str {
    let (mut depth, mut from, mut to) = (0_u32, 0, name.len());
    let mut last = "";
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'<' => {
                if depth == 0 && at > from {
                    to = to.min(at);
                }
                depth += 1;
            }
            // The arrow of a function type is no bracket.
            b'>' if at > 0 && bytes[at - 1] != b'-' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && bytes.get(at + 1) == Some(&b':') => {
                last = part(name, from, to.min(at), last);
                (from, to) = (at + 2, name.len());
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    part(name, from, to, last)
}

/// What stands there, if it is a name; else what stood before.
fn part<'n>(name: &'n str, from: usize, to: usize, before: &'n str) -> &'n str {
    let found = name.get(from..to).unwrap_or("");
    if found.is_empty() || found.starts_with(['{', '<']) { before } else { found }
}

#[cfg(test)]
mod tests;
