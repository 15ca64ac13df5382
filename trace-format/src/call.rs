//! The functions of the system whose calls are recorded: their numbers, names and classes.
//!
//! Traces have the numbers, so a row keeps its number forever, and new rows go to the end.
//! FORMAT.md, section 10, has the same table, and a test compares the two.

use crate::id::CallId;

/// What a call does, as far as it matters for why a thread does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallClass {
    /// Waits for a value in memory to change: locks, conditions, parking.
    Futex,
    /// Wakes threads that wait so; its result is their number.
    FutexWake,
    /// Reads from a descriptor; its result is a number of bytes.
    Read,
    /// Writes to a descriptor; its result is a number of bytes.
    Write,
    /// Waits for a connection.
    Accept,
    /// Makes a connection.
    Connect,
    /// Waits for one of many descriptors; its result is the number of those that are ready.
    Poll,
    /// Waits for time to pass.
    Sleep,
    /// Waits for a thread to end.
    Join,
    /// Waits for a process to end.
    Process,
    /// Makes a descriptor.
    Open,
    /// Closes a descriptor.
    Close,
    /// Waits until data is on its device.
    Sync,
    /// Reads or changes metadata of files.
    Metadata,
    /// Makes a thread.
    Thread,
    /// Lets others run.
    Yield,
    /// Anything else.
    Other,
}

impl CallClass {
    /// The name people read, one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Futex => "wait",
            Self::FutexWake => "wake",
            Self::Read => "read",
            Self::Write => "write",
            Self::Accept => "accept",
            Self::Connect => "connect",
            Self::Poll => "poll",
            Self::Sleep => "sleep",
            Self::Join => "join",
            Self::Process => "process",
            Self::Open => "open",
            Self::Close => "close",
            Self::Sync => "sync",
            Self::Metadata => "metadata",
            Self::Thread => "thread",
            Self::Yield => "yield",
            Self::Other => "other",
        }
    }
}

/// What a call's resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallResource {
    /// It has none.
    Nothing,
    /// A place in memory.
    Address,
    /// A descriptor, of any kind.
    Descriptor,
    /// A process.
    Process,
    /// A thread.
    Thread,
    /// The number of a system call.
    Number,
}

/// One row of [`CALLS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallInfo {
    /// Its number on the wire.
    pub id: CallId,
    /// The function's name.
    pub name: &'static str,
    /// What it does.
    pub class: CallClass,
    /// What its resource is.
    pub resource: CallResource,
}

macro_rules! calls {
    ($($number:literal $constant:ident $name:ident $class:ident $what:ident;)*) => {
        impl CallId {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub const $constant: Self = Self($number);
            )*
        }

        /// Every function whose calls are recorded, by number, from 1.
        pub const CALLS: &[CallInfo] = &[$(CallInfo {
            id: CallId::$constant,
            name: stringify!($name),
            class: CallClass::$class,
            resource: CallResource::$what,
        }),*];
    };
}

calls! {
    1 READ read Read Descriptor;
    2 WRITE write Write Descriptor;
    3 PREAD64 pread64 Read Descriptor;
    4 PWRITE64 pwrite64 Write Descriptor;
    5 READV readv Read Descriptor;
    6 WRITEV writev Write Descriptor;
    7 PREADV preadv Read Descriptor;
    8 PWRITEV pwritev Write Descriptor;
    9 RECV recv Read Descriptor;
    10 SEND send Write Descriptor;
    11 RECVFROM recvfrom Read Descriptor;
    12 SENDTO sendto Write Descriptor;
    13 RECVMSG recvmsg Read Descriptor;
    14 SENDMSG sendmsg Write Descriptor;
    15 ACCEPT accept Accept Descriptor;
    16 ACCEPT4 accept4 Accept Descriptor;
    17 CONNECT connect Connect Descriptor;
    18 OPEN open Open Nothing;
    19 OPENAT openat Open Nothing;
    20 CLOSE close Close Descriptor;
    21 FSYNC fsync Sync Descriptor;
    22 FDATASYNC fdatasync Sync Descriptor;
    23 SENDFILE sendfile Write Descriptor;
    24 COPY_FILE_RANGE copy_file_range Write Descriptor;
    25 SPLICE splice Write Descriptor;
    26 POLL poll Poll Nothing;
    27 PPOLL ppoll Poll Nothing;
    28 SELECT select Poll Nothing;
    29 PSELECT pselect Poll Nothing;
    30 EPOLL_WAIT epoll_wait Poll Descriptor;
    31 EPOLL_PWAIT epoll_pwait Poll Descriptor;
    32 EPOLL_PWAIT2 epoll_pwait2 Poll Descriptor;
    33 NANOSLEEP nanosleep Sleep Nothing;
    34 CLOCK_NANOSLEEP clock_nanosleep Sleep Nothing;
    35 USLEEP usleep Sleep Nothing;
    36 SLEEP sleep Sleep Nothing;
    37 SCHED_YIELD sched_yield Yield Nothing;
    38 WAITPID waitpid Process Process;
    39 WAIT4 wait4 Process Process;
    40 WAITID waitid Process Process;
    41 PTHREAD_CREATE pthread_create Thread Thread;
    42 PTHREAD_JOIN pthread_join Join Thread;
    43 FUTEX_WAIT futex_wait Futex Address;
    44 FUTEX_WAKE futex_wake FutexWake Address;
    45 FUTEX_REQUEUE futex_requeue FutexWake Address;
    46 FUTEX_OTHER futex_other Other Address;
    47 SYSCALL syscall Other Number;
    48 STAT stat Metadata Nothing;
    49 FSTAT fstat Metadata Descriptor;
    50 LSTAT lstat Metadata Nothing;
    51 STATX statx Metadata Nothing;
    52 FSTATAT fstatat Metadata Nothing;
    53 UNLINK unlink Metadata Nothing;
    54 RENAME rename Metadata Nothing;
    55 MKDIR mkdir Metadata Nothing;
    56 RMDIR rmdir Metadata Nothing;
    57 READDIR readdir Metadata Descriptor;
    58 FTRUNCATE ftruncate Metadata Descriptor;
    59 FALLOCATE fallocate Metadata Descriptor;
    60 GETRANDOM getrandom Other Nothing;
    61 EVENTFD_WRITE eventfd_write Write Descriptor;
    62 SHUTDOWN shutdown Other Descriptor;
    63 BIND bind Other Descriptor;
    64 LISTEN listen Other Descriptor;
    65 SOCKET socket Open Nothing;
    66 PTHREAD_MUTEX_LOCK pthread_mutex_lock Futex Address;
    67 PTHREAD_COND_WAIT pthread_cond_wait Futex Address;
    68 PTHREAD_COND_TIMEDWAIT pthread_cond_timedwait Futex Address;
    69 PTHREAD_RWLOCK_RDLOCK pthread_rwlock_rdlock Futex Address;
    70 PTHREAD_RWLOCK_WRLOCK pthread_rwlock_wrlock Futex Address;
    71 PTHREAD_COND_SIGNAL pthread_cond_signal FutexWake Address;
    72 PTHREAD_COND_BROADCAST pthread_cond_broadcast FutexWake Address;
    73 PTHREAD_MUTEX_UNLOCK pthread_mutex_unlock FutexWake Address;
    74 FLOCK flock Other Descriptor;
    75 FCNTL_LOCK fcntl_lock Other Descriptor;
    76 GETADDRINFO getaddrinfo Other Nothing;
    77 MMAP mmap Other Nothing;
    78 MUNMAP munmap Other Nothing;
    79 MADVISE madvise Other Nothing;
    80 OPENDIR opendir Open Nothing;
    81 CLOSEDIR closedir Close Descriptor;
    82 GETDENTS64 getdents64 Metadata Descriptor;
    83 POSIX_SPAWN posix_spawn Other Nothing;
    84 SENDMMSG sendmmsg Write Descriptor;
    85 RECVMMSG recvmmsg Read Descriptor;
}

impl CallId {
    /// Its row in [`CALLS`]; `None` for a number of a newer version.
    #[must_use]
    pub fn info(self) -> Option<&'static CallInfo> {
        CALLS.get(usize::from(self.0).checked_sub(1)?)
    }

    /// The function with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        CALLS.iter().find(|info| info.name == name).map(|info| info.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_number_and_its_name() {
        for info in CALLS {
            assert_eq!(info.id.info(), Some(info), "rows are in the order of their numbers");
            assert_eq!(CallId::by_name(info.name), Some(info.id), "names are distinct");
        }
        assert_eq!(CallId(0).info(), None);
        assert_eq!(CallId(255).info(), None);
    }
}
