//! An echo server, and another process that loads it; measured with and without a trace, here and
//! in `trace-http/benches`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The client process is this program again; this variable has the server's address.
const CLIENT: &str = "EXECTRACE_ECHO_SERVER";

pub(crate) const CONNECTIONS: usize = 16;
const MESSAGE_BYTES: usize = 64;

/// A server under load. Dropping it ends the load.
pub(crate) struct Loaded {
    served: Arc<AtomicU64>,
    client: Client,
    runtime: Option<Runtime>,
}

impl Loaded {
    /// Starts the server and its load. In the client process it runs the load instead, and returns
    /// `None` when that has ended.
    pub(crate) fn start() -> Option<Self> {
        if let Ok(server) = std::env::var(CLIENT) {
            load(server.parse().expect("the parent gives an address"));
            return None;
        }
        let runtime = Runtime::new().expect("tokio starts");
        let served = Arc::new(AtomicU64::new(0));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(serve(listener, Arc::clone(&served)));
        Some(Self { served, client: Client::start(address), runtime: Some(runtime) })
    }

    /// Number of requests answered so far.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.client.stop();
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
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

/// The client process.
struct Client(Child);

impl Client {
    fn start(server: SocketAddr) -> Self {
        let program = std::env::current_exe().expect("a program has a path");
        let child = Command::new(program).env(CLIENT, server.to_string()).spawn();
        Self(child.expect("this program can be started once more"))
    }

    fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends requests and receives answers until the server is gone.
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
