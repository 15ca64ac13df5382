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

const fn rule(
    path: &'static str,
    file: (&'static str, &'static str),
    functions: &'static [&'static str],
    reason: Reason,
    named: bool,
) -> Rule {
    Rule { path, file, functions, reason, named }
}

const STD: &str = "/std/src/";
const PARKING_LOT: &str = "/parking_lot-";
const LOCK_API: &str = "/lock_api-";
const CROSSBEAM: &str = "/crossbeam-channel-";
const TOKIO: &str = "/tokio-";

/// The first that fits a function is its meaning.
#[rustfmt::skip]
const RULES: &[Rule] = &[
    rule("std::sys::sync::mutex", (STD, "sys/sync/mutex/"), &[], Reason::Mutex, true),
    rule("std::sys::sync::rwlock", (STD, "sys/sync/rwlock/"), &["read"], Reason::RwLockRead, true),
    rule("std::sys::sync::rwlock", (STD, "sys/sync/rwlock/"), &["write"], Reason::RwLockWrite, true),
    rule("std::sys::sync::condvar", (STD, "sys/sync/condvar/"), &[], Reason::Condvar, true),
    rule("std::sys::sync::once", (STD, "sys/sync/once/"), &[], Reason::Once, true),
    rule("std::sys::sync::thread_parking", (STD, "sys/sync/thread_parking/"), &[], Reason::Park, false),
    rule("std::sync::barrier", (STD, "sync/barrier.rs"), &[], Reason::Barrier, true),
    rule("std::sync::mpmc", (STD, "sync/mpmc/"), &["send"], Reason::ChannelSend, false),
    rule("std::sync::mpmc", (STD, "sync/mpmc/"), &[], Reason::ChannelReceive, false),
    rule("std::sync::mpsc", (STD, "sync/mpsc"), &["send"], Reason::ChannelSend, false),
    rule("std::sync::mpsc", (STD, "sync/mpsc"), &[], Reason::ChannelReceive, false),
    rule("std::thread::scoped", (STD, "thread/scoped.rs"), &[], Reason::Join, false),
    rule("parking_lot_core::", ("/parking_lot_core-", "/src/"), &[], Reason::Park, false),
    rule("parking_lot::raw_mutex", (PARKING_LOT, "raw_mutex.rs"), &[], Reason::Mutex, false),
    rule("lock_api::mutex", (LOCK_API, "/mutex.rs"), &["lock"], Reason::Mutex, false),
    rule("lock_api::remutex", (LOCK_API, "/remutex.rs"), &["lock"], Reason::Mutex, false),
    rule("parking_lot::raw_rwlock", (PARKING_LOT, "raw_rwlock.rs"), &["lock_shared", "lock_upgradable"], Reason::RwLockRead, false),
    rule("parking_lot::raw_rwlock", (PARKING_LOT, "raw_rwlock.rs"), &["lock_exclusive", "wait_for_readers", "upgrade"], Reason::RwLockWrite, false),
    rule("lock_api::rwlock", (LOCK_API, "/rwlock.rs"), &["read", "upgradable_read"], Reason::RwLockRead, false),
    rule("lock_api::rwlock", (LOCK_API, "/rwlock.rs"), &["write", "upgrade"], Reason::RwLockWrite, false),
    rule("parking_lot::condvar", (PARKING_LOT, "condvar.rs"), &[], Reason::Condvar, false),
    rule("parking_lot::once", (PARKING_LOT, "once.rs"), &[], Reason::Once, false),
    rule("crossbeam_channel::", (CROSSBEAM, "/src/"), &["send"], Reason::ChannelSend, false),
    rule("crossbeam_channel::", (CROSSBEAM, "/src/"), &[], Reason::ChannelReceive, false),
    rule("crossbeam_utils::sync::parker", ("/crossbeam-utils-", "parker.rs"), &[], Reason::Park, false),
    rule("crossbeam_utils::sync::wait_group", ("/crossbeam-utils-", "wait_group.rs"), &[], Reason::Barrier, true),
    rule("flume::", ("/flume-", "/src/"), &["send", "wait_send"], Reason::ChannelSend, false),
    rule("flume::", ("/flume-", "/src/"), &[], Reason::ChannelReceive, false),
    rule("async_channel::", ("/async-channel-", "/src/"), &["send"], Reason::ChannelSend, false),
    rule("async_channel::", ("/async-channel-", "/src/"), &["recv"], Reason::ChannelReceive, false),
    rule("parking::", ("/parking-", "/src/"), &[], Reason::Park, false),
    rule("tokio::runtime::scheduler::multi_thread::park", (TOKIO, "scheduler/multi_thread/park.rs"), &[], Reason::Worker, false),
    rule("tokio::runtime::scheduler::multi_thread::worker", (TOKIO, "scheduler/multi_thread/worker.rs"), &[], Reason::Worker, false),
    rule("tokio::runtime::scheduler::current_thread", (TOKIO, "scheduler/current_thread/"), &["block_on"], Reason::Future, false),
    rule("tokio::runtime::scheduler::current_thread", (TOKIO, "scheduler/current_thread/"), &["park"], Reason::Worker, false),
    rule("tokio::runtime::blocking::pool", (TOKIO, "runtime/blocking/pool.rs"), &["shutdown", "drop"], Reason::Join, false),
    rule("tokio::runtime::blocking::pool", (TOKIO, "runtime/blocking/pool.rs"), &["run", "wait"], Reason::Worker, false),
    rule("tokio::runtime::", (TOKIO, "/runtime/"), &["block_on"], Reason::Future, false),
    rule("tokio::runtime::park", (TOKIO, "runtime/park.rs"), &[], Reason::Park, false),
    rule("tokio::sync::", (TOKIO, "/sync/"), &["blocking_send"], Reason::ChannelSend, false),
    rule("tokio::sync::", (TOKIO, "/sync/"), &["blocking_recv"], Reason::ChannelReceive, false),
    rule("tokio::sync::mutex", (TOKIO, "sync/mutex.rs"), &["blocking_lock"], Reason::Mutex, false),
    rule("tokio::sync::rwlock", (TOKIO, "sync/rwlock.rs"), &["blocking_read"], Reason::RwLockRead, false),
    rule("tokio::sync::rwlock", (TOKIO, "sync/rwlock.rs"), &["blocking_write"], Reason::RwLockWrite, false),
    rule("futures_executor::", ("/futures-executor-", "/src/"), &[], Reason::Future, false),
    rule("pollster::", ("/pollster-", "/src/"), &[], Reason::Future, false),
    rule("rayon_core::sleep", ("/rayon-core-", "/sleep/"), &[], Reason::Worker, true),
    rule("rayon_core::latch", ("/rayon-core-", "/latch.rs"), &[], Reason::Join, true),
];

/// Libraries that programs wait in: as a path begins, and as their folder is called.
const LIBRARIES: &[(&str, &str)] = &[
    ("parking_lot::", PARKING_LOT),
    ("parking_lot_core::", "/parking_lot_core-"),
    ("lock_api::", LOCK_API),
    ("crossbeam_channel::", CROSSBEAM),
    ("crossbeam_utils::", "/crossbeam-utils-"),
    ("flume::", "/flume-"),
    ("async_channel::", "/async-channel-"),
    ("event_listener::", "/event-listener-"),
    ("event_listener_strategy::", "/event-listener-strategy-"),
    ("parking::", "/parking-"),
    ("once_cell::", "/once_cell-"),
    ("tokio::", TOKIO),
    ("mio::", "/mio-"),
    ("futures_executor::", "/futures-executor-"),
    ("futures_util::", "/futures-util-"),
    ("futures_core::", "/futures-core-"),
    ("pollster::", "/pollster-"),
    ("rayon_core::", "/rayon-core-"),
    ("rayon::", "/rayon-"),
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

/// Whether a function is the standard library's, libc's, or of a library that programs wait in.
#[must_use]
pub fn is_plumbing(frame: &Frame<'_>) -> bool {
    let libc = ["libc.", "libc-", "libpthread", "ld-linux", "ld-musl", "linux-vdso", "[vdso]"];
    let (path, function) = split(&frame.name);
    is_std(&frame.name)
        || libc.iter().any(|module| frame.module.starts_with(module))
        || is_of_std(frame.file)
        || LIBRARIES.iter().any(|(start, _)| path.starts_with(start))
        || LIBRARIES.iter().any(|(_, folder)| is_in_package(frame.file, folder))
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
    matches!(rule.reason, Reason::ChannelSend | Reason::ChannelReceive)
        && !rule.functions.is_empty()
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

/// A function's path without type arguments as far as they stand in front, and its own name:
/// `std::sync::mpmc::list::Channel` and `recv` of `<std::sync::mpmc::list::Channel<u8>>::recv`.
fn split(name: &str) -> (&str, &str) {
    let path = name.trim_start_matches(['<', '&', '*', '(', '[']);
    let path = path.strip_prefix("mut ").or_else(|| path.strip_prefix("dyn ")).unwrap_or(path);
    let path = path.split(['<', ' ', '(', ',', '>']).next().unwrap_or("");
    (path, own_name(name))
}

/// The last part of a path that is not inside angle brackets, without closures.
fn own_name(name: &str) -> &str {
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
