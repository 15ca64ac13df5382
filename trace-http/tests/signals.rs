//! The threads that serve the pages and record for them block the program's signals.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use trace_http::{Config, serve};

/// The signals that another thread can take, so that ours must block them: all except those of
/// faults and those that cannot be blocked. The numbers are Linux's.
fn others() -> u64 {
    const FAULTS: [u32; 6] = [4, 5, 7, 8, 11, 31];
    const UNBLOCKABLE: [u32; 2] = [9, 19];
    // 32 and 33 are the thread library's own.
    let all = (1..=31).chain(34..=64);
    all.filter(|signal| !FAULTS.contains(signal) && !UNBLOCKABLE.contains(signal))
        .fold(0, |all, signal| all | 1 << (signal - 1))
}

/// The signals that the thread of this name blocks, as bits; signal 1 is the lowest.
fn mask_of(name: &str) -> u64 {
    let threads = fs::read_dir("/proc/self/task").expect("every process has it").flatten();
    let read = |path: &std::path::Path, what| fs::read_to_string(path.join(what));
    let is_it = |path: &std::path::PathBuf| read(path, "comm").is_ok_and(|it| it.trim() == name);
    let thread = threads.map(|thread| thread.path()).find(is_it).expect("it lives");
    let status = read(&thread, "status").expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
    u64::from_str_radix(line.trim(), 16).expect("a number")
}

#[test]
fn the_thread_of_the_pages_leaves_signals_to_the_program() {
    let listener = serve("127.0.0.1:0", Config::default()).expect("a port is free");
    // The thread library blocks all signals until a thread runs; a thread that has answered runs.
    let mut client = TcpStream::connect(listener.address()).expect("it listens");
    client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it is there");
    client.read_to_end(&mut Vec::new()).expect("it answers");
    let mask = mask_of("exectrace-pages");
    assert_eq!(mask & others(), others(), "{mask:x}");
    listener.stop();
}

#[test]
fn a_thread_that_records_leaves_signals_to_the_program() {
    let listener = serve("127.0.0.1:0", Config::default()).expect("a port is free");
    let mut client = TcpStream::connect(listener.address()).expect("it listens");
    let request = b"GET /debug/trace?seconds=30 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write_all(request).expect("it is there");
    // The recording's thread exists by then: the trace has begun.
    client.read_exact(&mut [0; 400]).expect("it answers");
    let mask = mask_of("exectrace-http");
    assert_eq!(mask & others(), others(), "{mask:x}");
    // The client is gone, which ends the recording.
    drop(client);
    listener.stop();
}
