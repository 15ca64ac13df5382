//! The names by which C code calls functions if it was built with `_FORTIFY_SOURCE`.
//!
//! May contain `unsafe`: it forks children, which abort.

use crate::common::calls::of_thread;
use crate::common::{alone, on_thread, record_with, with_calls};
use crate::run::{Pair, Run, Which, call, interrupted};
use libc::c_int;
use std::collections::BTreeMap;
use std::ptr;

/// Calls the functions as C code does that was built with `_FORTIFY_SOURCE`.
pub(super) fn fortified(run: &mut Run) {
    let mut buffer = [3_u8; 32];
    let (at, none) = (buffer.as_mut_ptr(), ptr::null::<u8>());
    let mut pair = [0; 2];
    call!(run, socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()));
    call!(run, write(pair[0], b"in three parts".as_ptr(), 14));
    call!(run, __read_chk(pair[1], at, 3, 32));
    call!(run, __recv_chk(pair[1], at, 6, 32, libc::MSG_DONTWAIT));
    call!(run, __recvfrom_chk(pair[1], at, 32, 32, libc::MSG_DONTWAIT, none, none));
    run.note(buffer);
    call!(run, __recv_chk(pair[1], at, 32, 32, libc::MSG_DONTWAIT));
    call!(run, __recvfrom_chk(-1, at, 32, 32, 0, none, none));
    call!(run, __read_chk(-1, at, 32, 32));
    let size = size_of::<libc::pollfd>();
    for (fd, ready) in [(pair[0], 1), (-1, 0)] {
        let mut list = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
        assert_eq!(call!(run, __poll_chk(&raw mut list, 1, 1, size)), ready);
        let time = libc::timespec { tv_sec: 0, tv_nsec: 1000 };
        call!(run, __ppoll_chk(&raw mut list, 1, &raw const time, none, size));
        run.note((list.revents, time.tv_nsec));
    }
    let mut list = libc::pollfd { fd: pair[1], events: libc::POLLIN, revents: 0 };
    interrupted(|| _ = call!(run, __poll_chk(&raw mut list, 1, -1, size)));
    run.close(Pair(pair[0], pair[1]));
    let (zeros, here) = (c"/dev/zero".as_ptr(), libc::AT_FDCWD);
    let opened = [
        call!(run, __open_2(zeros, libc::O_RDONLY)),
        call!(run, __open64_2(zeros, libc::O_RDONLY)),
        call!(run, __openat_2(here, zeros, libc::O_RDONLY)),
        call!(run, __openat64_2(here, zeros, libc::O_RDONLY)),
    ];
    for (at, fd) in opened.iter().enumerate() {
        let seen = run.seen.len() - opened.len() + at;
        run.seen[seen] = run.seen[seen].replacen(&format!(" {fd} "), " fd ", 1);
    }
    call!(run, __pread_chk(opened[0], at, 8, 0, 32));
    call!(run, __pread64_chk(opened[0], at, 8, -1_i64, 32));
    run.note(buffer);
    opened.into_iter().for_each(|fd| _ = call!(run, close(fd)));
    call!(run, __open_2(none, libc::O_RDONLY));
    call!(run, __openat_2(-1, c"x".as_ptr(), libc::O_RDONLY));
}

#[test]
fn a_call_of_code_that_checks_itself_is_one_of_the_function() {
    let recorded = record_with(with_calls(), || {
        on_thread("checked", || fortified(&mut Run::new(Which::Program)));
    });
    let mut counts = BTreeMap::new();
    for call in of_thread(&recorded.trace, recorded.trace.thread("checked")) {
        *counts.entry(call.name()).or_insert(0) += 1;
    }
    // The calls above and no others: each was made once.
    let wanted = [("read", 2), ("recv", 2), ("recvfrom", 2), ("pread64", 2), ("poll", 3)];
    for (name, count) in wanted.into_iter().chain([("ppoll", 2), ("open", 3), ("openat", 3)]) {
        assert_eq!(counts.get(name), Some(&count), "{name} of {counts:?}");
    }
}

/// The status of a child that makes this call.
fn end_of_child(which: Which, name: &'static str, words: &[usize]) -> c_int {
    // SAFETY: the child does more than it may after a fork, on purpose: libc's allocator copes.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        // SAFETY: the process's own mark, and descriptor: no core, and no words of libc's.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        // SAFETY: as above.
        unsafe { libc::close(2) };
        Run::new(which).call(name, words);
        // SAFETY: it wants nothing.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: a child, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

#[test]
fn what_overruns_a_buffer_still_ends_the_program() {
    let _alone = alone();
    let mut buffer = [0_u8; 64];
    let at = buffer.as_mut_ptr() as usize;
    let created = c"/dev/null".as_ptr() as usize;
    let calls: [(&str, &[usize]); 7] = [
        ("__read_chk", &[0, at, 9, 8]),
        ("__pread_chk", &[0, at, 9, 0, 8]),
        ("__recv_chk", &[0, at, 9, 8, 0]),
        ("__recvfrom_chk", &[0, at, 9, 8, 0, 0, 0]),
        ("__poll_chk", &[at, 2, 0, 15]),
        ("__ppoll_chk", &[at, 2, 0, 0, 15]),
        ("__open_2", &[created, libc::O_CREAT as usize]),
    ];
    for (name, words) in calls {
        for which in [Which::Library, Which::Program] {
            let status = end_of_child(which, name, words);
            let by = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
            assert_eq!(by, Some(libc::SIGABRT), "{name} of the {which:?}");
        }
    }
}
