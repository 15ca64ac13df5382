//! What tracing everything costs a server: `cargo bench --bench echo`.
//!
//! A tokio echo server is loaded by a second process over loopback. Stretches with a trace
//! (threads, blocking, system calls, CPUs, heap, all with stacks) and without one alternate in one
//! run, so a machine that slows down slows both; the table has the median of the ratios of
//! neighbours.

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

fn measure(pairs: usize, served: &AtomicU64) {
    let stretch = || {
        let (before, begin) = (served.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(STRETCH);
        (served.load(Ordering::Relaxed) - before) as f64 / begin.elapsed().as_secs_f64()
    };
    let (mut ratios, mut plain, mut bytes, mut events, mut dropped) = (vec![], vec![], 0, 0, 0);
    for pair in 0..pairs {
        // Who is first changes, for what drifts would favour one of them.
        let off_first = (pair % 2 == 0).then(&stretch);
        let trace = exectrace::start(std::io::sink()).expect("no trace is running");
        let on = stretch();
        let report = trace.stop().expect("a sink takes everything");
        let off = off_first.unwrap_or_else(&stretch);
        (bytes, events) = (bytes + report.bytes, events + report.events);
        dropped += report.dropped_events;
        ratios.push(on / off);
        plain.push(off);
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (low, high) = {
        ratios.sort_by(f64::total_cmp);
        (ratios[ratios.len() / 4], ratios[ratios.len() * 3 / 4])
    };
    println!("echo server, {CONNECTIONS} connections of one client process, {pairs} pairs");
    println!("requests/s without a trace   {:>10.0}", median(&mut plain));
    println!(
        "with everything on           {:>10.3} x  (quartiles {low:.3} to {high:.3})",
        median(&mut ratios)
    );
    println!("bytes per event              {:>10.1}", bytes as f64 / events.max(1) as f64);
    println!(
        "events/s                     {:>10.0}",
        events as f64 / (pairs as f64 * STRETCH.as_secs_f64())
    );
    println!("dropped                      {dropped:>10}");
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
