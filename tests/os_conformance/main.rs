//! A hooked function does what libc's does: results, `errno`, what it writes, on good and bad
//! paths, with and without a trace.
//!
//! The program below runs with libc's own functions, looked up in the library, and with those that
//! the program itself finds, which are the hooks; what it sees must be the same each time. This
//! needs glibc as a loaded library: with musl a program has only one function of each name.
//!
//! - [`common`]: reads traces back.
//! - [`run`]: one run of that program.
//! - [`files`], [`folders`], [`fortified`]: parts of it.
//!
//! May contain `unsafe`: it calls functions by address.
//!
//! Long, because one program makes all these calls.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod folders;
mod fortified;
mod run;

use common::calls::{calls, of_thread};
use common::{alone, on_thread, record_here, record_with, with_calls};
use libc::c_void;
use run::{Run, Which, call, interrupted};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::Path;
use std::ptr;
use trace_format::id::CallId;

/// Reading and writing.
fn read_and_write(run: &mut Run) {
    let mut buffer = [0_u8; 64];
    let (to, null) = (buffer.as_mut_ptr(), ptr::null_mut::<u8>());
    let pair = run.pipe(libc::O_NONBLOCK | libc::O_CLOEXEC);
    call!(run, write(pair.1, b"hello, world".as_ptr(), 12));
    call!(run, read(pair.0, to, 5));
    call!(run, read(pair.0, to, 0));
    call!(run, read(pair.0, null, 5));
    call!(run, read(-1, to, 5));
    call!(run, read(pair.1, to, 5));
    call!(run, write(pair.0, to, 5));
    call!(run, write(pair.1, null, 5));
    call!(run, write(pair.1, null, 0));
    let slice = libc::iovec { iov_base: to.cast(), iov_len: 3 };
    call!(run, readv(pair.0, &raw const slice, 1));
    call!(run, writev(pair.1, &raw const slice, 1));
    call!(run, writev(pair.1, &raw const slice, -1));
    call!(run, readv(-1, &raw const slice, 1));
    call!(run, read(pair.0, to, 64));
    // The pipe is empty, and reading does not wait.
    call!(run, read(pair.0, to, 64));
    call!(run, pread(pair.0, to, 1, 0));
    call!(run, close(pair.1));
    // The other end is closed.
    call!(run, read(pair.0, to, 64));
    call!(run, close(pair.0));
    call!(run, close(pair.0));
    let pair = run.pipe(0);
    call!(run, close(pair.0));
    call!(run, write(pair.1, to, 1));
    call!(run, close(pair.1));
    run.note(buffer);
    let pair = run.pipe(0);
    interrupted(|| _ = call!(run, read(pair.0, to, 1)));
    run.close(pair);
    let counter = call!(run, eventfd(0, libc::EFD_NONBLOCK));
    run.blur(counter);
    call!(run, eventfd_write(counter, 7_u64));
    call!(run, eventfd_write(counter, u64::MAX));
    call!(run, eventfd_write(-1, 1_u64));
    call!(run, read(counter, to, 8));
    call!(run, read(counter, to, 8));
    run.note(buffer);
    call!(run, close(counter));
}

/// Sockets on this machine.
fn sockets(run: &mut Run) {
    let mut buffer = [7_u8; 32];
    let at = buffer.as_mut_ptr();
    let mut pair = [0; 2];
    let stream = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
    call!(run, socketpair(libc::AF_UNIX, stream, 0, pair.as_mut_ptr()));
    call!(run, socketpair(libc::AF_UNIX, -1, 0, pair.as_mut_ptr()));
    call!(run, send(pair[0], at, 9, 0));
    call!(run, recv(pair[1], at, 32, 0));
    call!(run, recv(pair[1], at, 32, 0));
    call!(run, send(-1, at, 9, 0));
    call!(run, sendto(pair[0], at, 5, 0, ptr::null::<u8>(), 0));
    call!(run, recvfrom(pair[1], at, 32, 0, ptr::null::<u8>(), ptr::null::<u8>()));
    call!(run, recvfrom(-1, at, 32, 0, ptr::null::<u8>(), ptr::null::<u8>()));
    let mut slice = libc::iovec { iov_base: at.cast(), iov_len: 4 };
    // SAFETY: zeros are a message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    call!(run, sendmsg(pair[0], &raw const message, 0));
    call!(run, recvmsg(pair[1], &raw mut message, 0));
    call!(run, recvmsg(pair[1], &raw mut message, 0));
    call!(run, sendmsg(-1, &raw const message, 0));
    several_messages(run, pair);
    call!(run, shutdown(pair[0], libc::SHUT_RDWR));
    call!(run, send(pair[0], at, 9, libc::MSG_NOSIGNAL));
    call!(run, shutdown(-1, 0));
    call!(run, close(pair[0]));
    call!(run, close(pair[1]));
    let listener = call!(run, socket(libc::AF_INET, stream, 0));
    run.blur(listener);
    call!(run, socket(-1, stream, 0));
    // SAFETY: zeros are an address: any port of any address.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as _;
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    let (place, bytes) = (&raw mut address, size_of::<libc::sockaddr_in>());
    call!(run, bind(listener, place, bytes));
    call!(run, bind(listener, place, bytes));
    call!(run, bind(-1, place, bytes));
    call!(run, listen(listener, 5));
    call!(run, listen(-1, 5));
    call!(run, accept(listener, ptr::null::<u8>(), ptr::null::<u8>()));
    let mut len = bytes as libc::socklen_t;
    // SAFETY: a socket, and places for its address.
    unsafe { libc::getsockname(listener, place.cast(), &raw mut len) };
    let client = call!(run, socket(libc::AF_INET, libc::SOCK_STREAM, 0));
    run.blur(client);
    call!(run, connect(client, place, bytes));
    call!(run, connect(client, place, bytes));
    call!(run, connect(-1, place, bytes));
    let accepted = call!(run, accept4(listener, ptr::null::<u8>(), ptr::null::<u8>(), 0));
    run.blur(accepted);
    call!(run, accept4(-1, ptr::null::<u8>(), ptr::null::<u8>(), 0));
    for each in [client, accepted, listener] {
        call!(run, close(each));
    }
    let mut found = ptr::null_mut::<libc::addrinfo>();
    call!(
        run,
        getaddrinfo(c"127.0.0.1".as_ptr(), c"80".as_ptr(), ptr::null::<u8>(), &raw mut found)
    );
    // SAFETY: what was just found.
    unsafe { libc::freeaddrinfo(found) };
    call!(
        run,
        getaddrinfo(ptr::null::<u8>(), ptr::null::<u8>(), ptr::null::<u8>(), &raw mut found)
    );
}

/// Two messages at once, in both directions, and calls that fail.
fn several_messages(run: &mut Run, pair: [i32; 2]) {
    let mut bytes = *b"one and two";
    let at = bytes.as_mut_ptr();
    let slice = |from, len| libc::iovec { iov_base: at.wrapping_add(from).cast(), iov_len: len };
    let mut slices = [slice(0, 3), slice(8, 3)];
    // SAFETY: zeros are messages.
    let mut list: [libc::mmsghdr; 2] = unsafe { std::mem::zeroed() };
    for (message, slice) in list.iter_mut().zip(&mut slices) {
        message.msg_hdr.msg_iov = ptr::from_mut(slice);
        message.msg_hdr.msg_iovlen = 1;
    }
    let (none, list) = (ptr::null::<u8>(), list.as_mut_ptr());
    assert_eq!(call!(run, sendmmsg(pair[0], list, 2, 0)), 2);
    call!(run, recvmmsg(pair[1], list, 2, 0, none));
    call!(run, recvmmsg(pair[1], list, 2, 0, none));
    call!(run, sendmmsg(pair[0], list, 0, 0));
    call!(run, sendmmsg(-1, list, 2, 0));
    call!(run, recvmmsg(-1, list, 2, 0, none));
    run.note(bytes);
}

/// Waiting for descriptors.
fn polls(run: &mut Run) {
    let pair = run.pipe(0);
    call!(run, write(pair.1, b"x".as_ptr(), 1));
    for (fd, ready) in [(pair.0, 1), (pair.1, 1), (-1, 0)] {
        let mut list = libc::pollfd { fd, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
        assert_eq!(call!(run, poll(&raw mut list, 1, 1)), ready);
        run.note(list.revents);
        let time = libc::timespec { tv_sec: 0, tv_nsec: 1000 };
        call!(run, ppoll(&raw mut list, 1, &raw const time, ptr::null::<u8>()));
        run.note((list.revents, time.tv_nsec));
    }
    call!(run, poll(ptr::null::<u8>(), 1, 0));
    call!(run, poll(ptr::null::<u8>(), 0, -5 + 5));
    // SAFETY: zeros are an empty set.
    let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is a small one.
    unsafe { libc::FD_SET(pair.0, &raw mut set) };
    let none = ptr::null::<u8>();
    let time = libc::timeval { tv_sec: 0, tv_usec: 500 };
    call!(run, select(pair.0 + 1, &raw mut set, none, none, &raw const time));
    call!(run, select(-1, none, none, none, none));
    call!(run, select(0, none, none, none, &raw const time));
    run.note(time.tv_usec);
    let time = libc::timespec { tv_sec: 0, tv_nsec: 5000 };
    call!(run, pselect(pair.0 + 1, &raw mut set, none, none, &raw const time, none));
    call!(run, pselect(-1, none, none, none, &raw const time, none));
    let epoll = call!(run, epoll_create1(0));
    run.blur(epoll);
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 9 };
    // SAFETY: a set, a descriptor, and an event.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, pair.0, &raw mut event) };
    call!(run, epoll_wait(epoll, &raw mut event, 1, 0));
    call!(run, epoll_wait(epoll, &raw mut event, 0, 0));
    call!(run, epoll_pwait(epoll, &raw mut event, 1, 0, none));
    call!(run, epoll_pwait2(epoll, &raw mut event, 1, none, none));
    call!(run, epoll_wait(-1, &raw mut event, 1, 0));
    call!(run, epoll_pwait2(-1, &raw mut event, 1, none, none));
    call!(run, close(epoll));
    let mut byte = 0_u8;
    call!(run, read(pair.0, &raw mut byte, 1));
    let mut list = libc::pollfd { fd: pair.0, events: libc::POLLIN, revents: 0 };
    interrupted(|| _ = call!(run, poll(&raw mut list, 1, -1)));
    interrupted(|| _ = call!(run, ppoll(&raw mut list, 1, none, none)));
    run.close(pair);
}

/// Time, processes, and other calls without a descriptor.
fn rest(run: &mut Run) {
    let none = ptr::null::<u8>();
    let short = libc::timespec { tv_sec: 0, tv_nsec: 1000 };
    let wrong = libc::timespec { tv_sec: 0, tv_nsec: -1 };
    let long = libc::timespec { tv_sec: 100, tv_nsec: 0 };
    for time in [&short, &wrong] {
        call!(run, nanosleep(ptr::from_ref(time), none));
        call!(run, clock_nanosleep(libc::CLOCK_MONOTONIC, 0, ptr::from_ref(time), none));
    }
    call!(run, clock_nanosleep(-77, 0, &raw const short, none));
    call!(run, nanosleep(none, none));
    let mut left = wrong;
    interrupted(|| _ = call!(run, nanosleep(&raw const long, &raw mut left)));
    run.note(left.tv_sec);
    interrupted(|| _ = call!(run, clock_nanosleep(0, 0, &raw const long, &raw mut left)));
    run.note(left.tv_sec);
    interrupted(|| _ = call!(run, sleep(100)));
    interrupted(|| _ = call!(run, usleep(100_000_000)));
    call!(run, usleep(1));
    call!(run, sleep(0));
    call!(run, sched_yield());
    let mut status = 0;
    call!(run, waitpid(1, &raw mut status, 0));
    call!(run, wait4(1, &raw mut status, 0, none));
    call!(run, waitid(libc::P_PID, 1, none, 0));
    let mut bytes = [0_u8; 16];
    call!(run, getrandom(bytes.as_mut_ptr(), 16, 0));
    call!(run, getrandom(bytes.as_mut_ptr(), 16, -1));
    call!(run, getrandom(none, 16, 0));
    let word = 5_u32;
    let (at, wait) = (&raw const word, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG);
    call!(run, syscall(libc::SYS_futex, at, wait, 6, none));
    call!(run, syscall(libc::SYS_futex, at, wait, 5, &raw const short));
    call!(run, syscall(libc::SYS_futex, none, wait, 5, none));
    call!(run, syscall(libc::SYS_futex, at, libc::FUTEX_WAKE, 1));
    call!(run, syscall(libc::SYS_futex, at, 99, 1));
    let bits = (libc::FUTEX_WAIT_BITSET, libc::FUTEX_BITSET_MATCH_ANY);
    call!(run, syscall(libc::SYS_futex, at, bits.0, 5, &raw const wrong, none, bits.1));
    interrupted(|| _ = call!(run, syscall(libc::SYS_futex, at, wait, 5, none)));
    call!(run, syscall(libc::SYS_getppid));
    call!(run, syscall(99_999));
    call!(run, syscall(libc::SYS_read, -1, none, 0));
    call!(run, syscall(libc::SYS_close, -1));
    call!(run, prctl(libc::PR_SET_NAME, c"conform".as_ptr()));
    call!(run, prctl(libc::PR_SET_NAME, none));
    call!(run, prctl(-1, 0));
    // SAFETY: the thread's own handle.
    let own = unsafe { libc::pthread_self() };
    call!(run, pthread_setname_np(own, c"conforming".as_ptr()));
    call!(run, pthread_setname_np(own, c"a name that is too long".as_ptr()));
    call!(run, pthread_join(own, none));
    let mut handle: libc::pthread_t = 0;
    let mut returned: usize = 0;
    extern "C" fn routine(argument: *mut c_void) -> *mut c_void {
        argument
    }
    let start = routine as extern "C" fn(*mut c_void) -> *mut c_void as usize;
    call!(run, pthread_create(&raw mut handle, none, start, 4711));
    call!(run, pthread_join(handle, &raw mut returned));
    run.note(returned);
}

/// Starting processes.
fn processes(run: &mut Run) {
    let (none, mut status) = (ptr::null::<u8>(), 0);
    let (mut child, arguments) = (0, [c"true".as_ptr(), ptr::null()]);
    let (into, list) = (&raw mut child, arguments.as_ptr());
    call!(run, posix_spawn(into, c"/nothing/there".as_ptr(), none, none, list, none));
    call!(run, posix_spawn(into, c"/bin/true".as_ptr(), none, none, list, none));
    let ended = call!(run, waitpid(child, &raw mut status, 0));
    run.blur(ended);
    run.note(status);
    call!(run, posix_spawnp(into, c"true".as_ptr(), none, none, list, none));
    let ended = call!(run, waitpid(child, &raw mut status, 0));
    run.blur(ended);
    run.note(status);
}

/// Runs all parts, in the same order each time.
fn program(which: Which) -> Run {
    let mut run = Run::new(which);
    read_and_write(&mut run);
    files::files(&mut run);
    files::descriptors(&mut run);
    folders::folders(&mut run);
    sockets(&mut run);
    polls(&mut run);
    fortified::fortified(&mut run);
    processes(&mut run);
    rest(&mut run);
    run
}

/// The functions that are hooked, as the recorder's sources list them.
fn hooked() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("trace-runtime/src/os");
    let mut names = BTreeSet::new();
    for file in [
        "files",
        "folders",
        "fortified",
        "io",
        "messages",
        "older",
        "processes",
        "sync",
        "threads",
        "wait",
    ] {
        let text = std::fs::read_to_string(folder.join(file).with_extension("rs"));
        let text = text.expect("a family of hooks");
        let (_, list) = text.split_once("\nhooks! {").expect("it lists them");
        let (list, _) = list.split_once("\n}\n").expect("to the end");
        let lines = list.lines().filter_map(|line| line.strip_prefix("    fn "));
        names.extend(lines.map(|line| line.split('(').next().expect("a name").to_owned()));
    }
    names
}

fn compare(expected: &Run, found: &Run) {
    for (at, (expected, found)) in expected.seen.iter().zip(&found.seen).enumerate() {
        assert_eq!(found, expected, "call {at}");
    }
    assert_eq!(found.seen.len(), expected.seen.len());
}

#[test]
fn hooks_change_nothing_the_program_sees() {
    let _alone = alone();
    let expected = program(Which::Library);
    for name in &expected.called {
        let name = CString::new(*name).expect("no zero byte");
        let (library, hook) = (Which::Library.address(&name), Which::Program.address(&name));
        assert!(library != hook, "{name:?} is hooked, also for libraries");
    }
    let called: BTreeSet<_> = expected.called.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(called, hooked(), "all that is hooked is called here");
    compare(&expected, &program(Which::Program));
    let mut traced = None;
    let recorded = record_here(with_calls(), || traced = Some(program(Which::Program)));
    let traced = traced.expect("it was run");
    compare(&expected, &traced);
    // The calls were recorded, not only passed on.
    let names: BTreeSet<_> = calls(&recorded.trace).iter().map(|call| call.name()).collect();
    for name in ["read", "pwritev", "openat", "poll", "futex_wait", "syscall", "pthread_join"] {
        assert!(names.contains(name), "{name} of {names:?}");
    }
    compare(&expected, &program(Which::Program));
}

#[test]
fn a_process_that_is_started_is_a_call_that_returns_its_id() {
    let mut id = 0;
    let recorded = record_with(with_calls(), || {
        on_thread("parent", || {
            let mut child = std::process::Command::new("true").spawn().expect("it is there");
            id = child.id();
            assert!(child.wait().expect("it ends").success());
            std::process::Command::new("/nothing/there").spawn().expect_err("it is not there");
        });
    });
    let trace = &recorded.trace;
    let mut all = of_thread(trace, trace.thread("parent"));
    all.retain(|call| call.call == CallId::POSIX_SPAWN);
    let results: Vec<_> = all.iter().map(|call| call.result).collect();
    assert_eq!(results, [i64::from(id), -i64::from(libc::ENOENT)]);
}

#[test]
fn several_messages_at_once_are_as_many_bytes_as_all_of_them() {
    let recorded = record_with(with_calls(), || {
        on_thread("sender", || {
            let (mut pair, kind) = ([0; 2], libc::SOCK_DGRAM | libc::SOCK_NONBLOCK);
            // SAFETY: the call wants room for two descriptors: `pair` is that.
            let failed = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
            assert_eq!(failed, 0);
            several_messages(&mut Run::new(Which::Program), pair);
        });
    });
    let trace = &recorded.trace;
    let all = of_thread(trace, trace.thread("sender"));
    let bytes_of = |call| all.iter().find(|each| each.call == call).map(|each| each.result);
    assert_eq!((bytes_of(CallId::SENDMMSG), bytes_of(CallId::RECVMMSG)), (Some(6), Some(6)));
}

#[test]
fn the_list_of_hooks_in_the_documentation_is_complete() {
    // The other test closes descriptors by their numbers, which might be those of this test's
    // files.
    let _alone = alone();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("trace-runtime/src/os");
    let text = std::fs::read_to_string(folder.join("hooks.md")).expect("the list");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let told: BTreeSet<_> = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
    let hooked = hooked();
    let bare = |name: &str| name.strip_suffix("64").unwrap_or(name).to_owned();
    let wanted: BTreeSet<_> = hooked.iter().map(|name| bare(name)).collect();
    assert_eq!(told, wanted.iter().map(String::as_str).collect());
}
