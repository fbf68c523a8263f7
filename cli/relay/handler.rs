//! The side of the relay that the library sees: a handler that asks another server.

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;

use super::client::Client;
use super::fault::Fault;
use crate::server::{Answer, Asked, Endpoint, Handler, Itself};

/// Passes questions on, but for what would end the relay itself.
pub struct Relay {
    pub client: Client,
    pub itself: Itself,
}

impl Handler for Relay {
    async fn answer(&self, Asked { endpoint, body, .. }: Asked) -> Answer {
        if matches!(endpoint, Endpoint::Approvals | Endpoint::Resolve) {
            return Answer::fault(StatusCode::NOT_FOUND, "no question waits for a person here");
        }
        let body = without_patience(body);
        if endpoint == Endpoint::Preflight
            && let Some(message) = self.itself.refuses_question(&body)
        {
            return refused(&message);
        }
        match self.ask(endpoint, body).await {
            Ok(answer) => answer,
            Err(fault) => unanswered(endpoint, &fault),
        }
    }
}

impl Relay {
    /// The server's own answer.
    ///
    /// # Errors
    /// There is none.
    pub async fn ask(&self, endpoint: Endpoint, body: Bytes) -> Result<Answer, Fault> {
        self.client.in_time(self.client.ask(endpoint, body)).await
    }
}

/// What the library asks, without its word that it waits for a person (`ask_ms`, which stands
/// first): whoever held a question there would hold one of few connections, and the answer would
/// come too late for the relay.
fn without_patience(body: Bytes) -> Bytes {
    let comma = |rest: &[u8]| rest.iter().position(|byte| *byte == b',').map(|at| at + 1);
    match body.strip_prefix(br#"{"ask_ms":"#).and_then(|rest| rest.get(comma(rest)?..)) {
        Some(rest) => [b"{", rest].concat().into(),
        None => body,
    }
}

/// What is said in place of an answer. A verdict of the relay's own is one that
/// refuses.
fn unanswered(endpoint: Endpoint, fault: &Fault) -> Answer {
    let message = &*fault.reason();
    let status = match (fault, endpoint) {
        (Fault::Untrusted(_), Endpoint::Preflight) => return refused(message),
        (Fault::Late, _) => StatusCode::GATEWAY_TIMEOUT,
        (Fault::Unreachable(_) | Fault::Untrusted(_), _) => StatusCode::BAD_GATEWAY,
    };
    Answer::fault(status, message)
}

fn refused(message: &str) -> Answer {
    #[derive(Serialize)]
    struct Refused<'a> {
        allowed: bool,
        decision: &'static str,
        message: &'a str,
    }
    Answer::json(StatusCode::OK, &Refused { allowed: false, decision: "deny", message })
}
