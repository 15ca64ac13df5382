//! Traces over real sockets: they are whole, they end when the client goes, and there is one at a
//! time.
//!
//! Elsewhere: many clients at once, and what they leave behind (`crowds`).

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Program, alone, connect, get, is_free, leaf, post, regions, until};
use exectrace::{FlightRecorder, is_enabled};
use trace_http::{Config, Listener, serve};

fn listen(config: Config) -> Listener {
    serve("127.0.0.1:0", config).expect("a port is free")
}

fn streams(address: SocketAddr, path: &str) -> std::net::TcpStream {
    let mut stream = connect(address);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is taken");
    let mut begin = [0; 4_096];
    let read = stream.read(&mut begin).expect("it begins");
    assert!(begin[..read].starts_with(b"HTTP/1.1 200"), "it records");
    stream
}

#[test]
fn a_trace_is_whole_and_has_what_happened() {
    let _alone = alone();
    let (listener, _program) = (listen(Config::new()), Program::start());
    let begin = Instant::now();
    let answer = get(listener.address(), "/debug/trace?seconds=0.5");
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(500), "{took:?}");
    let name = answer.header("content-disposition").expect("a name");
    assert!(name.starts_with("attachment; filename=\"traces-") && name.ends_with(".trace\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let trace = answer.trace();
    assert!(regions(&trace, "hold") > 0, "what happened is in it");
    assert!(!is_enabled(), "it has ended before its last byte was sent");
}

#[test]
fn it_is_sent_while_it_is_recorded() {
    let _alone = alone();
    let listener = listen(Config::new());
    let mut stream = streams(listener.address(), "/debug/trace?seconds=60");
    assert!(is_enabled());
    // The collector ends a generation every second; nothing has ended by then.
    let mut more = [0; 64];
    assert!(stream.read(&mut more).expect("more") > 0);
    assert!(is_enabled());
}

#[test]
fn a_client_that_goes_away_ends_the_recording() {
    let _alone = alone();
    let listener = listen(Config::new().seconds_max(3_600));
    for _ in 0..3 {
        let stream = streams(listener.address(), "/debug/trace?seconds=3600");
        assert!(is_enabled());
        drop(stream);
        until("the recording ends", || !is_enabled());
        until("another can start", is_free);
    }
    // The recorder is free again.
    get(listener.address(), "/debug/trace?seconds=0.01").trace();
}

#[test]
fn a_listener_that_is_stopped_ends_what_it_records() {
    let _alone = alone();
    let listener = listen(Config::new());
    let address = listener.address();
    let _stream = streams(address, "/debug/trace?seconds=60");
    listener.stop();
    until("the recording ends", || !is_enabled());
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn the_byte_limit_ends_a_trace_which_is_whole() {
    let _alone = alone();
    let listener = listen(Config::new().bytes_max(64 << 10).seconds_max(3_600));
    let busy = thread::spawn(|| {
        until("it records", is_enabled);
        while is_enabled() {
            (0..1_000).for_each(|_| leaf());
        }
    });
    let begin = Instant::now();
    let trace = get(listener.address(), "/debug/trace?seconds=3600").trace();
    assert!(begin.elapsed() < Duration::from_secs(3_600), "the bytes have ended it");
    assert!(trace.bytes() >= 64 << 10, "{}", trace.bytes());
    busy.join().expect("no panic");
}

#[test]
fn a_client_that_takes_nothing_ends_it() {
    let _alone = alone();
    let config = Config::new().stall_timeout(Duration::from_millis(100)).seconds_max(3_600);
    let listener = listen(config);
    let busy = thread::spawn(|| {
        until("it records", is_enabled);
        while is_enabled() {
            (0..1_000).for_each(|_| leaf());
        }
    });
    let begin = Instant::now();
    let stream = streams(listener.address(), "/debug/trace?seconds=3600");
    busy.join().expect("no panic");
    assert!(begin.elapsed() < Duration::from_secs(3_600), "the client has ended it");
    drop(stream);
}

#[test]
fn a_trace_of_the_programs_own_is_in_the_way() {
    let _alone = alone();
    let listener = listen(Config::new());
    let own = exectrace::start(std::io::sink()).expect("none is running");
    let pages = ["/debug/trace?seconds=1", "/debug/pprof/block?seconds=1"];
    for path in &pages[..if cfg!(feature = "pprof") { 2 } else { 1 }] {
        let answer = get(listener.address(), path);
        assert_eq!(answer.status, 409, "{path}");
        assert!(answer.text().contains("running already"), "{}", answer.text());
    }
    own.stop().expect("a sink takes all");
    get(listener.address(), "/debug/trace?seconds=0.01").trace();
}

#[test]
fn requests_at_once_are_limited() {
    let _alone = alone();
    let listener = listen(Config::new().requests_max(1));
    let stream = streams(listener.address(), "/debug/trace?seconds=60");
    assert_eq!(get(listener.address(), "/debug/trace/callsites").status, 429);
    drop(stream);
    until("the place is free", || get(listener.address(), "/debug/trace/callsites").status == 200);
}

#[test]
fn a_snapshot_is_the_flight_recorders() {
    let _alone = alone();
    let bare = listen(Config::new());
    let answer = get(bare.address(), "/debug/trace/snapshot");
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("Config::recorder"), "{}", answer.text());

    let recorder = Arc::new(FlightRecorder::start().expect("none is running"));
    let listener = listen(Config::new().recorder(Arc::clone(&recorder)));
    (0..7).for_each(|_| leaf());
    let trace = get(listener.address(), "/debug/trace/snapshot").trace();
    assert_eq!(regions(&trace, "leaf"), 7);
    // The flight recorder goes on, and a trace beside it.
    let beside = get(listener.address(), "/debug/trace?seconds=0.05").trace();
    assert_eq!(regions(&beside, "leaf"), 0);
    let trace = get(listener.address(), "/debug/trace/snapshot").trace();
    assert_eq!(regions(&trace, "leaf"), 7);
    drop(listener);
    let recorder = Arc::into_inner(recorder).expect("the pages have let go of it");
    recorder.stop();
}

#[test]
fn call_sites_are_listed_and_switched() {
    let _alone = alone();
    let listener = listen(Config::new());
    let (address, page) = (listener.address(), "/debug/trace/callsites");
    let list = || {
        let answer = get(address, page);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let sites: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        sites.as_array().expect("a list").clone()
    };
    let find = |name: &str| {
        let found = list().into_iter().find(|site| site["name"] == name);
        found.expect("it is listed")
    };
    let site = find("leaf");
    assert_eq!((&site["on"], &site["kind"]), (&true.into(), &"function".into()));
    assert!(site["module"].as_str().expect("a text").ends_with("::common"));
    let (module, line) = (&site["module"], &site["line"]);

    let one = format!("{{\"on\": false, \"module\": {module}, \"line\": {line}}}");
    let answer = post(address, page, &one);
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"callsites\":1}"));
    assert_eq!((&find("leaf")["on"], &find("hold")["on"]), (&false.into(), &true.into()));
    post(address, page, "{\"on\": false, \"module\": \"traces\"}");
    assert_eq!(find("hold")["on"], false);
    let answer = post(address, page, "{\"on\": true, \"module\": \"traces\"}");
    assert_eq!(answer.text(), "{\"callsites\":2}");
    assert_eq!((&find("leaf")["on"], &find("hold")["on"]), (&true.into(), &true.into()));

    for (body, status) in [
        ("", 400),
        ("[]", 400),
        ("{\"on\": true}", 400),
        ("{\"module\": \"traces\"}", 400),
        ("{\"on\": 1, \"module\": \"traces\"}", 400),
        ("{\"on\": true, \"modules\": \"traces\"}", 400),
        ("{\"on\": true, \"line\": -1}", 400),
        ("{\"on\": true, \"module\": \"trace\"}", 404),
    ] {
        assert_eq!(post(address, page, body).status, status, "{body}");
    }
    assert_eq!(post(address, page, &" ".repeat(20_000)).status, 413);
}
