//! One run of the program: it calls functions by their names and notes what it sees.
//!
//! May contain `unsafe`: it calls functions by address.

use libc::{c_int, c_void};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A value that no call leaves in `errno`.
const MARK: c_int = 7777;

/// Which functions are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Library,
    Program,
}

impl Which {
    pub(super) fn address(self, name: &CStr) -> *mut c_void {
        let handle = match self {
            // SAFETY: the library is loaded, and stays.
            Self::Library => unsafe {
                libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD)
            },
            Self::Program => libc::RTLD_DEFAULT,
        };
        // SAFETY: a handle, and a string.
        let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
        assert!(!found.is_null(), "{name:?} is there");
        found
    }
}

/// One run of the program, with what it has seen so far.
pub(super) struct Run {
    which: Which,
    pub(super) seen: Vec<String>,
    pub(super) called: BTreeSet<&'static str>,
}

/// A pipe, or the like.
pub(super) struct Pair(pub(super) c_int, pub(super) c_int);

/// Any word-sized argument.
pub(super) trait Word {
    fn word(self) -> usize;
}

macro_rules! words {
    ($($type:ty),*) => { $(impl Word for $type { fn word(self) -> usize { self as usize } })* };
}
words!(i32, u32, i64, u64, usize);

impl<T> Word for *const T {
    fn word(self) -> usize {
        self as usize
    }
}

impl<T> Word for *mut T {
    fn word(self) -> usize {
        self as usize
    }
}

macro_rules! call {
    ($run:ident, $name:ident($($argument:expr),*)) => {
        $run.call(stringify!($name), &[$($crate::run::Word::word($argument)),*])
    };
}

impl Run {
    pub(super) fn new(which: Which) -> Self {
        Self { which, seen: Vec::new(), called: BTreeSet::new() }
    }

    /// Calls a function that returns an `int`, or a number that fits one.
    pub(super) fn call(&mut self, name: &'static str, words: &[usize]) -> c_int {
        let (result, errno) = self.call_unseen(name, words);
        let result = result as c_int;
        self.seen.push(format!("{name} {result} {errno}"));
        result
    }

    /// As `call`, for functions that return a pointer or null.
    pub(super) fn call_for_pointer(&mut self, name: &'static str, words: &[usize]) -> usize {
        let (result, errno) = self.call_unseen(name, words);
        self.seen.push(format!("{name} {} {errno}", result != 0));
        result
    }

    /// Calls a function with words; in both ABIs a function that wants fewer than seven ignores the
    /// rest. Returns its result, and `errno` after it.
    fn call_unseen(&mut self, name: &'static str, words: &[usize]) -> (usize, c_int) {
        type Function = extern "C" fn(usize, usize, usize, usize, usize, usize, usize) -> usize;
        let text = CString::new(name).expect("no zero byte");
        // SAFETY: see above; the arguments are what the function of this name wants.
        let function =
            unsafe { std::mem::transmute::<*mut c_void, Function>(self.which.address(&text)) };
        let mut seven = [0; 7];
        seven[..words.len()].copy_from_slice(words);
        let [a, b, c, d, e, f, g] = seven;
        self.called.insert(name);
        // SAFETY: the address wants nothing, and is the thread's own.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        unsafe { errno.write(MARK) };
        let result = function(a, b, c, d, e, f, g);
        // SAFETY: as above.
        (result, unsafe { errno.read() })
    }

    /// Replaces the last result, a descriptor, whose number is random.
    pub(super) fn blur(&mut self, descriptor: c_int) -> c_int {
        assert!(descriptor >= 0, "{:?}", self.seen.last());
        let last = self.seen.last_mut().expect("something was called");
        *last = last.replacen(&format!(" {descriptor} "), " fd ", 1);
        descriptor
    }

    pub(super) fn note(&mut self, what: impl std::fmt::Debug) {
        self.seen.push(format!("{what:?}"));
    }

    pub(super) fn pipe(&mut self, flags: c_int) -> Pair {
        let mut pair = [0; 2];
        call!(self, pipe2(pair.as_mut_ptr(), flags));
        Pair(pair[0], pair[1])
    }

    pub(super) fn close(&mut self, pair: Pair) {
        call!(self, close(pair.0));
        call!(self, close(pair.1));
    }
}

/// Runs `act` while signals without restart come to this thread.
pub(super) fn interrupted(act: impl FnOnce()) {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: zeros are a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(c_int) as usize;
    // SAFETY: an action whose handler does nothing.
    unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
    let done = AtomicBool::new(false);
    let process = std::process::id();
    // SAFETY: it wants nothing.
    let thread = unsafe { libc::gettid() };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(2));
                // SAFETY: the thread waits for this one to end.
                unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) };
            }
        });
        act();
        done.store(true, Ordering::Relaxed);
    });
}

pub(super) use call;
