//! Builds the probes and starts the servers.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The core of whoever asks.
pub const CLIENT_CORE: &str = "0";
/// The other one, for servers that are to run beside.
pub const OTHER_CORE: &str = "1";

/// What the servers answer to: `true refused` is not allowed, all else is.
const POLICY: &str = r#"version: "1"
default_action: allow
policies:
  - name: bench
    match: {tool: exec}
    rules:
      - action: deny
        when: {command_matches: ["true refused"]}
        message: "refused, so that only the check is timed"
"#;

/// Everything that rows need.
pub struct Setup {
    directory: TempDir,
    pub library: PathBuf,
    pub empty_library: PathBuf,
    rampart: PathBuf,
    pub token: String,
}

/// A server that ends with this value.
pub struct Server {
    process: Child,
    pub socket: PathBuf,
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Setup {
    pub fn new() -> Result<Self, String> {
        let directory =
            TempDir::with_prefix("rampart-bench-").map_err(|error| error.to_string())?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
        let here = fs::canonicalize(target.join("release"))
            .map_err(|error| format!("{}: {error}; run `make` first", target.display()))?;
        let setup = Self {
            empty_library: directory.path().join("empty.so"),
            library: here.join("librampart.so"),
            rampart: here.join("rampart"),
            token: "bench-token".into(),
            directory,
        };
        for probe in ["spawn", "check", "raw", "echo", "number", "idle"] {
            setup.compile(probe, &["-O2", "-Wall"], probe)?;
        }
        setup.compile("empty", &["-shared", "-fPIC"], "empty.so")?;
        fs::write(setup.path("policy.yaml"), POLICY).map_err(|error| error.to_string())?;
        fs::write(setup.path("token"), &setup.token).map_err(|error| error.to_string())?;
        Ok(setup)
    }

    /// A file of this run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn compile(&self, probe: &str, flags: &[&str], output: &str) -> Result<(), String> {
        let source = format!("bench/probes/{probe}.c");
        let mut cc = Command::new("cc");
        let status = cc.args(flags).arg("-o").arg(self.path(output)).arg(&source).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("cc {source}: {status}")),
            Err(error) => Err(format!("cc: {error}; a C compiler is needed")),
        }
    }

    /// `rampart serve` on a Unix socket and on TCP.
    pub fn serve(&self, core: &str) -> Result<Server, String> {
        let mut command = pinned(core, &self.rampart);
        let (socket, port) = (self.path(&format!("serve-{core}.sock")), free_port()?);
        command
            .arg("serve")
            .arg("--port")
            .arg(port.to_string())
            .arg("--unix")
            .arg(&socket)
            .arg("--policy")
            .arg(self.path("policy.yaml"))
            .arg("--token-file")
            .arg(self.path("token"))
            .arg("--audit")
            .arg(self.path("audit.jsonl"))
            .env("RAMPART_HOME", self.directory.path());
        start(command, socket, port)
    }

    /// The echo server in C.
    pub fn echo(&self, core: &str, answer: &Path) -> Result<Server, String> {
        let (socket, port) = (self.path(&format!("echo-{core}.sock")), free_port()?);
        let mut command = pinned(core, self.path("echo"));
        command.arg(&socket).arg(port.to_string()).arg(answer);
        start(command, socket, port)
    }

    /// The bytes of the request that `check` makes the library send.
    pub fn record_request(&self) -> Result<Vec<u8>, String> {
        let socket = self.path("record.sock");
        let listener = UnixListener::bind(&socket).map_err(|error| error.to_string())?;
        let mut check = self.guarded(CLIENT_CORE, "check", &unix_url(&socket));
        let mut child = check
            .args(["kept", "1"])
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let (mut connection, _) = listener.accept().map_err(|error| error.to_string())?;
        let mut request = vec![0; 64 * 1024];
        let length = connection.read(&mut request).map_err(|error| error.to_string())?;
        request.truncate(length);
        drop(connection);
        let _ = child.wait();
        Ok(request)
    }

    /// A probe under the library, which asks at `url`.
    pub fn guarded(&self, core: &str, probe: &str, url: &str) -> Command {
        let mut command = self.bare(core, probe);
        command
            .env("LD_PRELOAD", &self.library)
            .env("RAMPART_URL", url)
            .env("RAMPART_TOKEN", &self.token)
            .env("RAMPART_FAIL_OPEN", "0")
            .env("RAMPART_NOTICE", "0")
            .env("RAMPART_SESSION", "bench");
        command
    }

    /// A probe alone.
    pub fn bare(&self, core: &str, probe: &str) -> Command {
        let mut command = Command::new(self.path(probe));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("BENCH_CORE", core);
        command
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
    const PATIENCE: Duration = Duration::from_secs(5);
    let _ = fs::remove_file(&socket);
    let process = command
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let server = Server { process, socket, port };
    let begun = Instant::now();
    while UnixStream::connect(&server.socket).is_err() {
        if begun.elapsed() > PATIENCE {
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
