//! What an async task waits for: told by the stack in which a waker of it was last taken.
//!
//! Such a stack goes from the leaf, a timer or a lock of a library, out through the state machines
//! of all futures that await it. As for threads, the outermost function of the libraries between
//! the leaf and the program's own code says most: a mutex is built on a semaphore.

use super::names::{own_name, path_of};
use super::{is_plumbing, place, site};
use crate::symbols::Frame;

/// What kind of thing is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Awaited {
    /// A mutex that another task holds.
    Mutex,
    /// A lock of which there are many readers or one writer.
    RwLock,
    /// Permits that others hold.
    Semaphore,
    /// Room in a channel.
    ChannelSend,
    /// A message from a channel.
    ChannelReceive,
    /// A single value or its sender's end.
    Oneshot,
    /// To be notified.
    Notify,
    /// The other tasks at a barrier.
    Barrier,
    /// A value that another task initialises.
    Once,
    /// Another task's end, or that of a blocking call elsewhere.
    Join,
    /// Time to pass.
    Timer,
    /// Readiness of a socket or another descriptor.
    Socket,
    /// A file, by way of threads that may block.
    File,
    /// A pipe, in memory or of the system.
    Pipe,
    /// Another process.
    Process,
    /// A signal.
    Signal,
    /// Nothing: it gave way to others.
    Yield,
    /// Something that can't be told.
    Unknown,
}

/// What a runtime itself saw to as it woke a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// A descriptor was ready.
    Io,
    /// Time was up.
    Time,
    /// One of the two.
    Either,
}

/// What is awaited, and of which library it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Await {
    /// What kind of thing.
    pub awaited: Awaited,
    /// The library's name; empty if it can't be told.
    pub library: &'static str,
}

impl Awaited {
    /// A short name, for people and programs, stable between versions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RwLock => "rwlock",
            Self::Semaphore => "semaphore",
            Self::ChannelSend => "channel send",
            Self::ChannelReceive => "channel receive",
            Self::Oneshot => "oneshot",
            Self::Notify => "notify",
            Self::Barrier => "barrier",
            Self::Once => "once",
            Self::Join => "join",
            Self::Timer => "timer",
            Self::Socket => "socket",
            Self::File => "file",
            Self::Pipe => "pipe",
            Self::Process => "process",
            Self::Signal => "signal",
            Self::Yield => "yield",
            Self::Unknown => "unknown",
        }
    }

    /// Whether another task holds what is awaited, and gives it up.
    #[must_use]
    pub const fn is_lock(self) -> bool {
        matches!(self, Self::Mutex | Self::RwLock | Self::Semaphore | Self::Once)
    }

    /// Whether to wait so is how a task rests, rather than what holds it up.
    #[must_use]
    pub const fn is_rest(self) -> bool {
        matches!(self, Self::Timer | Self::Yield | Self::Signal | Self::Notify)
    }

    /// Whether a runtime's own thread ends such a wait between polls: as time is up, or as the
    /// system tells that a descriptor is ready.
    #[must_use]
    pub const fn is_for_runtime(self) -> bool {
        matches!(self, Self::Timer | Self::Socket | Self::Pipe | Self::Process | Self::Signal)
    }
}

impl Driver {
    /// Whether it ends a wait for this.
    pub(crate) const fn ends(self, awaited: Awaited) -> bool {
        let is_time = matches!(awaited, Awaited::Timer);
        match self {
            Self::Time => is_time,
            Self::Io => awaited.is_for_runtime() && !is_time,
            Self::Either => awaited.is_for_runtime(),
        }
    }
}

impl Await {
    /// What can't be told.
    pub const UNKNOWN: Self = Self { awaited: Awaited::Unknown, library: "" };

    /// The end of a poll that kept the task's runtime: nothing that the task itself awaits.
    pub(crate) const HELD_UP: Self = Self { awaited: Awaited::Unknown, library: "runtime" };

    /// Its name with the library's: `tokio mutex`.
    #[must_use]
    pub fn name(self) -> String {
        match self.library {
            "" => self.awaited.name().to_owned(),
            library => format!("{library} {}", self.awaited.name()),
        }
    }
}

/// A function that says what its caller awaits.
struct Rule {
    /// Its path begins so.
    path: &'static str,
    /// The function's own name begins with one of these; empty for any function.
    functions: &'static [&'static str],
    awaited: Awaited,
    library: &'static str,
}

macro_rules! rules {
    ($($library:literal { $($path:literal [$($function:literal),*] $awaited:ident;)* })*) => {
        /// The first that fits a function is its meaning.
        const RULES: &[Rule] = &[$($(Rule {
            path: $path,
            functions: &[$($function),*],
            awaited: Awaited::$awaited,
            library: $library,
        }),*),*];
    };
}

// The library, the path, the functions (none: any), the meaning. A timeout has no rule: around
// something else it says nothing, and alone there is the timer's.
rules! {
    "tokio" {
        "tokio::sync::mutex" [] Mutex;
        "tokio::sync::rwlock" [] RwLock;
        "tokio::sync::batch_semaphore" [] Semaphore;
        "tokio::sync::semaphore" [] Semaphore;
        "tokio::sync::notify" [] Notify;
        "tokio::sync::barrier" [] Barrier;
        "tokio::sync::once_cell" [] Once;
        "tokio::sync::set_once" [] Once;
        "tokio::sync::oneshot" [] Oneshot;
        "tokio::sync::watch" [] ChannelReceive;
        "tokio::sync::broadcast" [] ChannelReceive;
        "tokio::sync::mpsc" ["send", "reserve", "closed"] ChannelSend;
        "tokio::sync::mpsc" [] ChannelReceive;
        "tokio::time::sleep" [] Timer;
        "tokio::time::interval" [] Timer;
        "tokio::runtime::time" [] Timer;
        "tokio::task::yield_now" [] Yield;
        "tokio::task::coop" [] Yield;
        "tokio::task::join_set" [] Join;
        "tokio::runtime::task::join" [] Join;
        "tokio::net::unix::pipe" [] Pipe;
        "tokio::io::util::mem" [] Pipe;
        "tokio::net" [] Socket;
        "tokio::io::async_fd" [] Socket;
        "tokio::runtime::io" [] Socket;
        "tokio::process" [] Process;
        "tokio::signal" [] Signal;
        "tokio::fs" [] File;
        "tokio::io::blocking" [] File;
    }
    "async-io" {
        "async_io::Timer" [] Timer;
        "async_io::driver" [] Socket;
        "async_io::reactor" [] Socket;
        "async_io::" [] Socket;
        "async_net::" [] Socket;
    }
    "smol" {
        "smol::" ["timer"] Timer;
        "blocking::" [] File;
        "async_fs::" [] File;
        "async_process::" [] Process;
        "async_signal::" [] Signal;
        "async_task::" [] Join;
    }
    "async-lock" {
        "async_lock::mutex" [] Mutex;
        "async_lock::rwlock" [] RwLock;
        "async_lock::semaphore" [] Semaphore;
        "async_lock::barrier" [] Barrier;
        "async_lock::once_cell" [] Once;
    }
    "async-channel" {
        "async_channel::Send" [] ChannelSend;
        "async_channel::Sender" [] ChannelSend;
        "async_channel::" ["send"] ChannelSend;
        "async_channel::" [] ChannelReceive;
    }
    "flume" {
        "flume::async::Send" [] ChannelSend;
        "flume::async" [] ChannelReceive;
    }
    "event-listener" {
        "event_listener::" [] Notify;
        "event_listener_strategy::" [] Notify;
    }
    "futures" {
        "futures_channel::oneshot" [] Oneshot;
        "futures_channel::mpsc::Sender" [] ChannelSend;
        "futures_channel::mpsc" ["poll_ready", "poll_flush", "poll_unparked"] ChannelSend;
        "futures_channel::mpsc" [] ChannelReceive;
        "futures_util::lock::mutex" [] Mutex;
        "futures_timer::" [] Timer;
        "futures_lite::future" ["yield_now"] Yield;
        "futures_lite::future::YieldNow" [] Yield;
    }
}

/// Functions in which runtimes wake tasks of themselves: the path, and how their own names begin
/// (none: any). A driver of one kind calls the other's, so the innermost function tells.
const DRIVERS: &[(&str, &[&str], Driver)] = &[
    ("tokio::runtime::io::scheduled_io", &[], Driver::Io),
    ("tokio::runtime::time", &["process", "fire"], Driver::Time),
    ("tokio::runtime::time_alt", &["wake"], Driver::Time),
    ("async_io::reactor", &["react"], Driver::Either),
];

/// Where runtimes call sockets and pipes that never block: they wait for readiness elsewhere.
const NEVER_BLOCK: &[&str] = &[
    "mio::",
    "tokio::net",
    "tokio::io::poll_evented",
    "tokio::io::async_fd",
    "tokio::runtime::io",
    "async_io::",
];

/// Whether a read or a write in this stack, innermost frame first, comes back at once if it would
/// have to wait.
pub(crate) fn never_blocks(frames: &[Frame<'_>]) -> bool {
    frames.iter().take_while(|frame| is_plumbing(frame)).any(|frame| {
        let (path, file) = (path_of(&frame.name), path_of_file(frame.file));
        NEVER_BLOCK.iter().any(|start| is_in(path, start) || is_in(&file, start))
    })
}

/// What is awaited in a stack, innermost frame first.
#[must_use]
pub fn awaited(frames: &[Frame<'_>]) -> Await {
    let own = frames.iter().position(is_own).unwrap_or(frames.len());
    let mut rules = frames[..own].iter().rev().filter_map(rule);
    // Notifications are what all else is made of.
    let telling = rules.clone().find(|rule| rule.library != "event-listener");
    let Some(found) = telling.or_else(|| rules.clone().next()) else { return Await::UNKNOWN };
    // Room in a channel is a number of permits, and messages are not: where the body of `send` was
    // inlined and has no name left, this tells it from `recv`.
    let is_for_room = found.awaited == Awaited::ChannelReceive
        && rules.any(|rule| rule.library == found.library && rule.awaited == Awaited::Semaphore);
    let awaited = if is_for_room { Awaited::ChannelSend } else { found.awaited };
    Await { awaited, library: found.library }
}

/// What a runtime saw to as it woke a task in this stack, innermost frame first; `None` if it was
/// somebody else who did so.
pub(crate) fn driver(frames: &[Frame<'_>]) -> Option<Driver> {
    frames.iter().find_map(|frame| {
        let (path, function) = (path_of(&frame.name), own_name(&frame.name));
        let file = path_of_file(frame.file);
        let is_of = |&&(start, functions, _): &&(&str, &[&str], Driver)| {
            (is_in(path, start) || is_in(&file, start))
                && (functions.is_empty() || functions.iter().any(|it| function.starts_with(it)))
        };
        DRIVERS.iter().find(is_of).map(|(_, _, driver)| *driver)
    })
}

/// The place in the program where something is awaited: the innermost function that is neither a
/// library's that programs wait in nor of a package from elsewhere; else the former alone.
#[must_use]
pub fn await_site<'f, 's>(frames: &'f [Frame<'s>]) -> Option<&'f Frame<'s>> {
    frames.iter().find(|frame| is_own(frame)).or_else(|| site(frames))
}

/// The function that stands for a stack: its [`await_site`], or as of any stack ([`place`]).
#[must_use]
pub fn await_place<'f, 's>(frames: &'f [Frame<'s>]) -> Option<&'f Frame<'s>> {
    await_site(frames).or_else(|| place(frames))
}

/// A function's name as people wrote it: an `async` function's body, where things are awaited, is a
/// closure in it.
#[must_use]
pub fn without_closures(name: &str) -> &str {
    let mut name = name;
    while let Some((rest, last)) = name.rsplit_once("::") {
        // As `{closure#0}`, `{{closure}}` and `{async_fn#0}`.
        if !last.starts_with('{') {
            break;
        }
        name = rest;
    }
    name
}

fn rule(frame: &Frame<'_>) -> Option<&'static Rule> {
    let (path, function) = (path_of(&frame.name), own_name(&frame.name));
    let file = path_of_file(frame.file);
    RULES.iter().find(|rule| {
        let is_function = rule.functions.is_empty()
            || rule.functions.iter().any(|start| function.starts_with(start));
        is_function && (is_in(path, rule.path) || is_in(&file, rule.path))
    })
}

/// The path of a package's file: `tokio::sync::mutex` of `/r/tokio-1.0.0/src/sync/mutex.rs`. Of
/// what the compiler inlined there may be lines and no paths.
fn path_of_file(file: &str) -> String {
    let Some((folder, inner)) = file.rsplit_once("/src/") else { return String::new() };
    let folder = folder.rsplit('/').next().unwrap_or_default();
    let is_version = |at: &usize| folder[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let Some(at) = folder.match_indices('-').map(|(at, _)| at).find(is_version) else {
        return String::new();
    };
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let inner = inner.strip_suffix("/mod").unwrap_or(inner).replace('/', "::");
    format!("{}::{inner}", folder[..at].replace('-', "_"))
}

/// Whether a path begins so, at a joint: `tokio::net` is not in `tokio::network`.
fn is_in(path: &str, start: &str) -> bool {
    let rest = path.strip_prefix(start);
    rest.is_some_and(|rest| rest.is_empty() || start.ends_with("::") || rest.starts_with("::"))
}

/// Whether a function is the program's own: of no library, and of no package from elsewhere.
pub(crate) fn is_own(frame: &Frame<'_>) -> bool {
    // The last are the standard library's own packages.
    const ELSEWHERE: [&str; 4] = ["/registry/src/", "/git/checkouts/", "/vendor/", "/rust/deps/"];
    let is_package = ELSEWHERE.iter().any(|folder| frame.file.contains(folder));
    frame.named && !is_package && !is_plumbing(frame)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn stack(names: &[&'static str]) -> Vec<Frame<'static>> {
        let frame = |name: &&'static str| {
            let (name, file) = name.split_once(" @ ").unwrap_or((name, ""));
            let name = Cow::Borrowed(name);
            Frame { address: 1, name, file, line: 1, module: "", inlined: false, named: true }
        };
        names.iter().map(frame).collect()
    }

    const APP: &str = "app::handler::{closure#0} @ src/handler.rs";

    #[track_caller]
    fn check(names: &[&'static str], expected: &str, place: &str) {
        let frames = stack(names);
        assert_eq!(awaited(&frames).name(), expected);
        assert_eq!(await_site(&frames).map_or("", |frame| &frame.name), place);
    }

    #[test]
    fn the_outermost_function_of_the_libraries_says_what_is_awaited() {
        let acquire = "<tokio::sync::batch_semaphore::Acquire as core::future::Future>::poll";
        let clone = "<core::task::wake::Waker as core::clone::Clone>::clone";
        check(
            &[clone, acquire, "<tokio::sync::mutex::Mutex<u8>>::lock::{closure#0}", APP],
            "tokio mutex",
            "app::handler::{closure#0}",
        );
        check(
            &[acquire, "<tokio::sync::mpsc::bounded::Sender<u8>>::send::{closure#0}", APP],
            "tokio channel send",
            "app::handler::{closure#0}",
        );
        check(&[acquire, APP], "tokio semaphore", "app::handler::{closure#0}");
        let timeout = "<tokio::time::timeout::Timeout<F> as core::future::Future>::poll";
        check(&[acquire, timeout, APP], "tokio semaphore", "app::handler::{closure#0}");
        let sleep = "<tokio::time::sleep::Sleep as core::future::Future>::poll";
        check(&[clone, sleep, timeout, APP], "tokio timer", "app::handler::{closure#0}");
        check(
            &[
                "tokio::runtime::io::scheduled_io::ScheduledIo::poll_readiness",
                "<hyper::proto::h1::Conn>::poll @ /r/registry/src/index-1/hyper-1.0/src/h1.rs",
                APP,
            ],
            "tokio socket",
            "app::handler::{closure#0}",
        );
        check(
            &[
                "event_listener::sys::InnerListener::register",
                "<async_lock::mutex::AcquireSlow<T> as core::future::Future>::poll",
                APP,
            ],
            "async-lock mutex",
            "app::handler::{closure#0}",
        );
        check(
            &["event_listener::EventListener::poll", APP],
            "event-listener notify",
            "app::handler::{closure#0}",
        );
    }

    #[test]
    fn room_in_a_channel_is_permits_whatever_the_function_is_called() {
        let acquire = "<tokio::sync::batch_semaphore::Acquire as core::future::Future>::poll";
        let nameless = "tokio::sync::mpsc::bounded::{async_fn#0}";
        let (wait, place) = ("tokio channel send", "app::handler::{closure#0}");
        check(&[acquire, nameless, nameless, APP], wait, place);
        check(
            &["tokio::sync::mpsc::chan::Rx::recv", nameless, APP],
            "tokio channel receive",
            place,
        );
    }

    #[test]
    fn what_was_inlined_is_known_by_its_file() {
        let mutex = "poll @ /r/registry/src/index-1/tokio-1.48.0/src/sync/mutex.rs";
        check(&[mutex, "app::f"], "tokio mutex", "app::f");
        let paths = [
            ("/r/async-io-2.0/src/driver/mod.rs", "async_io::driver"),
            ("/x/tokio/src/sync/mutex.rs", ""),
            ("src/main.rs", ""),
        ];
        for (file, path) in paths {
            assert_eq!(path_of_file(file), path, "{file}");
        }
    }

    #[test]
    fn the_body_of_an_async_function_has_its_name() {
        for (name, shown) in [
            ("app::f::{closure#0}", "app::f"),
            ("app::f::{{closure}}::{{closure}}", "app::f"),
            ("app::f::{closure_env#0}<u8>", "app::f"),
            ("app::f::{async_block#1}::{closure#0}", "app::f"),
            ("f::{async_fn#0}", "f"),
            ("<app::S<T> as app::A>::f", "<app::S<T> as app::A>::f"),
            ("{closure#0}", "{closure#0}"),
        ] {
            assert_eq!(without_closures(name), shown);
        }
    }

    #[test]
    fn what_no_library_explains_is_unknown() {
        check(
            &["app::Leaf::poll", "tokio::sync::mutex::Mutex::lock"],
            "unknown",
            "app::Leaf::poll",
        );
        check(&["tokio::network::wait"], "unknown", "");
        check(&[], "unknown", "");
        let hyper = "<hyper::Conn>::poll @ /r/registry/src/index-1/hyper-1.0/src/h1.rs";
        check(&["tokio::net::tcp::TcpStream::read", hyper], "tokio socket", "<hyper::Conn>::poll");
    }
}
