//! Requests and answers.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::asker::Asker;

/// Few bodies are longer.
const COMMON_BYTES: usize = 512;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// May this command run? (`POST /v1/preflight/exec`)
    Preflight,
    /// Is the server up? (`GET /healthz`)
    Health,
    /// Which questions wait for a person? (`GET /v1/approvals`)
    Approvals,
    /// A person's answer to one of them (`POST /v1/approvals/ID/resolve`).
    Resolve,
}

/// A complete request that may be answered.
pub struct AdmittedRequest {
    pub endpoint: Endpoint,
    /// The ID of the question that a person answers; empty for other endpoints.
    pub subject: String,
    /// The body, at most 16 MiB.
    pub body: Bytes,
    pub asker: Asker,
}

/// Answers questions, now or later.
pub trait Handler: 'static {
    /// The answer to a complete request that may be asked.
    async fn answer(&self, asked: AdmittedRequest) -> Answer;
}

/// A status and a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Answer {
    /// An answer with this value as its body.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        let mut body = Vec::with_capacity(COMMON_BYTES);
        // Serialising fails only for maps whose keys are not strings, which are never sent.
        let _ = serde_json::to_writer(&mut body, value);
        Self { status, body: body.into() }
    }

    /// An error, with a message for a person.
    pub fn fault(status: StatusCode, message: &str) -> Self {
        #[derive(Serialize)]
        struct Fault<'a> {
            error: Option<&'static str>,
            message: &'a str,
        }
        Self::json(status, &Fault { error: status.canonical_reason(), message })
    }

    /// The HTTP response.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

/// Why a request does not reach the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    /// What was wrong, for a person.
    reason: &'static str,
}

const fn refusal(status: StatusCode, reason: &'static str) -> Refusal {
    Refusal { status, reason }
}

pub const BAD_BODY: Refusal = refusal(StatusCode::BAD_REQUEST, "the chunked body is malformed");
pub const NO_TOKEN: Refusal =
    refusal(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong");
pub const NOT_FOUND: Refusal =
    refusal(StatusCode::NOT_FOUND, "there is only /v1/preflight/exec, /healthz and /health here");
pub const MUST_POST: Refusal = refusal(StatusCode::METHOD_NOT_ALLOWED, "this takes POST only");
pub const MUST_GET: Refusal = refusal(StatusCode::METHOD_NOT_ALLOWED, "this takes GET only");
/// A request was begun and not finished in time.
pub const TOO_SLOW: Refusal =
    refusal(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive");
/// The head cannot be parsed.
const NO_HEAD: Refusal = refusal(StatusCode::BAD_REQUEST, "the request's head is not HTTP/1.1");
const LONG_HEAD: Refusal =
    refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's head is over 8 KiB");
pub const NO_LENGTH: Refusal =
    refusal(StatusCode::LENGTH_REQUIRED, "the request has neither Content-Length nor chunks");
pub const TOO_LARGE: Refusal = refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is over 16 MiB");
pub const BAD_EXPECTATION: Refusal =
    refusal(StatusCode::EXPECTATION_FAILED, "only 100-continue can be expected");
/// Not 503: a client may let everything run if the server is unavailable.
pub const TOO_MANY: Refusal =
    refusal(StatusCode::TOO_MANY_REQUESTS, "too many large requests at once");
pub const TOO_MANY_FIELDS: Refusal =
    refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's head has over 64 fields");
pub const BAD_CODING: Refusal =
    refusal(StatusCode::NOT_IMPLEMENTED, "only the chunked transfer coding is known here");

impl Refusal {
    /// The refusal for a request whose head cannot be read, for the status that hyper chose.
    pub fn of_head(status: StatusCode) -> Self {
        if status == LONG_HEAD.status { LONG_HEAD } else { NO_HEAD }
    }

    /// The refusal as a handler's answer.
    pub fn answer(self) -> Answer {
        Answer::fault(self.status, self.reason)
    }

    /// The HTTP response. It closes the connection where the body may still be on its way, so that
    /// no further request can follow.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = self.answer().into_response();
        let (name, value) = match self.status {
            StatusCode::UNAUTHORIZED => (WWW_AUTHENTICATE, "Bearer"),
            StatusCode::METHOD_NOT_ALLOWED if self == MUST_POST => (ALLOW, "POST"),
            StatusCode::METHOD_NOT_ALLOWED => (ALLOW, "GET"),
            StatusCode::NOT_FOUND => return response,
            _ => (CONNECTION, "close"),
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }

    /// The bytes of the HTTP/1.1 response, for a request that hyper could not parse.
    pub fn text(self) -> String {
        let Answer { status, body } = self.answer();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{}",
            body.len(),
            String::from_utf8_lossy(&body)
        )
    }
}
