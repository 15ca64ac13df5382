//! What tracing everything costs a server: `cargo bench --bench echo`.
//!
//! A tokio echo server is loaded by a second process over loopback. Stretches with a trace
//! (threads, blocking, system calls, CPUs, heap, all with stacks) and without one alternate in one
//! run, so a machine that slows down slows both; the table has the median of the ratios of
//! neighbours, for everything at once and for each part alone.

use exectrace::Options;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[global_allocator]
static HEAP: exectrace::Heap = exectrace::Heap::system();

/// The client process is this program again, with the server's address here.
const CLIENT: &str = "EXECTRACE_ECHO_SERVER";

const CONNECTIONS: usize = 16;
const MESSAGE_BYTES: usize = 64;
const STRETCH: Duration = Duration::from_millis(500);
const PAIRS: usize = 20;

fn main() {
    if let Ok(server) = std::env::var(CLIENT) {
        load(server.parse().expect("the parent gives an address"));
        return;
    }
    let pairs = if std::env::args().any(|word| word == "--test") { 1 } else { PAIRS };
    let runtime = tokio::runtime::Runtime::new().expect("tokio starts");
    let served = Arc::new(AtomicU64::new(0));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    runtime.spawn(serve(listener, Arc::clone(&served)));
    let client = Client::start(address);
    std::thread::sleep(STRETCH);
    measure(pairs, &served);
    drop(client);
    runtime.shutdown_background();
}

async fn serve(listener: TcpListener, served: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(echo(stream, Arc::clone(&served)));
    }
}

async fn echo(mut stream: tokio::net::TcpStream, served: Arc<AtomicU64>) {
    let mut message = vec![0; MESSAGE_BYTES];
    while stream.read_exact(&mut message).await.is_ok() {
        if stream.write_all(&message).await.is_err() {
            return;
        }
        served.fetch_add(1, Ordering::Relaxed);
    }
}

/// Of each row: the ratios, and what was recorded.
#[derive(Debug, Default)]
struct Row {
    ratios: Vec<f64>,
    bytes: u64,
    events: u64,
    dropped: u64,
}

fn measure(pairs: usize, served: &AtomicU64) {
    let none = || Options::new().os(false).sched(false).heap(false);
    let kinds = [
        ("everything", Options::new()),
        ("threads, blocking, calls", none().os(true)),
        ("CPUs", none().sched(true)),
        ("heap", none().heap(true)),
    ];
    let stretch = || {
        let (before, begin) = (served.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(STRETCH);
        (served.load(Ordering::Relaxed) - before) as f64 / begin.elapsed().as_secs_f64()
    };
    let mut plain = Vec::new();
    let mut rows: [Row; 4] = Default::default();
    for pair in 0..pairs {
        for ((_, options), row) in kinds.iter().zip(&mut rows) {
            // Who is first changes, for what drifts would favour one of them.
            let off_first = (pair % 2 == 0).then(&stretch);
            let trace = exectrace::start_with(options.clone(), std::io::sink());
            let trace = trace.expect("no trace is running");
            let on = stretch();
            let report = trace.stop().expect("a sink takes everything");
            let off = off_first.unwrap_or_else(&stretch);
            row.ratios.push(on / off);
            row.bytes += report.bytes;
            row.events += report.events;
            row.dropped += report.dropped_events;
            plain.push(off);
        }
    }
    print(pairs, plain, kinds.map(|kind| kind.0), rows);
}

fn print(pairs: usize, mut plain: Vec<f64>, names: [&str; 4], rows: [Row; 4]) {
    plain.sort_by(f64::total_cmp);
    println!("echo server, {CONNECTIONS} connections of one client process, {pairs} pairs each");
    println!("{:.0} requests/s without a trace", plain[plain.len() / 2]);
    println!(
        "{:26} {:>10} {:>16} {:>10} {:>12} {:>8}",
        "recorded", "requests", "quartiles", "events/s", "bytes/event", "dropped"
    );
    for (name, mut row) in names.into_iter().zip(rows) {
        row.ratios.sort_by(f64::total_cmp);
        let at = |part: usize| row.ratios[(row.ratios.len() * part / 4).min(row.ratios.len() - 1)];
        println!(
            "{name:26} {:>8.3} x {:>7.3} to {:.3} {:>10.0} {:>12.1} {:>8}",
            at(2),
            at(1),
            at(3),
            row.events as f64 / (pairs as f64 * STRETCH.as_secs_f64()),
            row.bytes as f64 / row.events.max(1) as f64,
            row.dropped
        );
    }
}

/// The other process; killed when dropped.
struct Client(Child);

impl Client {
    fn start(server: SocketAddr) -> Self {
        let program = std::env::current_exe().expect("a program has a path");
        let child = Command::new(program).env(CLIENT, server.to_string()).spawn();
        Self(child.expect("this program can be started once more"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends and receives until the server is gone.
fn load(server: SocketAddr) {
    static GONE: AtomicBool = AtomicBool::new(false);
    let exchange = || {
        let mut stream = TcpStream::connect(server).expect("the server listens");
        stream.set_nodelay(true).expect("it is a TCP stream");
        let mut message = [7; MESSAGE_BYTES];
        while !GONE.load(Ordering::Relaxed) {
            let sent = stream.write_all(&message);
            if sent.and_then(|()| stream.read_exact(&mut message)).is_err() {
                GONE.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| (0..CONNECTIONS).for_each(|_| _ = scope.spawn(exchange)));
}
