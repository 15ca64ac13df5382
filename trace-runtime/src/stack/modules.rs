//! The modules that are mapped, the program and its libraries: where, and from which file.
//!
//! May contain `unsafe`: it reads the loader's lists, and the headers of mapped files.

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;

/// Maximum number of bytes of a path; longer ones are cut.
const PATH_BYTES_MAX: usize = 1024;

/// Maximum number of bytes of a build id; linkers make them of 20.
const BUILD_ID_BYTES_MAX: usize = 64;

/// The program, or a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MappedModule {
    /// Its addresses.
    pub(crate) range: Range<u64>,
    /// An address in memory minus the same one in the file.
    pub(crate) bias: u64,
    pub(crate) build_id: Vec<u8>,
    pub(crate) path: Vec<u8>,
    /// Where the index of its unwind tables is mapped.
    pub(crate) eh_frame_hdr: Option<Range<u64>>,
    /// The mapped segment that contains the index.
    pub(crate) segment: Option<Range<u64>>,
    /// Whether it is the program itself, which is never unmapped.
    pub(crate) is_program: bool,
}

/// How often the loader has loaded and unloaded modules, the program included. The first number is
/// never 0, so `(0, 0)` stands for nothing read yet.
pub(crate) type Version = (u64, u64);

/// The loader's counters now.
pub(crate) fn version() -> Version {
    let mut version = (1, 0);
    each(&mut |info| {
        // In a static program with musl, nothing counts the program itself.
        version = (info.dlpi_adds.max(1), info.dlpi_subs);
        false
    });
    version
}

/// Calls `take` with each mapped module, while none can be unmapped. Returns the results.
pub(crate) fn read<T>(mut take: impl FnMut(MappedModule) -> T) -> Vec<T> {
    let mut all = Vec::new();
    each(&mut |info| {
        all.extend(module(info, all.is_empty()).map(&mut take));
        true
    });
    all
}

/// Calls `act` with each entry of the loader's list until it returns false.
fn each(act: &mut dyn FnMut(&libc::dl_phdr_info) -> bool) {
    extern "C" fn found(info: *mut libc::dl_phdr_info, _: usize, act: *mut c_void) -> c_int {
        let act = act.cast::<&mut dyn FnMut(&libc::dl_phdr_info) -> bool>();
        // SAFETY: a unique reference wants the object behind `act`, lent to no other code: `each`
        // lends it for the time of its call.
        let act = unsafe { &mut *act };
        // SAFETY: a shared reference wants a live object: the loader keeps it during this call.
        let more = act(unsafe { &*info });
        c_int::from(!more)
    }
    let mut act = act;
    let _inside = forks::NoFork::new();
    // SAFETY: `dl_iterate_phdr` wants a function to call, and its argument: both live.
    unsafe { libc::dl_iterate_phdr(Some(found), (&raw mut act).cast()) };
}

/// Forks wait while the result lives. For code that holds a lock which a forked child would find
/// locked; it must not take long.
#[cfg(feature = "names")]
pub(crate) fn no_fork() -> impl Drop {
    forks::NoFork::new()
}

/// The process does not fork while the loader lists modules for the recorder, or names are
/// resolved.
///
/// The loader holds a lock meanwhile, and a child gets the lock as it is at the fork. If a thread
/// that the child does not have holds it, the child waits for ever when it next takes it: to load a
/// library, or to start a trace. So a thread that forks waits until the others are done, and these
/// wait until it has forked. Neither waits for ever, as the fork may come from a signal handler
/// that has interrupted the other.
mod forks {
    use crate::base::primitive::Ordering;
    use crate::base::primitive::global::{AtomicBool, AtomicUsize};
    use crate::sys::clock::Instant;
    use std::time::Duration;

    /// Maximum time that a fork waits. Longer than the time limit for resolving names (`names`), as
    /// a child that is forked earlier would find a lock taken for ever. Listing modules takes
    /// milliseconds.
    const WAIT_MAX: Duration = Duration::from_secs(10);

    /// Number of threads that list modules, or resolve names.
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    /// Number of threads that are forking.
    static FORKING: AtomicUsize = AtomicUsize::new(0);

    pub(super) struct NoFork(());

    impl NoFork {
        pub(super) fn new() -> Self {
            watch();
            wait_for(|| {
                // `SeqCst`, as in `before`: at least one of the two sees the other.
                INSIDE.fetch_add(1, Ordering::SeqCst);
                let is_free = FORKING.load(Ordering::SeqCst) == 0;
                if !is_free {
                    leave(&INSIDE);
                }
                is_free
            })
            .unwrap_or_else(|| _ = INSIDE.fetch_add(1, Ordering::SeqCst));
            Self(())
        }
    }

    /// Registers the functions that forks call, once.
    fn watch() {
        static IS_BEGUN: AtomicBool = AtomicBool::new(false);
        static IS_DONE: AtomicBool = AtomicBool::new(false);
        // Not a `Once`: a child that is forked meanwhile would wait for it for ever.
        if !IS_BEGUN.swap(true, Ordering::Relaxed) {
            crate::sys::around_fork(before, parent, child);
            IS_DONE.store(true, Ordering::Release);
        }
        let _ = wait_for(|| IS_DONE.load(Ordering::Acquire));
    }

    impl Drop for NoFork {
        fn drop(&mut self) {
            leave(&INSIDE);
        }
    }

    extern "C" fn before() {
        FORKING.fetch_add(1, Ordering::SeqCst);
        // If recording is suppressed, this thread itself lists modules or resolves names, and a
        // handler has interrupted that: it must not wait for itself.
        if crate::thread::local::is_suppressed() {
            return;
        }
        let _ = wait_for(|| INSIDE.load(Ordering::SeqCst) == 0);
    }

    extern "C" fn parent() {
        leave(&FORKING);
    }

    extern "C" fn child() {
        FORKING.store(0, Ordering::Relaxed);
        INSIDE.store(0, Ordering::Relaxed);
    }

    /// Counts down, but not below 0: a child's counts were reset at the fork.
    fn leave(count: &AtomicUsize) {
        let less = |count: usize| count.checked_sub(1);
        let _ = count.fetch_update(Ordering::SeqCst, Ordering::Relaxed, less);
    }

    /// Waits until `is_so`. `None` if that takes longer than [`WAIT_MAX`].
    fn wait_for(is_so: impl Fn() -> bool) -> Option<()> {
        if is_so() {
            return Some(());
        }
        // The calls below may be hooked.
        let _suppressed = crate::thread::local::suppress();
        let until = Instant::now() + WAIT_MAX;
        while Instant::now() < until {
            std::thread::yield_now();
            if is_so() {
                return Some(());
            }
        }
        None
    }
}

fn module(info: &libc::dl_phdr_info, is_program: bool) -> Option<MappedModule> {
    let bias = info.dlpi_addr;
    // SAFETY: `from_raw_parts` wants this many headers, in place while they are borrowed: the
    // loader keeps them during the call that lent `info`.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let range = |header: &libc::Elf64_Phdr| {
        let first = bias.wrapping_add(header.p_vaddr);
        first..first.wrapping_add(header.p_memsz)
    };
    let of = |kind| headers.iter().filter(move |header| header.p_type == kind);
    let loaded = || of(libc::PT_LOAD).map(range);
    let eh_frame_hdr = of(libc::PT_GNU_EH_FRAME).map(range).next();
    let inside = |segment: &Range<u64>| {
        let table = eh_frame_hdr.clone().unwrap_or_default();
        segment.start <= table.start && table.end <= segment.end && !table.is_empty()
    };
    Some(MappedModule {
        range: loaded().map(|it| it.start).min()?..loaded().map(|it| it.end).max()?,
        bias,
        build_id: of(libc::PT_NOTE).find_map(|it| build_id(mapped(range(it)))).unwrap_or_default(),
        path: path(info, is_program),
        segment: loaded().find(inside),
        eh_frame_hdr,
        is_program,
    })
}

/// The bytes of a mapped range of a module.
fn mapped<'a>(range: Range<u64>) -> &'a [u8] {
    let start = std::ptr::with_exposed_provenance(range.start as usize);
    // SAFETY: `from_raw_parts` wants readable memory that is not written while borrowed: a module's
    // headers say that it is mapped for reading, and the loader is done with it. It is unmapped
    // only while the loader is not listing modules: callers copy, or it is the program's.
    unsafe { std::slice::from_raw_parts(start, (range.end - range.start) as usize) }
}

impl MappedModule {
    /// The mapped segment with the unwind tables. To be used only inside [`read`], unless it is the
    /// program's.
    pub(crate) fn tables(&self) -> Option<&'static [u8]> {
        self.segment.clone().map(mapped)
    }
}

/// The build id among a module's notes. A note is three words, a name and a description, each
/// padded to four bytes.
pub(crate) fn build_id(notes: &[u8]) -> Option<Vec<u8>> {
    const BUILD_ID: u32 = 3;
    let mut rest = notes;
    while let Some((head, behind)) = rest.split_at_checked(12) {
        let word = |at: usize| {
            let bytes = head[at * 4..].first_chunk().expect("there are three words");
            u32::from_ne_bytes(*bytes)
        };
        let (name_bytes, bytes) = (word(0) as usize, word(1) as usize);
        let (name, behind) = behind.split_at_checked(name_bytes.next_multiple_of(4))?;
        let description = behind.get(..bytes)?;
        if word(2) == BUILD_ID && name.starts_with(b"GNU\0") && bytes <= BUILD_ID_BYTES_MAX {
            return Some(description.to_vec());
        }
        rest = behind.get(bytes.next_multiple_of(4)..)?;
    }
    None
}

fn path(info: &libc::dl_phdr_info, is_program: bool) -> Vec<u8> {
    let mut path = if is_program {
        crate::sys::program().unwrap_or_default().into_os_string().into_vec()
    } else if info.dlpi_name.is_null() {
        Vec::new()
    } else {
        // SAFETY: `from_ptr` wants a text that ends with a 0: the loader's do.
        unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes().to_vec()
    };
    path.truncate(PATH_BYTES_MAX);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_forked_while_others_list_modules_can_list_them_too() {
        use crate::base::primitive::Ordering;
        use crate::base::primitive::global::AtomicBool;
        let is_over = AtomicBool::new(false);
        let forked = || {
            // SAFETY: `fork` wants that the child does only what is allowed after a fork, which
            // this test is about.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // Ends a child that hangs.
                //
                // SAFETY: `alarm` takes a number.
                unsafe { libc::alarm(120) };
                version();
                // SAFETY: `_exit` takes a number.
                unsafe { libc::_exit(0) };
            }
            let mut status = -1;
            // SAFETY: `waitpid` wants a child, and a place for its status.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            status
        };
        let ends = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        std::hint::black_box(version());
                    }
                });
            }
            // Up to the first one that hangs.
            let ends = (0..300).map(|_| forked()).find(|&status| status != 0);
            is_over.store(true, Ordering::Relaxed);
            ends
        });
        assert_eq!(ends, None, "a child was ended");
    }

    #[test]
    fn the_program_is_the_first_module_and_has_this_function() {
        let all = read(|module| module);
        let own = (the_program_is_the_first_module_and_has_this_function as fn()) as usize as u64;
        assert!(all[0].is_program && all[0].range.contains(&own), "{:x?}", all[0]);
        let path = std::env::current_exe().expect("there is one");
        assert_eq!(all[0].path, path.into_os_string().into_vec());
        assert!(all.iter().skip(1).all(|module| !module.is_program));
        let tables = all[0].eh_frame_hdr.clone().expect("the compiler makes them");
        let segment = all[0].segment.clone().expect("they are mapped");
        assert!(segment.start <= tables.start && tables.end <= segment.end);
    }

    #[test]
    fn the_version_is_the_same_while_nothing_is_loaded() {
        assert_eq!(version(), version());
        assert!(version().0 > 0);
    }

    #[test]
    fn notes_are_searched_to_their_end_and_not_beyond() {
        let note = |name: &[u8], bytes: &[u8], kind: u32| {
            let mut note = Vec::new();
            for word in [name.len() as u32, bytes.len() as u32, kind] {
                note.extend(word.to_ne_bytes());
            }
            for part in [name, bytes] {
                note.extend(part);
                note.resize(note.len().next_multiple_of(4), 0);
            }
            note
        };
        let id = [9; 20];
        let other = note(b"GNU\0", &[1; 5], 1);
        let all = [other.clone(), note(b"GNU\0", &id, 3)].concat();
        assert_eq!(build_id(&all), Some(id.to_vec()));
        assert_eq!(build_id(&other), None);
        assert_eq!(build_id(&note(b"Go\0\0", &id, 3)), None);
        assert_eq!(build_id(&note(b"GNU\0", &[0; 65], 3)), None);
        for cut in 0..all.len() - 1 {
            assert_eq!(build_id(&all[..cut]), None, "cut at {cut}");
        }
        assert_eq!(build_id(&[0xff; 40]), None);
    }
}
