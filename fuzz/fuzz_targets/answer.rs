//! The reader of HTTP answers, against `httparse`, `serde_json` and a plain model of
//! how a body is framed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rampart_core::answer::{End, Reader};
use rampart_core::verdict::Outcome;
use rampart_fuzz::oracle;
use rampart_fuzz::pieces::pieces;

fuzz_target!(|wire: &[u8]| check(wire));

/// How much of a line the reader keeps: it may refuse a longer name or framing header.
const LONGEST_LINE: usize = 96;
/// The longest head and framing, all that is not body.
const LONGEST_HEAD: usize = 32 * 1024;
const LONGEST_BODY: usize = 64 * 1024;

/// The result does not depend on how the bytes are split; a verdict is what the model reads; and if
/// the model reads a verdict in an answer without oddities, so does the reader.
fn check(wire: &[u8]) {
    let whole = read([wire].into_iter());
    for other in [read(wire.chunks(1)), read(pieces(wire))] {
        assert_eq!(kind(other.end.outcome), kind(whole.end.outcome));
        if whole.end.reusable {
            assert!(other.end.reusable, "a connection that is kept or not as the pieces fall");
        }
    }
    if whole.end.reusable {
        assert_eq!(read(wire.chunks(1)).used, wire.len(), "something follows the answer");
    }
    let verdict = match whole.end.outcome {
        Outcome::Allowed => Some(true),
        Outcome::Denied => Some(false),
        _ => None,
    };
    if verdict.is_some() {
        let model = Model::read(&without_odd_bytes(wire)).and_then(|model| model.verdict());
        assert_eq!(verdict, model, "a verdict that the oracles do not read");
    }
    if let Some(plain) = Model::read(wire).filter(Model::is_plain)
        && let Some(expected) = plain.verdict()
    {
        assert_eq!(verdict, Some(expected), "a plain answer that is not taken");
    }
}

struct Read {
    end: End,
    /// How many bytes were fed before the end was certain.
    used: usize,
}

fn read<'w>(pieces: impl Iterator<Item = &'w [u8]>) -> Read {
    let mut reader = Reader::default();
    let mut used = 0;
    for piece in pieces {
        used += piece.len();
        if let Some(end) = reader.feed(piece) {
            return Read { end, used };
        }
    }
    Read { end: reader.closed(), used }
}

/// An outcome without its wording: the pieces decide which of two faults is seen first.
fn kind(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Garbled(_) => Outcome::Garbled("somehow"),
        other => other,
    }
}

/// Control bytes in a head replaced by spaces, as a recipient may (RFC 9110, 5.5).
fn without_odd_bytes(wire: &[u8]) -> Vec<u8> {
    let mut wire = wire.to_vec();
    let mut end = 0;
    while let Some(length) = wire[end..].iter().position(|byte| *byte == b'\n') {
        let line = &mut wire[end..end + length];
        let content = line.strip_suffix(b"\r").map_or(line.len(), <[u8]>::len);
        if content == 0 && end > 0 {
            // An interim response (1xx) is followed by another head.
            let next = end + length + 1;
            if !wire[next..].starts_with(b"HTTP/1.") {
                break;
            }
        } else {
            let odd = |byte: &&mut u8| byte.is_ascii_control() && **byte != b'\t';
            line[..content].iter_mut().filter(odd).for_each(|byte| *byte = b' ');
        }
        end += length + 1;
    }
    wire
}

/// An answer as `httparse` and plain string handling read it.
#[derive(Debug)]
struct Model {
    body: Vec<u8>,
    /// How many bytes are not body.
    framing: usize,
    /// Whether nothing in it is odd enough to be refused.
    plain: bool,
}

impl Model {
    fn read(wire: &[u8]) -> Option<Self> {
        let (mut start, mut plain) = (0, true);
        loop {
            let rest = &wire[start..];
            // httparse would skip empty lines.
            if !rest.starts_with(b"HTTP/1.") {
                return None;
            }
            let mut headers = vec![httparse::EMPTY_HEADER; LONGEST_HEAD / 3];
            let mut head = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(length) = head.parse(rest).ok()? else { return None };
            start += length;
            // Of an interim response (1xx), too.
            plain &= head.headers.iter().all(|header| header.name.len() < LONGEST_LINE);
            match head.code? {
                100 | 102..=199 => {}
                200 => {
                    let model = Self::read_body(&head, start, &wire[start..])?;
                    return Some(Self { plain: plain && model.plain, ..model });
                }
                _ => return None,
            }
        }
    }

    fn verdict(&self) -> Option<bool> {
        oracle::verdict(&self.body)
    }

    fn is_plain(&self) -> bool {
        self.plain && self.framing <= LONGEST_HEAD && self.body.len() <= LONGEST_BODY
    }

    fn read_body(head: &httparse::Response<'_, '_>, start: usize, rest: &[u8]) -> Option<Self> {
        let values = |name: &str| -> Vec<&[u8]> {
            let named = head.headers.iter().filter(|it| it.name.eq_ignore_ascii_case(name));
            named.map(|header| header.value.trim_ascii()).collect()
        };
        let lengths = values("Content-Length");
        let codings = values("Transfer-Encoding");
        let short = |value: &&[u8]| value.len() <= LONGEST_LINE / 2;
        let plain = lengths.iter().chain(&codings).all(short);
        match (&lengths[..], &codings[..]) {
            ([], []) => Some(Self { body: rest.to_vec(), framing: start, plain }),
            ([length], []) => {
                let length: usize = digits(length)?.parse().ok()?;
                Some(Self { body: rest.get(..length)?.to_vec(), framing: start, plain })
            }
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => {
                let (body, consumed, simple) = dechunk(rest)?;
                let framing = start + consumed - body.len();
                Some(Self { body, framing, plain: plain && simple && head.version == Some(1) })
            }
            _ => None,
        }
    }
}

fn digits(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// The content of a chunked body, its length in bytes, and whether its lines follow RFC 9112,
/// section 7.1.
fn dechunk(wire: &[u8]) -> Option<(Vec<u8>, usize, bool)> {
    let mut body = Vec::new();
    let mut rest = wire;
    let mut plain = true;
    loop {
        plain &= matches!(httparse::parse_chunk_size(rest), Ok(httparse::Status::Complete(_)));
        let line = take_line(&mut rest)?;
        let size = line.split(|byte| *byte == b';').next()?.trim_ascii();
        let size = std::str::from_utf8(size).ok()?;
        plain &= line.len() <= LONGEST_LINE;
        if !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            break;
        }
        let (chunk, behind) = rest.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        rest = behind;
        if !take_line(&mut rest)?.is_empty() {
            return None;
        }
    }
    while !take_line(&mut rest)?.is_empty() {}
    Some((body, wire.len() - rest.len(), plain))
}

fn take_line<'w>(rest: &mut &'w [u8]) -> Option<&'w [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}
