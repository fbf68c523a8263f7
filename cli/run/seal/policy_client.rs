//! Decides about programs by the run's own policy in this process, or by asking the policy server
//! as the library would.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::Pid;
use rampart_core::answer::Reader;
use rampart_core::json::{self, Answer};
use rampart_core::url::{Server, Url};
use rampart_core::verdict::{Outcome, Unreachable};
use serde_json::json;

use super::judge::{Judge, Verdict};
use super::refusal_message::Manner;
use super::tracee::Program;
use crate::command_line::command_line;
use crate::failure::Failure;
use crate::server::{InProcess, Params, Question, Text};
use crate::token::Token;
use crate::unix_socket;

/// Judging a longer command takes longer than waking another thread for the next question.
const LONG_BYTES: usize = 4 * 1024;

/// Whom to ask, and for which run.
pub struct ClientOptions<'o> {
    /// The value of `RAMPART_URL`.
    pub url: &'o str,
    /// The resolved address if the URL has a host name.
    pub address: Option<SocketAddr>,
    pub token: Option<&'o Token>,
    pub agent: String,
    pub session: String,
    /// The run's own policy, if it can be evaluated here. Questions for a person still go to the
    /// server.
    pub in_process: Option<InProcess>,
    /// Whether denied programs are refused (enforce mode).
    pub enforces: bool,
    /// How refusals are reported.
    pub manner: Manner,
    /// For a whole question, including the connect.
    pub timeout: Duration,
    /// How long to wait for a person's answer, in milliseconds; `None` if nobody is asked.
    pub ask_ms: Option<u32>,
}

/// A client of the policy, with connections to the server that are reused.
pub struct PolicyClient {
    ways: Vec<Target>,
    head: String,
    agent: String,
    session: String,
    in_process: Option<InProcess>,
    enforces: bool,
    manner: Manner,
    timeout: Duration,
    ask_ms: Option<u32>,
    kept: Mutex<Vec<Box<dyn Stream>>>,
}

/// What a question is about.
struct Subject<'p> {
    command: String,
    argv0: Option<Cow<'p, str>>,
    cwd: Option<Cow<'p, str>>,
    /// The pipes at the program's standard input and output.
    pipes: [Option<&'p str>; 2],
}

impl<'p> Subject<'p> {
    fn of(program: &'p Program) -> Self {
        let cwd = program.cwd.as_deref().map(String::from_utf8_lossy);
        let command = command_line(&program.words);
        let argv0 = program.other_name.as_deref().map(OsStr::to_string_lossy);
        Self { command, argv0, cwd, pipes: program.pipes.each_ref().map(Option::as_deref) }
    }

    /// Removes pipes that are close-on-exec. Done only where needed: finding that out is the
    /// costliest part of looking at a pipe.
    fn keep_inherited(&mut self, thread: Pid) {
        for (number, pipe) in self.pipes.iter_mut().enumerate() {
            if pipe.is_some() && !is_inherited(thread, number) {
                *pipe = None;
            }
        }
    }
}

enum Target {
    Socket(PathBuf),
    Abstract(Vec<u8>),
    Address(SocketAddr),
}

trait Stream: Read + Write + Send {
    fn set_timeout(&self, left: Duration) -> io::Result<()>;
}

impl Stream for UnixStream {
    fn set_timeout(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

impl Stream for TcpStream {
    fn set_timeout(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }
}

impl PolicyClient {
    /// # Errors
    /// The URL cannot be asked from here.
    pub fn new(options: ClientOptions<'_>) -> Result<Self, Failure> {
        let unusable =
            || Failure::usage(format!("{:?} cannot be used in a sealed run", options.url));
        let mut ways = Vec::new();
        let mut place = None;
        for text in options.url.split(',') {
            if let Some(name) = text.strip_prefix("unix:@") {
                ways.push(Target::Abstract(name.as_bytes().to_vec()));
                place.get_or_insert((String::from("localhost"), String::new()));
                continue;
            }
            let url = Url::parse(text.as_bytes()).map_err(|_| unusable())?;
            ways.push(match url.server {
                Server::Unix(path) => Target::Socket(bytes_to_path(path)),
                Server::Address(address) => Target::Address(address),
                _ => Target::Address(options.address.ok_or_else(unusable)?),
            });
            let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            place.get_or_insert_with(|| (owned(url.authority), owned(url.prefix)));
        }
        let (host, prefix) = place.ok_or_else(unusable)?;
        let mut head = format!("POST {prefix}/v1/preflight/exec HTTP/1.1\r\nHost: {host}\r\n");
        if let Some(token) = options.token {
            head.extend(["Authorization: Bearer ", token.reveal(), "\r\n"]);
        }
        head += "Content-Type: application/json\r\nContent-Length: ";
        let ClientOptions { agent, session, in_process, enforces, manner, timeout, ask_ms, .. } =
            options;
        let ask_ms = ask_ms.filter(|_| enforces);
        let kept = Mutex::default();
        Ok(Self { ways, head, agent, session, in_process, enforces, manner, timeout, ask_ms, kept })
    }

    /// The question for this process's own policy.
    fn question<'q>(&'q self, thread: Pid, about: &'q Subject<'_>) -> Question<'q> {
        let text = |text: &'q str| Some(Text(Cow::Borrowed(text)));
        let [stdin, stdout] = about.pipes;
        Question {
            agent: text(&self.agent),
            session: text(&self.session),
            params: Params {
                command: Cow::Borrowed(&about.command),
                coverage: text("full"),
                form: text("argv"),
                argv0: about.argv0.as_deref().and_then(text),
                stdin: stdin.and_then(text),
                stdout: stdout.and_then(text),
                ..Params::default()
            },
            cwd: about.cwd.as_deref().and_then(text),
            by: text("kernel"),
            pid: Some(thread.as_raw()),
            ..Question::default()
        }
    }

    /// The same question as a request body for the server.
    fn body(&self, thread: Pid, about: &Subject<'_>) -> String {
        let mut body = json!({
            "agent": self.agent,
            "session": self.session,
            "params": {"command": about.command, "form": "argv", "coverage": "full"},
            "pid": thread.as_raw(),
            "by": "kernel",
            "enforce": true,
        });
        for (name, pipe) in ["stdin", "stdout"].into_iter().zip(about.pipes) {
            if let Some(pipe) = pipe {
                body["params"][name] = pipe.into();
            }
        }
        if let Some(argv0) = &about.argv0 {
            body["params"]["argv0"] = argv0.as_ref().into();
        }
        if let Some(cwd) = &about.cwd {
            body["cwd"] = cwd.as_ref().into();
        }
        match self.ask_ms {
            // First, where a relay finds it and cuts it out.
            Some(ms) => format!("{{\"ask_ms\":{ms},{}", &body.to_string()[1..]),
            None => body.to_string(),
        }
    }

    /// Writes an event that is not a decision to the audit, directly or through the server.
    fn tell(&self, event: &str, process: Pid, command: &str, message: &str) {
        if let Some(in_process) = &self.in_process {
            return in_process.note(event, message);
        }
        let body = json!({
            "agent": self.agent,
            "session": self.session,
            "params": {"command": command, "form": "argv"},
            "pid": process.as_raw(),
            "by": "kernel",
            "enforce": true,
            "event": event,
            "message": message,
        });
        self.ask(&body.to_string(), &mut Reader::default());
    }

    /// Asks over a kept connection, or over a new one if that turns out to be dead.
    fn ask(&self, body: &str, reader: &mut Reader) -> Outcome {
        let deadline = Instant::now() + self.timeout;
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(stream) = kept
            && let Some(outcome) = self.ask_over(stream, &request, deadline, reader)
        {
            return outcome;
        }
        match self.connect(deadline) {
            Ok(stream) => self.ask_over(stream, &request, deadline, reader),
            Err(_) => None,
        }
        .unwrap_or(Outcome::Unreachable(Unreachable::NoServer))
    }

    /// `None` if the connection ended before any answer.
    fn ask_over(
        &self,
        mut stream: Box<dyn Stream>,
        request: &str,
        mut deadline: Instant,
        reader: &mut Reader,
    ) -> Option<Outcome> {
        let mut room = [0; 4096];
        let mut ask_ms = self.ask_ms;
        let set = |stream: &dyn Stream, deadline: Instant| {
            let left = deadline.saturating_duration_since(Instant::now());
            stream.set_timeout(left.max(Duration::from_millis(1)))
        };
        let cut = |reader: &Reader| reader.has_begun().then(|| reader.closed().outcome);
        if set(&*stream, deadline).is_err() || stream.write_all(request.as_bytes()).is_err() {
            return None;
        }
        loop {
            if Instant::now() >= deadline || set(&*stream, deadline).is_err() {
                return Some(Outcome::Unreachable(Unreachable::TimedOut));
            }
            match stream.read(&mut room) {
                Ok(0) => return cut(reader),
                Ok(read) => {
                    if let Some(end) = reader.feed(&room[..read]) {
                        if end.reusable {
                            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                            kept.push(stream);
                        }
                        return Some(end.outcome);
                    }
                    // From now on the wait is for a person.
                    if reader.is_held()
                        && let Some(ms) = ask_ms.take()
                    {
                        deadline = Instant::now() + Duration::from_millis(ms.into()) + self.timeout;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return cut(reader),
            }
        }
    }

    fn connect(&self, deadline: Instant) -> io::Result<Box<dyn Stream>> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for way in &self.ways {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            let stream = match way {
                Target::Socket(path) => unix_socket::connect(path, left).map(boxed),
                Target::Abstract(name) => unix_socket::connect_abstract(name, left).map(boxed),
                Target::Address(address) => TcpStream::connect_timeout(address, left).map(boxed),
            };
            match stream {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn boxed(stream: impl Stream + 'static) -> Box<dyn Stream> {
    Box::new(stream)
}

fn bytes_to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;

    OsStr::from_bytes(bytes).into()
}

impl Judge for PolicyClient {
    fn judge(&self, thread: Pid, program: &Program, slow: &dyn Fn()) -> Verdict {
        let mut about = Subject::of(program);
        if about.command.len() > LONG_BYTES {
            slow();
        }
        let judged = self.in_process.as_ref().and_then(|in_process| {
            let mut question = self.question(thread, &about);
            if in_process.may_join(&question) {
                drop(question);
                about.keep_inherited(thread);
                question = self.question(thread, &about);
            }
            judge_here(in_process, &question)
        });
        let (outcome, answer) = judged.unwrap_or_else(|| {
            slow();
            about.keep_inherited(thread);
            let mut reader = Reader::default();
            let outcome = self.ask(&self.body(thread, &about), &mut reader);
            (outcome, *reader.answer())
        });
        if outcome == Outcome::Allowed || !self.enforces {
            return Verdict::Allowed;
        }
        Verdict::Refused(Some(self.manner.telling(thread, program, outcome, &answer)))
    }

    fn differs(&self, process: Pid, allowed: &[u8], started: &[u8]) -> bool {
        let [allowed, found] = [allowed, started].map(String::from_utf8_lossy);
        let found = found.replace('\0', " ");
        let found = found.trim_end();
        let message = format!(
            "process {process} was allowed to start {allowed:?} but started {found:?}, because \
             that was changed in between{}",
            if self.enforces { "; it was killed" } else { "" }
        );
        self.tell("changed-in-between", process, found, &message);
        self.enforces
    }

    fn answered(&self) {
        self.in_process.iter().for_each(InProcess::wake);
    }

    fn finish(&self) {
        self.in_process.iter().for_each(InProcess::finish);
    }

    fn judge_unreadable(&self, thread: Pid, why: Errno, slow: &dyn Fn()) -> Verdict {
        let became = if self.enforces { "was refused" } else { "runs unchecked" };
        let message = format!(
            "what process {thread} wanted to start {became}, because it cannot be read: {}",
            why.desc()
        );
        if self.in_process.is_none() {
            slow();
        }
        self.tell("unreadable", thread, "(unreadable)", &message);
        if self.enforces { Verdict::Refused(None) } else { Verdict::Allowed }
    }
}

/// `None` if the server has to be asked.
fn judge_here(in_process: &InProcess, question: &Question<'_>) -> Option<(Outcome, Answer)> {
    let verdict = in_process.decide(question)?;
    if verdict.allowed {
        return Some((Outcome::Allowed, Answer::EMPTY));
    }
    let mut reader = json::Reader::default();
    let told = serde_json::to_vec(&verdict).is_ok_and(|told| reader.feed(&told).is_ok());
    Some((Outcome::Denied, if told { *reader.answer() } else { Answer::EMPTY }))
}

/// Whether a descriptor of a thread survives `execve` (`proc_pid_fdinfo(5)`).
fn is_inherited(thread: Pid, number: usize) -> bool {
    let about = std::fs::read_to_string(format!("/proc/{thread}/fdinfo/{number}"));
    let flags = about.ok().and_then(|about| {
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:"))?;
        i32::from_str_radix(flags.trim(), 8).ok()
    });
    flags.is_some_and(|flags| flags & OFlag::O_CLOEXEC.bits() == 0)
}
