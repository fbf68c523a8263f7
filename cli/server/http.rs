//! HTTP/1.1 as far as a policy server has to understand it: where a request
//! ends, what it asks for, and what to say if it is not acceptable.

use std::mem::MaybeUninit;

use httparse::{Header, Status as Parsed};

use crate::token::Token;

/// The longest body that is read. The kernel's longest argument list is 6 MiB
/// and may grow in JSON.
pub const BODY_LIMIT: usize = 16 * 1024 * 1024;
const HEAD_LIMIT: usize = 16 * 1024;
const HEADERS_LIMIT: usize = 64;

/// What is sent where a client waits for leave to send its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A status that ends a request without an answer to its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// What was wrong, for a person.
    pub reason: &'static str,
}

const fn refusal(status: u16, reason: &'static str) -> Refusal {
    Refusal { status, reason }
}

const MALFORMED: Refusal = refusal(400, "this is not an HTTP/1.1 request");
const AMBIGUOUS: Refusal = refusal(400, "the length of the body is given in two ways");
const BAD_LENGTH: Refusal = refusal(400, "Content-Length is not a number");
/// A chunked body is not one.
pub const BAD_CHUNK: Refusal = refusal(400, "the chunked body is malformed");
const NO_TOKEN: Refusal = refusal(401, "the bearer token is missing or wrong");
const NOT_FOUND: Refusal =
    refusal(404, "there is only /v1/preflight/exec, /healthz and /health here");
const MUST_POST: Refusal = refusal(405, "this takes POST only");
const MUST_GET: Refusal = refusal(405, "this takes GET only");
/// A request was begun and not finished in time.
pub const TOO_SLOW: Refusal = refusal(408, "the request took too long to arrive");
/// Where the body of a request ends is not said.
pub const NO_LENGTH: Refusal = refusal(411, "the request has neither Content-Length nor chunks");
/// A body is longer than is read.
pub const TOO_LARGE: Refusal = refusal(413, "the body is over 16 MiB");
const BAD_EXPECTATION: Refusal = refusal(417, "only 100-continue can be expected");
/// Other large requests hold the memory that this one needs.
pub const TOO_MANY: Refusal = refusal(429, "too many large requests at once");
const HEAD_TOO_LARGE: Refusal = refusal(431, "the request's head is over 16 KiB or 64 fields");
const BAD_CODING: Refusal = refusal(501, "only the chunked transfer coding is known here");

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// May this command run?
    Preflight,
    /// Is the server well?
    Health,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// It has so many bytes.
    Length(usize),
    /// It comes in chunks.
    Chunked,
}

/// A request's head, read and found acceptable or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its bytes, the empty line included.
    pub bytes: usize,
    /// What is asked for, or why it is not answered.
    pub endpoint: Result<Endpoint, Refusal>,
    /// How the body ends, or why that cannot be told.
    pub framing: Result<Framing, Refusal>,
    /// Whether the client may use the connection again.
    pub keep_alive: bool,
    /// Whether the client waits for leave to send the body.
    pub expects_continue: bool,
}

/// Reads a head; `None`: it is not all there.
///
/// # Errors
/// The bytes are no head of a request, so that not even its end is known.
pub fn read_head(bytes: &[u8], token: &Token) -> Result<Option<Head>, Refusal> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_LIMIT];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(Parsed::Complete(length)) if length <= HEAD_LIMIT => length,
        Ok(Parsed::Partial) if bytes.len() <= HEAD_LIMIT => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HEAD_TOO_LARGE),
        Err(_) => return Err(MALFORMED),
    };
    let (method, target) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
    let fields = Fields::read(request.headers)?;
    let endpoint = route(method, path_of(target), fields.bearer, token);
    Ok(Some(Head {
        bytes: length,
        endpoint,
        framing: fields.framing(method),
        keep_alive: fields.keeps_alive(request.version == Some(1)),
        expects_continue: fields.expects_continue,
    }))
}

/// What is asked for by a method, a path and the bearer token that was shown.
///
/// # Errors
/// There is no such thing, or the token is not the one.
pub fn route(
    method: &str,
    path: &str,
    shown: Option<&[u8]>,
    token: &Token,
) -> Result<Endpoint, Refusal> {
    match (path, method) {
        ("/v1/preflight/exec", "POST") => {
            let shown = shown.ok_or(NO_TOKEN)?;
            if token.is(shown) { Ok(Endpoint::Preflight) } else { Err(NO_TOKEN) }
        }
        ("/v1/preflight/exec", _) => Err(MUST_POST),
        ("/healthz" | "/health", "GET") => Ok(Endpoint::Health),
        ("/healthz" | "/health", _) => Err(MUST_GET),
        _ => Err(NOT_FOUND),
    }
}

/// The path of a target, which may be a whole URL and may have a query.
fn path_of(target: &str) -> &str {
    let origin = target
        .strip_prefix("http://")
        .map_or(target, |rest| rest.find('/').map_or("/", |slash| &rest[slash..]));
    origin.split('?').next().unwrap_or(origin)
}

/// The header fields that matter here.
#[derive(Default)]
struct Fields<'a> {
    length: Option<u64>,
    coding: Option<&'a [u8]>,
    bearer: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl<'a> Fields<'a> {
    fn read(headers: &[Header<'a>]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for Header { name, value } in headers {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            if is("content-length") {
                let length = decimal(value).ok_or(BAD_LENGTH)?;
                if fields.length.replace(length).is_some_and(|earlier| earlier != length) {
                    return Err(AMBIGUOUS);
                }
            } else if is("transfer-encoding") {
                if fields.coding.replace(value).is_some() {
                    return Err(AMBIGUOUS);
                }
            } else if is("authorization") {
                fields.bearer = bearer(value);
            } else if is("connection") {
                for option in value.split(|byte| *byte == b',') {
                    fields.close |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                    fields.keep_alive |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                }
            } else if is("expect") {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(BAD_EXPECTATION);
                }
                fields.expects_continue = true;
            }
        }
        if fields.length.is_some() && fields.coding.is_some() {
            return Err(AMBIGUOUS);
        }
        Ok(fields)
    }

    fn framing(&self, method: &str) -> Result<Framing, Refusal> {
        match (self.coding, self.length) {
            (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (Some(_), _) => Err(BAD_CODING),
            (None, Some(length)) => usize::try_from(length)
                .ok()
                .filter(|length| *length <= BODY_LIMIT)
                .map(Framing::Length)
                .ok_or(TOO_LARGE),
            (None, None) if method == "POST" => Err(NO_LENGTH),
            (None, None) => Ok(Framing::Length(0)),
        }
    }

    fn keeps_alive(&self, is_1_1: bool) -> bool {
        !self.close && (is_1_1 || self.keep_alive)
    }
}

fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than fit are a number all the same: one that is too large.
    Some(std::str::from_utf8(value).ok()?.parse().unwrap_or(u64::MAX))
}

/// The bearer token in an `Authorization` field.
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// The words that go with a status.
pub fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Framing, Head, Refusal, read_head};
    use crate::token::Token;

    const EXEC: &str = "POST /v1/preflight/exec HTTP/1.1\r\nAuthorization: Bearer t\r\n";

    fn head(text: &str) -> Result<Option<Head>, Refusal> {
        read_head(text.as_bytes(), &Token::new("t").unwrap())
    }

    fn status(text: &str) -> u16 {
        match head(text) {
            Ok(Some(head)) => match (head.endpoint, head.framing) {
                (Err(refusal), _) | (_, Err(refusal)) => refusal.status,
                _ => 200,
            },
            Ok(None) => 0,
            Err(refusal) => refusal.status,
        }
    }

    #[test]
    fn each_fault_of_a_head_has_its_status() {
        let many = "X: y\r\n".repeat(65);
        let long = format!("X: {}\r\n", "y".repeat(20_000));
        let table: &[(u16, &str)] = &[
            (200, &format!("{EXEC}Content-Length: 2\r\n\r\n")),
            (200, &format!("{EXEC}content-length: 2\r\nCONTENT-LENGTH: 2\r\n\r\n")),
            (200, &format!("{EXEC}Transfer-Encoding: Chunked\r\n\r\n")),
            (200, "GET /healthz HTTP/1.1\r\n\r\n"),
            (200, "GET /health?x=1 HTTP/1.0\r\n\r\n"),
            (200, "GET http://127.0.0.1:1/health HTTP/1.1\r\n\r\n"),
            (0, EXEC),
            (0, ""),
            (400, "hello\r\n\r\n"),
            (400, "\u{16}\u{3}\u{1}"),
            (400, &format!("{EXEC}Content-Length: 2\r\nContent-Length: 3\r\n\r\n")),
            (400, &format!("{EXEC}Content-Length: +2\r\n\r\n")),
            (400, &format!("{EXEC}Content-Length:\r\n\r\n")),
            (400, &format!("{EXEC}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n")),
            (401, "POST /v1/preflight/exec HTTP/1.1\r\nContent-Length: 2\r\n\r\n"),
            (401, "POST /v1/preflight/exec HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n"),
            (401, "POST /v1/preflight/exec HTTP/1.1\r\nAuthorization: Basic t\r\n\r\n"),
            (401, "POST /v1/preflight/exec HTTP/1.1\r\nAuthorization: Bearer\r\n\r\n"),
            (404, "GET / HTTP/1.1\r\n\r\n"),
            (404, "GET /v1/preflight/exec/x HTTP/1.1\r\n\r\n"),
            (405, "GET /v1/preflight/exec HTTP/1.1\r\n\r\n"),
            (405, "POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
            (411, &format!("{EXEC}\r\n")),
            (413, &format!("{EXEC}Content-Length: 16777217\r\n\r\n")),
            (413, &format!("{EXEC}Content-Length: 99999999999999999999999\r\n\r\n")),
            (417, &format!("{EXEC}Expect: the-unexpected\r\n\r\n")),
            (431, &format!("{EXEC}{many}\r\n")),
            (431, &format!("{EXEC}{long}")),
            (431, &format!("{EXEC}{long}\r\n")),
            (501, &format!("{EXEC}Transfer-Encoding: gzip, chunked\r\n\r\n")),
        ];
        for (expected, text) in table {
            assert_eq!(status(text), *expected, "{text}");
        }
    }

    #[test]
    fn a_head_says_whether_the_connection_is_kept() {
        for (text, kept) in [
            ("GET /health HTTP/1.1\r\n\r\n", true),
            ("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", false),
            ("GET /health HTTP/1.1\r\nConnection: foo, Close\r\n\r\n", false),
            ("GET /health HTTP/1.0\r\n\r\n", false),
            ("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            let head = head(text).unwrap().unwrap();
            assert_eq!(head.keep_alive, kept, "{text}");
            assert_eq!(head.endpoint, Ok(Endpoint::Health));
            assert_eq!(head.framing, Ok(Framing::Length(0)));
        }
    }
}
