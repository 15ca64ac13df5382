//! The pages of a program that was built without the recorder, over real sockets: each page says
//! that it cannot record.
//!
//! `cargo test -p trace-http-off`, alone: together with other packages the recorder is compiled in,
//! and the pages must serve.

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;

use common::{Answer, ask, get, get_with, post};
use exectrace::{COMPILED_IN, FlightRecorder};
use trace_http::{Config, Listener, serve};

const PAGES: [&str; 8] = [
    "/debug/trace?seconds=0.05",
    "/debug/trace/",
    "/debug/trace/snapshot",
    "/debug/trace/callsites",
    "/debug/pprof/profile?seconds=0.05",
    "/debug/pprof/block?seconds=0.05",
    "/debug/pprof/mutex?seconds=0.05",
    "/debug/pprof/heap?seconds=0.05",
];

fn listen(config: Config) -> Listener {
    serve("127.0.0.1:0", config).expect("a port is free")
}

/// Checks that the answer says that nothing is recorded, and what would help. If the recorder is
/// compiled in, any other status is right.
fn check(page: &str, answer: &Answer) {
    assert_eq!(answer.status == 501, !COMPILED_IN, "{page}: {}", answer.text());
    if answer.status == 501 {
        let text = answer.text();
        assert!(text.contains("without the feature `enabled` of exectrace"), "{page}: {text}");
        assert_eq!(text.lines().count(), 1, "{page}: {text}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn every_page_says_that_nothing_can_be_recorded() {
    let _alone = common::alone();
    let listener = listen(Config::new());
    for page in PAGES {
        check(page, &get(listener.address(), page));
    }
    let page = "/debug/trace/callsites";
    check(page, &post(listener.address(), page, "{\"on\": false, \"module\": \"refusals\"}"));
}

#[test]
fn a_flight_recorder_that_is_none_changes_nothing() {
    let _alone = common::alone();
    let recorder = Arc::new(FlightRecorder::start().expect("none is running"));
    let listener = listen(Config::new().recorder(recorder));
    check("snapshot", &get(listener.address(), "/debug/trace/snapshot"));
    check("block", &get(listener.address(), "/debug/pprof/block?from=snapshot"));
}

/// A client that is not served does not learn that nothing is recorded.
#[test]
fn strangers_are_refused_first() {
    let listener = listen(Config::new().token("secret"));
    for page in PAGES {
        assert_eq!(get(listener.address(), page).status, 401, "{page}");
        let answer = get_with(listener.address(), page, "Host: evil.test\r\n");
        assert_eq!(answer.status, 403, "{page}");
    }
    let open = listen(Config::new().allow_remote(true));
    let head = "POST /debug/trace/callsites HTTP/1.1\r\nHost: evil.test\r\n";
    assert_eq!(ask(open.address(), head, "{\"on\": false, \"module\": \"refusals\"}").status, 403);
    let headers = "Host: localhost\r\nAuthorization: Bearer secret\r\n";
    check("callsites", &get_with(listener.address(), "/debug/trace/callsites", headers));
    assert_eq!(get(listener.address(), "/elsewhere").status, 404);
}
