//! The policy server's address (`docs/protocol.md`, URL).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::arena::Decimal;
use crate::host::Os;
use crate::ip;

/// A `RAMPART_URL` that the library can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Url<'u> {
    /// Where to connect to.
    pub server: Server<'u>,
    /// For the `Host` header.
    pub authority: &'u [u8],
    /// The path before that of the endpoint, without trailing slashes.
    pub prefix: &'u [u8],
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server<'u> {
    /// TCP, by address.
    Address(SocketAddr),
    /// TCP, by a name that is yet to be resolved.
    Name {
        /// The host's name.
        host: &'u [u8],
        /// The port.
        port: u16,
    },
    /// A Unix socket at this path.
    Unix(&'u [u8]),
    /// A Unix socket in Linux's abstract namespace (`unix(7)`), by its name without the leading
    /// NUL.
    Abstract(&'u [u8]),
}

/// The URLs in `RAMPART_URL`: different addresses of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Urls<'u> {
    /// The address that is tried first.
    pub first: Url<'u>,
    /// The addresses that are tried next, in this order, if the server is not reachable there.
    pub others: [Option<Url<'u>>; MAX_URLS - 1],
}

/// How many addresses of one server `RAMPART_URL` may list.
pub const MAX_URLS: usize = 3;

/// Why a URL cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlError(
    /// What is wrong, and what would be right, for a person.
    pub &'static str,
);

/// The longest path of a Unix socket, without the final NUL.
pub const LONGEST_SOCKET_PATH: usize = Os::HERE.socket_path_room() - 1;

const HTTP_PORT: u16 = 80;

impl<'u> Urls<'u> {
    /// Reads one URL or several separated by commas.
    ///
    /// # Errors
    /// [`UrlError`] for a URL that cannot be used, a list that is too long, and URLs that cannot be
    /// those of one server.
    pub fn parse(list: &'u [u8]) -> Result<Self, UrlError> {
        let mut urls = list.split(|byte| *byte == b',');
        let first = Url::parse(urls.next().unwrap_or_default())?;
        let mut others = [None; MAX_URLS - 1];
        for other in &mut others {
            let Some(url) = urls.next() else { break };
            let url = Url::parse(url)?;
            if url.prefix != first.prefix {
                return Err(UrlError("the policy server's URLs differ in their paths"));
            }
            if [first, url].iter().any(|url| matches!(url.server, Server::Name { .. })) {
                return Err(UrlError(
                    "a list of URLs of the policy server names a host that is not an IP address",
                ));
            }
            *other = Some(url);
        }
        match urls.next() {
            Some(_) => Err(UrlError("more than three URLs of the policy server are named")),
            None => Ok(Self { first, others }),
        }
    }

    /// All URLs, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Url<'u>> {
        core::iter::once(&self.first).chain(self.others.iter().flatten())
    }
}

impl<'u> Url<'u> {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`] for a URL that is malformed, or that needs more than a plain socket.
    pub fn parse(url: &'u [u8]) -> Result<Self, UrlError> {
        if !url.iter().all(u8::is_ascii_graphic) {
            return Err(UrlError(
                "the policy server's URL holds white space or a byte that is not ASCII",
            ));
        }
        if url.iter().any(|byte| b"?#\\,".contains(byte)) {
            return Err(UrlError(
                "the policy server's URL holds a query, a fragment, a backslash or a comma",
            ));
        }
        if let Some(rest) = strip_scheme(url, b"http://") {
            parse_http(rest)
        } else if let Some(path) = strip_scheme(url, b"unix://") {
            parse_unix(path)
        } else if let Some(name) = strip_scheme(url, b"unix:@") {
            parse_abstract(name)
        } else if strip_scheme(url, b"https://").is_some() {
            Err(UrlError(
                "the policy server's URL is https, which only `rampart preload --url` speaks",
            ))
        } else {
            Err(UrlError(
                "the policy server's URL is none of http://HOST[:PORT], unix:///PATH, and for `rampart preload` https://HOST[:PORT]",
            ))
        }
    }
}

fn strip_scheme<'u>(url: &'u [u8], scheme: &[u8]) -> Option<&'u [u8]> {
    let (start, rest) = url.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn strip_trailing_slashes(mut path: &[u8]) -> &[u8] {
    while let Some(shorter) = path.strip_suffix(b"/") {
        path = shorter;
    }
    path
}

fn parse_unix(path: &[u8]) -> Result<Url<'_>, UrlError> {
    let path = strip_trailing_slashes(path);
    if !path.starts_with(b"/") {
        return Err(UrlError("the policy server's URL names no absolute path (unix:///PATH)"));
    }
    if path.len() > LONGEST_SOCKET_PATH {
        return Err(UrlError(
            "the policy server's URL names a path that is too long for a Unix socket",
        ));
    }
    Ok(Url { server: Server::Unix(path), authority: b"localhost", prefix: b"" })
}

fn parse_abstract(name: &[u8]) -> Result<Url<'_>, UrlError> {
    if Os::HERE != Os::Linux {
        return Err(UrlError("the policy server's URL is unix:@NAME, which only Linux has"));
    }
    // One byte of the room is the leading NUL.
    if name.is_empty() || name.len() > LONGEST_SOCKET_PATH {
        return Err(UrlError("the policy server's URL names no abstract socket (unix:@NAME)"));
    }
    Ok(Url { server: Server::Abstract(name), authority: b"localhost", prefix: b"" })
}

fn parse_http(rest: &[u8]) -> Result<Url<'_>, UrlError> {
    let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let (authority, prefix) = rest.split_at_checked(slash).unwrap_or((rest, b""));
    if authority.contains(&b'@') {
        return Err(UrlError("the policy server's URL holds user info (use RAMPART_TOKEN)"));
    }
    let (host, port) = split_port(authority)?;
    Ok(Url { server: server(host, port)?, authority, prefix: strip_trailing_slashes(prefix) })
}

fn split_port(authority: &[u8]) -> Result<(&[u8], u16), UrlError> {
    // A colon inside the brackets of an IPv6 address does not begin a port.
    let colon = authority.iter().rposition(|byte| matches!(byte, b':' | b']'));
    let Some((host, [b':', digits @ ..])) = colon.and_then(|at| authority.split_at_checked(at))
    else {
        return Ok((authority, HTTP_PORT));
    };
    if digits.is_empty() {
        return Ok((host, HTTP_PORT));
    }
    match Decimal::parse(digits).and_then(|port| u16::try_from(port).ok()) {
        Some(port) if port > 0 => Ok((host, port)),
        _ => Err(UrlError("the policy server's URL names a port that is not 1 to 65535")),
    }
}

fn server(host: &[u8], port: u16) -> Result<Server<'_>, UrlError> {
    let address = |ip| Ok(Server::Address(SocketAddr::new(ip, port)));
    if let Some(inner) = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        return match ip::parse_v6(inner) {
            Some(ip) => address(IpAddr::V6(ip)),
            None => Err(UrlError("the policy server's URL holds a bad IPv6 address")),
        };
    }
    if let Some(ip) = ip::parse_v4(host) {
        return address(IpAddr::V4(ip));
    }
    if host.eq_ignore_ascii_case(b"localhost") {
        return address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    if host.is_empty() || !host.iter().all(is_name) {
        return Err(UrlError("the policy server's URL names no host"));
    }
    Ok(Server::Name { host, port })
}

/// Reads a `RAMPART_ADDRESS`: `IP:PORT`, an IPv6 address in brackets.
#[must_use]
pub fn parse_address(text: &[u8]) -> Option<SocketAddr> {
    let (host, port) = split_port(text).ok()?;
    match server(host, port).ok()? {
        Server::Address(address) => Some(address),
        Server::Name { .. } | Server::Unix(_) | Server::Abstract(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usable_url_is_split_into_its_parts() {
        let v4 = |text: &str| Server::Address(text.parse().expect("an address"));
        let name = |host: &'static str, port| Server::Name { host: host.as_bytes(), port };
        let unix = |path: &'static str| Server::Unix(path.as_bytes());
        for (url, server, authority, prefix) in [
            ("http://127.0.0.1:19090", v4("127.0.0.1:19090"), "127.0.0.1:19090", ""),
            ("http://127.0.0.1:19090///", v4("127.0.0.1:19090"), "127.0.0.1:19090", ""),
            ("HTTP://10.0.0.1/a/b/", v4("10.0.0.1:80"), "10.0.0.1", "/a/b"),
            ("http://localhost:1", v4("127.0.0.1:1"), "localhost:1", ""),
            ("http://LocalHost", v4("127.0.0.1:80"), "LocalHost", ""),
            ("http://[::1]:8080/p", v4("[::1]:8080"), "[::1]:8080", "/p"),
            ("http://[2001:db8::1]", v4("[2001:db8::1]:80"), "[2001:db8::1]", ""),
            ("http://policy.example:81", name("policy.example", 81), "policy.example:81", ""),
            ("http://host:", name("host", 80), "host:", ""),
            ("unix:///run/r.sock", unix("/run/r.sock"), "localhost", ""),
            ("unix:///run/r.sock/", unix("/run/r.sock"), "localhost", ""),
            #[cfg(target_os = "linux")]
            ("unix:@rampart/1", Server::Abstract(b"rampart/1"), "localhost", ""),
        ] {
            let expected =
                Url { server, authority: authority.as_bytes(), prefix: prefix.as_bytes() };
            assert_eq!(Url::parse(url.as_bytes()), Ok(expected), "{url}");
        }
    }

    #[test]
    fn a_malformed_or_unsupported_url_is_refused() {
        let long = format!("unix:///{}", "x".repeat(LONGEST_SOCKET_PATH));
        for url in [
            "",
            "http://",
            "http:///x",
            "127.0.0.1:19090",
            "ftp://127.0.0.1",
            "https://127.0.0.1",
            "http://user@host",
            "http://user:pw@127.0.0.1",
            "http://127.0.0.1/?a",
            "http://127.0.0.1/#a",
            "http://127.0.0.1/a b",
            " http://127.0.0.1",
            "http://127.0.0.1\n",
            "http:\\\\127.0.0.1",
            "http://h\u{f6}st",
            "http://127.0.0.1:0",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:+80",
            "http://127.0.0.1:80:80",
            "http://[::1",
            "http://[::1]x",
            "http://[fe80::1%25eth0]",
            "http://::1",
            "http://a;b",
            "unix://",
            "unix:///",
            "unix://run/s.sock",
            "unix:/run/s.sock",
            "unix:///run/a,b",
            "unix:@",
            &format!("unix:@{}", "x".repeat(LONGEST_SOCKET_PATH + 1)),
            &long,
        ] {
            assert!(Url::parse(url.as_bytes()).is_err(), "{url}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_list_holds_up_to_three_addresses_of_one_server() {
        let servers = |list: &'static str| -> Result<Vec<Server<'_>>, UrlError> {
            let urls = Urls::parse(list.as_bytes())?;
            Ok(urls.iter().map(|url| url.server).collect())
        };
        let (path, name) = (Server::Unix(b"/r/s"), Server::Abstract(b"n"));
        let tcp = Server::Address(([10, 0, 0, 1], 80).into());
        assert_eq!(servers("unix:///r/s"), Ok(vec![path]));
        assert_eq!(servers("unix:///r/s,unix:@n"), Ok(vec![path, name]));
        assert_eq!(servers("unix:@n,http://10.0.0.1,unix:///r/s/"), Ok(vec![name, tcp, path]));
        let named = Server::Name { host: b"h", port: 80 };
        assert_eq!(servers("http://h/p"), Ok(vec![named]));
        for list in [
            "",
            ",",
            "unix:@n,",
            ",unix:@n",
            "unix:@n,,unix:///r/s",
            "unix:@n, unix:///r/s",
            "unix:@n,https://h",
            "unix:@a,unix:@b,unix:@c,unix:@d",
            "http://10.0.0.1/a,http://10.0.0.1/b",
            "unix:@n,http://host",
            "http://host,unix:@n",
        ] {
            assert!(Urls::parse(list.as_bytes()).is_err(), "{list}");
        }
    }

    #[test]
    fn an_inherited_address_is_an_ip_and_a_port() {
        for good in ["127.0.0.1:80", "[::1]:19090"] {
            assert_eq!(parse_address(good.as_bytes()), good.parse().ok(), "{good}");
        }
        for bad in ["", "host:80", "1.2.3.4:x", "::1:80"] {
            assert_eq!(parse_address(bad.as_bytes()), None, "{bad}");
        }
    }
}
