//! The name that a request asks for, and the names that are this program's own.
//!
//! A *rebound* name belongs to another site, whose owner points it at this machine once a browser
//! has loaded that site's page. The browser then takes the pages here for pages of that site:
//! `Origin` and `Sec-Fetch-Site` look right, and only the name differs. So a name is served if the
//! operator listed it, or if nobody can rebind it: an IP address, which is never looked up, and
//! `localhost`. This rule applies to every client, with a token or without.
//!
//! Elsewhere: which clients may ask, and from which pages (`access`).

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderValue, Uri, header};

/// This machine's name for itself.
const OWN_NAME: &str = "localhost";

/// Longest name that DNS allows.
const NAME_BYTES_MAX: usize = 253;

/// The header in which a proxy passes on the name that it was asked for.
const FORWARDED_HOST: &str = "x-forwarded-host";

/// A name or an address, and a port, as in `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    name: Name,
    port: Option<u16>,
}

/// Two spellings of one name or address are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Address(IpAddr),
    /// In lower case, without the dot that may end it.
    Text(String),
}

impl Host {
    /// Parses a name or an address, with or without a port; `None` for anything else. The user in
    /// `user@localhost` is not part of a host.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            // The zone in `fe80::1%eth0` names an interface, not another address.
            let address = address.split_once('%').map_or(address, |(address, _zone)| address);
            (Name::Address(IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)), port)
        } else {
            let (name, port) =
                text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
            (Name::parse(name)?, port)
        };
        // `host:` has no port, and is valid.
        let port = match port {
            None | Some("") => None,
            Some(port) if port.starts_with('+') => return None,
            Some(port) => Some(port.parse().ok()?),
        };
        Some(Self { name, port })
    }

    /// The host of a page's address, as in `Origin` and `Referer`.
    pub(crate) fn of_page(address: &str) -> Option<Self> {
        let (scheme, rest) = address.split_once("://")?;
        let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Self::parse(&rest[..end]).filter(|_| is_web)
    }
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(is_byte);
        is_name.then(|| Self::Text(text.to_ascii_lowercase()))
    }
}

/// The host that a request names, if it names exactly one.
pub(crate) fn asked(uri: &Uri, headers: &HeaderMap) -> Option<Host> {
    let mut named = headers.get_all(header::HOST).iter();
    let address = uri.authority().map(|authority| Host::parse(authority.as_str()));
    match (named.next(), named.next(), address) {
        (Some(host), None, None) => parse(host),
        // HTTP/2 has no `Host`.
        (None, None, Some(host)) => host,
        // A request that names two different hosts is an attack on a proxy.
        (Some(host), None, Some(other)) => parse(host).filter(|host| Some(host) == other.as_ref()),
        _ => None,
    }
}

fn parse(value: &HeaderValue) -> Option<Host> {
    value.to_str().ok().and_then(Host::parse)
}

/// The names under which this program is served.
pub(crate) struct OwnNames {
    listed: Vec<Name>,
    /// True if of all IP addresses only those of the loopback interface count as own.
    only_loopback: bool,
}

impl OwnNames {
    /// - `listed`: the texts given to [`crate::Config::host`]; a text that is no name matches
    ///   nothing.
    pub(crate) fn new(listed: &[String], only_loopback: bool) -> Self {
        let name = |text: &String| Host::parse(text.trim()).map(|host| host.name);
        Self { listed: listed.iter().filter_map(name).collect(), only_loopback }
    }

    pub(crate) fn has(&self, host: &Host) -> bool {
        let is_safe = match &host.name {
            Name::Address(address) => !self.only_loopback || address.to_canonical().is_loopback(),
            Name::Text(name) => name == OWN_NAME,
        };
        is_safe || self.listed.contains(&host.name)
    }

    /// Whether all names that proxies were asked for, as far as they pass them on, are this
    /// program's own. The proxy's own `Host` could hide another name.
    pub(crate) fn has_forwarded(&self, headers: &HeaderMap) -> bool {
        let mut listed = headers.get_all(FORWARDED_HOST).iter();
        let mut standard = headers.get_all(header::FORWARDED).iter();
        listed.all(|value| {
            value.to_str().is_ok_and(|text| text.split(',').all(|name| self.has_text(name)))
        }) && standard.all(|value| {
            value.to_str().is_ok_and(|text| {
                text.split([',', ';']).filter_map(forwarded_host).all(|name| self.has_text(name))
            })
        })
    }

    fn has_text(&self, name: &str) -> bool {
        Host::parse(name.trim()).is_some_and(|host| self.has(&host))
    }
}

/// The value of `host=..`, of RFC 7239, in quotes or not.
fn forwarded_host(pair: &str) -> Option<&str> {
    let (key, value) = pair.split_once('=')?;
    key.trim().eq_ignore_ascii_case("host").then_some(value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).expect(text)
    }

    #[test]
    fn one_host_has_many_spellings() {
        for (text, other) in [
            ("LocalHost.", "localhost"),
            ("Service.Test:80", "service.test.:80"),
            ("[::1]:6060", "[0:0:0:0:0:0:0:1]:6060"),
            ("[FE80::1%25eth0]", "[fe80::1%eth0]"),
            ("127.0.0.1:", "127.0.0.1"),
        ] {
            assert_eq!(host(text), host(other));
        }
        for (text, other) in
            [("localhost:80", "localhost:81"), ("localhost", "localhost:80"), ("a.test", "b.test")]
        {
            assert_ne!(host(text), host(other));
        }
    }

    #[test]
    fn what_is_no_host_is_none() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for text in [
            "",
            ".",
            "[",
            "[]",
            "[::1",
            "[::1]80",
            "[localhost]",
            "::1",
            "localhost:http",
            "localhost:-1",
            "localhost:+80",
            "localhost:65536",
            "localhost:80:80",
            "user@localhost",
            "localhost@evil.test",
            "localhost/",
            "local host",
            " localhost",
            "localhost,evil.test",
            "localhost\0",
            "l\u{f6}calhost",
            &long,
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_nobodys_name_and_a_name_is_if_it_is_listed() {
        let own = OwnNames::new(&["Service.Test:443".to_owned(), "not a name".to_owned()], false);
        for text in [
            "localhost",
            "service.test",
            "service.test.:8443",
            "192.0.2.1:6060",
            "127.0.0.1",
            "[2001:db8::1]:80",
            "[fe80::1%25eth0]",
            "[::ffff:192.0.2.1]",
        ] {
            assert!(own.has(&host(text)), "{text}");
        }
        for text in [
            "evil.test",
            "localhost.evil.test",
            "evil.localhost",
            "a.service.test",
            "service.test.evil.test",
            "192.0.2.1.evil.test",
            // Programs disagree on which address this is.
            "2130706433",
            "0x7f.0.0.1",
            "127.1",
        ] {
            assert!(!own.has(&host(text)), "{text}");
        }
        let local = OwnNames::new(&[], true);
        for text in ["192.0.2.1", "0.0.0.0", "[::]", "[2001:db8::1]"] {
            assert!(!local.has(&host(text)), "{text}");
        }
        assert!(local.has(&host("[::ffff:127.0.0.1]")));
    }

    #[test]
    fn a_page_is_its_hosts() {
        for (page, own) in [
            ("http://localhost:80", "localhost:80"),
            ("HTTPS://Service.Test/a?b#c", "service.test"),
            ("http://[::1]:80?a", "[::1]:80"),
        ] {
            assert_eq!(Host::of_page(page), Some(host(own)));
        }
        for page in ["null", "", "file:///etc", "chrome-extension://localhost", "http://a@b"] {
            assert_eq!(Host::of_page(page), None, "{page}");
        }
    }
}
