//! Many clients at once, and clients that go away at every moment: the program goes on, and nothing
//! that served them is left over.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::thread;

use common::{Answer, Program, alone, connect, get, post, regions, until};
use trace_http::{Config, Listener, serve};

const CLIENTS: usize = 100;

fn listen(config: Config) -> Listener {
    serve("127.0.0.1:0", config).expect("a port is free")
}

/// Sends many requests for `path` at once.
fn together(address: SocketAddr, path: &'static str) -> Vec<Answer> {
    let gate = Arc::new(Barrier::new(CLIENTS));
    let client = |_| {
        let gate = Arc::clone(&gate);
        thread::spawn(move || {
            gate.wait();
            get(address, path)
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    clients.into_iter().map(|client| client.join().expect("no panic")).collect()
}

/// Number of descriptors and threads of this process; `None` where the system does not say.
fn held() -> Option<(usize, usize)> {
    let count = |folder| fs::read_dir(folder).ok().map(Iterator::count);
    Some((count("/proc/self/fd")?, count("/proc/self/task")?))
}

/// True if there are no more than before; idle threads of tokio's blocking pool may have ended
/// meanwhile.
fn has_no_more_than(before: Option<(usize, usize)>) -> bool {
    match (before, held()) {
        (Some((descriptors, threads)), Some(now)) => now.0 <= descriptors && now.1 <= threads,
        _ => true,
    }
}

/// Counts after a first trace, which leaves some descriptors for good, such as the kernel's events.
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
    let answers = together(listener.address(), "/debug/trace?seconds=4");
    let of = |status| answers.iter().filter(move |answer| answer.status == status);
    assert_eq!((of(200).count(), of(409).count()), (1, CLIENTS - 1));
    for answer in of(409) {
        assert!(answer.text().contains("running already"), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let trace = answers.into_iter().find(|answer| answer.status == 200).expect("one").trace();
    assert!(regions(&trace, "hold") > 100, "the program worked on meanwhile");
    until("descriptors and threads are given back", || has_no_more_than(before));
    let again = get(listener.address(), "/debug/trace?seconds=0.1").trace();
    assert!(regions(&again, "hold") > 0, "and works on");
}

#[test]
fn requests_beyond_the_limit_get_an_error() {
    let _alone = alone();
    let listener = listen(Config::new().requests_max(2));
    let before = warmed(listener.address());
    let answers = together(listener.address(), "/debug/trace?seconds=4");
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(409) + count(429)), (1, CLIENTS - 1));
    assert!(count(429) > 0, "two places are not enough");
    let of_429 = answers.iter().find(|answer| answer.status == 429).expect("some");
    assert_eq!(of_429.header("retry-after"), Some("1"));
    until("descriptors and threads are given back", || has_no_more_than(before));
}

/// Clients go away before the head, within it, within the body, and before and within the answer.
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
    // Clients before this one may still be recording; then this one is refused.
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

/// The client goes before its answer has begun.
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
