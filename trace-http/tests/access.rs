//! Which requests are served and understood, over real sockets: on the crate's own port, and by a
//! router in another program's server.

mod common;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{alone, ask, connect, get, get_with};
use exectrace::{FlightRecorder, callsites, is_enabled};
use trace_http::{Config, ServeErrorKind, router, serve};

const PAGE: &str = "/debug/trace/callsites";

#[test]
fn another_name_or_another_page_is_refused() {
    let _alone = alone();
    let listener = serve("127.0.0.1:0", Config::new()).expect("a port is free");
    let address = listener.address();
    let status = |headers: &str| get_with(address, PAGE, headers).status;
    assert_eq!(status(&format!("Host: {address}\r\n")), 200);
    assert_eq!(status("Host: evil.test\r\n"), 403);
    assert_eq!(status("Host: localhost\r\nOrigin: http://evil.test\r\n"), 403);
    assert_eq!(status("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n"), 403);
    assert_eq!(status(&format!("Host: {address}\r\nOrigin: http://{address}\r\n")), 200);
    let post = format!("POST {PAGE} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\n");
    let answer = ask(address, &post, "{\"on\": false, \"module\": \"access\"}");
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert!(!is_enabled());
}

/// What a browser sends for a page of evil.test, whose name was rebound to this machine: only the
/// name is wrong.
#[test]
fn a_rebound_name_is_refused_where_others_are_let_in() {
    let _alone = alone();
    let recorder = Arc::new(FlightRecorder::start().expect("none is running"));
    let open = Config::new().recorder(recorder).allow_remote(true);
    let listed = open.clone().host("service.test");
    for config in [open, listed] {
        let listener = serve("0.0.0.0:0", config).expect("a port is free");
        let port = listener.address().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let site = callsites().next().expect("common has some");
        let switch = format!("{{\"on\": false, \"name\": \"{}\"}}", site.name());
        for host in [format!("evil.test:{port}"), "evil.test".into(), "localhost.evil.test".into()]
        {
            let headers =
                format!("Host: {host}\r\nOrigin: http://{host}\r\nSec-Fetch-Site: same-origin\r\n");
            for page in [PAGE, "/debug/trace/snapshot", "/debug/trace/", "/debug/pprof/heap"] {
                let answer = get_with(address, page, &headers);
                assert_eq!(answer.status, 403, "{host} {page}");
                assert!(answer.text().contains("Config::host"), "{}", answer.text());
            }
            let head = format!("POST {PAGE} HTTP/1.1\r\n{headers}Content-Type: text/plain\r\n");
            assert_eq!(ask(address, &head, &switch).status, 403, "{host}");
        }
        assert!(site.is_on(), "nothing was switched");
        let own = format!("Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n");
        assert_eq!(get_with(address, "/debug/trace/snapshot", &own).status, 200);
        let head = |origin: &str| format!("POST {PAGE} HTTP/1.1\r\n{own}Referer: {origin}/\r\n");
        assert_eq!(ask(address, &head("http://evil.test"), &switch).status, 403);
        let switch = switch.replace("false", "true");
        assert_eq!(ask(address, &head(&format!("http://127.0.0.1:{port}")), &switch).status, 200);
    }
}

#[test]
fn a_token_is_asked_for() {
    let _alone = alone();
    let config = Config::new().token("secret");
    assert!(!format!("{config:?}").contains("secret"));
    let listener = serve("127.0.0.1:0", config).expect("a port is free");
    for path in [PAGE, "/debug/trace?seconds=60", "/debug/trace/", "/debug/pprof/heap"] {
        let answer = get(listener.address(), path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.header("www-authenticate").is_some(), "{path}");
        assert!(answer.text().contains("Bearer"), "{}", answer.text());
    }
    let with = |token: &str| {
        let headers = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n");
        get_with(listener.address(), PAGE, &headers).status
    };
    assert_eq!((with("secret"), with("wrong"), with("")), (200, 401, 401));
    assert!(!is_enabled());
}

/// Guesses from one address of this machine; another address is served meanwhile.
#[test]
fn an_address_that_guesses_tokens_is_rejected_for_a_while_and_others_are_served() {
    let config = Config::new().token("secret").guesses_max(3, Duration::from_secs(3_000));
    let listener = serve("127.0.0.1:0", config).expect("a port is free");
    let with = |token: &str| {
        let headers = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n");
        get_with(listener.address(), PAGE, &headers)
    };
    assert_eq!(with("secret").status, 200);
    let none = || get(listener.address(), PAGE).status;
    assert_eq!((none(), none(), none(), none()), (401, 401, 401, 401), "that is no guess");
    let guessed: Vec<_> = (0..20).map(|at| with(&format!("guess-{at}")).status).collect();
    assert_eq!((&guessed[..3], &guessed[3..]), (&[401; 3][..], &[429; 17][..]));
    let right = with("secret");
    assert_eq!(right.status, 429);
    assert!(right.text().contains("even the right one is rejected"), "{}", right.text());
    let again: u32 = right.header("retry-after").expect("it is told").parse().expect("seconds");
    assert!((1..=3_000).contains(&again), "{again}");
    assert_eq!(none(), 401, "without a token one is asked for");
    // All of 127.0.0.0/8 is this machine.
    let headers = "Host: localhost\r\nAuthorization: Bearer secret\r\nConnection: close\r\n\r\n";
    let request = format!("GET {PAGE} HTTP/1.1\r\n{headers}");
    let other = from("127.0.0.2", listener.address(), request.as_bytes());
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
}

/// Sends `bytes` from the address `own`, and returns the answer.
fn from(own: &str, to: SocketAddr, bytes: &[u8]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let stream = runtime.expect("a runtime").block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(own.parse().expect("an address"), 0))?;
        socket.connect(to).await?.into_std()
    });
    let mut stream = stream.expect("it connects");
    stream.set_nonblocking(false).expect("a socket can wait");
    stream.write_all(bytes).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn guesses_are_forgotten_after_a_while() {
    let config = Config::new().token("secret").guesses_max(1, Duration::from_millis(100));
    let listener = serve("127.0.0.1:0", config).expect("a port is free");
    let with = |token: &str| {
        let headers = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n");
        get_with(listener.address(), PAGE, &headers).status
    };
    assert_eq!(with("wrong"), 401);
    common::until("it is heard again", || with("secret") == 200);
}

/// Sends many guesses at once, which could be compared before the first is counted.
#[test]
fn guesses_at_once_are_no_more_guesses() {
    let config = Config::new().token("secret").guesses_max(5, Duration::from_secs(3_000));
    let listener = serve("127.0.0.1:0", config.requests_max(100)).expect("a port is free");
    let address = listener.address();
    let guess = move |at: u32| {
        let headers = format!("Host: localhost\r\nAuthorization: Bearer {at}\r\n");
        get_with(address, PAGE, &headers).status
    };
    let guesses: Vec<_> = (0..60).map(|at| std::thread::spawn(move || guess(at))).collect();
    let guesses: Vec<_> = guesses.into_iter().map(|it| it.join().expect("no panic")).collect();
    let count = |status| guesses.iter().filter(|it| **it == status).count();
    assert_eq!((count(401), count(429)), (5, 55));
}

#[test]
fn nonsense_is_refused_with_the_limit() {
    let _alone = alone();
    let config = Config::new().seconds_max(7);
    let listener = serve("127.0.0.1:0", config).expect("a port is free");
    let pages = ["/debug/trace", "/debug/pprof/profile", "/debug/pprof/heap"];
    for page in &pages[..if cfg!(feature = "pprof") { 3 } else { 1 }] {
        for query in ["seconds=8", "seconds=99999999999999999999", "seconds=-1", "seconds=x"] {
            let answer = get(listener.address(), &format!("{page}?{query}"));
            assert_eq!(answer.status, 400, "{page}?{query}");
            assert!(answer.text().contains("up to 7"), "{}", answer.text());
        }
        for query in ["second=1", "seconds=1&seconds=1", "%00", "from=yesterday"] {
            assert_eq!(get(listener.address(), &format!("{page}?{query}")).status, 400, "{query}");
        }
    }
    assert_eq!(get(listener.address(), "/debug/trace/snapshot?seconds=1").status, 400);
    assert_eq!(get(listener.address(), "/debug/elsewhere").status, 404);
    let post = "POST /debug/trace HTTP/1.1\r\nHost: localhost\r\n";
    assert_eq!(ask(listener.address(), post, "").status, 405);
    assert!(!is_enabled());
}

/// After any bytes, the next request is served.
#[test]
fn what_is_no_request_is_refused_or_closed() {
    let listener = serve("127.0.0.1:0", Config::new()).expect("a port is free");
    let says = |bytes: &[u8]| {
        let mut stream = connect(listener.address());
        // The server may close the connection before everything is sent; then reading may fail,
        // too.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned()
    };
    let long = "a".repeat(1 << 20);
    let many = "A: b\r\n".repeat(1_000);
    for text in [
        "\r\n\r\n\r\n\r\nGET\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n\r\n",
        &format!("GET {PAGE}?{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        &format!("GET {PAGE} HTTP/1.1\r\nHost: localhost\r\nA: {long}\r\n\r\n"),
        &format!("GET {PAGE} HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        &format!("GET {PAGE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"),
    ] {
        let says = says(text.as_bytes());
        assert!(says.is_empty() || says.starts_with("HTTP/1.1 4"), "{says} to {text:.60}");
    }
    for (text, status) in [
        (format!("GET {PAGE} HTTP/1.0\r\n\r\n"), "403"),
        (format!("GET http://localhost{PAGE} HTTP/1.1\r\nHost: localhost\r\n\r\n"), "200"),
        (format!("GET http://evil.test{PAGE} HTTP/1.1\r\nHost: localhost\r\n\r\n"), "403"),
        (format!("GET http://localhost{PAGE} HTTP/1.1\r\nHost: evil.test\r\n\r\n"), "403"),
        (format!("GET {PAGE} HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n"), "403"),
        (format!("GET {PAGE}?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(999)), "400"),
    ] {
        let says = says(text.as_bytes());
        assert_eq!(says.get(9..12), Some(status), "{text:.60}");
    }
    assert_eq!(get(listener.address(), PAGE).status, 200);
}

#[test]
fn the_page_for_people_has_what_there_is() {
    let listener = serve("127.0.0.1:0", Config::new()).expect("a port is free");
    let answer = get(listener.address(), "/debug/trace/");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.header("content-security-policy").is_some());
    let text = answer.text();
    for part in ["<h1>access-", "max=\"60\"", "../pprof/mutex?seconds=5", "no flight recorder"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for placeholder in
        ["program", "state", "hidden", "names", "callsites", "seconds_max", "seconds"]
    {
        assert!(!text.contains(&format!("{{{placeholder}}}")), "{placeholder} is filled in");
    }
}

#[test]
fn others_are_let_in_by_a_word_only() {
    let error = serve("0.0.0.0:0", Config::new()).expect_err("it can be reached");
    assert!(matches!(error.kind, ServeErrorKind::Remote));
    assert!(error.to_string().contains("allow_remote"), "{error}");
    let error = serve("nowhere", Config::new()).expect_err("no address");
    assert!(matches!(error.kind, ServeErrorKind::Bind(_)));
    let open = serve("127.0.0.1:0", Config::new().allow_remote(true)).expect("a port is free");
    let answer = get_with(open.address(), PAGE, "Host: service.test\r\n");
    assert_eq!(answer.status, 403, "but not under a name that may be another site's");
    assert!(answer.text().contains("Config::host"), "{}", answer.text());
    let named = Config::new().host("service.test");
    let named = serve("127.0.0.1:0", named).expect("a port is free");
    assert_eq!(get_with(named.address(), PAGE, "Host: service.test:80\r\n").status, 200);
    assert_eq!(get_with(named.address(), PAGE, "Host: evil.test\r\n").status, 403);
}

/// Many clients send a byte now and then, and never a whole head; then one sends a request.
#[test]
fn a_slow_client_is_closed_and_keeps_no_other_out() {
    let config = Config::new().read_timeout(Duration::from_millis(300));
    let listener = serve("127.0.0.1:0", config).expect("a port is free");
    let mut slow: Vec<_> = (0..200).map(|_| connect(listener.address())).collect();
    for stream in &mut slow {
        let _ = stream.write_all(b"GET /debug/trace HTTP/1.1\r\nHost: loc");
    }
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(100));
        // The connection may be closed by now, as it should be.
        slow.iter_mut().for_each(|stream| drop(stream.write_all(b"a")));
    }
    assert_eq!(get(listener.address(), PAGE).status, 200);
    for stream in &mut slow {
        // The end or a reset; anything but waiting for more.
        let ended = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        let waits = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].map(Err);
        assert!(!waits.contains(&ended), "it is not closed");
    }
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let config = Config::new().read_timeout(Duration::from_millis(200));
    let listener = serve("127.0.0.1:0", config).expect("a port is free");
    let mut stream = connect(listener.address());
    let head = format!("POST {PAGE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{");
    stream.write_all(head.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in time");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn a_router_works_under_a_prefix_and_needs_the_clients_address() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mount = |knows_peers: bool, config: Config| -> SocketAddr {
        let app = axum::Router::new()
            .route("/", axum::routing::get(|| async { "home" }))
            .nest("/admin", router(config));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        runtime.spawn(async move {
            if knows_peers {
                let app = app.into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, app).await
            } else {
                axum::serve(listener, app).await
            }
        });
        address
    };
    let local = mount(true, Config::new());
    assert_eq!(get(local, "/").text(), "home");
    assert_eq!(get(local, "/debug/trace/").status, 404);
    assert_eq!(get(local, "/admin/debug/trace/").status, 200);
    get(local, "/admin/debug/trace?seconds=0.02").trace();
    let unknown = mount(false, Config::new());
    let answer = get(unknown, "/admin/debug/trace/");
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("with_connect_info"), "{}", answer.text());
    let token = mount(false, Config::new().token("t").host("service.test"));
    assert_eq!(get(token, "/admin/debug/trace/").status, 401);
    let headers = "Host: service.test\r\nAuthorization: Bearer t\r\n";
    assert_eq!(get_with(token, "/admin/debug/trace/", headers).status, 200);
    let headers = "Host: evil.test\r\nAuthorization: Bearer t\r\n";
    assert_eq!(get_with(token, "/admin/debug/trace/", headers).status, 403);
    let open = mount(false, Config::new().allow_remote(true).host("service.test"));
    let asked = |host: &str| {
        let headers = format!("Host: {host}\r\n");
        (
            get_with(open, "/", &headers).status,
            get_with(open, "/admin/debug/trace/", &headers).status,
        )
    };
    assert_eq!(asked("service.test:8080"), (200, 200));
    assert_eq!(asked("evil.test"), (200, 403), "the program's own pages are its own affair");
    let proxied = "Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n";
    assert_eq!(get_with(local, "/admin/debug/trace/", proxied).status, 403);
}
