//! Checks who may ask what, reads a request within all limits, and passes it to the handler.

use std::cell::Cell;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Method, Request, Response, Version};

use super::answer::{
    AdmittedRequest, BAD_BODY, BAD_CODING, BAD_EXPECTATION, Endpoint, Handler, MUST_GET, MUST_POST,
    NO_LENGTH, NO_TOKEN, NOT_FOUND, Refusal, TOO_LARGE, TOO_MANY, TOO_MANY_FIELDS,
};
use super::asker::Asker;
use super::connections::{Phase, Visit};
use crate::token::Token;

/// The longest body. The kernel's longest argument list is 6 MiB, and escapes make it longer in
/// JSON.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
const FIELDS_LIMIT: usize = 64;
/// A longer body counts against the budget.
const COMMON_BYTES: usize = 16 * 1024;
/// How much memory all large bodies together may take.
const BUDGET_BYTES: usize = 128 * 1024 * 1024;

/// What all connections of a server share.
pub struct Admission<H> {
    token: Token,
    handler: H,
    /// What is left of the budget for large bodies.
    budget: Cell<usize>,
}

impl<H: Handler> Admission<H> {
    pub fn new(token: Token, handler: H) -> Self {
        Self { token, handler, budget: Cell::new(BUDGET_BYTES) }
    }

    /// Answers one request.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        asker: &Asker,
        visit: &Visit,
    ) -> Response<Full<Bytes>> {
        let keeps = keeps_connection(&request);
        // Its head may have come with the request before.
        visit.has_begun();
        let answered = self.respond(request, asker, visit).await;
        visit.enter(Phase::Sending);
        let mut response = answered.unwrap_or_else(Refusal::into_response);
        if !keeps {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        asker: &Asker,
        visit: &Visit,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let (head, body) = request.into_parts();
        let endpoint = self.route(&head.method, head.uri.path(), &head.headers)?;
        check_framing(&head.method, &head.headers)?;
        let mut whole = BodyBuffer { budget: &self.budget, charged: 0, bytes: Vec::new() };
        let body = whole.read(body).await?;
        visit.enter(Phase::Answering);
        if let (Endpoint::Preflight, Some(process)) = (endpoint, asker.peer.pid) {
            visit.note_asker(process);
        }
        let subject = match endpoint {
            Endpoint::Resolve => subject(head.uri.path()).unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let request = AdmittedRequest { endpoint, subject, body, asker: asker.clone() };
        Ok(self.handler.answer(request).await.into_response())
    }

    /// The endpoint for a method and path, if the client has shown the token that it needs.
    fn route(&self, method: &Method, path: &str, fields: &HeaderMap) -> Result<Endpoint, Refusal> {
        match (path, method) {
            ("/v1/preflight/exec", &Method::POST) => {
                let shown = fields.get(AUTHORIZATION).and_then(bearer).ok_or(NO_TOKEN)?;
                if self.token.is(shown) { Ok(Endpoint::Preflight) } else { Err(NO_TOKEN) }
            }
            ("/v1/preflight/exec", _) => Err(MUST_POST),
            ("/healthz" | "/health", &Method::GET) => Ok(Endpoint::Health),
            // No token: the process at the other end of the socket decides who may do this.
            ("/v1/approvals", &Method::GET) => Ok(Endpoint::Approvals),
            ("/healthz" | "/health" | "/v1/approvals", _) => Err(MUST_GET),
            (path, &Method::POST) if subject(path).is_some() => Ok(Endpoint::Resolve),
            (path, _) if subject(path).is_some() => Err(MUST_POST),
            _ => Err(NOT_FOUND),
        }
    }
}

/// The ID of the question in a path.
fn subject(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/approvals/")?.strip_suffix("/resolve").filter(|id| !id.contains('/'))
}

/// Whether the connection stays open. An HTTP/1.0 client that did not ask for that is told that it
/// ends.
fn keeps_connection(request: &Request<Incoming>) -> bool {
    let asks = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    request.version() != Version::HTTP_10 || request.headers().get(CONNECTION).is_some_and(asks)
}

/// The bearer token in an `Authorization` field (RFC 6750, section 2.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Refuses a body whose length or coding is not supported.
fn check_framing(method: &Method, fields: &HeaderMap) -> Result<(), Refusal> {
    let coding = fields.get(TRANSFER_ENCODING);
    if fields.len() > FIELDS_LIMIT {
        return Err(TOO_MANY_FIELDS);
    }
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(BAD_CODING);
    }
    let expected = fields.get(EXPECT).map(HeaderValue::as_bytes);
    if expected.is_some_and(|what| !what.eq_ignore_ascii_case(b"100-continue")) {
        return Err(BAD_EXPECTATION);
    }
    if method == Method::POST && coding.is_none() && !fields.contains_key(CONTENT_LENGTH) {
        return Err(NO_LENGTH);
    }
    Ok(())
}

/// A body that is being read. It returns its share of the budget on drop.
struct BodyBuffer<'b> {
    budget: &'b Cell<usize>,
    charged: usize,
    bytes: Vec<u8>,
}

impl BodyBuffer<'_> {
    /// Reads a body to its end. Most arrive in one piece, which is not copied.
    async fn read(&mut self, mut body: Incoming) -> Result<Bytes, Refusal> {
        let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if expected > BODY_LIMIT {
            return Err(TOO_LARGE);
        }
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| BAD_BODY)?.into_data() else { continue };
            if self.bytes.is_empty() && piece.len() == expected {
                return Ok(piece);
            }
            self.add(&piece, expected)?;
        }
        Ok(std::mem::take(&mut self.bytes).into())
    }

    fn add(&mut self, piece: &[u8], expected: usize) -> Result<(), Refusal> {
        let length = self.bytes.len() + piece.len();
        if length > BODY_LIMIT {
            return Err(TOO_LARGE);
        }
        if length > self.bytes.capacity() {
            let doubled = (2 * length).max(COMMON_BYTES);
            let room = if expected > length { doubled.min(expected) } else { doubled };
            if room > COMMON_BYTES {
                let left = self.budget.get() + self.charged;
                self.budget.set(left.checked_sub(room).ok_or(TOO_MANY)?);
                self.charged = room;
            }
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

impl Drop for BodyBuffer<'_> {
    fn drop(&mut self) {
        self.budget.set(self.budget.get() + self.charged);
    }
}
