//! Traces of a running program over HTTP: for `exectrace record`, for `pprof`, for a browser.
//!
//! Mount [`router`] into the program's own server, under any prefix, or let [`serve`] open a port
//! of its own. Nothing is recorded until a client asks, and no page is served until one of the two
//! was called.
//!
//! ```no_run
//! use std::sync::Arc;
//! use trace_http::Config;
//!
//! let recorder = Arc::new(exectrace::FlightRecorder::start()?);
//! let listener = trace_http::serve("127.0.0.1:6060", Config::new().recorder(recorder))?;
//! println!("http://{}/debug/trace/", listener.address());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | | |
//! |---|---|
//! | `GET /debug/trace?seconds=5` | a trace, as it is recorded; it ends if the client goes away |
//! | `GET /debug/trace/snapshot` | what the flight recorder has ([`Config::recorder`]) |
//! | `GET /debug/trace/callsites` | the call sites, as a JSON list |
//! | `POST /debug/trace/callsites` | `{"on": false, "module": "app::db"}` switches those below it |
//! | `GET /debug/pprof/profile` | for `go tool pprof`; `?seconds=5`, or `?from=snapshot` |
//! | `/debug/pprof/block`, `mutex`, `heap` | likewise: all waiting, waiting for locks, memory |
//! | `GET /debug/trace/` | a page for people, with links to these |
//!
//! A trace reveals much about a program, so a request must come from this machine or have the
//! token, unless [`Config::allow_remote`] was called. Requests from pages of other sites are always
//! refused, even from a browser on this machine, and even if the site's name was rebound to it: a
//! request must name an IP address, `localhost`, or a name listed with [`Config::host`]. Refusals
//! are plain text: 400 a wrong query, 401 no token, 403 a client, page or name that is not served,
//! 404 no flight recorder, 409 a trace is running, 429 too many requests at once, or too many wrong
//! tokens from this address, 501 not compiled in.
//!
//! One trace is recorded at a time, and one profile is made at a time. Other requests for a trace
//! get 409; requests for a profile wait for their turn.
//!
//! After ten wrong tokens in a minute, requests from that address are rejected until the minute
//! ends, even with the right token ([`Config::guesses_max`]); other addresses are served. Clients
//! behind a proxy on this machine that adds no header look like this machine: set a token if there
//! is such a proxy.
//!
//! - `config`: the configuration. `listener`, `error`: the crate's own port.
//! - `access`: which requests are served; `host`: under which names; `guesses`: counts wrong
//!   tokens. `query`: the query of a request. `refusal`: the answers that refuse.
//! - `recording`: one trace, from its start to its end; `pipe`: passes it to the client.
//! - `routes`: the pages by path; `trace`, `sites`, `index`, `pprof`: the pages themselves.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod access;
mod config;
mod error;
mod guesses;
mod host;
mod index;
mod listener;
mod pipe;
#[cfg(feature = "pprof")]
mod pprof;
mod query;
mod recording;
mod refusal;
mod routes;
mod sites;
mod trace;

pub use config::Config;
pub use error::{ServeError, ServeErrorKind};
pub use listener::{Listener, serve};

/// A router with the pages, to be merged or nested into the program's own. It has no fallback.
///
/// Without a token and without [`Config::allow_remote`] it must know the client's address: serve
/// with `into_make_service_with_connect_info::<SocketAddr>()`. Without that it refuses every
/// request.
pub fn router(config: Config) -> axum::Router {
    routes::routes(config)
}
