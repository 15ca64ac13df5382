//! Many clients at once, and clients that go away at every moment: the program lives on, and
//! nothing of theirs is left over.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Answer, Program, alone, begin, connect, get, post, regions, until};
use trace_http::{Config, Listener, serve};

const CLIENTS: usize = 100;

fn listen(config: Config) -> Listener {
    serve("127.0.0.1:0", config).expect("a port is free")
}

/// Longer than any test.
const FOR_EVER: &str = "/debug/trace?seconds=3600";

/// All ask for a recording at once: those that record, and the answers of the others.
fn together(address: SocketAddr) -> (Vec<TcpStream>, Vec<Answer>) {
    let gate = Arc::new(Barrier::new(CLIENTS));
    let client = |_| {
        let gate = Arc::clone(&gate);
        thread::spawn(move || {
            gate.wait();
            begin(address, FOR_EVER)
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let (mut recording, mut refused) = (Vec::new(), Vec::new());
    for client in clients {
        match client.join().expect("no panic") {
            Ok(stream) => recording.push(stream),
            Err(answer) => refused.push(answer),
        }
    }
    (recording, refused)
}

/// Descriptors and threads of this process; `None` where the system does not tell.
fn held() -> Option<(usize, usize)> {
    let count = |folder| fs::read_dir(folder).ok().map(Iterator::count);
    Some((count("/proc/self/fd")?, count("/proc/self/task")?))
}

/// No more than before; threads of a pool for what waits may have ended meanwhile.
fn has_no_more_than(before: Option<(usize, usize)>) -> bool {
    match (before, held()) {
        (Some((descriptors, threads)), Some(now)) => now.0 <= descriptors && now.1 <= threads,
        _ => true,
    }
}

/// What the first trace leaves for good, as the kernel's watching, is there after one.
fn warmed(address: SocketAddr) -> Option<(usize, usize)> {
    get(address, "/debug/trace?seconds=0.05").trace();
    until("the first has ended", common::is_free);
    held()
}

#[test]
fn one_of_a_hundred_records_and_the_others_are_told_so() {
    let _alone = alone();
    let (listener, _program) = (listen(Config::new().requests_max(CLIENTS)), Program::start());
    let before = warmed(listener.address());
    let (recording, refused) = together(listener.address());
    assert_eq!((recording.len(), refused.len()), (1, CLIENTS - 1));
    for answer in refused {
        assert_eq!(answer.status, 409, "{}", answer.text());
        assert!(answer.text().contains("running already"), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    drop(recording);
    until("the recording ends", common::is_free);
    until("descriptors and threads are given back", || has_no_more_than(before));
    let again = get(listener.address(), "/debug/trace?seconds=0.1").trace();
    assert!(regions(&again, "hold") > 0, "and works on");
}

#[test]
fn whoever_is_too_many_is_told_so() {
    let _alone = alone();
    let listener = listen(Config::new().requests_max(1));
    let before = warmed(listener.address());
    let mut first = None;
    // The place of the answer before may still be taken.
    until("one has the only place", || {
        first = begin(listener.address(), FOR_EVER).ok();
        first.is_some()
    });
    let (recording, refused) = together(listener.address());
    assert_eq!((recording.len(), refused.len()), (0, CLIENTS));
    for answer in refused {
        assert_eq!(answer.status, 429, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    drop(first);
    until("the recording ends", common::is_free);
    until("descriptors and threads are given back", || has_no_more_than(before));
}

/// Goes away before the head, within it, within the body, and before and within the answer.
#[test]
fn clients_that_go_away_leave_nothing_behind() {
    let _alone = alone();
    let config = Config::new().requests_max(CLIENTS);
    let (listener, _program) = (listen(config), Program::start());
    let address = listener.address();
    let before = warmed(address);
    let part = |text: &str| {
        let mut stream = connect(address);
        stream.write_all(text.as_bytes()).expect("it is taken");
        stream
    };
    let asks = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let body =
        "POST /debug/trace/callsites HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{";
    for _ in 0..10 {
        for text in ["", "G", "GET /debug/trace HTTP/1.1\r\nHos", body] {
            drop(part(text));
        }
        drop(part(&asks("/debug/trace/callsites")));
        drop(part(&asks("/debug/trace?seconds=60")));
    }
    // Those before may still be about to record, and then it is refused.
    until("one is in the midst of its answer when it goes", || {
        let mut stream = part(&asks("/debug/trace?seconds=60"));
        let mut begin = [0; 1_000];
        let read = stream.read(&mut begin).expect("an answer");
        begin[..read].starts_with(b"HTTP/1.1 200")
    });
    until("the recording ends", common::is_free);
    until("descriptors and threads are given back", || has_no_more_than(before));
    assert_eq!(post(address, "/debug/trace/callsites", "[]").status, 400, "it serves the next");
}

/// Its answer has not begun when the client goes.
#[test]
#[cfg(feature = "pprof")]
fn a_profile_that_nobody_waits_for_is_not_recorded_on() {
    let _alone = alone();
    let listener = listen(Config::new());
    let before = warmed(listener.address());
    for kind in ["block", "heap", "profile"] {
        let mut stream = connect(listener.address());
        let head =
            format!("GET /debug/pprof/{kind}?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it is taken");
        until("it records", exectrace::is_enabled);
        drop(stream);
        until("the recording ends", common::is_free);
    }
    until("descriptors and threads are given back", || has_no_more_than(before));
}

#[test]
fn a_stopped_listener_leaves_nothing_behind() {
    let _alone = alone();
    let first = listen(Config::new());
    warmed(first.address());
    first.stop();
    let before = held();
    for _ in 0..5 {
        let listener = listen(Config::new());
        let address = listener.address();
        let _idle: Vec<_> = (0..10).map(|_| connect(address)).collect();
        get(address, "/debug/trace?seconds=0.02").trace();
        listener.stop();
    }
    until("descriptors and threads are given back", || has_no_more_than(before));
}
