//! The HTTP request of a check: `POST …/v1/preflight/exec` (`docs/protocol.md`, Request).

#[cfg(test)]
mod tests;

use core::num::NonZeroU64;

use crate::arena::{Arena, Decimal, Full, TextBuffer};
use crate::command::{self, Count, Sink};
use crate::coverage::Coverage;
use crate::url::Url;

/// The constant parts of a process's requests, made once.
#[derive(Debug, Clone, Copy)]
pub struct Preamble<'m> {
    head: &'m [u8],
    body: &'m [u8],
    waits: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Name of the agent.
    pub agent: &'a [u8],
    /// Session of the agent.
    pub session: &'a [u8],
    /// Bearer token.
    pub token: Option<&'a [u8]>,
    /// How long the library waits for a person's decision, in milliseconds; `None`: not at all. If
    /// it waits, the server may answer `102 Processing` first.
    pub ask_ms: Option<u32>,
}

/// Why there is no preamble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreambleError {
    /// The token holds a byte that is not allowed in a header line.
    Token,
    /// URL, token, agent and session together are too long.
    TooLong,
}

impl From<Full> for PreambleError {
    fn from(_: Full) -> Self {
        Self::TooLong
    }
}

impl<'m> Preamble<'m> {
    /// The preamble for requests of `asker` to the server at `url`.
    ///
    /// # Errors
    /// [`PreambleError`]; then the server cannot be asked.
    pub fn new(
        url: &Url<'_>,
        asker: &Asker<'_>,
        arena: &mut Arena<'m>,
    ) -> Result<Self, PreambleError> {
        let authorization: [&[u8]; 3] = match asker.token {
            Some(token) if token.iter().all(u8::is_ascii_graphic) => {
                [b"Authorization: Bearer ", token, b"\r\n"]
            }
            Some(_) => return Err(PreambleError::Token),
            None => [b""; 3],
        };
        let [label, token, end] = authorization;
        let head = arena.join(&[
            b"POST ",
            url.prefix,
            b"/v1/preflight/exec HTTP/1.1\r\nHost: ",
            url.authority,
            b"\r\n",
            label,
            token,
            end,
            b"Content-Type: application/json\r\nContent-Length: ",
        ])?;
        let body = arena.write(|text| {
            text.push(b"{")?;
            if let Some(ms) = asker.ask_ms {
                push_ask_ms(text, ms)?;
            }
            text.push(br#""agent":""#)?;
            command::write_text(asker.agent, text)?;
            text.push(br#"","session":""#)?;
            command::write_text(asker.session, text)?;
            text.push(br#"","params":{"command":""#)
        })?;
        Ok(Self { head, body, waits: asker.ask_ms.is_some() })
    }

    /// Whether the requests tell the server that the library waits for a person's decision.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waits
    }
}

/// Not inlined: [`Preamble::new`] has the largest stack frame as it is.
#[inline(never)]
fn push_ask_ms(text: &mut TextBuffer<'_>, ms: u32) -> Result<(), Full> {
    text.push(br#""ask_ms":"#)?;
    text.push(Decimal::new(u64::from(ms)).as_bytes())?;
    text.push(b",")
}

impl Sink for TextBuffer<'_> {
    type Stop = Full;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.push(bytes)
    }
}

/// What is about to run.
#[derive(Debug, Clone)]
pub enum Command<'q, Arguments> {
    /// A program and its arguments.
    Program {
        /// See [`command::truthful_name`].
        name: &'q [u8],
        /// `argv[0]` if it is another word: it selects what a multi-call program does.
        other_name: Option<&'q [u8]>,
        /// The arguments after `argv[0]`.
        arguments: Arguments,
    },
    /// A command line that the C library passes to a shell.
    Line(&'q [u8]),
}

/// A question: what is about to run, and where.
#[derive(Debug, Clone)]
pub struct Question<'q, Arguments> {
    /// What is about to run.
    pub command: Command<'q, Arguments>,
    /// Working directory, if it is known for certain.
    pub cwd: Option<&'q [u8]>,
    /// How much will be seen of the program, if that is known.
    pub coverage: Option<Coverage>,
    /// How many programs ran unchecked since the server's last answer.
    pub missed: u32,
    /// The pipes that it will read from and write to, if that is certain.
    pub pipes: Pipes,
    /// The process that asks.
    pub process: Process,
}

/// A process and its parent, by the IDs of its own PID namespace; 0 if not known. The server may
/// look when the process has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    /// Its ID.
    pub id: u32,
    /// That of its parent.
    pub parent: u32,
}

impl Process {
    /// Writes it as JSON fields after others. Not inlined, to keep the frame of the callers small.
    #[inline(never)]
    fn write<S: Sink>(self, sink: &mut S) -> Result<(), S::Stop> {
        for (name, id) in [(br#","pid":"#.as_slice(), self.id), (br#","parent":"#, self.parent)] {
            if id == 0 {
                break;
            }
            sink.put(name)?;
            sink.put(Decimal::new(u64::from(id)).as_bytes())?;
        }
        Ok(())
    }
}

/// The inode numbers of the pipes that are a program's standard input and output (`st_ino`,
/// inode(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pipes {
    /// The pipe that it reads from.
    pub stdin: Option<NonZeroU64>,
    /// The pipe that it writes to.
    pub stdout: Option<NonZeroU64>,
}

impl Pipes {
    /// Writes them as JSON fields after others. Not inlined, to keep the frame of the callers
    /// small.
    #[inline(never)]
    fn write<S: Sink>(self, sink: &mut S) -> Result<(), S::Stop> {
        for (name, pipe) in [("stdin", self.stdin), ("stdout", self.stdout)] {
            let Some(pipe) = pipe else { continue };
            sink.put(br#",""#)?;
            sink.put(name.as_bytes())?;
            sink.put(br#"":"pipe:["#)?;
            sink.put(Decimal::new(pipe.get()).as_bytes())?;
            sink.put(br#"]""#)?;
        }
        Ok(())
    }
}

/// Why a request was not sent completely.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError<Stop> {
    /// Another thread changed the arguments meanwhile.
    Changed,
    /// The sink stopped.
    Stopped(Stop),
}

impl<'q, Arguments> Question<'q, Arguments> {
    /// A question about a command line that the C library passes to a shell.
    #[must_use]
    pub fn about_line(line: &'q [u8], cwd: Option<&'q [u8]>) -> Self {
        let (command, pipes) = (Command::Line(line), Pipes::default());
        Self { command, cwd, coverage: None, missed: 0, pipes, process: Process::default() }
    }
}

impl<'q, Arguments: Iterator<Item = &'q [u8]> + Clone> Question<'q, Arguments> {
    /// Writes the request. The arguments are read twice, to measure and to send, so that no buffer
    /// of their size is needed.
    ///
    /// # Errors
    /// [`SendError`]; then the connection cannot be used any more.
    pub fn write<S: Sink>(
        &self,
        preamble: &Preamble<'_>,
        sink: &mut S,
    ) -> Result<(), SendError<S::Stop>> {
        let bytes = self.body_length(preamble);
        let length = Decimal::new(u64::try_from(bytes).unwrap_or(u64::MAX));
        for piece in [preamble.head, length.as_bytes(), b"\r\n\r\n"] {
            sink.put(piece).map_err(SendError::Stopped)?;
        }
        let mut body = Exactly { left: bytes, sink };
        self.write_body(preamble, &mut body)?;
        if body.left == 0 { Ok(()) } else { Err(SendError::Changed) }
    }

    /// The size of the body, in bytes. Not inlined, to keep the frame of [`Self::write`] small.
    #[inline(never)]
    pub fn body_length(&self, preamble: &Preamble<'_>) -> usize {
        let mut count = Count::default();
        let Ok(()) = self.write_body(preamble, &mut count);
        count.0
    }

    fn write_body<S: Sink>(&self, preamble: &Preamble<'_>, sink: &mut S) -> Result<(), S::Stop> {
        sink.put(preamble.body)?;
        match &self.command {
            Command::Program { name, other_name, arguments } => {
                command::write_words(core::iter::once(*name).chain(arguments.clone()), sink)?;
                sink.put(br#"","form":"argv"#)?;
                if let Some(other_name) = other_name {
                    sink.put(br#"","argv0":""#)?;
                    command::write_text(other_name, sink)?;
                }
            }
            Command::Line(line) => {
                command::write_text(line, sink)?;
                sink.put(br#"","form":"line"#)?;
            }
        }
        sink.put(br#"""#)?;
        if let Some(coverage) = self.coverage {
            sink.put(br#","coverage":""#)?;
            sink.put(coverage.word().as_bytes())?;
            sink.put(br#"""#)?;
        }
        self.pipes.write(sink)?;
        self.process.write(sink)?;
        sink.put(b"}")?;
        if let Some(cwd) = self.cwd {
            sink.put(br#","cwd":""#)?;
            command::write_text(cwd, sink)?;
            sink.put(br#"""#)?;
        }
        if self.missed > 0 {
            sink.put(br#","missed":"#)?;
            sink.put(Decimal::new(u64::from(self.missed)).as_bytes())?;
        }
        sink.put(br#","enforce":true}"#)
    }
}

/// A sink that accepts `left` more bytes.
struct Exactly<'s, S> {
    left: usize,
    sink: &'s mut S,
}

impl<S: Sink> Sink for Exactly<'_, S> {
    type Stop = SendError<S::Stop>;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Stop> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(SendError::Changed)?;
        self.sink.put(bytes).map_err(SendError::Stopped)
    }
}
