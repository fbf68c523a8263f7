//! A policy server with TLS and a proxy in front of it, as an organisation may have them, and as
//! faulty as a test wants.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use scripted_server::{Carrier, Exchange, Request, Server, Transport};

use crate::world::World;

/// The server's token, which no guarded command may see.
pub const SECRET: &str = "the-organisations-token";

/// A CA for tests.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A file with its certificate.
    pub fn file(&self, world: &World) -> PathBuf {
        world.write("ca.pem", &self.0.pem())
    }

    /// Writes a certificate for this name and its key.
    pub fn files(&self, world: &World, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        world.write("cert.pem", &certificate.pem());
        let file = world.write("key.pem", &key.serialize_pem());
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    }

    /// A certificate for this name.
    pub fn certify(&self, name: &str) -> Arc<ServerConfig> {
        self.sign(&CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// An expired certificate for this name.
    pub fn certify_expired(&self, name: &str) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign(&params)
    }

    /// A certificate for this name that is a CA's, as a self-signed one mostly is.
    pub fn certify_as_ca(&self, name: &str) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// How the server answers questions. `/healthz` always answers `ok`.
#[derive(Debug, Clone)]
pub enum Manner {
    /// By its policy: no command with the word `forbidden`.
    Decide,
    /// The same, and closes the connection silently after each answer.
    DecideAndClose,
    /// Only the first question of each connection; the second closes it.
    DecideOnce,
    /// After a while.
    Late(Duration),
    /// Never.
    Never,
    /// With these bytes, which need not be HTTP, and then closes.
    Say(String),
    /// The same, but without `close_notify`, as if the rest had been cut off.
    SayAndBreak(String),
}

struct Shared {
    config: Mutex<Arc<ServerConfig>>,
    manner: Mutex<Manner>,
    handshakes: AtomicUsize,
}

/// The server's end of TLS.
struct Tls(StreamOwned<ServerConnection, TcpStream>);

impl Read for Tls {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Carrier for Tls {
    fn socket(&self) -> BorrowedFd<'_> {
        self.0.sock.as_fd()
    }

    fn end(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }
}

/// The server.
pub struct Remote {
    pub port: u16,
    shared: Arc<Shared>,
    server: Server,
}

impl Remote {
    pub fn start(config: Arc<ServerConfig>) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").unwrap(), config)
    }

    pub fn listen(listener: TcpListener, config: Arc<ServerConfig>) -> Self {
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            config: Mutex::new(config),
            manner: Mutex::new(Manner::Decide),
            handshakes: AtomicUsize::new(0),
        });
        let (shown, told) = (Arc::clone(&shared), Arc::clone(&shared));
        let over_tls = move |stream| {
            let config = Arc::clone(&shown.config.lock().unwrap());
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            Ok(Box::new(Tls(StreamOwned::new(connection, stream))) as Box<dyn Carrier>)
        };
        let server = Server::at_port(listener, over_tls, move |exchange| converse(exchange, &told));
        Self { port, shared, server }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn answers(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// Uses another certificate from the next connection on.
    pub fn shows(&self, config: Arc<ServerConfig>) {
        *self.shared.config.lock().unwrap() = config;
    }

    pub fn handshakes(&self) -> usize {
        self.shared.handshakes.load(Ordering::Relaxed)
    }

    /// The questions so far, heads and bodies.
    pub fn questions(&self) -> Vec<String> {
        self.server.requests().iter().map(Request::text).collect()
    }
}

fn converse(exchange: &mut Exchange, shared: &Shared) {
    let mut is_first = true;
    while let Some(request) = exchange.request() {
        let was_asked = !std::mem::take(&mut is_first);
        if !was_asked {
            shared.handshakes.fetch_add(1, Ordering::Relaxed);
        }
        if request.head.starts_with("GET ") {
            exchange.send(with_head(200, r#"{"status":"ok"}"#));
            continue;
        }
        exchange.remember(&request);
        let manner = shared.manner.lock().unwrap().clone();
        match &manner {
            Manner::DecideOnce if was_asked => return,
            Manner::Late(pause) => thread::sleep(*pause),
            Manner::Never => return exchange.hang(),
            _ => {}
        }
        match &manner {
            Manner::Say(bytes) | Manner::SayAndBreak(bytes) => exchange.send(bytes),
            _ => exchange.send(decide(&request.text())),
        }
        match manner {
            Manner::Say(_) | Manner::DecideAndClose => exchange.end(),
            Manner::SayAndBreak(_) => {}
            _ => continue,
        }
        return exchange.break_off();
    }
}

fn decide(request: &str) -> String {
    if !request.to_ascii_lowercase().contains(&format!("authorization: bearer {SECRET}\r\n")) {
        return with_head(401, "{}");
    }
    let allowed = !request.contains("forbidden");
    with_head(200, &verdict(allowed))
}

pub fn verdict(allowed: bool) -> String {
    serde_json::json!({ "allowed": allowed, "message": "Ask the team", "matched_policies": ["team"] })
        .to_string()
}

pub fn with_head(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A proxy that opens tunnels, or answers with a status.
pub struct Proxy(Server);

impl Proxy {
    pub fn start(answer: &'static str) -> Self {
        Self(Server::scripted(Transport::Tcp, move |exchange| {
            let Some(request) = exchange.request() else { return };
            exchange.remember(&request);
            exchange.send(answer);
            if answer.contains(" 200 ") {
                let near = exchange.tunnel();
                let far = TcpStream::connect(request.head.split(' ').nth(1).unwrap()).unwrap();
                thread::scope(|threads| {
                    threads.spawn(|| pass_on(&near, &far));
                    pass_on(&far, &near);
                });
            }
        }))
    }

    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.0.requests().iter().map(Request::text).collect()
    }
}

fn pass_on(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
