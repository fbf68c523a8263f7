//! A policy server behind TLS, and a proxy in front of it, as an organisation has
//! them: on this machine, and as ill as a test wants them.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
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

use crate::world::World;

/// The token that the server wants to see; never to be seen by a guarded command.
pub const SECRET: &str = "the-organisations-token";

/// A CA of the test's own.
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

    /// Files with a certificate for this name and the key to it.
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

    /// One that was for this name, until long ago.
    pub fn certify_expired(&self, name: &str) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
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

/// How the server answers questions. It is well when asked for its health.
#[derive(Debug, Clone)]
pub enum Manner {
    /// By its policy: no command with the word `forbidden`.
    Decide,
    /// The same, and closes the connection without a word after each answer.
    DecideAndClose,
    /// Only the first question of each connection; the second one ends it.
    DecideOnce,
    /// After a while.
    Late(Duration),
    /// With these bytes, which need not be HTTP, and the end of the connection.
    Say(String),
    /// The same, but TLS is not told of the end: somebody may have cut the rest off.
    SayAndBreak(String),
}

struct Shared {
    config: Mutex<Arc<ServerConfig>>,
    manner: Mutex<Manner>,
    handshakes: AtomicUsize,
    questions: Mutex<Vec<String>>,
}

/// The server.
pub struct Remote {
    pub port: u16,
    shared: Arc<Shared>,
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
            questions: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&served);
                thread::spawn(move || converse(stream.unwrap(), &shared));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn answers(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// Shows another certificate from the next connection on.
    pub fn shows(&self, config: Arc<ServerConfig>) {
        *self.shared.config.lock().unwrap() = config;
    }

    pub fn handshakes(&self) -> usize {
        self.shared.handshakes.load(Ordering::Relaxed)
    }

    /// The questions that were put so far, heads and bodies.
    pub fn questions(&self) -> Vec<String> {
        self.shared.questions.lock().unwrap().clone()
    }
}

fn converse(stream: TcpStream, shared: &Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let config = Arc::clone(&shared.config.lock().unwrap());
    let mut stream = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut input = Vec::new();
    let mut answered = 0;
    loop {
        let request = read_request(&mut stream, &mut input)?;
        if answered == 0 {
            shared.handshakes.fetch_add(1, Ordering::Relaxed);
        }
        if request.starts_with("GET ") {
            stream.write_all(with_head(200, r#"{"status":"ok"}"#).as_bytes()).ok()?;
            stream.flush().ok()?;
            answered += 1;
            continue;
        }
        shared.questions.lock().unwrap().push(request.clone());
        let manner = shared.manner.lock().unwrap().clone();
        match &manner {
            Manner::DecideOnce if answered > 0 => return None,
            Manner::Late(pause) => thread::sleep(*pause),
            _ => {}
        }
        let answer = match &manner {
            Manner::Say(bytes) | Manner::SayAndBreak(bytes) => bytes.clone(),
            _ => decide(&request),
        };
        stream.write_all(answer.as_bytes()).ok()?;
        stream.flush().ok()?;
        answered += 1;
        if matches!(manner, Manner::Say(_) | Manner::DecideAndClose) {
            stream.conn.send_close_notify();
            stream.flush().ok()?;
        }
        if !matches!(manner, Manner::Decide | Manner::DecideOnce | Manner::Late(_)) {
            stream.sock.shutdown(Shutdown::Both).ok()?;
            return None;
        }
    }
}

/// The next request, head and body.
pub fn read_request(stream: &mut impl Read, input: &mut Vec<u8>) -> Option<String> {
    let mut piece = [0; 16 * 1024];
    loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&input[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let whole = end + 4 + length.map_or(0, |length| length.parse().unwrap());
            if input.len() >= whole {
                let request = input.drain(..whole).collect();
                return String::from_utf8(request).ok();
            }
        }
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        input.extend_from_slice(&piece[..count]);
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
pub struct Proxy {
    pub port: u16,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut near = stream.unwrap();
                let Some(request) = read_request(&mut near, &mut Vec::new()) else { continue };
                let target = request.split(' ').nth(1).unwrap().to_owned();
                heard.lock().unwrap().push(request);
                near.write_all(answer.as_bytes()).unwrap();
                if answer.contains(" 200 ") {
                    let far = TcpStream::connect(target).unwrap();
                    pass_on(near.try_clone().unwrap(), far.try_clone().unwrap());
                    pass_on(far, near);
                }
            }
        });
        Self { port, asked }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
