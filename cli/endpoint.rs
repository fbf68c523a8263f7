//! A policy server by its URL, of the kinds that the library can ask itself.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use attohttpc::ProxySettings;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use nix::unistd::{Uid, geteuid};
use rampart_core::settings::Settings;
use rampart_core::url::{Server, Url, Urls};
use serde::Deserialize;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::{owner, unix_socket};

/// Where to look for a server if none is named.
pub const DEFAULT_URL: &str = Settings::DEFAULT_URL;

/// Far longer than connecting takes on this machine.
const CONNECT_TIME: Duration = Duration::from_millis(300);
/// Far longer than a server takes to answer on a busy machine: who is not waited for is not used.
const PROBE_TIME: Duration = Duration::from_secs(5);
const PROBE_ANSWER_LIMIT: usize = 4096;

/// One server, by the list of URLs that `RAMPART_URL` may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    targets: Vec<Target>,
}

/// One of the URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    url: String,
    location: Location,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    Socket(String),
    #[cfg(target_os = "linux")]
    Abstract(String),
    Address(SocketAddr),
    Name(String, u16),
}

/// A server's `/healthz` report.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Health {
    status: String,
    pub mode: String,
    pub policy: String,
}

impl Endpoint {
    /// Reads a URL, or several of the same server, separated by commas.
    ///
    /// # Errors
    /// The library would not accept it.
    pub fn parse(list: &str) -> Result<Self, Failure> {
        let unusable = |fault| Failure::usage(format!("{list:?}: {fault}"));
        let urls = Urls::parse(list.as_bytes()).map_err(|error| unusable(error.0))?;
        let texts = list.split(',').map(|url| url.trim_end_matches('/'));
        let target = |(text, url): (&str, &Url<'_>)| Target {
            url: text.to_owned(),
            location: location(url),
        };
        let targets: Vec<Target> = texts.zip(urls.iter()).map(target).collect();
        let urls: Vec<&str> = targets.iter().map(|target| target.url.as_str()).collect();
        Ok(Self { url: urls.join(","), targets })
    }

    /// The server at a port of this machine.
    pub fn local(port: u16) -> Self {
        let location = Location::Address(SocketAddr::from(([127, 0, 0, 1], port)));
        let url = format!("http://127.0.0.1:{port}");
        Self { url: url.clone(), targets: vec![Target { url, location }] }
    }

    /// The server at a Unix socket; `None` if the library would not accept the path.
    pub fn at_socket(path: &Path) -> Option<Self> {
        Self::parse(&format!("unix://{}", path.to_str()?)).ok()
    }

    /// The URLs, without trailing slashes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Looks up the host name in the URL; `None` if it has none. The library itself only accepts
    /// numeric addresses and `localhost`.
    ///
    /// # Errors
    /// The name has no address.
    pub fn resolve(&self) -> Result<Option<SocketAddr>, Failure> {
        let Some(Target { location: Location::Name(name, port), .. }) = self.targets.first() else {
            return Ok(None);
        };
        let cannot = |why: &str| Failure::new(format!("cannot find the address of {name}: {why}"));
        let mut addresses =
            (name.as_str(), *port).to_socket_addrs().map_err(|error| cannot(&error.to_string()))?;
        addresses.next().map(Some).ok_or_else(|| cannot("it has none"))
    }

    /// Whether somebody listens there.
    pub fn is_reachable(&self, address: Option<SocketAddr>) -> bool {
        let connects =
            |address: &SocketAddr| TcpStream::connect_timeout(address, CONNECT_TIME).is_ok();
        self.targets.iter().any(|target| match (&target.location, address) {
            (Location::Address(address), _) => connects(address),
            (Location::Name(..), Some(address)) => connects(&address),
            (Location::Name(name, port), None) => (name.as_str(), *port)
                .to_socket_addrs()
                .is_ok_and(|addresses| addresses.into_iter().any(|address| connects(&address))),
            (socket, _) => socket.connect().is_ok(),
        })
    }

    /// Whether a policy server answers and reports `ok`.
    pub fn is_well(&self) -> bool {
        self.health().is_some()
    }

    /// The server's report, if it is `ok`.
    pub fn health(&self) -> Option<Health> {
        self.targets.iter().find_map(Target::well)
    }

    /// Sends a request over the first of its Unix sockets that can be connected, so that the server
    /// sees which process asks.
    ///
    /// # Errors
    /// No socket can be connected, or there is no answer in time.
    pub fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: &str,
        limit: usize,
        time_limit: Duration,
    ) -> io::Result<(StatusCode, Vec<u8>)> {
        let socket = self.targets.iter().find_map(|target| target.location.connect().ok());
        let socket = socket.ok_or(io::ErrorKind::NotConnected)?;
        over_socket(socket, method, path, body, limit, time_limit)
    }

    /// Whether the server at each of the URLs belongs to this user or to root; `false` also if the
    /// system does not tell.
    pub fn is_trusted(&self) -> bool {
        let trusted = |owner: Uid| owner.is_root() || owner == geteuid();
        let user_of = |peer| owner::of_peer(&peer).map(|(user, _)| user);
        self.targets.iter().all(|target| match &target.location {
            Location::Address(address) => owner::of_listener(*address).is_some_and(trusted),
            Location::Name(..) => false,
            socket => socket.connect().ok().and_then(user_of).is_some_and(trusted),
        })
    }
}

impl Target {
    fn well(&self) -> Option<Health> {
        let body = match &self.location {
            Location::Address(_) | Location::Name(..) => self.health(),
            socket => socket.connect().and_then(health_over_socket).ok(),
        };
        body.and_then(|body| serde_json::from_slice::<Health>(&body).ok())
            .filter(|health| health.status == "ok")
    }

    /// The body of the server's report.
    fn health(&self) -> Option<Vec<u8>> {
        let answer = attohttpc::get(format!("{}/healthz", self.url))
            .proxy_settings(ProxySettings::builder().build())
            .follow_redirects(false)
            .connect_timeout(CONNECT_TIME)
            .read_timeout(PROBE_TIME)
            .send();
        let answer = answer.ok().filter(attohttpc::Response::is_success)?;
        let mut body = Vec::new();
        answer.split().2.take(PROBE_ANSWER_LIMIT as u64).read_to_end(&mut body).ok()?;
        Some(body)
    }
}

impl Location {
    /// Connects to a Unix socket.
    fn connect(&self) -> io::Result<UnixStream> {
        match self {
            Self::Socket(path) => unix_socket::connect(path.as_ref(), PROBE_TIME),
            #[cfg(target_os = "linux")]
            Self::Abstract(name) => unix_socket::connect_abstract(name.as_bytes(), PROBE_TIME),
            Self::Address(_) | Self::Name(..) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// The body of the server's report, over a Unix socket.
fn health_over_socket(socket: UnixStream) -> io::Result<Vec<u8>> {
    let asked = over_socket(socket, &Method::GET, "/healthz", "", PROBE_ANSWER_LIMIT, PROBE_TIME);
    let (status, body) = asked?;
    if status.is_success() { Ok(body) } else { Err(io::Error::other(status.to_string())) }
}

/// Sends a request over a Unix socket, which `attohttpc` does not support.
fn over_socket(
    socket: UnixStream,
    method: &Method,
    path: &str,
    body: &str,
    limit: usize,
    time_limit: Duration,
) -> io::Result<(StatusCode, Vec<u8>)> {
    socket.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let asked = async {
        let socket = TokioIo::new(tokio::net::UnixStream::from_std(socket)?);
        let (mut sender, driver) = http1::handshake(socket).await.map_err(io::Error::other)?;
        let question = Request::builder().method(method).uri(path).header(HOST, "localhost");
        let question = question.body(Full::<Bytes>::from(body.to_owned()));
        tokio::spawn(driver);
        let answer = sender.send_request(question.map_err(io::Error::other)?).await;
        let answer = answer.map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), limit).collect().await;
        body.map(|body| (status, body.to_bytes().into())).map_err(io::Error::other)
    };
    runtime.block_on(async { timeout(time_limit, asked).await? })
}

/// Where the library would connect.
fn location(url: &Url<'_>) -> Location {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match url.server {
        Server::Address(address) => Location::Address(address),
        Server::Name { host, port } => Location::Name(text(host), port),
        Server::Unix(path) => Location::Socket(text(path)),
        #[cfg(target_os = "linux")]
        Server::Abstract(name) => Location::Abstract(text(name)),
        #[cfg(not(target_os = "linux"))]
        Server::Abstract(name) => Location::Socket(text(name)),
    }
}

#[cfg(test)]
mod tests {
    use rampart_core::url::LONGEST_SOCKET_PATH;

    use super::{Endpoint, Location};

    #[test]
    fn a_url_names_a_place_or_is_refused() {
        let address = |text: &str| Some(Location::Address(text.parse().unwrap()));
        let name = |text: &str, port| Some(Location::Name(text.to_owned(), port));
        let long = format!("unix:///{}", "x".repeat(LONGEST_SOCKET_PATH));
        for (url, place) in [
            ("http://127.0.0.1:19090", address("127.0.0.1:19090")),
            ("http://127.0.0.1:19090///", address("127.0.0.1:19090")),
            ("http://127.0.0.1/prefix", address("127.0.0.1:80")),
            ("http://[::1]:1", address("[::1]:1")),
            ("http://[::1]", address("[::1]:80")),
            ("http://localhost:5", address("127.0.0.1:5")),
            ("http://policy.example/x", name("policy.example", 80)),
            ("unix:///run/x.sock", Some(Location::Socket("/run/x.sock".to_owned()))),
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
            ("http://[::1", None),
            ("http://::1", None),
            ("http://[x]", None),
        ] {
            let places = Endpoint::parse(url).ok().map(|endpoint| {
                endpoint.targets.into_iter().map(|target| target.location).collect::<Vec<_>>()
            });
            assert_eq!(places, place.map(|place| vec![place]), "{url}");
        }
        let list = Endpoint::parse("unix:///run/x.sock/,http://[::1]:1/").unwrap();
        assert_eq!(list.url(), "unix:///run/x.sock,http://[::1]:1");
        assert_eq!(list.targets.len(), 2);
    }
}
