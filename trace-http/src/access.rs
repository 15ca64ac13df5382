//! Who is served: from where, under which name, on whose behalf, with which token, and how many.
//!
//! A browser on this machine runs pages of anybody. One whose name leads to 127.0.0.1 after a while
//! gives itself away by `Host`; one that sends requests elsewhere by `Origin` or `Sec-Fetch-Site`.
//! A proxy on this machine makes everybody a neighbour, and gives itself away by what it adds.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body::{Frame, SizeHint};
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::guesses::{Guesses, Verdict};
use crate::refusal::Refusal;

/// Under which this machine is asked by itself, beside the addresses: no name leads elsewhere here.
const OWN_NAME: &str = "localhost";

/// What proxies add, and how their own names for more of it begin.
const PROXIED: [&str; 5] = ["forwarded", "x-real-ip", "via", "true-client-ip", "cf-connecting-ip"];
const PROXIED_BEGIN: &str = "x-forwarded-";

/// What is not to be believed of an answer that is a file.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Who is served. Not to be printed: it has the token.
pub(crate) struct Access {
    token: Option<String>,
    guesses: Guesses,
    /// Only whoever is on this machine.
    only_local: bool,
    /// Only under names that are known.
    only_known: bool,
    hosts: Vec<String>,
    places: Arc<Semaphore>,
}

impl Access {
    /// - `is_loopback`: of a listener, whether only this machine reaches it; else it is not known.
    pub(crate) fn new(config: &Config, is_loopback: Option<bool>) -> Self {
        let is_open = config.allow_remote || config.token.is_some();
        let is_behind_proxy = config.allow_remote || !config.hosts.is_empty();
        Self {
            token: config.token.clone(),
            guesses: Guesses::new(config.guesses_max, config.guesses_within),
            only_local: !is_open,
            only_known: !config.hosts.is_empty()
                || !is_open
                || is_loopback == Some(true) && !is_behind_proxy,
            hosts: config.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            places: Arc::new(Semaphore::new(config.requests_max)),
        }
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let host = host(request)?;
        if self.only_known && !self.knows(&host) {
            let text = "not under this name: ask for localhost, or name it by Config::host";
            return Err(forbidden(text));
        }
        if self.only_local {
            check_local(request)?;
        }
        check_origin(request.headers(), &host)?;
        self.token.as_ref().map_or(Ok(()), |token| self.check_token(request, token))
    }

    fn check_token(&self, request: &Request, token: &str) -> Result<(), Refusal> {
        // A browser asks without one first; that is no guess.
        let verdict = sent_token(request.headers()).map_or(Verdict::Wrong, |sent| {
            let is_right = || !token.is_empty() && bool::from(sent.ct_eq(token.as_bytes()));
            self.guesses.check(peer(request).map(|peer| peer.ip()), Instant::now(), is_right)
        });
        match verdict {
            Verdict::Right => Ok(()),
            Verdict::Wrong => {
                let text = "the token is missing or wrong: send `Authorization: Bearer TOKEN`";
                Err(Refusal::new(StatusCode::UNAUTHORIZED, text))
            }
            Verdict::TooMany(left) => {
                let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                let text = format!(
                    "too many wrong tokens from this address: for {seconds} s none is looked at, \
                     not even the right one"
                );
                Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text).again_after(seconds))
            }
        }
    }

    fn knows(&self, host: &Authority) -> bool {
        let name = host.host().to_ascii_lowercase();
        // An address is no name that somebody could lead here.
        let number = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        name == OWN_NAME
            || number.is_ok_and(|number| number.is_loopback())
            || self.hosts.contains(&name)
    }
}

/// Stands before every page.
pub(crate) async fn guard(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&access, &request) {
        Err(refusal) => refusal.into_response(),
        Ok(place) => {
            let response = next.run(request).await;
            response.map(|inner| Body::new(Served { inner, _place: place }))
        }
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn admit(access: &Access, request: &Request) -> Result<OwnedSemaphorePermit, Refusal> {
    access.check(request)?;
    Arc::clone(&access.places).try_acquire_owned().map_err(|_| {
        let text = "too many requests at once: ask again when one has ended";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, text)
    })
}

/// A request's place is taken until the last of its answer is sent.
struct Served {
    inner: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Served {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The name under which it was asked.
fn host(request: &Request) -> Result<Authority, Refusal> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse().ok()),
        (None, None) => request.uri().authority().cloned(),
        _ => None,
    };
    // `user@localhost` is no host; and who asks a proxy for one and names another means mischief.
    let is_same = |host: &Authority| {
        request
            .uri()
            .authority()
            .is_none_or(|other| other.as_str().eq_ignore_ascii_case(host.as_str()))
    };
    let host = host.filter(|host| !host.as_str().contains('@') && is_same(host));
    host.ok_or_else(|| forbidden("`Host` is missing, no name, or another than the address has"))
}

/// Who asks, if the server tells.
fn peer(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}

fn check_local(request: &Request) -> Result<(), Refusal> {
    let Some(peer) = peer(request) else {
        return Err(forbidden(
            "who asks is not known here: serve with into_make_service_with_connect_info, or set a \
             token, or allow_remote(true)",
        ));
    };
    let address: IpAddr = peer.ip().to_canonical();
    if !address.is_loopback() {
        return Err(forbidden("only this machine is served: set a token, or allow_remote(true)"));
    }
    let mut names = request.headers().keys().map(HeaderName::as_str);
    if names.any(|name| PROXIED.contains(&name) || name.starts_with(PROXIED_BEGIN)) {
        return Err(forbidden(
            "this came through a proxy, so from anywhere: set a token, or allow_remote(true)",
        ));
    }
    Ok(())
}

fn check_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Refusal> {
    let is_own = |origin: &HeaderValue| {
        let origin = origin.to_str().unwrap_or_default();
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()))
    };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if origins.all(is_own) && sites.all(|site| site == "same-origin" || site == "none") {
        return Ok(());
    }
    Err(forbidden("another site's page asks for this, and is not served"))
}

fn forbidden(text: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, text)
}

/// What was sent as a token, if anything was. Comparing takes as long for any of the right length;
/// that length is no secret.
fn sent_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    let sent = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = sent.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(rest.as_bytes().to_vec())
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(rest).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Some(decoded[colon + 1..].to_vec())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn request(headers: &[(&str, &str)], peer: Option<&str>) -> Request {
        let mut request = Request::new(Body::empty());
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        if let Some(peer) = peer {
            let peer: SocketAddr = peer.parse().expect("an address");
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        request
    }

    fn status(access: &Access, headers: &[(&str, &str)], peer: Option<&str>) -> u16 {
        let checked = access.check(&request(headers, peer));
        checked.map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    const NEAR: Option<&str> = Some("127.0.0.1:5");
    const FAR: Option<&str> = Some("192.0.2.1:5");

    #[test]
    fn without_a_word_only_this_machine_is_served_under_its_own_names() {
        let access = Access::new(&Config::new(), None);
        let own =
            ["localhost", "LocalHost:80", "127.0.0.1:6060", "127.0.0.2", "[::1]:6060", "[::1]"];
        for host in own {
            assert_eq!(status(&access, &[("host", host)], NEAR), 200, "{host}");
            assert_eq!(status(&access, &[("host", host)], Some("[::1]:5")), 200, "{host}");
            assert_eq!(status(&access, &[("host", host)], Some("[::ffff:127.0.0.1]:5")), 200);
            assert_eq!(status(&access, &[("host", host)], FAR), 403, "{host}");
            assert_eq!(status(&access, &[("host", host)], None), 403, "{host}");
            for name in ["x-forwarded-for", "X-Forwarded-Host", "Forwarded", "via", "X-Real-IP"] {
                let proxied = [("host", host), (name, "192.0.2.1")];
                assert_eq!(status(&access, &proxied, NEAR), 403, "{host} {name}");
            }
        }
        for host in [
            "evil.test",
            "localhost.evil.test",
            "evil.test:80",
            "",
            "a@localhost",
            "::1",
            "192.0.2.1",
            "[",
            "0.0.0.0",
        ] {
            assert_eq!(status(&access, &[("host", host)], NEAR), 403, "{host}");
        }
        assert_eq!(status(&access, &[], NEAR), 403);
        assert_eq!(status(&access, &[("host", "localhost"), ("host", "evil.test")], NEAR), 403);
    }

    #[test]
    fn names_of_a_loopback_listener_are_checked_even_with_a_token() {
        let bearer = |host| [("host", host), ("authorization", "Bearer secret")];
        let config = Config::new().token("secret");
        let loopback = Access::new(&config, Some(true));
        assert_eq!(status(&loopback, &bearer("evil.test"), NEAR), 403);
        assert_eq!(status(&loopback, &bearer("localhost"), NEAR), 200);
        let named = Access::new(&config.clone().host("Proxy.test"), Some(true));
        assert_eq!(status(&named, &bearer("proxy.test"), NEAR), 200);
        assert_eq!(status(&named, &bearer("evil.test"), NEAR), 403);
        let open = Access::new(&config, Some(false));
        assert_eq!(status(&open, &bearer("my.test"), FAR), 200);
    }

    #[test]
    fn other_sites_pages_are_refused_in_any_configuration() {
        let configs = [Config::new(), Config::new().allow_remote(true)];
        for access in configs.map(|config| Access::new(&config, None)) {
            let with =
                |name, value| status(&access, &[("host", "localhost:80"), (name, value)], NEAR);
            assert_eq!(with("origin", "http://localhost:80"), 200);
            assert_eq!(with("sec-fetch-site", "none"), 200);
            for origin in ["null", "http://localhost", "http://localhost:81", "http://evil.test"] {
                assert_eq!(with("origin", origin), 403, "{origin}");
            }
            assert_eq!(with("sec-fetch-site", "cross-site"), 403);
            assert_eq!(with("sec-fetch-site", "same-site"), 403);
        }
    }

    #[test]
    fn only_the_token_itself_is_the_token() {
        let config = Config::new().token("secret").guesses_max(100, Duration::from_secs(60));
        let access = Access::new(&config, None);
        let with = |value| status(&access, &[("host", "a"), ("authorization", value)], FAR);
        let right = ["Bearer secret", "bearer  secret", "Basic OnNlY3JldA==", "Basic YTpzZWNyZXQ="];
        for value in right {
            assert_eq!(with(value), 200, "{value}");
        }
        let wrong = [
            "secret",
            "Bearer",
            "Bearer ",
            "Bearer secre",
            "Bearer secrets",
            "Basic !",
            "Basic c2VjcmV0",
            "Digest secret",
            "Bearer Secret",
        ];
        for value in wrong {
            assert_eq!(with(value), 401, "{value}");
        }
        assert_eq!(status(&access, &[("host", "a")], FAR), 401);
        let nobody = Access::new(&Config::new().token(""), None);
        let empty = [("host", "a"), ("authorization", "Bearer ")];
        assert_eq!(status(&nobody, &empty, NEAR), 401);
    }
}
