//! What is mapped of the program and its libraries: where, and how to tell which file it was.
//!
//! May contain `unsafe`: it reads what the loader knows, and the headers of mapped files.

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;

/// The most bytes of a path that are kept.
const PATH_BYTES_MAX: usize = 1024;

/// The most bytes of a build id that are kept; linkers make them of 20.
const BUILD_ID_BYTES_MAX: usize = 64;

/// The program, or a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// From its first to behind its last address.
    pub(crate) range: Range<u64>,
    /// An address in memory minus the same one in the file.
    pub(crate) bias: u64,
    pub(crate) build_id: Vec<u8>,
    pub(crate) path: Vec<u8>,
    /// Where its table of unwinding begins and ends, in memory.
    pub(crate) eh_frame_hdr: Option<Range<u64>>,
    /// The mapped part that the table lies in.
    pub(crate) segment: Option<Range<u64>>,
    /// The program itself, which is never unmapped.
    pub(crate) is_program: bool,
}

/// How often the loader has loaded and unloaded, the program included. The first number is never 0:
/// whoever has looked at nothing yet has `(0, 0)`.
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

/// Everything that is mapped now, with what `take` makes of it while it can't be unmapped.
pub(crate) fn read<T>(mut take: impl FnMut(Module) -> T) -> Vec<T> {
    let mut all = Vec::new();
    each(&mut |info| {
        all.extend(module(info, all.is_empty()).map(&mut take));
        true
    });
    all
}

/// Hands out what the loader knows, one by one, until `act` has enough.
fn each(act: &mut dyn FnMut(&libc::dl_phdr_info) -> bool) {
    extern "C" fn found(info: *mut libc::dl_phdr_info, _: usize, act: *mut c_void) -> c_int {
        let act = act.cast::<&mut dyn FnMut(&libc::dl_phdr_info) -> bool>();
        // SAFETY: a unique reference wants the object behind `act`, lent to nobody else: `each`
        // lends it for the time of its call.
        let act = unsafe { &mut *act };
        // SAFETY: a shared reference wants a live object: the loader keeps it during this call.
        let more = act(unsafe { &*info });
        c_int::from(!more)
    }
    let mut act = act;
    let _inside = forks::Inside::new();
    // SAFETY: `dl_iterate_phdr` wants a function to call, and what to call it with: both live.
    unsafe { libc::dl_iterate_phdr(Some(found), (&raw mut act).cast()) };
}

/// Forks wait while this lives: what it is held for has a lock that a child would find locked. Not
/// for long.
#[cfg(feature = "names")]
pub(crate) fn no_fork() -> impl Drop {
    forks::Inside::new()
}

/// No process forks while the loader lists modules for the recorder, or names are resolved.
///
/// The loader has a lock meanwhile, and a child has that as it was at the fork. Were it held by a
/// thread that the child does not have, the child would wait for ever where it takes it next: to
/// load a library, or to start a trace. So who forks waits until all are done, and who comes in
/// meanwhile until it has forked. Neither waits for ever: who forks may be a signal's handler that
/// has interrupted the other.
mod forks {
    use crate::base::primitive::Ordering;
    use crate::base::primitive::global::{AtomicBool, AtomicUsize};
    use crate::sys::clock::Instant;
    use std::time::Duration;

    /// How long a fork waits. Longer than names are resolved for (`names`): a child that is forked
    /// earlier would find a lock taken for ever. Listing modules takes milliseconds.
    const WAIT_MAX: Duration = Duration::from_secs(10);

    /// Threads that list modules, or resolve names.
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    /// Threads that are forking.
    static FORKING: AtomicUsize = AtomicUsize::new(0);

    pub(super) struct Inside(());

    impl Inside {
        pub(super) fn new() -> Self {
            watch();
            wait_for(|| {
                // `SeqCst`, as in `before`: one of the two sees the other.
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

    /// Has all forks watched from now on.
    fn watch() {
        static IS_BEGUN: AtomicBool = AtomicBool::new(false);
        static IS_DONE: AtomicBool = AtomicBool::new(false);
        // No `Once`, for which a child would wait for ever that was forked meanwhile.
        if !IS_BEGUN.swap(true, Ordering::Relaxed) {
            crate::sys::around_fork(before, parent, child);
            IS_DONE.store(true, Ordering::Release);
        }
        let _ = wait_for(|| IS_DONE.load(Ordering::Acquire));
    }

    impl Drop for Inside {
        fn drop(&mut self) {
            leave(&INSIDE);
        }
    }

    extern "C" fn before() {
        FORKING.fetch_add(1, Ordering::SeqCst);
        // Who is quiet here lists modules itself or resolves names, and a handler has interrupted
        // that.
        if crate::thread::local::is_quiet() {
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

    /// In a child, who has come in before the fork was taken out there.
    fn leave(count: &AtomicUsize) {
        let less = |count: usize| count.checked_sub(1);
        let _ = count.fetch_update(Ordering::SeqCst, Ordering::Relaxed, less);
    }

    /// `None` if it is not so in time.
    fn wait_for(is_so: impl Fn() -> bool) -> Option<()> {
        if is_so() {
            return Some(());
        }
        // What waits here is hooked.
        let _quiet = crate::thread::local::quiet();
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

fn module(info: &libc::dl_phdr_info, is_program: bool) -> Option<Module> {
    let bias = info.dlpi_addr;
    // SAFETY: `from_raw_parts` wants so many headers, in place while they are borrowed: the loader
    // keeps them during the call that lent `info`.
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
    Some(Module {
        range: loaded().map(|it| it.start).min()?..loaded().map(|it| it.end).max()?,
        bias,
        build_id: of(libc::PT_NOTE).find_map(|it| build_id(mapped(range(it)))).unwrap_or_default(),
        path: path(info, is_program),
        segment: loaded().find(inside),
        eh_frame_hdr,
        is_program,
    })
}

/// The bytes of a mapped part of a module.
fn mapped<'a>(range: Range<u64>) -> &'a [u8] {
    let start = std::ptr::with_exposed_provenance(range.start as usize);
    // SAFETY: `from_raw_parts` wants readable memory that is not written while borrowed: a module's
    // headers say that it is mapped for reading, and the loader is done with it. It is unmapped
    // only while the loader is not listing modules: callers copy, or it is the program's.
    unsafe { std::slice::from_raw_parts(start, (range.end - range.start) as usize) }
}

impl Module {
    /// The mapped part with the unwind tables. Only inside [`read`], unless it is the program's.
    pub(crate) fn tables(&self) -> Option<&'static [u8]> {
        self.segment.clone().map(mapped)
    }
}

/// Notes are three words, a name and a description, each padded to four bytes.
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
            // SAFETY: `fork` wants that the child does only what it may after a fork: what it does
            // is what is tested.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // One that hangs is ended.
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
