//! Reading folders.
//!
//! May contain `unsafe`: it reads the descriptor of a folder, and its entries.

use crate::common::calls::{of_thread, resource};
use crate::common::{on_thread, record_with, with_calls};
use crate::run::{Run, Which, call};
use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use trace_format::id::CallId;

fn string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no zero byte")
}

pub(super) fn folders(run: &mut Run) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "b", "c"] {
        fs::write(folder.path().join(name), name).expect("there is room");
    }
    let (path, none) = (string(folder.path()), ptr::null::<u8>());
    for reads in ["readdir", "readdir64"] {
        let opened = run.call_for_pointer("opendir", &[path.as_ptr() as usize]);
        let opened = opened as *mut libc::DIR;
        assert!(!opened.is_null(), "it is there");
        let mut names = Vec::new();
        loop {
            let entry = run.call_for_pointer(reads, &[opened as usize]) as *const libc::dirent64;
            if entry.is_null() {
                break;
            }
            // SAFETY: an entry of a folder that is open; both functions have the same layout here.
            let name = unsafe { &raw const (*entry).d_name };
            // SAFETY: the name ends with a zero byte.
            let name = unsafe { CStr::from_ptr(name.cast()) };
            names.push(name.to_string_lossy().into_owned());
        }
        names.sort();
        run.note(names);
        call!(run, closedir(opened));
    }
    call!(run, closedir(none));
    read_into(run, &path);
    let missing = string(&folder.path().join("missing"));
    run.call_for_pointer("opendir", &[missing.as_ptr() as usize]);
    run.call_for_pointer("opendir", &[c"/dev/null".as_ptr() as usize]);
    let mut buffer = [0_u64; 512];
    let (into, bytes) = (buffer.as_mut_ptr(), size_of_val(&buffer));
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let fd = call!(run, open(path.as_ptr(), flags));
    run.blur(fd);
    call!(run, getdents64(fd, into, bytes));
    call!(run, getdents64(fd, into, bytes));
    call!(run, getdents64(-1, into, bytes));
    call!(run, syscall(libc::SYS_getdents64, -1, into, bytes));
    call!(run, close(fd));
}

/// Reads entries into memory of the caller.
fn read_into(run: &mut Run, path: &CStr) {
    for reads in ["readdir_r", "readdir64_r"] {
        let folder = run.call_for_pointer("opendir", &[path.as_ptr() as usize]);
        let (mut room, mut found) = ([0_u64; 64], ptr::null_mut::<u8>());
        let (entry, into) = (room.as_mut_ptr() as usize, &raw mut found as usize);
        loop {
            run.call(reads, &[folder, entry, into]);
            run.note(found.is_null());
            if found.is_null() {
                break;
            }
        }
        call!(run, closedir(folder));
    }
}

#[test]
fn a_walk_through_a_folder_is_recorded_with_its_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let names: Vec<_> = (0..5).map(|number| number.to_string()).collect();
    names.iter().for_each(|name| fs::write(folder.path().join(name), "x").expect("room"));
    let missing = folder.path().join("missing");
    let recorded = record_with(with_calls(), || {
        on_thread("walker", || {
            let entries = fs::read_dir(folder.path()).expect("it is there");
            assert_eq!(entries.count(), names.len());
            assert!(fs::read_dir(&missing).is_err());
        });
    });
    let trace = &recorded.trace;
    let all = of_thread(trace, trace.thread("walker"));
    let of = |call| all.iter().filter(move |each| each.call == call);
    let path = folder.path().to_str().expect("a plain path");
    let is_here = |call| resource(trace, call).is_some_and(|found| found.name == path);
    // Its file, `.`, `..`, and the end.
    let read: Vec<_> = of(CallId::READDIR).collect();
    assert!(read.iter().all(|call| is_here(call)), "{read:?}");
    let results: Vec<_> = read.iter().map(|call| call.result).collect();
    assert_eq!(results, [1, 1, 1, 1, 1, 1, 1, 0]);
    let opened: Vec<_> = of(CallId::OPENDIR).map(|call| call.result).collect();
    assert!(matches!(opened[..], [fd, failed] if fd > 2 && failed == -i64::from(libc::ENOENT)));
    let closed: Vec<_> = of(CallId::CLOSEDIR).collect();
    assert!(matches!(closed[..], [call] if call.result == 0 && is_here(call)), "{closed:?}");
    assert!(folders_are_forgotten(folder.path()));
}

/// Whether a file with the descriptor number of a closed folder is recorded with its own name.
fn folders_are_forgotten(folder: &Path) -> bool {
    let file = folder.join("0");
    let recorded = record_with(with_calls(), || {
        on_thread("walker", || {
            let mut run = Run::new(Which::Program);
            let path = string(folder);
            let opened = run.call_for_pointer("opendir", &[path.as_ptr() as usize]);
            run.call_for_pointer("readdir", &[opened]);
            call!(run, closedir(opened));
            assert_eq!(fs::read(&file).expect("it is there"), b"x");
        });
    });
    let trace = &recorded.trace;
    let all = of_thread(trace, trace.thread("walker"));
    let mut reads = all.iter().filter(|call| call.call == CallId::READ && call.result > 0);
    reads.all(|call| resource(trace, call).is_some_and(|it| Path::new(&it.name) == file))
}
