//! The URLs of a relay's policy server and of the proxy on the way to it.

use hyper::header::HeaderValue;
use hyper::http::Uri;
use rampart_core::url::{Server, Url};
use rustls::pki_types::ServerName;

use crate::failure::Failure;
use crate::server::Endpoint;

const SCHEME: &str = "https";
const HTTPS_PORT: u16 = 443;

/// A policy server over TLS.
#[derive(Debug)]
pub struct Remote {
    url: String,
    pub host: String,
    pub port: u16,
    /// For the `Host` field.
    pub authority: HeaderValue,
    /// The name that its certificate has to be valid for.
    pub name: ServerName<'static>,
    preflight: Uri,
    health: Uri,
}

impl Remote {
    /// Whether a URL needs a relay.
    pub fn is_named_by(url: &str) -> bool {
        url.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))
    }

    /// Reads `https://HOST[:PORT][/PREFIX]`.
    ///
    /// # Errors
    /// It is malformed, or has parts that the library would not accept either.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let unusable = |why: &str| Failure::usage(format!("{url:?}: {why}"));
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        // Except for scheme and default port, the rules are the library's.
        let plain = format!("http://{rest}");
        let parsed = Url::parse(plain.as_bytes()).map_err(|error| unusable(error.0))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (authority, prefix) = (text(parsed.authority), text(parsed.prefix));
        let (host, port) = host_and_port(&authority);
        let path = |path: &str| {
            Uri::try_from(format!("{prefix}{path}"))
                .map_err(|_| unusable("its path holds what has to be percent-encoded"))
        };
        Ok(Self {
            url: format!("{SCHEME}://{authority}{prefix}"),
            host: host.to_owned(),
            port: port.unwrap_or(HTTPS_PORT),
            authority: HeaderValue::try_from(&*authority)
                .map_err(|_| unusable("its host is none"))?,
            name: ServerName::try_from(host.to_owned())
                .map_err(|_| unusable("no certificate can be for such a host"))?,
            preflight: path("/v1/preflight/exec")?,
            health: path("/healthz")?,
        })
    }

    /// The URL, without trailing slashes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path of an endpoint.
    pub fn path(&self, endpoint: Endpoint) -> &Uri {
        match endpoint {
            Endpoint::Preflight => &self.preflight,
            // The relay never asks the others.
            Endpoint::Health | Endpoint::Approvals | Endpoint::Resolve => &self.health,
        }
    }
}

/// Splits a valid authority.
fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = match authority.rsplit_once(':') {
        // Colons inside the brackets of an IPv6 address do not begin a port.
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    };
    (host.trim_matches(['[', ']']), port.parse().ok())
}

/// An HTTP proxy with tunnels (`CONNECT`, RFC 9110, section 9.3.6).
#[derive(Debug, PartialEq, Eq)]
pub struct Proxy {
    pub host: String,
    pub port: u16,
}

impl Proxy {
    /// Reads `http://HOST[:PORT]`.
    ///
    /// # Errors
    /// It is anything else.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let unusable = |why: &str| Failure::usage(format!("--proxy {url:?}: {why}"));
        match Url::parse(url.as_bytes()) {
            Ok(Url { server: Server::Address(address), .. }) => {
                Ok(Self { host: address.ip().to_string(), port: address.port() })
            }
            Ok(Url { server: Server::Name { host, port }, .. }) => {
                Ok(Self { host: String::from_utf8_lossy(host).into_owned(), port })
            }
            Ok(Url { server: Server::Unix(_) | Server::Abstract(_), .. }) | Err(_) => {
                Err(unusable("a proxy is http://HOST[:PORT], without a user's name"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Proxy, Remote};

    #[test]
    fn an_https_url_names_a_host_a_port_and_paths() {
        for (url, host, port, authority, path) in [
            ("https://policy.example", "policy.example", 443, "policy.example", ""),
            ("HTTPS://policy.example/", "policy.example", 443, "policy.example", ""),
            ("https://h:8443/a/b//", "h", 8443, "h:8443", "/a/b"),
            ("https://h:80", "h", 80, "h:80", ""),
            ("https://h:", "h", 443, "h:", ""),
            ("https://127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1", ""),
            ("https://[::1]", "::1", 443, "[::1]", ""),
            ("https://[::1]:8443/p", "::1", 8443, "[::1]:8443", "/p"),
        ] {
            assert!(Remote::is_named_by(url), "{url}");
            let remote = Remote::parse(url).unwrap();
            assert_eq!((&*remote.host, remote.port), (host, port), "{url}");
            assert_eq!(remote.authority, authority, "{url}");
            assert_eq!(remote.preflight, *format!("{path}/v1/preflight/exec"), "{url}");
            assert_eq!(remote.health, *format!("{path}/healthz"), "{url}");
            assert_eq!(remote.url(), format!("https://{authority}{path}"), "{url}");
        }
    }

    #[test]
    fn an_https_url_with_more_in_it_is_refused() {
        for url in [
            "https://",
            "https:///p",
            "https://me:pw@h",
            "https://h?x",
            "https://h#x",
            "https://h\\x",
            "https://h x",
            "https://h:0",
            "https://h:99999",
            "https://[::1",
            "https://-_-.example:x",
            "https://a..b",
        ] {
            assert!(Remote::parse(url).is_err(), "{url}");
        }
        for url in ["http://h", "unix:///s", "httpsx://h", "https", ""] {
            assert!(!Remote::is_named_by(url), "{url}");
        }
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for (url, host, port) in [
            ("http://proxy.example:3128", "proxy.example", 3128),
            ("http://10.0.0.1", "10.0.0.1", 80),
            ("http://[::1]:3128/", "::1", 3128),
        ] {
            let proxy = Proxy { host: host.to_owned(), port };
            assert_eq!(Proxy::parse(url).ok(), Some(proxy), "{url}");
        }
        for url in ["", "proxy:3128", "https://h", "socks5://h", "unix:///s", "http://me:pw@h"] {
            assert!(Proxy::parse(url).is_err(), "{url}");
        }
    }
}
