//! An HTTP client over bare sockets, so that a test controls every byte; and a program to trace.

#![allow(dead_code, reason = "every test uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use exectrace::traced;
use trace_analysis::{Summary, Trace};
use trace_format::read::TraceFile;

/// Longer than any step takes on a busy machine, unless it hangs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A process has one recorder, so tests take turns.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    until("the recording before has ended", is_free);
    turn
}

/// Whether a trace could start. A trace that ends is disabled a little before another may start.
pub(crate) fn is_free() -> bool {
    !exectrace::is_enabled() && exectrace::start(std::io::sink()).is_ok()
}

pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body is complete.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    /// Reads the body as a trace, which must be whole.
    pub(crate) fn trace(self) -> TraceFile<Vec<u8>> {
        assert_eq!(self.status, 200, "{}", self.text());
        assert!(self.whole, "the body is cut");
        let trace = TraceFile::open(self.body).expect("a trace");
        assert!(trace.is_complete(), "it has no end");
        assert!(trace.faults().is_empty(), "{:?}", trace.faults());
        trace
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a socket has timeouts");
    stream
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"), "")
}

pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\n{headers}"), "")
}

pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    ask(address, &format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n"), body)
}

/// Sends a head and a body, and reads until the other side closes.
pub(crate) fn ask(address: SocketAddr, head: &str, body: &str) -> Answer {
    let mut stream = connect(address);
    let length = body.len();
    let text = format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).expect("it is taken");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it answers in time");
    answer(&bytes)
}

fn answer(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
    let status = head[9..12].parse().expect("a status");
    let mut answer = Answer { status, head, body: Vec::new(), whole: false };
    let rest = &bytes[end + 4..];
    if answer.header("transfer-encoding") == Some("chunked") {
        (answer.body, answer.whole) = unchunked(rest);
    } else {
        answer.body = rest.to_vec();
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        answer.whole = length == Some(rest.len());
    }
    answer
}

fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|it| it == b"\r\n") {
        let text = std::str::from_utf8(&rest[..at]).expect("a length");
        let length = usize::from_str_radix(text, 16).expect("a length");
        rest = &rest[at + 2..];
        if length == 0 {
            return (body, true);
        }
        let Some(piece) = rest.get(..length) else { break };
        body.extend_from_slice(piece);
        rest = &rest[(length + 2).min(rest.len())..];
    }
    (body, false)
}

/// A program whose threads work, and wait for a lock, until it is dropped.
pub(crate) struct Program {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Program {
    pub(crate) fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let lock = Arc::new(Mutex::new(0_u64));
        let worker = |at: usize| {
            let (is_over, lock) = (Arc::clone(&is_over), Arc::clone(&lock));
            let work = move || {
                while !is_over.load(Ordering::Relaxed) {
                    hold(&lock);
                }
            };
            let thread = std::thread::Builder::new().name(format!("worker-{at}"));
            thread.spawn(work).expect("a thread")
        };
        let threads = (0..2).map(worker).collect();
        Self { is_over, threads }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("it has not panicked");
        }
    }
}

/// Uses some CPU time, and some more while it holds the lock.
#[traced]
#[inline(never)]
fn hold(lock: &Mutex<u64>) {
    let mut sum = lock.lock().expect("nobody panics with it");
    for at in 0..20_000 {
        *sum = std::hint::black_box(sum.wrapping_add(at));
    }
    std::thread::sleep(Duration::from_micros(300));
    drop(sum);
    leaf();
}

#[traced]
pub(crate) fn leaf() {
    std::hint::black_box(std::thread::current().id());
}

/// Number of regions of this name in a trace.
pub(crate) fn regions(trace: &TraceFile<Vec<u8>>, name: &str) -> u64 {
    let summary = Summary::read(&Trace::new(trace), |_| {});
    let of_name = |site| trace.tables().callsites.get(site).is_some_and(|site| site.name == name);
    summary.regions.iter().filter(|it| of_name(it.site)).map(|it| it.count).sum()
}
