//! The pages that return traces: one that is recorded for the request, and the flight recorder's.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use exectrace::FlightRecorder;

use crate::config::Config;
use crate::pipe::Limits;
use crate::query::Query;
use crate::recording::record;
use crate::refusal::Refusal;
use crate::routes::Shared;

/// Records a trace, and sends it while it is recorded.
pub(crate) async fn stream(
    State(config): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = Query::parse(query.as_deref(), &["seconds", "names"], config.seconds_max)?;
    let mut options = config.options.clone();
    if query.with_names {
        options = options.names(true);
    }
    let trace = record(options, query.length, limits(&config)).await?;
    Ok(file(Body::new(trace), "trace"))
}

/// Sends a snapshot of the flight recorder.
pub(crate) async fn snapshot(
    State(config): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = Query::parse(query.as_deref(), &["names"], config.seconds_max)?;
    let snapshot = snapshot_of(&config, query.with_names).await?;
    Ok(file(Body::from(Bytes::from(snapshot)), "trace"))
}

pub(crate) fn limits(config: &Config) -> Limits {
    Limits { bytes_max: config.bytes_max, stall_timeout: config.stall_timeout }
}

/// A snapshot; at most as large as the flight recorder's limit, plus the names.
pub(crate) async fn snapshot_of(config: &Config, with_names: bool) -> Result<Vec<u8>, Refusal> {
    let none = |why: &str| {
        let text = format!("{why}: /debug/trace?seconds=5 records anew");
        Refusal::new(StatusCode::NOT_FOUND, text)
    };
    let Some(recorder) = config.recorder.as_ref().map(Arc::clone) else {
        return Err(none("this program has given the pages no flight recorder (Config::recorder)"));
    };
    aside(move || take(&recorder, with_names)).await?.map_err(|error| none(&error))
}

fn take(recorder: &FlightRecorder, with_names: bool) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let taken = match with_names {
        true => recorder.snapshot_with_names(&mut bytes),
        false => recorder.snapshot(&mut bytes),
    };
    taken.map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Runs work that takes a while on a thread that may block.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        let text = "a fault in exectrace: the work for this request failed";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })
}

/// An answer that browsers save to a file, named by the program and `ending`.
pub(crate) fn file(body: Body, ending: &str) -> Response {
    let name = format!("attachment; filename=\"{}.{ending}\"", program());
    let kind = (header::CONTENT_TYPE, "application/octet-stream".to_owned());
    ([kind, (header::CONTENT_DISPOSITION, name)], body).into_response()
}

/// The program's name, reduced to characters that need no quoting anywhere.
pub(crate) fn program() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let path = std::env::current_exe().unwrap_or_default();
        let name = path.file_stem().unwrap_or(Path::new("program").as_os_str()).to_string_lossy();
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).take(80).collect()
    })
}
