//! Lists the call sites as JSON, and switches them on and off.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use exectrace::{Callsite, CallsiteKind};
use serde::{Deserialize, Serialize};

use crate::query::Query;
use crate::refusal::Refusal;
use crate::routes::Shared;

/// Maximum size of the body that says what to switch.
const BODY_BYTES_MAX: usize = 16 << 10;

/// A call site in the list.
#[derive(Debug, Serialize)]
pub(crate) struct Site {
    name: &'static str,
    module: &'static str,
    file: &'static str,
    line: u32,
    column: u32,
    kind: &'static str,
    on: bool,
    min_nanos: u64,
    arguments: Vec<&'static str>,
}

/// Which call sites to switch: those that match every given field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    on: bool,
    /// Call sites of this module, and of those below it.
    module: Option<String>,
    name: Option<String>,
    file: Option<String>,
    line: Option<u32>,
}

/// How many call sites matched.
#[derive(Debug, Serialize)]
pub(crate) struct Switched {
    callsites: usize,
}

/// Lists the call sites by module and line.
pub(crate) async fn list(
    State(config): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<Site>>, Refusal> {
    Query::parse(query.as_deref(), &[], config.seconds_max)?;
    let mut sites: Vec<_> = exectrace::callsites().map(listed).collect();
    sites.sort_by_key(|site| (site.module, site.file, site.line, site.column, site.name));
    Ok(Json(sites))
}

/// Switches the matching call sites on or off.
pub(crate) async fn switch(
    State(config): State<Shared>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Json<Switched>, Refusal> {
    Query::parse(query.as_deref(), &[], config.seconds_max)?;
    let body = tokio::time::timeout(config.read_timeout, to_bytes(body, BODY_BYTES_MAX)).await;
    let body = body
        .map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))?
        .map_err(|_| {
            let text = format!("the body is cut, or longer than {BODY_BYTES_MAX} bytes");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        })?;
    let wanted: Switch = serde_json::from_slice(&body).map_err(|error| {
        let example = r#"{"on": false, "module": "app::db"}"#;
        Refusal::bad(format!("the body is not as in {example}: {error}"))
    })?;
    if wanted.names_nothing() {
        return Err(Refusal::bad(
            "no call site is named: give `module`, `name`, `file`, `line`, or several",
        ));
    }
    let fitting = exectrace::callsites().filter(|site| wanted.fits(site));
    let callsites = fitting.map(|site| site.set_on(wanted.on)).count();
    if callsites == 0 {
        let text = "there is no such call site: GET lists those there are";
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    }
    Ok(Json(Switched { callsites }))
}

impl Switch {
    fn names_nothing(&self) -> bool {
        let texts = [&self.module, &self.name, &self.file];
        texts.iter().all(|text| text.is_none()) && self.line.is_none()
    }

    fn fits(&self, site: &Callsite) -> bool {
        let is_below = |module: &String| {
            let rest = site.module_path().strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        self.module.as_ref().is_none_or(is_below)
            && self.name.as_ref().is_none_or(|name| name == site.name())
            && self.file.as_ref().is_none_or(|file| file == site.file())
            && self.line.is_none_or(|line| line == site.line())
    }
}

fn listed(site: &'static Callsite) -> Site {
    Site {
        name: site.name(),
        module: site.module_path(),
        file: site.file(),
        line: site.line(),
        column: site.column(),
        kind: word(site.kind()),
        on: site.is_on(),
        min_nanos: site.min_nanos(),
        arguments: site.arguments().iter().map(|argument| argument.name()).collect(),
    }
}

fn word(kind: CallsiteKind) -> &'static str {
    match kind {
        CallsiteKind::Function => "function",
        CallsiteKind::Region => "region",
        CallsiteKind::Future => "future",
        CallsiteKind::Task => "task",
        CallsiteKind::Log => "log",
        CallsiteKind::Counter => "counter",
        CallsiteKind::Instant => "instant",
    }
}
