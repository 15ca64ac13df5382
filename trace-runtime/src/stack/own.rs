//! Where the calling thread's stack lies, and where on it the program's outermost frame is.
//!
//! Learnt once per thread and kept in thread-locals without destructors, which can be read at any
//! time. Where signal handlers may be the first to ask, the system's list of mappings is read, by
//! calls that are allowed there; elsewhere the thread library is asked, which is faster but
//! allocates.
//!
//! A stack pointer may lie elsewhere: on a signal handler's own stack, on that of a coroutine. How
//! far such a stack reaches nobody knows, and to read beyond it would be fatal, so beyond its page
//! the kernel is asked for every word, which refuses where there is none: a quarter of a
//! microsecond each.
//!
//! May contain `unsafe`: it reads stacks.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::compiler_fence;
use crate::sys::errno;
use std::cell::Cell;

/// No system this runs on has smaller ones.
const PAGE_BYTES: usize = 4096;

/// The most frames of the system's own below the program's outermost one.
pub(super) const TAIL_MAX: usize = 4;

/// A return address below the root, and where on the stack it was; zeros behind the last.
pub(super) type Tail = [(usize, u64); TAIL_MAX];

thread_local! {
    static LOW: Cell<usize> = const { Cell::new(0) };
    /// 0 while not known; written last.
    static HIGH: Cell<usize> = const { Cell::new(0) };
    static TAIL: Cell<Tail> = const { Cell::new([(0, 0); TAIL_MAX]) };
    /// 0 while not known; written last.
    static ROOT: Cell<usize> = const { Cell::new(0) };
}

/// What a walk takes of the stack it is on, with room to spare: code that is not optimised has
/// frames twice as large. A thread's stack may have 16 KiB in all.
const ROOM_BYTES: usize = if cfg!(debug_assertions) { 12 << 10 } else { 8 << 10 };

/// Memory of a stack that can be read: from the stack pointer on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    low: usize,
    high: usize,
    /// It is the thread's own, and whole.
    pub(super) is_own: bool,
}

impl Bounds {
    /// What can be read of the stack that `sp` points to. By the thread that `sp` belongs to.
    #[inline]
    pub(super) fn at(sp: usize) -> Self {
        if HIGH.get() == 0 {
            look_up(sp);
        }
        if sp >= LOW.get() && sp < HIGH.get() {
            Self { low: sp, high: HIGH.get(), is_own: true }
        } else {
            Self { low: sp, high: (sp | (PAGE_BYTES - 1)) + 1, is_own: false }
        }
    }

    /// Whether a walk fits on it.
    #[inline(always)]
    pub(super) fn has_room(self) -> bool {
        match self.is_own {
            true => self.low - LOW.get() >= ROOM_BYTES,
            false => has_room_elsewhere(self.low),
        }
    }

    /// A word of the stack.
    #[inline(always)]
    pub(super) fn read(self, address: usize) -> Option<u64> {
        if address & 7 != 0 {
            return None;
        }
        if address < self.low || address > self.high - 8 {
            return if self.is_own { None } else { ask_kernel(address) };
        }
        // SAFETY: a read wants a mapped place, aligned. It lies between the stack pointer and the
        // end of the thread's own stack, or in the stack pointer's own page; the caller's frames
        // are there and stay while it runs. Volatile, for they belong to others.
        Some(unsafe { std::ptr::with_exposed_provenance::<u64>(address).read_volatile() })
    }
}

/// A word of this process's memory, if it can be read. Allowed in signal handlers.
#[cold]
#[inline(never)]
fn ask_kernel(address: usize) -> Option<u64> {
    let mut word = 0_u64;
    let to = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: size_of::<u64>() };
    let from = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address),
        iov_len: size_of::<u64>(),
    };
    let count = errno::keeping(|| {
        // SAFETY: `getpid` wants nothing.
        let own = unsafe { libc::getpid() };
        // SAFETY: `process_vm_readv` wants a place to write so many bytes to, and checks all else.
        unsafe { libc::process_vm_readv(own, &raw const to, 1, &raw const from, 1, 0) }
    });
    (count == size_of::<u64>() as isize).then_some(word)
}

/// Whether a walk fits below `sp` on another stack than the thread's own. Those of signal handlers
/// may be short: the one that Rust's own handler of overflown stacks gets has 8 KiB, half of which
/// the system has taken.
#[cold]
#[inline(never)]
fn has_room_elsewhere(sp: usize) -> bool {
    let mut stack = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: `sigaltstack` wants no new stack, and a place for the present one.
    let failed = unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) };
    let is_handlers = failed == 0 && stack.ss_flags & libc::SS_ONSTACK != 0;
    !is_handlers || sp.saturating_sub(stack.ss_sp.addr()) >= ROOM_BYTES
}

/// The frame pointer at which a whole walk ends on the calling thread, once that is learnt.
#[inline(always)]
pub(super) fn root() -> Option<usize> {
    Some(ROOT.get()).filter(|&root| root != 0)
}

/// What lies below the frame at the root.
pub(super) fn tail() -> Tail {
    TAIL.get()
}

/// Keeps the calling thread's root, and what lies below.
pub(super) fn set_root(root: usize, tail: Tail) {
    // A signal handler in between finds no root, and learns one itself.
    ROOT.set(0);
    compiler_fence(Ordering::Release);
    TAIL.set(tail);
    compiler_fence(Ordering::Release);
    ROOT.set(root);
}

/// Learns the calling thread's bounds while allocating is allowed.
pub(crate) fn prepare_thread() {
    if HIGH.get() == 0 && !is_main_thread() {
        ask_thread_library();
    }
    if HIGH.get() == 0 {
        let here = 0_u8;
        look_up((&raw const here).addr());
    }
}

fn set_bounds(low: usize, high: usize) {
    LOW.set(low);
    compiler_fence(Ordering::Release);
    HIGH.set(high);
}

fn is_main_thread() -> bool {
    crate::thread::local::system_id() == u64::from(std::process::id())
}

/// Not for signal handlers. Not for the main thread, of which the library itself reads in the list
/// of mappings.
fn ask_thread_library() {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: `pthread_self` wants nothing.
    let own = unsafe { libc::pthread_self() };
    // SAFETY: `pthread_getattr_np` wants a live thread, this one, and a place to write to.
    if unsafe { libc::pthread_getattr_np(own, attributes.as_mut_ptr()) } != 0 {
        return;
    }
    let (mut low, mut bytes) = (std::ptr::null_mut(), 0);
    // SAFETY: `pthread_attr_getstack` wants attributes, which were written just now, and places.
    let failed =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut bytes) };
    // SAFETY: `pthread_attr_destroy` wants attributes, once.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    if failed == 0 && bytes > 0 {
        set_bounds(low.addr(), low.addr() + bytes);
    }
}

/// Looks for the mapping of `sp` in the system's list. Allowed in signal handlers.
#[cold]
#[inline(never)]
fn look_up(sp: usize) {
    // The calls below may be ones that are recorded with a stack.
    let _quiet = crate::thread::local::quiet();
    let mut found = None;
    let mut before = 0;
    errno::keeping(|| {
        each_mapping(|low, high| {
            if low <= sp && sp < high {
                found = Some((low, high));
            } else if found.is_none() {
                before = high;
            }
            found.is_none()
        });
    });
    let Some((low, high)) = found else { return };
    let is_own = |top: usize| sp < top && top < high;
    // SAFETY: `getauxval` wants nothing.
    let random = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
    // SAFETY: nor does `pthread_self`.
    let descriptor = unsafe { libc::pthread_self() } as usize;
    if is_own(random) {
        // What the kernel has put on top of the main thread's stack, which grows downwards: at most
        // to the mapping below.
        set_bounds(before, random);
    } else if is_own(descriptor) {
        // The thread's descriptor lies on top of its stack. What follows in the same mapping may be
        // another thread's.
        set_bounds(low, descriptor);
    }
}

/// Hands out the mappings of the process in order, first and last address, until `act` has enough.
fn each_mapping(mut act: impl FnMut(usize, usize) -> bool) {
    // SAFETY: `open` wants a path that ends with a 0: a literal's does.
    let file = unsafe { libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file >= 0 {
        let mut lines = Lines::default();
        let mut buffer = [0_u8; 1024];
        loop {
            // SAFETY: `read` wants a place for so many bytes.
            let count = unsafe { libc::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
            let Some(bytes) = usize::try_from(count).ok().and_then(|count| buffer.get(..count))
            else {
                break;
            };
            if bytes.is_empty() || !bytes.iter().all(|&byte| lines.take(byte, &mut act)) {
                break;
            }
        }
        // SAFETY: `close` wants a descriptor of ours.
        unsafe { libc::close(file) };
    }
}

/// Reads lines that begin with two addresses: `7f00-7f80 rw-p ...`.
#[derive(Debug, Default)]
struct Lines {
    low: usize,
    number: usize,
    /// The addresses of this line are read.
    done: bool,
}

impl Lines {
    /// False if that was enough.
    fn take(&mut self, byte: u8, act: &mut impl FnMut(usize, usize) -> bool) -> bool {
        match (byte, char::from(byte).to_digit(16)) {
            (b'\n', _) => *self = Self::default(),
            _ if self.done => {}
            (_, Some(digit)) => self.number = self.number << 4 | digit as usize,
            (b'-', _) => self.low = std::mem::take(&mut self.number),
            _ => {
                self.done = true;
                return act(self.low, self.number);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> usize {
        let here = 0_u8;
        (&raw const here).addr()
    }

    #[test]
    fn lines_are_read_byte_by_byte() {
        let text = "55d0-55d1 r-xp 0000 08:01 12   /a b/c-d\n7ffe1000-7fff0000 rw-p 00 [stack]\n";
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for byte in text.bytes() {
            assert!(lines.take(byte, &mut |low, high| {
                found.push((low, high));
                true
            }));
        }
        assert_eq!(found, [(0x55d0, 0x55d1), (0x7ffe_1000, 0x7fff_0000)]);
    }

    #[test]
    fn both_ways_to_ask_find_the_same_stack() {
        let check = || {
            prepare_thread();
            let asked = (LOW.get(), HIGH.get());
            set_bounds(0, 0);
            look_up(here());
            let read = (LOW.get(), HIGH.get());
            assert!(asked.0 <= here() && here() < asked.1, "{asked:x?}");
            assert!(read.0 <= here() && here() < read.1, "{read:x?}");
            // Between the two lie the thread's descriptor, in front of it or behind it its
            // thread-locals: glibc counts them to the stack, and musl does not.
            assert!(read.1.abs_diff(asked.1) < 64 << 10, "{read:x?} {asked:x?}");
        };
        std::thread::scope(|scope| scope.spawn(check).join()).expect("the same stack");
    }

    #[test]
    fn elsewhere_what_is_mapped_is_read_and_nothing_else() {
        let word = 7_u64;
        if ask_kernel((&raw const word).addr()).is_none() {
            println!("skipped: this system does not read memory on request, as qemu-user does not");
            return;
        }
        let check = || {
            let pages = Box::new([7_u64; 1024]);
            let place = (pages.as_ptr().expose_provenance() + 4096) & !4095;
            let bounds = Bounds::at(place - 16);
            assert!(!bounds.is_own);
            assert_eq!(bounds.read(place - 8), Some(7));
            assert_eq!(bounds.read(place), Some(7), "the next page");
            assert_eq!(bounds.read(place - 12), None, "not a word's place");
            for nowhere in [0, 8, usize::MAX - 7, 1 << 63] {
                assert_eq!(bounds.read(nowhere), None);
            }
        };
        std::thread::scope(|scope| scope.spawn(check).join()).expect("no page is missed");
    }
}
