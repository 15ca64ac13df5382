//! Traces of a running program over HTTP: for `exectrace record`, for `pprof`, for a browser.
//!
//! Mount [`router`] into the program's own server, under any prefix, or let [`serve`] open a port
//! of its own. Nothing is recorded until somebody asks, and nobody is served until one of the two
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
//! | `GET /debug/trace?seconds=5` | a trace, as it is recorded; who goes away ends it |
//! | `GET /debug/trace/snapshot` | what the flight recorder has ([`Config::recorder`]) |
//! | `GET /debug/trace/callsites` | the places that emit, as a JSON list |
//! | `POST /debug/trace/callsites` | `{"on": false, "module": "app::db"}` switches those below it |
//! | `GET /debug/pprof/profile` | for `go tool pprof`; `?seconds=5`, or `?from=snapshot` |
//! | `block`, `mutex`, `heap` beside it | likewise: waiting, for locks alone, memory |
//! | `GET /debug/trace/` | these in a page for people |
//!
//! A trace says much about a program, so a request must come from this machine, or have the token,
//! unless [`Config::allow_remote`] was called. Pages of other sites are refused in any case, also
//! if they are shown on this machine, and if their name was rebound to it: requests must name an
//! address, `localhost`, or a name listed with [`Config::host`]. Refusals are plain text: 400 the
//! query, 401 no token, 403 who or from where, 404 no flight recorder, 409 a trace is running, 429
//! too many requests at once, or too many wrong tokens from this address, 501 not compiled in.
//!
//! One trace is recorded at a time, and one profile made of one; other requests for a trace get
//! 409, and profiles wait for their turn.
//!
//! After ten wrong tokens in a minute, requests from that address are rejected until the minute
//! ends, even with the right token ([`Config::guesses_max`]); other addresses are served. A proxy
//! on this machine that adds no header of its own looks like this machine: set a token where there
//! is one.
//!
//! - `config`: what can be said. `listener`, `error`: the port of its own.
//! - `access`: who is served; `host`: under which names; `guesses`: wrong tokens, counted. `query`:
//!   what is asked. `refusal`: how one says no.
//! - `recording`: one trace, from its start to its end; `pipe`: its way to the client.
//! - `routes`: the pages by path; `trace`, `sites`, `index`, `pprof`: these pages.

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

/// The pages, to be merged or nested into the program's own. It has no fallback.
///
/// Without a token and without [`Config::allow_remote`] it has to know who asks: serve with
/// `into_make_service_with_connect_info::<SocketAddr>()`. Where that is missing it refuses all.
pub fn router(config: Config) -> axum::Router {
    routes::routes(config)
}
