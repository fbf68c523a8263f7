//! The policy server that a URL names, as far as the library can speak to it.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use attohttpc::ProxySettings;
use serde::Deserialize;

use crate::failure::Failure;

/// Where a server is looked for when nothing names one.
pub const DEFAULT_URL: &str = "http://127.0.0.1:19090";

const DEFAULT_PORT: u16 = 80;
/// A server on this machine answers in a fraction of this.
const PROBE_TIME: Duration = Duration::from_millis(300);
const PROBE_ANSWER_LIMIT: u64 = 4096;
/// Paths of sockets are at most so long; Linux takes four more.
pub const SOCKET_PATH_LIMIT: usize = 103;

/// A URL that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Socket(String),
    Address(SocketAddr),
    Name(String, u16),
}

#[derive(Deserialize)]
struct Health {
    status: String,
}

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// The library would not take it.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        place(url)
            .map(|place| Self {
                url: url.trim_end_matches('/').to_owned(),
                place,
            })
            .map_err(|fault| Failure::usage(format!("the server URL {url:?} {fault}")))
    }

    /// The server on this machine at a port.
    pub fn local(port: u16) -> Self {
        let place = Place::Address(SocketAddr::from(([127, 0, 0, 1], port)));
        Self {
            url: format!("http://127.0.0.1:{port}"),
            place,
        }
    }

    /// The URL, without slashes at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of a server that the URL has by name. The library itself knows
    /// numbers and `localhost`.
    ///
    /// # Errors
    /// The name has no address.
    pub fn resolve(&self) -> Result<Option<SocketAddr>, Failure> {
        let Place::Name(name, port) = &self.place else {
            return Ok(None);
        };
        if name.eq_ignore_ascii_case("localhost") {
            return Ok(None);
        }
        let cannot = |why: &str| Failure::new(format!("cannot find the address of {name}: {why}"));
        let mut addresses = (name.as_str(), *port)
            .to_socket_addrs()
            .map_err(|error| cannot(&error.to_string()))?;
        addresses
            .next()
            .map(Some)
            .ok_or_else(|| cannot("it has none"))
    }

    /// Whether somebody listens there.
    pub fn is_reachable(&self, address: Option<SocketAddr>) -> bool {
        let connects =
            |address: &SocketAddr| TcpStream::connect_timeout(address, PROBE_TIME).is_ok();
        match (&self.place, address) {
            (Place::Socket(path), _) => UnixStream::connect(path).is_ok(),
            (Place::Address(address), _) => connects(address),
            (_, Some(address)) => connects(&address),
            (Place::Name(name, port), None) => (name.as_str(), *port)
                .to_socket_addrs()
                .is_ok_and(|addresses| addresses.into_iter().any(|address| connects(&address))),
        }
    }

    /// Whether a policy server answers there that is well.
    pub fn is_well(&self) -> bool {
        let answer = attohttpc::get(format!("{}/healthz", self.url))
            .proxy_settings(ProxySettings::builder().build())
            .follow_redirects(false)
            .connect_timeout(PROBE_TIME)
            .read_timeout(PROBE_TIME)
            .send();
        let Ok(answer) = answer else { return false };
        if !answer.is_success() {
            return false;
        }
        let mut body = Vec::new();
        let read = answer
            .split()
            .2
            .take(PROBE_ANSWER_LIMIT)
            .read_to_end(&mut body);
        read.is_ok()
            && serde_json::from_slice::<Health>(&body).is_ok_and(|health| health.status == "ok")
    }
}

fn place(url: &str) -> Result<Place, &'static str> {
    if url
        .bytes()
        .any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'?' | b'#' | b'\\'))
    {
        return Err("has a character that is not safe in one: \
            blanks, ?, #, \\ and what is not ASCII are not taken");
    }
    if let Some(path) = url.strip_prefix("unix://") {
        return match path {
            _ if !path.starts_with('/') => Err("needs an absolute path: unix:///path/to.sock"),
            _ if path.len() > SOCKET_PATH_LIMIT => Err("has a path that is too long for a socket"),
            _ => Ok(Place::Socket(path.to_owned())),
        };
    }
    if url.starts_with("https://") {
        return Err("is https, which the library does not speak yet: \
            use http:// on this machine, or unix://");
    }
    let rest = url
        .strip_prefix("http://")
        .ok_or("is neither http://HOST nor unix:///PATH")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    if authority.contains('@') {
        return Err("has user info, which is not taken: give the token with --token");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, self::port(port)?),
        _ => (authority, DEFAULT_PORT),
    };
    if let Some(literal) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return match literal.parse() {
            Ok(address) => Ok(Place::Address(SocketAddr::new(IpAddr::V6(address), port))),
            Err(_) => Err("has something else than an IPv6 address in brackets"),
        };
    }
    if host.is_empty() || host.contains([':', '[', ']']) {
        return Err("has no usable host");
    }
    Ok(match host.parse() {
        Ok(address) => Place::Address(SocketAddr::new(IpAddr::V4(address), port)),
        Err(_) => Place::Name(host.to_owned(), port),
    })
}

fn port(text: &str) -> Result<u16, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|port| is_number && *port > 0)
        .ok_or("has a port that is not a number from 1 to 65535")
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Place};

    #[test]
    fn a_url_names_a_place_or_is_refused() {
        let address = |text: &str| Some(Place::Address(text.parse().unwrap()));
        let name = |text: &str, port| Some(Place::Name(text.to_owned(), port));
        let long = format!("unix:///{}", "x".repeat(103));
        for (url, place) in [
            ("http://127.0.0.1:19090", address("127.0.0.1:19090")),
            ("http://127.0.0.1:19090///", address("127.0.0.1:19090")),
            ("http://127.0.0.1/prefix", address("127.0.0.1:80")),
            ("http://[::1]:1", address("[::1]:1")),
            ("http://[::1]", address("[::1]:80")),
            ("http://localhost:5", name("localhost", 5)),
            ("http://policy.example/x", name("policy.example", 80)),
            (
                "unix:///run/x.sock",
                Some(Place::Socket("/run/x.sock".to_owned())),
            ),
            ("unix://run/x.sock", None),
            (&long, None),
            ("https://127.0.0.1", None),
            ("ftp://127.0.0.1", None),
            ("127.0.0.1:19090", None),
            ("", None),
            ("http://", None),
            ("http://:80", None),
            ("http://a b", None),
            ("http://me:pw@h", None),
            ("http://h?x", None),
            ("http://h#x", None),
            ("http://h\\x", None),
            ("http://h:0", None),
            ("http://h:99999", None),
            ("http://h:+1", None),
            ("http://h:", None),
            ("http://[::1", None),
            ("http://::1", None),
            ("http://[x]", None),
        ] {
            assert_eq!(
                Endpoint::parse(url).ok().map(|endpoint| endpoint.place),
                place,
                "{url}"
            );
        }
    }
}
