//! A port of one's own: a thread, a runtime of tokio's on it, and limits of time on everybody.
//!
//! One request per connection. A head that does not come, an answer that is not taken, and
//! connections beyond a number end or wait, so a slow client takes a place for a bounded time.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Extension};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{Semaphore, oneshot};

use crate::config::Config;
use crate::error::{ServeError, ServeErrorKind};
use crate::routes::routes;

/// More wait to be accepted.
const CONNECTIONS_MAX: usize = 128;

/// What a request's head may take.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What a request may take beside the seconds it asks for: the head, names of functions, sending.
const REST: Duration = Duration::from_secs(120);

/// Between two attempts while no connection can be accepted, for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// A port that serves the pages. Dropping it closes it, and ends what is recorded for it.
#[must_use = "dropping a listener closes it"]
pub struct Listener {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Listener {
    /// Where it listens; tells the port if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and every connection.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It has no more to say if it panicked.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Serves the pages on a port of their own, from a thread of their own: `"127.0.0.1:6060"`.
///
/// # Errors
/// [`ServeErrorKind::Remote`] if others than this machine can reach the address, and there is
/// neither a token nor [`Config::allow_remote`]; others if the address can't be bound or no thread
/// can be started.
pub fn serve(address: impl ToSocketAddrs, config: Config) -> Result<Listener, ServeError> {
    let bind = |address: String, error| ServeError { address, kind: ServeErrorKind::Bind(error) };
    let addresses = address.to_socket_addrs().map_err(|error| bind(String::new(), error))?;
    let addresses: Vec<_> = addresses.collect();
    let text = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let is_loopback = addresses.iter().all(|address| address.ip().to_canonical().is_loopback());
    if !is_loopback && !config.allow_remote && config.token.is_none() {
        return Err(ServeError { address: text, kind: ServeErrorKind::Remote });
    }
    let open = || {
        let listener = StdListener::bind(addresses.as_slice())?;
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, listener))
    };
    let (address, listener) = open().map_err(|error| bind(text.clone(), error))?;
    let (stop, is_stopped) = oneshot::channel();
    let limits = Limits {
        head: config.read_timeout,
        all: REST + Duration::from_secs(config.seconds_max.into()),
    };
    let pages = routes(config);
    let thread = start(listener, pages, limits, is_stopped)
        .map_err(|error| ServeError { address: text, kind: ServeErrorKind::Thread(error) })?;
    Ok(Listener { address, stop: Some(stop), thread: Some(thread) })
}

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    head: Duration,
    all: Duration,
}

fn start(
    listener: StdListener,
    pages: Router,
    limits: Limits,
    is_stopped: oneshot::Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let run = move || {
        runtime.spawn(accept(listener, pages, limits));
        // Stopping is dropping the other end.
        let _ = runtime.block_on(is_stopped);
        runtime.shutdown_timeout(Duration::from_secs(1));
    };
    // The program's signals are for its own threads.
    exectrace::__private::without_signals(|| {
        std::thread::Builder::new().name("exectrace-pages".to_owned()).spawn(run)
    })
}

async fn accept(listener: TcpListener, pages: Router, limits: Limits) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let pages = pages.clone().layer(Extension(ConnectInfo(peer)));
                tokio::spawn(async move {
                    answer(stream, pages, limits).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Faults of the connection are the client's to see.
async fn answer(stream: TcpStream, pages: Router, limits: Limits) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    let _ = tokio::time::timeout(limits.all, connection).await;
}
