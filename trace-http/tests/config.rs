//! No configuration ends the program or makes it panic: whatever the numbers, times, names and
//! tokens, `serve` succeeds or says why not, and each request is answered, or the connection ends.
//!
//! Elsewhere: who is served (`access`), what the numbers mean (`traces`, `crowds`).

mod common;

use common::alone;
use exectrace::Options;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use trace_http::{Config, serve};

/// Number of configurations that are tried.
const CASES: u32 = 60;

/// Numbers that are as likely to be extreme as in between.
fn number() -> impl Strategy<Value = u64> {
    let power = (0..64_u32).prop_map(|bits| 1 << bits);
    prop_oneof![0..100_u64, power, Just(0), Just(u64::MAX), any::<u64>()]
}

fn time() -> impl Strategy<Value = Duration> {
    let nanos = number().prop_map(Duration::from_nanos);
    let seconds = number().prop_map(Duration::from_secs);
    prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), nanos, seconds]
}

/// A valid token or name, or any text.
fn text() -> impl Strategy<Value = String> {
    let plain = &["", "token", "localhost", "example.com", "*", "[::1]:0", "xn--", "."][..];
    prop_oneof![proptest::sample::select(plain).prop_map(str::to_owned), any::<String>()]
}

fn config() -> impl Strategy<Value = Config> {
    let numbers = (number(), number(), number(), number(), number());
    let times = (time(), time(), time());
    let texts = (proptest::option::of(text()), vec(text(), 0..4));
    (numbers, times, texts, any::<bool>()).prop_map(|(numbers, times, (token, hosts), remote)| {
        let (wrong, seconds, bytes, requests, memory) = numbers;
        let (within, read, stall) = times;
        let config = Config::new().allow_remote(remote).guesses_max(wrong as u32, within);
        let config = config.seconds_max(seconds as u32).bytes_max(bytes);
        let config = config.requests_max(requests as usize).read_timeout(read);
        // Not every machine has this much memory; a refusal is a valid answer, too.
        let config =
            config.stall_timeout(stall).options(Options::new().memory_max(memory as usize));
        let config = hosts.into_iter().fold(config, Config::host);
        token.into_iter().fold(config, Config::token)
    })
}

/// Everything that comes back for this request, up to the connection's end.
fn ask(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut client = TcpStream::connect(address).expect("it listens");
    client.set_read_timeout(Some(Duration::from_secs(60))).expect("that is a time");
    // The server may have closed the connection by now.
    let _ = client.write_all(request.as_bytes());
    match client.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        ended => _ = ended.expect("it is answered, or ended"),
    }
    answer
}

#[test]
fn whatever_is_configured_requests_are_answered_or_refused() {
    /// Set by the panic hook, because a panic on a thread of the server would go unnoticed.
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let _alone = alone();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::Relaxed);
        before(info);
    }));
    let cases = Cases { cases: CASES, failure_persistence: None, ..Cases::default() };
    let holds = TestRunner::new(cases).run(&(config(), number()), |(config, seconds)| {
        let listener = match serve("127.0.0.1:0", config) {
            Ok(listener) => listener,
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                return Ok(());
            }
        };
        let address = listener.address();
        // A trace of 10 ms, and one of any length: a long one is refused, or ended by closing the
        // connection.
        let short = "/debug/trace?seconds=0.01".to_owned();
        for path in
            ["/".to_owned(), short, format!("/debug/trace?seconds={}", seconds.max(1 << 40))]
        {
            let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n");
            for token in ["", "authorization: Bearer token\r\n"] {
                let answer = ask(address, &format!("{head}{token}connection: close\r\n\r\n"));
                prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
            }
        }
        listener.stop();
        prop_assert!(!PANICKED.load(Ordering::Relaxed));
        Ok(())
    });
    let _ = std::panic::take_hook();
    holds.expect("it holds");
}
