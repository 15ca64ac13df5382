//! The pages by path, what they share, and the checks in front of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::access::{Access, guard};
use crate::config::Config;
use crate::refusal::Refusal;
use crate::{index, sites, trace};

/// The state that all pages share.
pub(crate) type Shared = Arc<Config>;

pub(crate) fn routes(config: Config) -> Router {
    assemble(config, exectrace::COMPILED_IN)
}

fn assemble(config: Config, is_compiled_in: bool) -> Router {
    let access = Arc::new(Access::new(&config));
    let pages = Router::new()
        .route("/debug/trace", get(trace::stream))
        .route("/debug/trace/", get(index::page))
        .route("/debug/trace/snapshot", get(trace::snapshot))
        .route("/debug/trace/callsites", get(sites::list).post(sites::switch));
    let pages = profiles(pages).with_state(Arc::new(config));
    let pages = if is_compiled_in { pages } else { pages.route_layer(from_fn(absent)) };
    pages.route_layer(from_fn_with_state(access, guard))
}

#[cfg(feature = "pprof")]
fn profiles(pages: Router<Shared>) -> Router<Shared> {
    use crate::pprof;
    pages
        .route("/debug/pprof/profile", get(pprof::cpu))
        .route("/debug/pprof/block", get(pprof::block))
        .route("/debug/pprof/mutex", get(pprof::mutex))
        .route("/debug/pprof/heap", get(pprof::heap))
}

#[cfg(not(feature = "pprof"))]
fn profiles(pages: Router<Shared>) -> Router<Shared> {
    let absent = || async {
        let text = "this program was built without the feature `pprof` of trace-http";
        Refusal::new(StatusCode::NOT_IMPLEMENTED, text)
    };
    pages.route("/debug/pprof/{kind}", get(absent))
}

/// Answers in place of every page if the recorder is not compiled in.
async fn absent(_request: Request, _next: Next) -> Response {
    let text = "this program was built without the feature `enabled` of exectrace: it records \
                nothing";
    Refusal::new(StatusCode::NOT_IMPLEMENTED, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{Method, Request};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    #[test]
    fn without_the_recorder_every_page_says_so() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let config = Config::new().allow_remote(true);
        let pages = [
            (Method::GET, "/debug/trace"),
            (Method::GET, "/debug/trace/"),
            (Method::GET, "/debug/trace/snapshot"),
            (Method::GET, "/debug/trace/callsites"),
            (Method::POST, "/debug/trace/callsites"),
            (Method::GET, "/debug/pprof/profile"),
            (Method::GET, "/debug/pprof/heap"),
        ];
        let ask = |method: &Method, path: &str, is_compiled_in| {
            let service = assemble(config.clone(), is_compiled_in);
            let request = Request::builder().method(method).uri(path).header("host", "localhost");
            let request = request.body(Body::empty()).expect("a request");
            let answer = TowerToHyperService::new(service).call(request);
            runtime.block_on(answer).expect("it never fails").status()
        };
        for (method, path) in pages {
            assert_eq!(ask(&method, path, false), StatusCode::NOT_IMPLEMENTED, "{path}");
        }
        assert_eq!(ask(&Method::GET, "/debug/trace/", true), StatusCode::OK);
    }
}
