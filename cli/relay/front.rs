//! The side of the relay that the library sees: a policy server at a Unix socket.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::client::{Answer, Client};
use super::fault::Fault;
use crate::server::{Endpoint, Refusal, http};
use crate::token::Token;

/// A connection without a request is kept so long.
const IDLE_TIME: Duration = Duration::from_secs(120);
/// What all questions that wait for an answer may hold together.
const BUDGET_BYTES: usize = 128 * 1024 * 1024;
/// How long to wait where the system has no descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
pub struct Front {
    client: Client,
    token: Token,
    /// One for each connection that may be open.
    places: Arc<Semaphore>,
    connections_limit: usize,
    budget: Semaphore,
}

impl Front {
    /// At most so many connections are open at once; the others wait.
    pub fn new(client: Client, token: Token, connections_limit: usize) -> Self {
        Self {
            client,
            token,
            places: Arc::new(Semaphore::new(connections_limit)),
            connections_limit,
            budget: Semaphore::new(BUDGET_BYTES),
        }
    }

    /// Whom it asks.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether somebody is connected.
    pub fn is_used(&self) -> bool {
        self.places.available_permits() < self.connections_limit
    }

    /// Serves all who connect.
    pub async fn serve(self: Arc<Self>, listener: UnixListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let front = Arc::clone(&self);
            tokio::spawn(async move {
                front.converse(stream).await;
                drop(place);
            });
        }
    }

    async fn converse(&self, stream: UnixStream) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(request).await));
        // Whoever goes away before the answer has nothing to be told.
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIME)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = match self.admit(&request) {
            Ok(endpoint) => self.ask(endpoint, request.into_body()).await,
            Err(refusal) => refused(refusal),
        };
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Kept connections must not take the places of those who have a question.
        if self.places.available_permits() < self.connections_limit / 2 {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// What a request asks for, if it may.
    fn admit(&self, request: &Request<Incoming>) -> Result<Endpoint, Refusal> {
        let shown = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let shown = shown.and_then(http::bearer);
        let path = request.uri().path();
        http::route(request.method().as_str(), path, shown, &self.token)
    }

    async fn ask(&self, endpoint: Endpoint, body: Incoming) -> Response<Full<Bytes>> {
        let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
        let bytes = match length {
            None => return refused(http::NO_LENGTH),
            Some(length) if length > http::BODY_LIMIT => return refused(http::TOO_LARGE),
            Some(length) => u32::try_from(length).unwrap_or(u32::MAX),
        };
        let asked = async {
            let _room = self.budget.acquire_many(bytes).await.map_err(|error| Fault::of(&error))?;
            let body = body.collect().await.map_err(|error| Fault::of(&error))?;
            self.client.ask(endpoint, body.to_bytes()).await
        };
        match self.client.in_time(asked).await {
            Ok(answer) => passed_on(answer),
            Err(fault) => unanswered(endpoint, &fault),
        }
    }
}

fn passed_on(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    response
}

fn refused(refusal: Refusal) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let error = json!({ "error": http::phrase(refusal.status), "message": refusal.reason });
    said(status, &error)
}

/// What is said in place of an answer. A verdict of the relay's own is one that
/// refuses.
fn unanswered(endpoint: Endpoint, fault: &Fault) -> Response<Full<Bytes>> {
    let message = fault.reason();
    let status = match (fault, endpoint) {
        (Fault::Untrusted(_), Endpoint::Preflight) => {
            let verdict = json!({ "allowed": false, "decision": "deny", "message": message });
            return said(StatusCode::OK, &verdict);
        }
        (Fault::Late, _) => StatusCode::GATEWAY_TIMEOUT,
        (Fault::Unreachable(_) | Fault::Untrusted(_), _) => StatusCode::BAD_GATEWAY,
    };
    said(status, &json!({ "error": status.canonical_reason(), "message": message }))
}

fn said(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    passed_on(Answer { status, body: body.to_string().into() })
}
