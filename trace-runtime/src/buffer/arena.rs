//! Memory for batches in a mapped file: what threads have written outlives the process.
//!
//! Room for the file is reserved before it is mapped, so a full disk is an error when the file is
//! made, and no signal later. The file is divided into pages; a batch takes a run of them, and a
//! bit per page says whether it is free. The thread that clears a run of bits owns the pages (as in
//! `registry`). Nothing here locks, as a signal handler may need memory.
//!
//! The file holds only what is to survive: other programs may write to it, and shorten it. The
//! `Batch` values are in a table in the process's own memory, with one place for each page.
//!
//! - **A1** A run of pages has one owner at a time, who also owns the table's place of the first
//!   page.
//! - **A2** An arena is unmapped when the last of its batches and its trace are gone.
//!
//! Elsewhere: what is in the file (`batch`, FORMAT.md section 11), how it is read (`trace-format`);
//! a file that is shorter than it was (`bus_error`).
//!
//! May contain `unsafe`: it maps memory, and makes batches in it.

use crate::base::primitive::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crate::buffer::batch::Batch;
use crate::buffer::front::Front;
use crate::buffer::inbox::Linked;

/// Bytes of a page: the unit of an arena.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Number of pages in one word of bits; all pages of a batch are in one word.
const PAGES: usize = if cfg!(exectrace_loom) { 4 } else { 64 };

/// Which pages of an arena are free.
#[derive(Debug)]
pub(crate) struct Pages {
    words: Box<[AtomicU64]>,
}

impl Pages {
    /// `count` pages, rounded down to whole words, all free. `None` if there is no memory for the
    /// bits.
    #[cfg(any(exectrace_loom, unix))]
    pub(crate) fn new(count: usize) -> Option<Self> {
        let all = u64::MAX >> (64 - PAGES);
        let mut words = Vec::new();
        words.try_reserve_exact(count / PAGES).ok()?;
        words.extend((0..count / PAGES).map(|_| AtomicU64::new(all)));
        Some(Self { words: words.into() })
    }

    /// Takes a run of `count` pages. Returns the number of the first.
    pub(crate) fn take(&self, count: usize) -> Option<usize> {
        for (at, word) in self.words.iter().enumerate() {
            let mut free = word.load(Ordering::Relaxed);
            while let Some(first) = run(free, count) {
                let mask = mask(count) << first;
                // `Acquire` pairs with the `Release` in `give`: the last owner is done with them
                // (A1).
                let order = (Ordering::Acquire, Ordering::Relaxed);
                match word.compare_exchange(free, free & !mask, order.0, order.1) {
                    Ok(_) => return Some(at * PAGES + first),
                    Err(now) => free = now,
                }
            }
        }
        None
    }

    /// Gives a run back. By its owner, once.
    pub(crate) fn give(&self, first: usize, count: usize) {
        let mask = mask(count) << (first % PAGES);
        self.words[first / PAGES].fetch_or(mask, Ordering::Release);
    }
}

fn mask(count: usize) -> u64 {
    u64::MAX >> (64 - count)
}

/// Where the lowest run of `count` ones begins.
fn run(mut bits: u64, count: usize) -> Option<usize> {
    for step in 1..count {
        bits &= bits >> 1;
        if bits == 0 || step >= PAGES {
            return None;
        }
    }
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}

/// A mapped file.
#[derive(Debug)]
pub(crate) struct Arena {
    start: *mut u8,
    bytes: usize,
    /// A place for each page that a batch may begin with.
    table: *mut Batch,
    pages: Pages,
    /// Number of its batches, and one more while new batches come from it.
    count: AtomicUsize,
    /// For `limbo`.
    link: AtomicPtr<Self>,
}

impl Linked for Arena {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

// SAFETY: `Send` and `Sync` want that shared use is no data race: apart from atomics nothing
// changes. Each part of the memory behind `start` and `table` has one owner (A1).
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// A new batch with room for `capacity` bytes of events; `None` if there is no room.
    pub(crate) fn make(&self, capacity: usize) -> Option<*mut Batch> {
        let first = self.pages.take(pages_of(capacity))?;
        self.count.fetch_add(1, Ordering::Relaxed);
        // SAFETY: `add` stays inside the mapping: one page, the header's, precedes the numbered
        // pages.
        let front = unsafe { self.start.add((first + 1) * PAGE_BYTES) }.cast::<Front>();
        // SAFETY: `at` wants memory that nobody else touches, aligned and with room for a front and
        // the bytes: the run of pages is that, and ours alone (A1) until it is given back. The
        // file's bytes are zeros, or what earlier batches have left.
        let mut batch = unsafe { Batch::at(front, capacity) };
        batch.arena = self;
        // SAFETY: `add` stays inside the table, which has a place for each page.
        let place = unsafe { self.table.add(first) };
        // SAFETY: the place is writable, aligned, and ours alone (A1).
        unsafe { place.write(batch) };
        Some(place)
    }

    /// Frees a batch, and its arena if this was its last use.
    ///
    /// # Safety
    /// `batch` was made in the arena `this`, and is the caller's.
    pub(crate) unsafe fn unmake(this: *const Self, batch: *mut Batch) {
        // SAFETY: a shared reference wants a live arena: this batch has a count of it (A2).
        let arena = unsafe { &*this };
        // SAFETY: a shared reference wants a live batch: the caller's promise.
        let whose = unsafe { &*batch };
        whose.forsake();
        let pages = pages_of(whose.capacity());
        let first = (batch as usize - arena.table as usize) / size_of::<Batch>();
        arena.pages.give(first, pages);
        // SAFETY: `release` wants a count of the caller's: that of this batch.
        unsafe { Self::release(this) };
    }

    /// Gives up one count.
    ///
    /// # Safety
    /// The caller has one, and does not use the arena afterwards.
    unsafe fn release(this: *const Self) {
        // SAFETY: a shared reference wants a live arena: the caller has a count of it.
        let arena = unsafe { &*this };
        // `AcqRel`: the last one sees that all others are done (A2).
        if arena.count.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        #[cfg(all(unix, not(exectrace_loom)))]
        {
            crate::sys::bus_error::forget(arena.start);
            map::unmap(arena.start, arena.bytes);
            map::unmap(arena.table.cast(), table_bytes(&arena.pages));
            crate::sys::bus_error::leave();
        }
        let _ = arena.bytes;
        // Not freed here: this may be a signal handler.
        //
        // SAFETY: `put_arena` wants the pointer of `into_raw`, owned: nobody has a count any more.
        #[cfg(not(exectrace_loom))]
        unsafe {
            crate::thread::limbo::put_arena(this.cast_mut());
        }
        // SAFETY: `from_raw` wants the same.
        #[cfg(exectrace_loom)]
        drop(unsafe { Box::from_raw(this.cast_mut()) });
    }
}

fn pages_of(capacity: usize) -> usize {
    (size_of::<Front>() + capacity).div_ceil(PAGE_BYTES)
}

#[cfg(all(unix, not(exectrace_loom)))]
fn table_bytes(pages: &Pages) -> usize {
    pages.words.len() * PAGES * size_of::<Batch>()
}

#[cfg(any(exectrace_loom, not(unix)))]
pub(crate) fn with_current<T>(_: impl FnOnce(&Arena) -> T) -> Option<T> {
    None
}

#[cfg(any(exectrace_loom, not(unix)))]
pub(crate) fn serves(_: *const Arena) -> bool {
    true
}

#[cfg(all(unix, not(exectrace_loom)))]
pub(crate) use current::{Serving, forked, serves, with_current};
#[cfg(all(unix, not(exectrace_loom)))]
pub(crate) use map::reserve;

/// The arena that new batches come from, if there is one.
#[cfg(all(unix, not(exectrace_loom)))]
mod current {
    use super::{Arena, AtomicUsize, Ordering, PAGE_BYTES, Pages, map};
    use crate::base::primitive::global::{self, AtomicPtr};
    use crate::sys::bus_error;
    use std::fs::File;
    use std::io;
    use std::ptr;

    static CURRENT: AtomicPtr<Arena> = AtomicPtr::new(ptr::null_mut());

    /// Number of threads that are using it now.
    static USERS: global::AtomicUsize = global::AtomicUsize::new(0);

    /// Calls `act` with the current arena, if there is one.
    pub(crate) fn with_current<T>(act: impl FnOnce(&Arena) -> T) -> Option<T> {
        // `SeqCst`, as in `Serving::drop`: a thread that does not see its null is seen by it in
        // `USERS`.
        USERS.fetch_add(1, Ordering::SeqCst);
        let arena = CURRENT.load(Ordering::SeqCst);
        // SAFETY: a shared reference wants a live arena: the current one has a count, and `drop`
        // waits for its users before it gives up that count.
        let result = (!arena.is_null()).then(|| act(unsafe { &*arena }));
        USERS.fetch_sub(1, Ordering::SeqCst);
        result
    }

    /// Whether new batches come from this arena; null stands for memory of no arena.
    pub(crate) fn serves(arena: *const Arena) -> bool {
        ptr::eq(CURRENT.load(Ordering::Relaxed), arena)
    }

    /// In a forked child: the mapping is shared with the parent, and the parent's.
    pub(crate) fn forked() {
        CURRENT.store(ptr::null_mut(), Ordering::Relaxed);
        USERS.store(0, Ordering::Relaxed);
        bus_error::forked();
    }

    /// Makes an arena the current one, until it is dropped.
    #[derive(Debug)]
    pub(crate) struct Serving(*const Arena);

    // SAFETY: `Send` wants that it may be dropped on another thread: the arena is `Sync`.
    unsafe impl Send for Serving {}
    // SAFETY: nothing can be done with a shared reference to it.
    unsafe impl Sync for Serving {}

    impl Serving {
        /// Maps a new file, with room for `bytes` of batches, and makes it the current arena. There
        /// must be no other current one.
        pub(crate) fn new(file: &File, bytes: usize) -> io::Result<Self> {
            let words = bytes.div_ceil(PAGE_BYTES).max(super::PAGES) / super::PAGES;
            let bytes = words.checked_mul(super::PAGES * PAGE_BYTES);
            let bytes = bytes.and_then(|bytes| bytes.checked_add(PAGE_BYTES));
            // The room is reserved first: if the number is too large, this fails before there is a
            // need for memory for the pages' bits.
            let bytes = bytes.ok_or(io::ErrorKind::FileTooLarge)?;
            let start = map::map(file, bytes)?;
            let parts = Self::parts(start, bytes, words * super::PAGES);
            let (table, pages) = parts.inspect_err(|_| map::unmap(start, bytes))?;
            let (count, link) = (AtomicUsize::new(1), AtomicPtr::new(ptr::null_mut()));
            let arena = Arena { start, bytes, table, pages, count, link };
            let arena = Box::into_raw(Box::new(arena));
            CURRENT.store(arena, Ordering::SeqCst);
            Ok(Self(arena))
        }

        /// What belongs to a mapped file: the table of its batches, and which pages are free. From
        /// now on the file may be shortened.
        fn parts(
            start: *mut u8,
            bytes: usize,
            pages: usize,
        ) -> io::Result<(*mut super::Batch, Pages)> {
            let pages = Pages::new(pages).ok_or(io::ErrorKind::OutOfMemory)?;
            let table = map::anonymous(super::table_bytes(&pages))?;
            let watched = bus_error::watch(start, bytes);
            watched.inspect_err(|_| map::unmap(table, super::table_bytes(&pages)))?;
            Ok((table.cast(), pages))
        }
    }

    impl Drop for Serving {
        fn drop(&mut self) {
            // In a forked child the current arena may be another one by now, the child's own.
            let own = self.0.cast_mut();
            let order = Ordering::SeqCst;
            let _ = CURRENT.compare_exchange(own, ptr::null_mut(), order, order);
            while USERS.load(Ordering::SeqCst) > 0 {
                std::thread::yield_now();
            }
            // SAFETY: `release` wants a count of the caller's: the one of the current arena.
            unsafe { Arena::release(self.0) };
        }
    }
}

/// Files in memory.
#[cfg(all(unix, not(exectrace_loom)))]
mod map {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::ptr;

    /// Reserves room in an empty file, and maps it.
    pub(super) fn map(file: &File, bytes: usize) -> io::Result<*mut u8> {
        reserve(file, bytes)?;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping, wherever the kernel likes, touches nobody's memory.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(start.cast()) }
    }

    /// Memory of the process alone, all zeros.
    pub(super) fn anonymous(bytes: usize) -> io::Result<*mut u8> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new mapping, wherever the kernel likes, touches nobody's memory.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(start.cast()) }
    }

    /// Makes a file this long, with room reserved on the disk.
    #[cfg(target_os = "linux")]
    pub(crate) fn reserve(file: &File, bytes: usize) -> io::Result<()> {
        let length = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // Not all file systems check before they allocate: a number that is far too large would
        // fill the disk.
        if free(file).is_some_and(|free| free < bytes as u64) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        // SAFETY: it takes numbers only.
        let failed = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) };
        if failed == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failed)) }
    }

    /// Bytes that are free on a file's file system; `None` if that does not count them.
    #[cfg(target_os = "linux")]
    fn free(file: &File) -> Option<u64> {
        let mut told = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: `fstatvfs` wants a descriptor and a place.
        let failed = unsafe { libc::fstatvfs(file.as_raw_fd(), told.as_mut_ptr()) };
        // SAFETY: zeros are a valid value.
        let told = unsafe { told.assume_init() };
        let is_counted = failed == 0 && told.f_blocks > 0;
        #[allow(clippy::useless_conversion, reason = "some systems count in 32 bits")]
        is_counted.then(|| u64::from(told.f_bfree).saturating_mul(u64::from(told.f_frsize)))
    }

    /// Makes a file this long, with room reserved on the disk.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn reserve(file: &File, bytes: usize) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let zeros = [0; 1 << 16];
        for at in (0..bytes).step_by(zeros.len()) {
            file.write_all_at(&zeros[..zeros.len().min(bytes - at)], at as u64)?;
        }
        Ok(())
    }

    pub(super) fn unmap(start: *mut u8, bytes: usize) {
        // SAFETY: the mapping is the arena's, and nobody uses anything in it.
        unsafe { libc::munmap(start.cast(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_wherever_it_is() {
        assert_eq!(run(0b0110_0000, 2), Some(5));
        assert_eq!(run(0b1011_0111, 3), Some(0));
        assert_eq!(run(0b1011_0110, 3), None);
        assert_eq!(run(1, 1), Some(0));
        assert_eq!(run(0, 1), None);
        assert_eq!(run(u64::MAX, 64), if cfg!(exectrace_loom) { None } else { Some(0) });
    }
}
