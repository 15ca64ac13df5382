//! The page for people: links and commands for all that is served.

use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use exectrace::__private::HAS_NAMES;

use crate::query::Query;
use crate::refusal::Refusal;
use crate::routes::Shared;
use crate::trace::program;

/// The page loads no other file.
const PAGE: &str = include_str!("index.html");

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// Links are relative, because the page does not know its prefix.
pub(crate) async fn page(
    State(config): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    Query::parse(query.as_deref(), &[], config.seconds_max)?;
    let state = match (exectrace::is_enabled(), config.recorder.is_some()) {
        (_, true) => "A flight recorder is running.",
        (true, false) => "Something is being recorded right now.",
        (false, false) => "Nothing is being recorded; there is no flight recorder.",
    };
    let is_hidden = if config.recorder.is_some() { "" } else { "hidden" };
    let page = PAGE
        .replace("{program}", program())
        .replace("{state}", state)
        .replace("{hidden}", is_hidden)
        .replace("{names}", if HAS_NAMES { "" } else { " hidden" })
        .replace("{callsites}", &exectrace::callsites().count().to_string())
        .replace("{seconds_max}", &config.seconds_max.to_string())
        .replace("{seconds}", &config.seconds_max.min(5).to_string());
    Ok(([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response())
}
