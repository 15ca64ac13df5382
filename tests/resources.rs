//! Resources of calls have their names even after many connections, and a new trace has no names of
//! resources that are gone.
//!
//! `EXECTRACE_TEST_SOAK=N` makes N times as many connections: 417 are ten million.
#![cfg(target_os = "linux")]

mod common;

use common::decoded::Decoded;
use common::{alone, checks, with_calls};
use exectrace::{FlightRecorder, start_file_with};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use trace_format::call::CallClass;
use trace_format::definition::ResourceKind;
use trace_format::event::EventKind;

/// Number of connections. Each has three names; together they are more than the table has room for,
/// so names must be freed.
const MANY: usize = 24_000;

/// Connects to itself, sends a byte and closes, again and again.
fn connect(host: Ipv4Addr, count: usize) {
    let listener = TcpListener::bind((host, 0)).expect("a port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..count {
                let (mut socket, _) = listener.accept().expect("a connection");
                let mut byte = [0];
                assert_eq!(socket.read(&mut byte).expect("a byte comes"), 1);
            }
        });
        for _ in 0..count {
            let mut socket = TcpStream::connect(address).expect("it listens");
            socket.write_all(b"x").expect("it is read");
            // The other side closes first: then no connection gets the same ports for a minute.
            assert_eq!(socket.read(&mut [0]).expect("the end comes"), 0);
        }
    });
}

/// A thread waits for a mutex.
fn contend() {
    let lock = Mutex::new(0);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let held = lock.lock().expect("nobody panics");
        let lock = &lock;
        scope.spawn(move || {
            let task = std::fs::read_link("/proc/thread-self").expect("Linux has it");
            tell.send(task).expect("somebody listens");
            *lock.lock().expect("nobody panics") += 1;
        });
        let task = told.recv().expect("it says so");
        let stat = std::path::Path::new("/proc").join(task).join("stat");
        // From now on the thread only waits.
        while !std::fs::read_to_string(&stat).expect("it lives").contains(") S ") {
            std::thread::yield_now();
        }
        drop(held);
    });
}

/// Checks that each call on a socket names its peer, and each wait its lock. Returns the number of
/// sockets.
fn check_named(trace: &Decoded) -> usize {
    let (mut sockets, mut locks) = (0, 0);
    for event in trace.tables.threads.keys().flat_map(|&thread| trace.events(thread)) {
        let (EventKind::Call { call: open, .. } | EventKind::CallBegin { call: open }) = event.kind
        else {
            continue;
        };
        let resource = trace.tables.resources.get(&open.resource);
        match open.call.info().expect("a call that is known").class {
            CallClass::Read | CallClass::Write => {
                let resource = resource.unwrap_or_else(|| panic!("no name: {open:?}"));
                let is_socket = resource.kind == ResourceKind::Socket;
                sockets += usize::from(is_socket);
                assert!(!is_socket || resource.name.contains(" -> "), "{resource:?}");
            }
            CallClass::Futex => {
                assert!(resource.is_some(), "no lock: {open:?}");
                locks += 1;
            }
            _ => {}
        }
    }
    assert!(locks > 0, "somebody waits");
    sockets
}

#[test]
fn names_are_there_after_many_connections_and_dead_ones_are_not() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("after.trace");
    let builder = FlightRecorder::builder().max_bytes(16 << 20).options(with_calls());
    let recorder = builder.start().expect("none is running");
    let soak = std::env::var("EXECTRACE_TEST_SOAK").ok().and_then(|times| times.parse().ok());
    for round in 0..soak.unwrap_or(1) {
        // There are fewer ports than connections, and a port cannot be used again at once.
        connect(Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + round), MANY);
    }
    contend();
    let mut bytes = Vec::new();
    recorder.snapshot(&mut bytes).expect("memory takes it");
    recorder.stop();
    let last = Decoded::new(&bytes);
    assert!(!last.tables.facilities.contains_key("names"), "{:?}", last.tables.facilities);
    assert!(check_named(&last) > 100, "the last connections are in it");
    let trace = start_file_with(with_calls(), &path).expect("there is room");
    connect(Ipv4Addr::LOCALHOST, 20);
    contend();
    trace.stop().expect("the disk takes it");
    let trace = Decoded::new(&std::fs::read(&path).expect("it is there"));
    checks::check(&trace);
    assert_eq!(check_named(&trace), 60, "three calls a connection");
    let names = trace.tables.resources.len();
    assert!(names < 200, "{names} names of 20 connections");
}
