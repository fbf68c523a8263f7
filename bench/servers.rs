//! Starts the servers.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::setup::{CLIENT_CORE, OTHER_CORE, Setup};

/// The servers, and the bytes exchanged.
pub struct Servers {
    /// `rampart serve` on the clients' core, and on the other one.
    pub here: Server,
    pub beside: Server,
    /// The echo server in C, on the clients' core.
    pub echo: Server,
    /// What the echo server answers.
    pub answer: PathBuf,
    /// What a check by the library sends.
    pub request: PathBuf,
}

impl Servers {
    /// Starts all of them.
    ///
    /// # Errors
    /// One of them does not answer.
    pub fn start(setup: &Setup) -> Result<Self, String> {
        let written = |name: &str, bytes: &[u8]| {
            let path = setup.path(name);
            fs::write(&path, bytes).map(|()| path).map_err(|error| error.to_string())
        };
        let here = setup.serve(CLIENT_CORE, "here", &setup.policy(), &[])?;
        let beside = setup.serve(OTHER_CORE, "beside", &setup.policy(), &[])?;
        let request = setup.record_request()?;
        let answer = written("answer", &record_answer(&here, &request)?)?;
        let echo = setup.echo(CLIENT_CORE, "echo", &answer)?;
        Ok(Self { here, beside, echo, answer, request: written("request", &request)? })
    }
}

/// A server that is killed on drop.
pub struct Server {
    process: Child,
    pub socket: PathBuf,
    pub port: u16,
}

impl Server {
    /// Its private memory, in bytes.
    ///
    /// # Errors
    /// The system does not tell it.
    pub fn private_bytes(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let private = text.lines().filter_map(|line| line.strip_prefix("Private_"));
        let kibibytes =
            private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        Ok(kibibytes.sum::<f64>() * 1024.0)
    }

    /// Its addresses: the transport's name, the URL, and the form for the probes.
    pub fn addresses(&self) -> [Address; 2] {
        let socket = self.socket.display().to_string();
        let port = self.port.to_string();
        [
            Address { transport: "Unix", url: unix_url(&self.socket), plain: socket },
            Address { transport: "TCP", url: tcp_url(self.port), plain: port },
        ]
    }
}

/// One address of a server.
pub struct Address {
    pub transport: &'static str,
    /// For the library.
    pub url: String,
    /// For the probes.
    pub plain: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Setup {
    /// `rampart serve` on a Unix socket and on TCP. Several need different names.
    ///
    /// # Errors
    /// It does not listen.
    pub fn serve(
        &self,
        core: &str,
        name: &str,
        policy: &Path,
        more: &[&str],
    ) -> Result<Server, String> {
        let (socket, port) = (self.path(&format!("{name}.sock")), free_port()?);
        let mut command = pinned(core, &self.rampart);
        command
            .args(["serve", "--port", &port.to_string(), "--unix"])
            .arg(&socket)
            .arg("--policy")
            .arg(policy)
            .arg("--token-file")
            .arg(self.path("token"))
            .arg("--audit")
            .arg(self.path(&format!("{name}.jsonl")))
            .args(more)
            .env("RAMPART_HOME", self.path("home"));
        start(command, socket, port)
    }

    /// The echo server in C.
    ///
    /// # Errors
    /// It does not listen.
    pub fn echo(&self, core: &str, name: &str, answer: &Path) -> Result<Server, String> {
        let (socket, port) = (self.path(&format!("{name}.sock")), free_port()?);
        let mut command = pinned(core, self.path("echo"));
        command.arg(&socket).arg(port.to_string()).arg(answer);
        start(command, socket, port)
    }

    /// The bytes of the request that `check` makes the library send.
    pub fn record_request(&self) -> Result<Vec<u8>, String> {
        let server = scripted_server::Server::allowing();
        let mut check = self.guarded(CLIENT_CORE, "check", &server.url);
        let check = check.args(["kept", "1"]).stdout(Stdio::null()).stderr(Stdio::null());
        check.status().map_err(|error| error.to_string())?;
        let requests = server.take_requests();
        let first = requests.first().ok_or("the library has asked nobody")?;
        Ok(first.text().into_bytes())
    }
}

pub fn unix_url(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

pub fn tcp_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A server on a core. (The probes pin themselves: `taskset` would be guarded like them.)
fn pinned(core: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

fn start(mut command: Command, socket: PathBuf, port: u16) -> Result<Server, String> {
    const TIMEOUT: Duration = Duration::from_secs(5);
    let _ = fs::remove_file(&socket);
    let process = command
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let server = Server { process, socket, port };
    let begun = Instant::now();
    while UnixStream::connect(&server.socket).is_err() {
        if begun.elapsed() > TIMEOUT {
            return Err(format!("{command:?} does not listen"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(server)
}

/// What a server answers to a request.
pub fn record_answer(server: &Server, request: &[u8]) -> Result<Vec<u8>, String> {
    let mut connection = UnixStream::connect(&server.socket).map_err(|error| error.to_string())?;
    connection.write_all(request).map_err(|error| error.to_string())?;
    let mut answer = vec![0; 64 * 1024];
    let length = connection.read(&mut answer).map_err(|error| error.to_string())?;
    answer.truncate(length);
    Ok(answer)
}
