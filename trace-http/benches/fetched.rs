//! What a trace over HTTP costs a busy server, compared with a trace to a file:
//! `cargo bench -p trace-http --bench fetched`.
//!
//! The server, and the process that loads it, are those of `benches/echo`. Three kinds of stretches
//! take turns: without a trace, with a trace to a file, and with a trace that another process
//! fetches over HTTP into a file. So a machine that slows down slows all three. A stretch lasts
//! from the request for the trace to its last byte. The bench compares neighbouring stretches and
//! prints medians.

#[path = "../../benches/echo/load.rs"]
mod load;

use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use exectrace::Options;
use load::{CONNECTIONS, Loaded};
use tempfile::TempDir;
use trace_format::read::TraceFile;
use trace_http::Config;

#[global_allocator]
static HEAP: exectrace::Heap = exectrace::Heap::system();

/// The process that fetches is this program again; this variable has the address and a path.
const FETCH: &str = "EXECTRACE_FETCH";

const SECONDS: f64 = 5.0;
const ROUNDS: usize = 10;

fn main() {
    if let Ok(words) = std::env::var(FETCH) {
        fetch(&words);
        return;
    }
    let Some(loaded) = Loaded::start() else { return };
    let is_test = std::env::args().any(|word| word == "--test");
    let (rounds, seconds) = if is_test { (1, 0.2) } else { (ROUNDS, SECONDS) };
    std::thread::sleep(Duration::from_secs_f64(seconds));
    println!("echo server, {CONNECTIONS} connections, traces of {seconds} s, {rounds} rounds");
    println!("{:26} {:>9} {:>17} {:>9} {:>10}", "", "requests", "quartiles", "MB", "dropped");
    let kinds = [
        ("everything", Options::new()),
        ("threads, blocking, calls", Options::new().sched(false).heap(false)),
    ];
    for (name, options) in kinds {
        let bench = Bench::new(&loaded, options, seconds);
        bench.measure(name, rounds);
    }
}

/// Writes the answer to a file as it comes, with its head. Asks by HTTP/1.0, so the body is not
/// chunked.
fn fetch(words: &str) {
    let (address, path) = words.split_once(' ').expect("the parent gives both");
    let (page, path) = path.split_once(' ').expect("the parent gives both");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let head = format!("GET {page} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is taken");
    let mut file = File::create(path).expect("there is room");
    io::copy(&mut stream, &mut file).expect("it is sent, and there is room");
}

/// The server, its load, and the length of a stretch.
struct Bench<'a> {
    loaded: &'a Loaded,
    options: Options,
    seconds: f64,
    folder: TempDir,
    listener: trace_http::Listener,
}

/// One row of the result: requests as a share of those without a trace; bytes and losses of all
/// traces.
#[derive(Debug, Default)]
struct Row {
    ratios: Vec<f64>,
    bytes: u64,
    dropped: u64,
}

impl<'a> Bench<'a> {
    fn new(loaded: &'a Loaded, options: Options, seconds: f64) -> Self {
        let config = Config::new().options(options.clone()).bytes_max(u64::MAX);
        let listener = trace_http::serve("127.0.0.1:0", config).expect("a port is free");
        let folder = TempDir::new().expect("a temporary folder");
        Self { loaded, options, seconds, folder, listener }
    }

    fn measure(&self, name: &str, rounds: usize) {
        let mut plain = vec![self.requests(|| self.wait())];
        let (mut file, mut fetched) = (Row::default(), Row::default());
        let mut beside = Row::default();
        // The order alternates, because a drift would favour the one that is always first.
        for round in 0..rounds {
            for is_fetched in [round % 2 == 0, round % 2 == 1] {
                let path = self.folder.path().join("out");
                let on = match is_fetched {
                    true => self.requests(|| self.over_http(&path)),
                    false => self.requests(|| self.to_file(&path)),
                };
                let row = if is_fetched { &mut fetched } else { &mut file };
                row.add(&path);
                let before = plain[plain.len() - 1];
                plain.push(self.requests(|| self.wait()));
                row.ratios.push(on * 2.0 / (before + plain[plain.len() - 1]));
            }
            beside.ratios.push(fetched.ratios[round] / file.ratios[round]);
        }
        let themselves = plain.windows(2).map(|pair| pair[1] / pair[0]).collect();
        println!("{name}: {:.0} requests/s without a trace", median(&mut plain));
        Row { ratios: themselves, ..Row::default() }.print("  without, beside itself", 1);
        file.print("  to a file", rounds);
        fetched.print("  over HTTP", rounds);
        beside.print("  over HTTP, of to a file", rounds);
    }

    /// Requests per second while something else happens.
    fn requests(&self, meanwhile: impl FnOnce()) -> f64 {
        let (before, begin) = (self.loaded.served(), Instant::now());
        meanwhile();
        (self.loaded.served() - before) as f64 / begin.elapsed().as_secs_f64()
    }

    fn wait(&self) {
        std::thread::sleep(Duration::from_secs_f64(self.seconds));
    }

    fn to_file(&self, path: &Path) {
        let file = File::create(path).expect("there is room");
        let trace = exectrace::start_with(self.options.clone(), file).expect("none is running");
        self.wait();
        trace.stop().expect("there is room");
    }

    fn over_http(&self, path: &Path) {
        let address: SocketAddr = self.listener.address();
        let page = format!("/debug/trace?seconds={}", self.seconds);
        let own = std::env::current_exe().expect("a program has a path");
        let words = format!("{address} {page} {}", path.display());
        let status = Command::new(own).env(FETCH, words).status();
        assert!(status.expect("this program can be started once more").success());
    }
}

impl Row {
    /// Adds up a written trace, which must be whole. The head of an answer may precede it.
    fn add(&mut self, path: &Path) {
        let bytes = std::fs::read(path).expect("it is there");
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").map_or(0, |at| at + 4);
        let is_answer = bytes.starts_with(b"HTTP/1.0 200") || bytes.starts_with(b"HTTP/1.1 200");
        let trace = bytes[if is_answer { end } else { 0 }..].to_vec();
        let trace = TraceFile::open(trace).expect("a trace");
        assert!(trace.is_complete() && trace.faults().is_empty(), "{:?}", trace.faults());
        self.bytes += trace.bytes();
        self.dropped += trace.tables().stop.as_ref().map_or(0, |stop| stop.dropped_events);
    }

    fn print(mut self, name: &str, traces: usize) {
        let middle = median(&mut self.ratios);
        let at =
            |part: usize| self.ratios[(self.ratios.len() * part / 4).min(self.ratios.len() - 1)];
        println!(
            "{name:26} {middle:>7.3} x {:>8.3} to {:.3} {:>9.1} {:>10}",
            at(1),
            at(3),
            self.bytes as f64 / traces as f64 / 1e6,
            self.dropped
        );
    }
}

/// The median of the values; sorts them.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
