//! The memory in which a CPU's records arrive: the kernel writes at the head, this takes from the
//! tail.
//!
//! Always true: the mapping is one page of the kernel's words, followed by `bytes` of records, a
//! power of two; it lives as long as its `PerfRing`. The kernel writes no byte between tail and
//! head: it never passes the tail, which only this code moves.
//!
//! May contain `unsafe`: shared memory. Elsewhere: what the bytes mean (`record`).

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicU32, AtomicU64};
use perf_event_open_sys::bindings::perf_event_mmap_page as Page;
use std::io;
use std::mem::offset_of;
use std::ptr::{self, NonNull};

/// In the page's word of capabilities: the time of records can be computed from the counter.
const TIME_ZERO: u64 = 1 << 4;

/// How often the page is read again if the kernel was writing it.
const TRIES: usize = 100;

/// One CPU's ring.
#[derive(Debug)]
pub(super) struct PerfRing {
    page: NonNull<u8>,
    page_bytes: usize,
    /// Bytes for records; 0 if only the page is mapped.
    bytes: usize,
}

// SAFETY: `Send` wants that nothing belongs to one thread: a mapping is the process's.
unsafe impl Send for PerfRing {}

/// How the kernel converts the counter's ticks to nanoseconds: perf_event_open(2), `time_zero`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Nanoseconds when the counter was 0; it may have wrapped.
    pub(super) zero: u64,
    /// Nanoseconds are ticks times this, ...
    pub(super) mult: u32,
    /// ... shifted right by this.
    pub(super) shift: u16,
}

impl PerfRing {
    /// Maps the ring of the event with this descriptor, with `bytes` of records: a power of two of
    /// pages, or 0.
    pub(super) fn map(descriptor: i32, bytes: usize) -> io::Result<Self> {
        let page_bytes = page_bytes();
        let length = page_bytes + bytes;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a mapping at an address the kernel chooses touches no memory there is.
        let address =
            unsafe { libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, descriptor, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let page = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { page, page_bytes, bytes })
    }

    /// Bytes for records.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves all records to the end of `out`, in the order in which they were written.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) {
        // `Acquire`: the bytes before the head were written before the head was; perf_event_open(2)
        // demands a read barrier here.
        let head = self.word(offset_of!(Page, data_head)).load(Ordering::Acquire);
        let tail = self.word(offset_of!(Page, data_tail));
        let from = tail.load(Ordering::Relaxed);
        let count = (head.wrapping_sub(from) as usize).min(self.bytes);
        let at = from as usize & self.bytes.wrapping_sub(1);
        let first = count.min(self.bytes - at);
        self.copy(at, first, out);
        self.copy(0, count - first, out);
        // `Release`: the bytes are read before the kernel may write over them.
        tail.store(head, Ordering::Release);
    }

    /// Copies `count` bytes from byte `at` of the records on; both are within the ring.
    fn copy(&self, at: usize, count: usize, out: &mut Vec<u8>) {
        out.reserve(count);
        let from = self.page.as_ptr().wrapping_add(self.page_bytes + at);
        let to = out.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: the copy wants `count` bytes on both sides, which do not overlap and are not
        // written meanwhile. The ring's: the kernel writes nothing between tail and head, and the
        // caller has read the head. The vector's: they are reserved.
        unsafe { ptr::copy_nonoverlapping(from, to, count) };
        // SAFETY: it wants this many initialised bytes: `count` more were just written.
        unsafe { out.set_len(out.len() + count) };
    }

    /// How times in the records relate to the counter; `None` if the kernel does not say.
    pub(super) fn rate(&self) -> Option<Rate> {
        for _ in 0..TRIES {
            let lock = self.half(offset_of!(Page, lock)).load(Ordering::Acquire);
            // `Acquire` throughout: the lock is read again after all of them.
            let told = |offset| self.word(offset).load(Ordering::Acquire);
            let capabilities = told(offset_of!(Page, __bindgen_anon_1));
            let zero = told(offset_of!(Page, time_zero));
            let mult = self.half(offset_of!(Page, time_mult)).load(Ordering::Acquire);
            // The shift is the upper half of a word that begins with the width of counters.
            let shift = self.half(offset_of!(Page, pmc_width)).load(Ordering::Acquire) >> 16;
            if lock & 1 == 0 && self.half(offset_of!(Page, lock)).load(Ordering::Relaxed) == lock {
                let known = capabilities & TIME_ZERO != 0 && mult != 0 && shift < 32;
                return known.then_some(Rate { zero, mult, shift: shift as u16 });
            }
        }
        None
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        let word = self.page.as_ptr().wrapping_add(offset).cast();
        // SAFETY: it wants an aligned word that lives as long as `self` and that is only written
        // atomically. The page is aligned, and the offset is a word's; the kernel writes words
        // whole.
        unsafe { AtomicU64::from_ptr(word) }
    }

    fn half(&self, offset: usize) -> &AtomicU32 {
        let half = self.page.as_ptr().wrapping_add(offset).cast();
        // SAFETY: as in `word`, of half the size.
        unsafe { AtomicU32::from_ptr(half) }
    }
}

impl Drop for PerfRing {
    fn drop(&mut self) {
        let length = self.page_bytes + self.bytes;
        // SAFETY: it wants a mapping that is not used any more: only `self` uses it, and ends here.
        unsafe { libc::munmap(self.page.as_ptr().cast(), length) };
    }
}

/// Bytes of a page of memory.
pub(super) fn page_bytes() -> usize {
    // SAFETY: the call takes no memory and is always allowed.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}
