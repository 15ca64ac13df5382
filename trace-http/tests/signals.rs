//! The thread that serves the pages takes no signal of the program's.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use trace_http::{Config, serve};

/// The signals that the process's thread of this name blocks: signal 1 is the lowest bit.
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
    const TERM: u64 = 1 << (15 - 1);
    let listener = serve("127.0.0.1:0", Config::default()).expect("a port is free");
    // The thread library blocks everything until a thread runs: it does when it has answered.
    let mut client = TcpStream::connect(listener.address()).expect("it listens");
    client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it is there");
    client.read_to_end(&mut Vec::new()).expect("it answers");
    let mask = mask_of("exectrace-pages");
    assert_eq!(mask & TERM, TERM, "{mask:x}");
    listener.stop();
}
