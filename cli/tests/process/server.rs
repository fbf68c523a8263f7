//! A running `rampart serve`, and raw connections to it.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::world::{POLICY, TIMEOUT, World, wait_until};

pub const TOKEN: &str = "the-token";
const SERVE: [&str; 5] = ["serve", "--token-file", "token", "--unix", "s.sock"];
const ANY_PORT: [&str; 2] = ["--port", "0"];

/// A server with the tests' policy, in its own home.
pub fn serve() -> (World, Server) {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    let server = Server::start(&world, &[]);
    (world, server)
}

/// A server that is killed on drop.
pub struct Server {
    process: Child,
    pub tcp: SocketAddr,
    pub unix: PathBuf,
    said: Receiver<String>,
}

impl Server {
    pub fn start(world: &World, arguments: &[&str]) -> Self {
        Self::at_port(world, 0, arguments)
    }

    /// At a given port.
    pub fn at_port(world: &World, port: u16, arguments: &[&str]) -> Self {
        let mut command = world.rampart(SERVE);
        command.args(["--port", &port.to_string()]).args(arguments);
        Self::ready(world, command)
    }

    /// Started by a wrapper command.
    pub fn start_by(world: &World, before: &[&str]) -> Self {
        let server = world.rampart(SERVE);
        let mut command = world.command(before[0]);
        command.args(&before[1..]).arg(server.get_program()).args(SERVE).args(ANY_PORT);
        Self::ready(world, command)
    }

    fn ready(world: &World, command: Command) -> Self {
        world.write("token", TOKEN);
        let mut server = Self::spawn(world, command);
        let ready = server.says("serving on");
        let address = ready.split("://").nth(1).unwrap().split(' ').next().unwrap();
        server.tcp = address.parse().unwrap();
        server
    }

    /// Without the token and the socket of other tests. Does not wait for its first line.
    pub fn start_plain(world: &World, arguments: &[&str]) -> Self {
        let words = ["serve", "--port", "0"].iter().chain(arguments);
        Self::spawn(world, world.rampart(words))
    }

    fn spawn(world: &World, mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let tcp = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { process, tcp, unix: world.path("s.sock"), said }
    }

    /// The next line on stderr that contains these words.
    pub fn says(&self, words: &str) -> String {
        loop {
            let line = self.said.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("no {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Whether it has written nothing more so far.
    pub fn is_silent(&self) -> bool {
        self.said.try_recv().is_err()
    }

    pub fn pid(&self) -> String {
        self.process.id().to_string()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Its private memory.
    pub fn private_bytes(&self) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap();
        let anonymous = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        anonymous.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid();
        let sent = std::process::Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the server's end", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn over_tcp(&self) -> Client<TcpStream> {
        Client::over_tcp(self.tcp)
    }

    pub fn over_unix(&self) -> Client<UnixStream> {
        Client::over_unix(&self.unix)
    }

    /// The answer to a question on a fresh connection.
    pub fn ask(&self, command: &str) -> serde_json::Value {
        self.over_unix().ask(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A parsed answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// One connection.
pub struct Client<S: Read + Write> {
    stream: BufReader<S>,
}

impl Client<TcpStream> {
    pub fn over_tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self::new(stream)
    }
}

impl Client<UnixStream> {
    pub fn over_unix(path: &std::path::Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self::new(stream)
    }

    /// Over an abstract socket.
    #[cfg(target_os = "linux")]
    pub fn over_name(name: &str) -> Self {
        use std::os::linux::net::SocketAddrExt as _;

        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let stream = UnixStream::connect_addr(&address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self::new(stream)
    }

    /// Shuts down the sending side.
    pub fn finish_sending(&self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Whether the server has already closed the connection, without a word.
    pub fn is_gone(&mut self) -> bool {
        self.stream.get_ref().set_nonblocking(true).unwrap();
        let is_end = self.stream.fill_buf().is_ok_and(<[u8]>::is_empty);
        self.stream.get_ref().set_nonblocking(false).unwrap();
        is_end
    }

    /// A second reader of the same connection.
    pub fn reader(&self) -> Self {
        Self::new(self.stream.get_ref().try_clone().unwrap())
    }
}

impl<S: Read + Write> Client<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
    }

    pub fn answer(&mut self) -> Answer {
        let head = self.head();
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, length)| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        let status = head.split(' ').nth(1).unwrap_or_default().parse().unwrap();
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut head).unwrap();
            assert!(read > 0, "the connection ended in {head:?}");
        }
        head
    }

    /// Waits until the server closes the connection.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    pub fn ask(&mut self, command: &str) -> serde_json::Value {
        self.send(question(command));
        let answer = self.answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }
}

pub fn body(command: &str) -> String {
    serde_json::json!({
        "agent": "tester", "session": "s1", "params": { "command": command }, "enforce": true
    })
    .to_string()
}

pub fn question(command: &str) -> String {
    let body = body(command);
    format!("{}Content-Length: {}\r\n\r\n{body}", head(), body.len())
}

/// A question's head, without its Content-Length.
pub fn head() -> String {
    format!("POST /v1/preflight/exec HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n")
}
