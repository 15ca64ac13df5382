//! Why a thread did not go on: the kinds of waiting that are told apart.
//!
//! The recorder sees a system call; what the program meant by it stands in the stack. `names` (a
//! private table) says which functions of which libraries mean what; `awaits` what async tasks
//! wait for, which is seen where wakers are taken.

use trace_format::call::CallClass;
use trace_format::definition::ResourceKind;
use trace_format::id::CallId;

use crate::symbols::Frame;

mod awaits;
mod names;

pub use awaits::{Await, Awaited, await_place, await_site, awaited, without_closures};
pub(crate) use awaits::{Driver, driver, is_own, never_blocks};
pub use names::{blocks_in_place, is_plumbing, place, site};

/// Why a thread waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// For a mutex that another thread held.
    Mutex,
    /// To read what an `RwLock` guards.
    RwLockRead,
    /// To write what an `RwLock` guards.
    RwLockWrite,
    /// For a condition variable's notification.
    Condvar,
    /// For room in a channel.
    ChannelSend,
    /// For a message from a channel.
    ChannelReceive,
    /// For a thread's end.
    Join,
    /// Parked, until another thread unparks it.
    Park,
    /// For the other threads at a barrier.
    Barrier,
    /// For another thread to initialise something: `Once`, `OnceLock`, `LazyLock`.
    Once,
    /// In `block_on`, for a future.
    Future,
    /// A worker thread of a runtime or a pool, without work.
    Worker,
    /// Because it chose to sleep.
    Sleep,
    /// For data from a socket, or a connection to accept.
    SocketRead,
    /// For room in a socket's buffer, or for a connection.
    SocketWrite,
    /// For data from a pipe.
    PipeRead,
    /// For room in a pipe.
    PipeWrite,
    /// For a file's content.
    FileRead,
    /// For a file to take content.
    FileWrite,
    /// For a file's content to reach the disk.
    FileSync,
    /// For a lock on a file.
    FileLock,
    /// For a file to be opened.
    FileOpen,
    /// For a descriptor to be closed.
    FileClose,
    /// For something else about files: names, sizes, folders.
    FileMetadata,
    /// For data from a descriptor of which the trace does not say what it is.
    Read,
    /// For a descriptor to take data, of which the trace does not say what it is.
    Write,
    /// For any of several descriptors: `poll`, `select`, `epoll`.
    Poll,
    /// For another process.
    Process,
    /// For another process to begin its program.
    ProcessStart,
    /// In a futex that no known library explains.
    Futex,
    /// For a page of memory to be read from disk.
    PageFault,
    /// In a system call of another kind.
    OtherCall,
    /// In nothing that was recorded: a system call that is not, or in the kernel.
    Unseen,
}

/// What kind of waiting a [`Reason`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonKind {
    /// Because another thread of the program is inside something: to be made shorter or rarer.
    Contention,
    /// For something that another thread is to do: work, a message, an end.
    Others,
    /// For the world outside: files, sockets, pipes, processes.
    Outside,
    /// For time to pass.
    Time,
    /// For nothing in particular that could be told.
    Untold,
}

impl Reason {
    /// Every reason, in the order of the enumeration.
    pub const ALL: [Self; 33] = [
        Self::Mutex,
        Self::RwLockRead,
        Self::RwLockWrite,
        Self::Condvar,
        Self::ChannelSend,
        Self::ChannelReceive,
        Self::Join,
        Self::Park,
        Self::Barrier,
        Self::Once,
        Self::Future,
        Self::Worker,
        Self::Sleep,
        Self::SocketRead,
        Self::SocketWrite,
        Self::PipeRead,
        Self::PipeWrite,
        Self::FileRead,
        Self::FileWrite,
        Self::FileSync,
        Self::FileLock,
        Self::FileOpen,
        Self::FileClose,
        Self::FileMetadata,
        Self::Read,
        Self::Write,
        Self::Poll,
        Self::Process,
        Self::ProcessStart,
        Self::Futex,
        Self::PageFault,
        Self::OtherCall,
        Self::Unseen,
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// A short name, for people and programs, stable between versions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RwLockRead => "rwlock read",
            Self::RwLockWrite => "rwlock write",
            Self::Condvar => "condvar",
            Self::ChannelSend => "channel send",
            Self::ChannelReceive => "channel receive",
            Self::Join => "join",
            Self::Park => "park",
            Self::Barrier => "barrier",
            Self::Once => "once",
            Self::Future => "future",
            Self::Worker => "idle worker",
            Self::Sleep => "sleep",
            Self::SocketRead => "socket read",
            Self::SocketWrite => "socket write",
            Self::PipeRead => "pipe read",
            Self::PipeWrite => "pipe write",
            Self::FileRead => "file read",
            Self::FileWrite => "file write",
            Self::FileSync => "file sync",
            Self::FileLock => "file lock",
            Self::FileOpen => "file open",
            Self::FileClose => "file close",
            Self::FileMetadata => "file metadata",
            Self::Read => "read",
            Self::Write => "write",
            Self::Poll => "poll",
            Self::Process => "process",
            Self::ProcessStart => "process start",
            Self::Futex => "futex",
            Self::PageFault => "page fault",
            Self::OtherCall => "other call",
            Self::Unseen => "unseen",
        }
    }

    /// What kind of waiting it is.
    #[must_use]
    pub const fn kind(self) -> ReasonKind {
        match self {
            Self::Mutex
            | Self::RwLockRead
            | Self::RwLockWrite
            | Self::Once
            | Self::FileLock
            | Self::ChannelSend => ReasonKind::Contention,
            Self::Condvar
            | Self::ChannelReceive
            | Self::Join
            | Self::Park
            | Self::Barrier
            | Self::Future
            | Self::Worker => ReasonKind::Others,
            Self::SocketRead
            | Self::SocketWrite
            | Self::PipeRead
            | Self::PipeWrite
            | Self::FileRead
            | Self::FileWrite
            | Self::FileSync
            | Self::FileOpen
            | Self::FileClose
            | Self::FileMetadata
            | Self::Read
            | Self::Write
            | Self::Poll
            | Self::Process
            | Self::ProcessStart
            | Self::PageFault => ReasonKind::Outside,
            Self::Sleep => ReasonKind::Time,
            Self::Futex | Self::OtherCall | Self::Unseen => ReasonKind::Untold,
        }
    }

    /// Whether to wait so is how a program rests, for work, time, other threads or whatever comes
    /// first, rather than what holds it up.
    #[must_use]
    pub const fn is_rest(self) -> bool {
        matches!(self, Self::Poll) || matches!(self.kind(), ReasonKind::Others | ReasonKind::Time)
    }

    /// Whether a thread that waits so for ever may only have nothing to do: it waits for its next
    /// piece of work, or for time. Unlike one that waits for a message or a thread's end, which
    /// rests, too, it does not keep others from going on.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        matches!(self, Self::Worker | Self::Sleep | Self::Poll | Self::Unseen)
    }

    /// Whether it is for data that somebody else is to send: it comes when it comes.
    #[must_use]
    pub const fn is_input(self) -> bool {
        matches!(self, Self::SocketRead | Self::PipeRead | Self::Read)
    }

    /// Whether it is about a file.
    #[must_use]
    pub const fn is_file(self) -> bool {
        let is_content = matches!(self, Self::FileRead | Self::FileWrite | Self::FileSync);
        let is_other = matches!(self, Self::FileOpen | Self::FileClose | Self::FileMetadata);
        is_content || is_other || matches!(self, Self::FileLock)
    }

    /// Whether another thread holds what is waited for, and gives it up.
    #[must_use]
    pub const fn is_lock(self) -> bool {
        matches!(self, Self::Mutex | Self::RwLockRead | Self::RwLockWrite | Self::Once)
    }
}

/// What a call's waiting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// Why.
    pub reason: Reason,
    /// Whether what is waited for has the call's resource as its name. Not so where each waiting
    /// thread has a place of its own to wait at, as for channels and in `parking_lot`, nor where
    /// each wait is for another thing, as for child processes.
    pub named: bool,
    /// Whether the call is made to wait: outside switches to other threads tell nothing about it.
    pub waits: bool,
}

/// Whether waits are told apart by where they are, and not by what they are for: a program that
/// runs many children waits for each of them once.
const fn is_by_place(reason: Reason) -> bool {
    matches!(reason, Reason::Poll | Reason::Sleep | Reason::Process)
}

/// Why a thread waits in a call.
///
/// - `kind`: of the call's resource, if it has one.
/// - `frames`: its stack, innermost first; may be empty.
#[must_use]
pub fn why(call: CallId, kind: Option<ResourceKind>, frames: &[Frame<'_>]) -> Why {
    use Reason::{PipeRead, PipeWrite, SocketRead, SocketWrite};
    let (reason, waits) = by_call(call, kind);
    let is_stream = matches!(reason, SocketRead | SocketWrite | PipeRead | PipeWrite);
    let waits = waits && !(is_stream && never_blocks(frames));
    let is_refined = matches!(reason, Reason::Futex | Reason::Poll | Reason::Sleep | Reason::Join);
    let named = kind.is_some() && !is_by_place(reason);
    let plain = Why { reason, named, waits };
    if reason == Reason::PipeRead {
        // What a child process writes is read until it ends.
        let refined = names::meaning(frames).filter(|(reason, _)| *reason == Reason::Process);
        return refined.map_or(plain, |(reason, named)| Why { reason, named, waits });
    }
    if !is_refined {
        return plain;
    }
    match names::meaning(frames) {
        Some((_, named)) if reason != Reason::Futex && named => plain,
        Some((refined, named)) => Why { reason: refined, named: named && plain.named, waits },
        None => plain,
    }
}

/// What the call alone says: why, and whether it is made to wait.
fn by_call(call: CallId, kind: Option<ResourceKind>) -> (Reason, bool) {
    use ResourceKind as Kind;
    let Some(info) = call.info() else { return (Reason::OtherCall, false) };
    match (info.class, kind) {
        (CallClass::Read, None) if is_of_sockets(call) => (Reason::SocketRead, true),
        (CallClass::Write, None) if is_of_sockets(call) => (Reason::SocketWrite, true),
        (CallClass::Read, None) => (Reason::Read, false),
        (CallClass::Write, None) => (Reason::Write, false),
        (CallClass::Futex, _) => (by_futex(call), true),
        (CallClass::Read, Some(Kind::Socket)) => (Reason::SocketRead, true),
        (CallClass::Write, Some(Kind::Socket)) => (Reason::SocketWrite, true),
        (CallClass::Read, Some(Kind::File)) => (Reason::FileRead, false),
        (CallClass::Write, Some(Kind::File)) => (Reason::FileWrite, false),
        // Event counters, timers and terminals are like pipes: somebody must write something.
        (CallClass::Read, Some(_)) => (Reason::PipeRead, true),
        (CallClass::Write, Some(_)) => (Reason::PipeWrite, true),
        (CallClass::Accept, _) => (Reason::SocketRead, true),
        (CallClass::Connect, _) => (Reason::SocketWrite, true),
        (CallClass::Poll, _) => (Reason::Poll, true),
        (CallClass::Sleep, _) => (Reason::Sleep, true),
        (CallClass::Join, _) => (Reason::Join, true),
        (CallClass::Process, _) => (Reason::Process, true),
        (CallClass::Sync, _) => (Reason::FileSync, false),
        (CallClass::Open, _) => (Reason::FileOpen, false),
        (CallClass::Close, _) => (Reason::FileClose, false),
        (CallClass::Metadata, _) => (Reason::FileMetadata, false),
        _ if matches!(call, CallId::FLOCK | CallId::FCNTL_LOCK) => (Reason::FileLock, true),
        _ if call == CallId::POSIX_SPAWN => (Reason::ProcessStart, false),
        _ => (Reason::OtherCall, false),
    }
}

/// Whether a call reads or writes nothing but sockets.
fn is_of_sockets(call: CallId) -> bool {
    let one = matches!(call, CallId::RECV | CallId::RECVFROM | CallId::SEND | CallId::SENDTO);
    let list = matches!(call, CallId::RECVMMSG | CallId::SENDMMSG);
    one || list || matches!(call, CallId::RECVMSG | CallId::SENDMSG)
}

fn by_futex(call: CallId) -> Reason {
    match call {
        CallId::PTHREAD_MUTEX_LOCK => Reason::Mutex,
        CallId::PTHREAD_COND_WAIT | CallId::PTHREAD_COND_TIMEDWAIT => Reason::Condvar,
        CallId::PTHREAD_RWLOCK_RDLOCK => Reason::RwLockRead,
        CallId::PTHREAD_RWLOCK_WRLOCK => Reason::RwLockWrite,
        _ => Reason::Futex,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_a_process_is_not_waiting_for_one_and_no_other_call() {
        let why = why(CallId::POSIX_SPAWN, None, &[]);
        assert_eq!((why.reason, why.reason.name()), (Reason::ProcessStart, "process start"));
        assert_eq!(why.reason.kind(), ReasonKind::Outside);
        assert_eq!(self::why(CallId::WAITPID, None, &[]).reason, Reason::Process);
    }

    #[test]
    fn what_is_done_with_a_file_is_told_apart() {
        let name = |call| why(call, None, &[]).reason.name();
        assert_eq!(name(CallId::OPENAT), "file open");
        assert_eq!(name(CallId::CLOSE), "file close");
        assert_eq!(name(CallId::STAT), "file metadata");
        assert_eq!(name(CallId::FSYNC), "file sync");
    }

    #[test]
    fn several_messages_at_once_are_of_a_socket_whatever_the_trace_knows_of_it() {
        assert_eq!(why(CallId::RECVMMSG, None, &[]).reason, Reason::SocketRead);
        assert_eq!(why(CallId::SENDMMSG, None, &[]).reason, Reason::SocketWrite);
    }
}
