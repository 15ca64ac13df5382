//! The crate's own port: one thread with a tokio runtime, and time limits for every connection.
//!
//! A connection serves one request. It ends if the head does not arrive or the answer is not read
//! in time; connections beyond a maximum wait. So a slow client holds a place only for a limited
//! time.

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

/// Maximum number of connections served at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 128;

/// Maximum size of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Maximum time of a request in addition to the seconds it asks for: for the head, the names of
/// functions, and sending.
const REST: Duration = Duration::from_secs(120);

/// Time between two attempts while no connection can be accepted because descriptors are used up.
const PAUSE: Duration = Duration::from_millis(50);

/// A port that serves the pages. Dropping it closes the port, and ends recordings for its clients.
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
    /// The address it listens on, with the real port if 0 was given.
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
        // The result only says whether the thread panicked, which its message already said.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Serves the pages on a port of their own, from a thread of their own: `"127.0.0.1:6060"`.
///
/// # Errors
/// [`ServeErrorKind::Remote`] if others than this machine can reach the address, and there is
/// neither a token nor [`Config::allow_remote`]; other kinds if the address cannot be bound or no
/// thread can be started.
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
        // Dropping the other end stops the server.
        let _ = runtime.block_on(is_stopped);
        runtime.shutdown_timeout(Duration::from_secs(1));
    };
    // The thread blocks all signals: the program's signals are for its own threads.
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

/// Serves one connection. Its errors are not reported here: the client sees them.
async fn answer(stream: TcpStream, pages: Router, limits: Limits) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    let _ = tokio::time::timeout(limits.all, connection).await;
}
