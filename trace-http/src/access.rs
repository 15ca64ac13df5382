//! Which requests are served: by the client's address, the name it asked for, the page that sent
//! it, its token, and the number of requests at once.
//!
//! A browser on this machine, or on one that can reach it, runs pages of any site. A page whose
//! name was rebound to this machine is recognised by `Host`, a page that sends requests to another
//! site by `Origin`, `Sec-Fetch-Site` or `Referer`. Both are refused in every configuration. Behind
//! a proxy on this machine, every client has a local address; such a proxy is recognised by the
//! headers it adds.
//!
//! Elsewhere: hosts, and which of them are this program's own (`host`); counting wrong tokens
//! (`guesses`).
//!
//! Long with its tests, which try each rule in every configuration.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
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
use crate::host::{self, Host, OwnNames};
use crate::refusal::Refusal;

/// Headers that proxies add. Some use names of their own, which begin with [`PROXIED_BEGIN`].
const PROXIED: [&str; 5] = ["forwarded", "x-real-ip", "via", "true-client-ip", "cf-connecting-ip"];
const PROXIED_BEGIN: &str = "x-forwarded-";

/// Headers of every answer: a browser must not cache it, guess its type, or send a referrer.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Which requests are served. Has no `Debug`, because it has the token.
pub(crate) struct Access {
    token: Option<String>,
    guesses: Guesses,
    /// Only this machine is served.
    only_local: bool,
    own_names: OwnNames,
    places: Arc<Semaphore>,
}

impl Access {
    pub(crate) fn new(config: &Config) -> Self {
        let only_local = !config.allow_remote && config.token.is_none();
        Self {
            token: config.token.clone(),
            guesses: Guesses::new(config.guesses_max, config.guesses_within),
            only_local,
            own_names: OwnNames::new(&config.hosts, only_local),
            places: Arc::new(Semaphore::new(config.requests_max)),
        }
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let headers = request.headers();
        let Some(host) = host::asked(request.uri(), headers) else {
            let text = "`Host` is missing, is no name, or differs from the address";
            return Err(forbidden(text));
        };
        if !self.own_names.has(&host) {
            let text = "this program is not served under this name, which may be another site's: \
                        ask for localhost or an address, or list the name with Config::host";
            return Err(forbidden(text));
        }
        if self.only_local {
            check_local(request)?;
        }
        if !self.own_names.has_forwarded(headers) {
            let text = "a proxy was asked for a name that is not served here: list the name with \
                        Config::host";
            return Err(forbidden(text));
        }
        check_page(headers, &host)?;
        self.token.as_ref().map_or(Ok(()), |token| self.check_token(request, token))
    }

    fn check_token(&self, request: &Request, token: &str) -> Result<(), Refusal> {
        // A browser first asks without a token; that is no guess.
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
                    "rejected: too many wrong tokens from this address; for {seconds} s even the \
                     right one is rejected"
                );
                Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text).again_after(seconds))
            }
        }
    }
}

/// Checks every request before a page gets it.
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

/// The body of an answer; holds the request's place until its last byte is sent.
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

/// The client's address, if the server adds it to the request.
fn peer(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}

fn check_local(request: &Request) -> Result<(), Refusal> {
    let Some(peer) = peer(request) else {
        return Err(forbidden(
            "the client's address is not known: serve with into_make_service_with_connect_info, or \
             set a token, or allow_remote(true)",
        ));
    };
    let address: IpAddr = peer.ip().to_canonical();
    if !address.is_loopback() {
        return Err(forbidden("only this machine is served: set a token, or allow_remote(true)"));
    }
    let mut names = request.headers().keys().map(HeaderName::as_str);
    if names.any(|name| PROXIED.contains(&name) || name.starts_with(PROXIED_BEGIN)) {
        return Err(forbidden(
            "the request came through a proxy, so the client may be anywhere: set a token, or \
             allow_remote(true)",
        ));
    }
    Ok(())
}

/// Refuses requests from pages of other sites. A browser names the page in one of three headers,
/// depending on the browser's age, the method, and whether the connection is secure.
fn check_page(headers: &HeaderMap, host: &Host) -> Result<(), Refusal> {
    let is_own = |page: &HeaderValue| {
        page.to_str().ok().and_then(Host::of_page).is_some_and(|page| page == *host)
    };
    let mut pages = headers.get_all(header::ORIGIN).iter().chain(headers.get_all(header::REFERER));
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if pages.all(is_own) && sites.all(|site| site == "same-origin" || site == "none") {
        return Ok(());
    }
    Err(forbidden("refused: another site's page sent this request"))
}

fn forbidden(text: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, text)
}

/// The token in the request, if there is one. Comparing takes the same time for every token of the
/// right length; the length is no secret.
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
        let access = Access::new(&Config::new());
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
    fn a_rebound_name_is_refused_in_any_configuration() {
        let open = Config::new().allow_remote(true);
        let token = Config::new().token("secret");
        let configs = [Config::new(), open.clone(), token.clone(), open.token("secret")];
        for config in configs {
            let bearer = ("authorization", "Bearer secret");
            let access = Access::new(&config);
            let listed = Access::new(&config.host("Service.test"));
            for name in
                ["evil.test", "evil.test:80", "service.test.evil.test", "localhost.evil.test"]
            {
                // Everything that a browser sends for such a page is right, except for the name.
                let origin = format!("http://{name}");
                let headers = [
                    ("host", name),
                    ("origin", origin.as_str()),
                    ("sec-fetch-site", "same-origin"),
                    bearer,
                ];
                assert_eq!(status(&access, &headers, NEAR), 403, "{name}");
                assert_eq!(status(&listed, &headers, NEAR), 403, "{name}");
            }
            for host in ["service.test", "SERVICE.test:8080", "service.test."] {
                assert_eq!(status(&access, &[("host", host), bearer], NEAR), 403, "{host}");
                assert_eq!(status(&listed, &[("host", host), bearer], NEAR), 200, "{host}");
            }
        }
    }

    #[test]
    fn addresses_of_any_form_are_served_where_others_are() {
        let bearer = ("authorization", "Bearer secret");
        for config in [Config::new().allow_remote(true), Config::new().token("secret")] {
            let access = Access::new(&config);
            for host in ["192.0.2.1:6060", "[2001:db8::1]", "[fe80::1%25eth0]:80", "localhost:6060"]
            {
                assert_eq!(status(&access, &[("host", host), bearer], FAR), 200, "{host}");
            }
        }
    }

    #[test]
    fn the_name_that_a_proxy_was_asked_under_counts_as_well() {
        let access = Access::new(&Config::new().allow_remote(true).host("service.test"));
        for (name, value, expected) in [
            ("x-forwarded-host", "service.test", 200),
            ("x-forwarded-host", "service.test:443, 10.0.0.1", 200),
            ("x-forwarded-host", "evil.test", 403),
            ("x-forwarded-host", "service.test, evil.test", 403),
            ("x-forwarded-host", "\u{f6}", 403),
            ("forwarded", "for=192.0.2.1;Host=\"service.test:443\";proto=https", 200),
            ("forwarded", "for=192.0.2.1", 200),
            ("forwarded", "for=192.0.2.1, for=a;host=evil.test", 403),
        ] {
            let headers = [("host", "10.0.0.2:6060"), (name, value)];
            assert_eq!(status(&access, &headers, NEAR), expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_address_and_host_must_agree() {
        let access = Access::new(&Config::new().allow_remote(true));
        let status = |uri: &str, host: &[&str]| {
            let headers: Vec<_> = host.iter().map(|host| ("host", *host)).collect();
            let mut request = request(&headers, NEAR);
            *request.uri_mut() = uri.parse().expect("an address");
            access.check(&request).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
        };
        assert_eq!(status("http://localhost/", &[]), 200, "as HTTP/2 has it");
        assert_eq!(status("http://localhost:80/", &["LOCALHOST:80"]), 200);
        assert_eq!(status("http://localhost/", &["localhost", "localhost"]), 403);
        assert_eq!(status("http://localhost:81/", &["localhost"]), 403);
        assert_eq!(status("http://evil.test/", &["localhost"]), 403);
        assert_eq!(status("http://localhost/", &["evil.test"]), 403);
        assert_eq!(status("http://evil.test/", &[]), 403);
        assert_eq!(status("http://a@localhost/", &[]), 403);
        assert_eq!(status("/", &[]), 403);
    }

    #[test]
    fn other_sites_pages_are_refused_in_any_configuration() {
        let configs = [Config::new(), Config::new().allow_remote(true)];
        for access in configs.map(|config| Access::new(&config)) {
            let with =
                |name, value| status(&access, &[("host", "localhost:80"), (name, value)], NEAR);
            assert_eq!(with("origin", "http://localhost:80"), 200);
            assert_eq!(with("referer", "http://localhost:80/debug/trace/?a"), 200);
            assert_eq!(with("sec-fetch-site", "none"), 200);
            for page in ["null", "http://localhost", "http://localhost:81", "http://evil.test"] {
                assert_eq!(with("origin", page), 403, "{page}");
                assert_eq!(with("referer", page), 403, "{page}");
            }
            assert_eq!(with("referer", "http://evil.test/http://localhost:80/"), 403);
            assert_eq!(with("sec-fetch-site", "cross-site"), 403);
            assert_eq!(with("sec-fetch-site", "same-site"), 403);
        }
    }

    #[test]
    fn only_the_token_itself_is_the_token() {
        let config = Config::new().token("secret").guesses_max(100, Duration::from_secs(60));
        let access = Access::new(&config);
        let with = |value| status(&access, &[("host", "localhost"), ("authorization", value)], FAR);
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
        assert_eq!(status(&access, &[("host", "localhost")], FAR), 401);
        let nobody = Access::new(&Config::new().token(""));
        let empty = [("host", "localhost"), ("authorization", "Bearer ")];
        assert_eq!(status(&nobody, &empty, NEAR), 401);
    }
}
