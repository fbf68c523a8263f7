//! Reads an HTTP/1.1 answer that arrives in any pieces (RFC 9112; `docs/protocol.md`, Answers).

#[cfg(test)]
mod tests;

use crate::arena::{Decimal, copy_fitting};
use crate::json;
use crate::verdict::{Outcome, Unreachable};

/// Status line and headers, in bytes; longer ones are an error.
const LONGEST_HEAD: usize = 32 * 1024;
/// In bytes; a longer body is an error.
pub const LONGEST_BODY: usize = 64 * 1024;
/// How much of a line is kept, in bytes; the headers that matter are shorter.
const LONGEST_LINE: usize = 96;

const NOT_HTTP: &str = "what answers at RAMPART_URL does not speak HTTP";
const BAD_FRAMING: &str = "the policy server's answer has contradictory headers";
const BAD_CHUNK: &str = "the policy server's answer has a broken chunk";
const TOO_LONG: &str = "the policy server's answer is too long";

/// Reads one answer.
#[derive(Debug, Default)]
pub struct Reader {
    position: Position,
    line: Line,
    head_length: usize,
    body_length: usize,
    status: u16,
    is_held: bool,
    closes: bool,
    content_length: Option<usize>,
    chunked: bool,
    json: json::Reader,
}

/// Where in the answer the next byte is.
#[derive(Debug, Default, Clone, Copy)]
enum Position {
    #[default]
    StatusLine,
    Headers,
    /// In the body, with this many bytes to come.
    Counted(usize),
    /// In a body that ends when the connection is closed.
    UntilClose,
    ChunkSize,
    /// In a chunk, with this many bytes to come.
    Chunk(usize),
    ChunkEnd,
    Trailers,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// What it means.
    pub outcome: Outcome,
    /// Whether the connection can take another request.
    pub reusable: bool,
}

impl End {
    fn final_(outcome: Outcome) -> Self {
        Self { outcome, reusable: false }
    }
}

impl Reader {
    /// Reads more of the answer. Returns the result as soon as it is certain.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Option<End> {
        while !bytes.is_empty() {
            let step = match self.position {
                Position::Counted(left) => self.take_body(left, &mut bytes),
                Position::Chunk(left) => self.take_chunk(left, &mut bytes),
                Position::UntilClose => self.take_rest(&mut bytes),
                _ => self.take_line(&mut bytes),
            };
            match step {
                Ok(None) => {}
                // Bytes after the answer answer no question: the connection is out of step.
                Ok(Some(end)) => {
                    return Some(End { reusable: end.reusable && bytes.is_empty(), ..end });
                }
                Err(why) => return Some(End::final_(Outcome::Garbled(why))),
            }
        }
        None
    }

    /// The result if the connection was closed here.
    #[must_use]
    pub fn closed(&self) -> End {
        match self.position {
            Position::UntilClose => self.end_of_body(),
            _ => End::final_(Outcome::Unreachable(Unreachable::Cut)),
        }
    }

    /// What has been read of the body.
    #[must_use]
    pub fn answer(&self) -> &json::Answer {
        self.json.answer()
    }

    /// Whether any byte of the answer has arrived.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.head_length > 0
    }

    /// Whether the server has said that it waits for a person's decision (`102 Processing`).
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    fn take_line(&mut self, bytes: &mut &[u8]) -> Result<Option<End>, &'static str> {
        let (taken, ended) = self.line.take(bytes);
        self.head_length = self.head_length.saturating_add(taken);
        if self.head_length > LONGEST_HEAD {
            return Err(TOO_LONG);
        }
        if matches!(self.position, Position::StatusLine) {
            self.line.may_be_status_line()?;
        }
        if !ended {
            return Ok(None);
        }
        let line = core::mem::take(&mut self.line);
        match self.position {
            Position::StatusLine => self.read_status_line(&line)?,
            Position::Headers if line.is_empty() => return self.end_of_head(),
            Position::Headers => self.read_header(&line)?,
            Position::ChunkSize => self.read_chunk_size(&line)?,
            Position::ChunkEnd if line.is_empty() => self.position = Position::ChunkSize,
            Position::Trailers if line.is_empty() => return Ok(Some(self.end_of_body())),
            Position::Trailers => {}
            _ => return Err(BAD_CHUNK),
        }
        Ok(None)
    }

    fn read_status_line(&mut self, line: &Line) -> Result<(), &'static str> {
        let rest = line.kept().strip_prefix(b"HTTP/1.").ok_or(NOT_HTTP)?;
        let (minor, digits) = match rest {
            [minor @ (b'0' | b'1'), b' ', a, b, c]
            | [minor @ (b'0' | b'1'), b' ', a, b, c, b' ', ..] => (*minor, [*a, *b, *c]),
            _ => return Err(NOT_HTTP),
        };
        self.status = Decimal::parse(&digits)
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| *status >= 100)
            .ok_or(NOT_HTTP)?;
        self.closes = minor == b'0';
        self.position = Position::Headers;
        Ok(())
    }

    fn read_header(&mut self, line: &Line) -> Result<(), &'static str> {
        let kept = line.kept();
        // A name that is cut has no colon here: no header is that long.
        let colon = kept.iter().position(|byte| *byte == b':').ok_or(NOT_HTTP)?;
        let (name, value) = kept.split_at_checked(colon).unwrap_or_default();
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(NOT_HTTP);
        }
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = Decimal::parse(value).ok_or(BAD_FRAMING)?;
            if line.is_cut() || self.content_length.is_some() {
                return Err(BAD_FRAMING);
            }
            self.content_length = Some(usize::try_from(length).unwrap_or(usize::MAX));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if line.is_cut() || self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(BAD_FRAMING);
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.closes |= line.is_cut() || options.any(|it| it.eq_ignore_ascii_case(b"close"));
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<Option<End>, &'static str> {
        match self.status {
            // 101 would be another protocol; the others come before the real answer.
            100 | 102..=199 => {
                self.position = Position::StatusLine;
                self.is_held |= self.status == 102;
                self.content_length = None;
                self.chunked = false;
                return Ok(None);
            }
            200 => {}
            500..=599 => {
                let why = Unreachable::ServerError(self.status);
                return Ok(Some(End::final_(Outcome::Unreachable(why))));
            }
            _ => return Ok(Some(End::final_(Outcome::Status(self.status)))),
        }
        self.position = match (self.chunked, self.content_length) {
            (true, Some(_)) => return Err(BAD_FRAMING),
            (true, None) => Position::ChunkSize,
            (false, Some(length)) if length > LONGEST_BODY => return Err(TOO_LONG),
            (false, Some(0)) => return Ok(Some(self.end_of_body())),
            (false, Some(length)) => Position::Counted(length),
            (false, None) => {
                self.closes = true;
                Position::UntilClose
            }
        };
        Ok(None)
    }

    fn take_body(&mut self, left: usize, bytes: &mut &[u8]) -> Result<Option<End>, &'static str> {
        let taken = self.take_json(left, bytes)?;
        let left = left.saturating_sub(taken);
        self.position = Position::Counted(left);
        Ok((left == 0).then(|| self.end_of_body()))
    }

    fn take_chunk(&mut self, left: usize, bytes: &mut &[u8]) -> Result<Option<End>, &'static str> {
        let taken = self.take_json(left, bytes)?;
        let left = left.saturating_sub(taken);
        self.position = if left == 0 { Position::ChunkEnd } else { Position::Chunk(left) };
        Ok(None)
    }

    fn take_rest(&mut self, bytes: &mut &[u8]) -> Result<Option<End>, &'static str> {
        self.take_json(usize::MAX, bytes)?;
        Ok(None)
    }

    /// Reads at most `left` bytes of the body; returns how many.
    fn take_json(&mut self, left: usize, bytes: &mut &[u8]) -> Result<usize, &'static str> {
        let (body, rest) = bytes.split_at_checked(left).unwrap_or((bytes, b""));
        *bytes = rest;
        self.body_length = self.body_length.saturating_add(body.len());
        if self.body_length > LONGEST_BODY {
            return Err(TOO_LONG);
        }
        self.json.feed(body)?;
        Ok(body.len())
    }

    fn read_chunk_size(&mut self, line: &Line) -> Result<(), &'static str> {
        let kept = line.kept();
        // A chunk extension may follow the size and may be cut; the size may not.
        let end = match kept.iter().position(|byte| *byte == b';') {
            Some(end) => end,
            None if line.is_cut() => return Err(BAD_CHUNK),
            None => kept.len(),
        };
        let digits = kept.get(..end).unwrap_or_default().trim_ascii();
        if digits.is_empty() {
            return Err(BAD_CHUNK);
        }
        let size = digits.iter().try_fold(0usize, |sum, byte| {
            let digit = char::from(*byte).to_digit(16).ok_or(BAD_CHUNK)?;
            let sum = sum.saturating_mul(16).saturating_add(usize::try_from(digit).unwrap_or(0));
            if sum > LONGEST_BODY { Err(TOO_LONG) } else { Ok(sum) }
        })?;
        self.position = if size == 0 { Position::Trailers } else { Position::Chunk(size) };
        Ok(())
    }

    fn end_of_body(&self) -> End {
        match self.json.finish() {
            Ok(true) => End { outcome: Outcome::Allowed, reusable: !self.closes },
            Ok(false) => End { outcome: Outcome::Denied, reusable: !self.closes },
            Err(why) => End::final_(Outcome::Garbled(why)),
        }
    }
}

/// The kept part of a line, without its line break.
#[derive(Debug)]
struct Line {
    bytes: [u8; LONGEST_LINE],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; LONGEST_LINE], length: 0 }
    }
}

impl Line {
    /// Takes bytes up to the end of the line; returns how many, and whether the line has ended.
    fn take(&mut self, bytes: &mut &[u8]) -> (usize, bool) {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end {
            Some(at) => (bytes.get(..at), bytes.get(at.saturating_add(1)..)),
            None => (Some(*bytes), None),
        };
        let line = line.unwrap_or_default();
        copy_fitting(&mut self.bytes, self.length, line);
        self.length = self.length.saturating_add(line.len());
        *bytes = rest.unwrap_or_default();
        (line.len().saturating_add(usize::from(end.is_some())), end.is_some())
    }

    fn is_cut(&self) -> bool {
        self.length > LONGEST_LINE
    }

    fn kept(&self) -> &[u8] {
        let kept = self.bytes.get(..self.length).unwrap_or(&self.bytes);
        if self.is_cut() { kept } else { kept.strip_suffix(b"\r").unwrap_or(kept) }
    }

    fn is_empty(&self) -> bool {
        !self.is_cut() && self.kept().is_empty()
    }

    /// An error as soon as the first bytes show that this is not HTTP.
    fn may_be_status_line(&self) -> Result<(), &'static str> {
        let starts_alike = self.kept().iter().zip(b"HTTP/1.").all(|(ours, theirs)| ours == theirs);
        if starts_alike { Ok(()) } else { Err(NOT_HTTP) }
    }
}

/// Whether a byte may be part of a header's name (`token`, RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
