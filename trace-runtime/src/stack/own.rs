//! Where the calling thread's stack lies, and where the program's outermost frame is on it.
//!
//! Both are found once per thread and kept in thread-locals without destructors, which can be read
//! at any time. If a signal handler may be asking, they come from the system's list of mappings, by
//! calls that are allowed in handlers; otherwise from the thread library, which is faster but
//! allocates.
//!
//! A stack pointer may lie elsewhere: on a signal handler's own stack, or a coroutine's. How far
//! such a stack reaches is not known, and reading beyond it would be fatal. So words beyond its
//! page are read through the kernel, which refuses addresses that are not mapped; each takes a
//! quarter of a microsecond.
//!
//! May contain `unsafe`: it reads stacks.

use crate::base::primitive::Ordering;
use crate::base::primitive::global::compiler_fence;
use crate::sys::errno;
use std::cell::Cell;

/// The smallest page of the systems that this runs on.
const PAGE_BYTES: usize = 4096;

/// Maximum number of the system's frames below the program's outermost one.
pub(super) const TAIL_MAX: usize = 4;

/// The frames below the root: where on the stack a return address is, and which; zeros behind the
/// last.
pub(super) type RootTail = [(usize, u64); TAIL_MAX];

thread_local! {
    static LOW: Cell<usize> = const { Cell::new(0) };
    /// 0 while it is not known; written last.
    static HIGH: Cell<usize> = const { Cell::new(0) };
    static TAIL: Cell<RootTail> = const { Cell::new([(0, 0); TAIL_MAX]) };
    /// 0 while it is not known; written last.
    static ROOT: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that a walk needs on the calling thread's stack, generously: unoptimised code has frames
/// twice as large. A thread's whole stack may have only 16 KiB.
const ROOM_BYTES: usize = if cfg!(debug_assertions) { 12 << 10 } else { 8 << 10 };

/// The memory of a stack that can be read, from the stack pointer on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    low: usize,
    high: usize,
    /// It is the thread's own stack, up to its end.
    pub(super) is_own: bool,
}

impl Bounds {
    /// The bounds of the stack that `sp` points to. `sp` must be the calling thread's.
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

    /// Whether it has room for a walk.
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
        // SAFETY: a read wants a mapped, aligned place. It lies between the stack pointer and the
        // end of the thread's own stack, or in the stack pointer's own page; the caller's frames
        // are there and stay while it runs. Volatile, as the memory belongs to other code.
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
        // SAFETY: `process_vm_readv` wants a place for this many bytes, and checks all else.
        unsafe { libc::process_vm_readv(own, &raw const to, 1, &raw const from, 1, 0) }
    });
    (count == size_of::<u64>() as isize).then_some(word)
}

/// Whether there is room for a walk below `sp` on another stack than the thread's own. Stacks of
/// signal handlers may be small: the one of Rust's handler for stack overflows has 8 KiB, half of
/// which the system uses.
#[cold]
#[inline(never)]
fn has_room_elsewhere(sp: usize) -> bool {
    let mut stack = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: `sigaltstack` wants no new stack, and a place for the present one.
    let failed = unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) };
    let is_handlers = failed == 0 && stack.ss_flags & libc::SS_ONSTACK != 0;
    !is_handlers || sp.saturating_sub(stack.ss_sp.addr()) >= ROOM_BYTES
}

/// The frame pointer at which a whole walk ends on the calling thread, once it is known.
#[inline(always)]
pub(super) fn root() -> Option<usize> {
    Some(ROOT.get()).filter(|&root| root != 0)
}

/// The frames below the root.
pub(super) fn tail() -> RootTail {
    TAIL.get()
}

/// Keeps the calling thread's root, and the frames below it.
pub(super) fn set_root(root: usize, tail: RootTail) {
    // A signal handler in between finds no root, and finds one itself.
    ROOT.set(0);
    compiler_fence(Ordering::Release);
    TAIL.set(tail);
    compiler_fence(Ordering::Release);
    ROOT.set(root);
}

/// Finds the calling thread's bounds. May allocate.
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

/// Gets the bounds from the thread library. Not for signal handlers, and not for the main thread,
/// for which the library reads the list of mappings itself.
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
    // The calls below may be hooked, and recorded with a stack.
    let _suppressed = crate::thread::local::suppress();
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
        // The kernel has put this on top of the main thread's stack, which grows downwards, at most
        // to the mapping below.
        set_bounds(before, random);
    } else if is_own(descriptor) {
        // The thread's descriptor lies on top of its stack. What follows in the same mapping may be
        // another thread's.
        set_bounds(low, descriptor);
    }
}

/// Calls `act` with the first and last address of each mapping of the process, in order, until it
/// returns false.
fn each_mapping(mut act: impl FnMut(usize, usize) -> bool) {
    // SAFETY: `open` wants a path that ends with a 0: a literal's does.
    let file = unsafe { libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file >= 0 {
        let mut lines = MapLines::default();
        let mut buffer = [0_u8; 1024];
        loop {
            // SAFETY: `read` wants a place for this many bytes.
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
struct MapLines {
    low: usize,
    number: usize,
    /// Whether the addresses of this line have been read.
    done: bool,
}

impl MapLines {
    /// Takes the next byte. Returns false if `act` has enough.
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
        let (mut lines, mut found) = (MapLines::default(), Vec::new());
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
