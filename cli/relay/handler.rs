//! The side of the relay that the library sees: a handler that asks another server.

use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;

use super::client::Client;
use super::fault::Fault;
use crate::server::{Answer, Asked, Endpoint, Handler};

/// Passes questions on.
pub struct Relay(pub Client);

impl Handler for Relay {
    async fn answer(&self, Asked { endpoint, body, .. }: Asked) -> Answer {
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
        self.0.in_time(self.0.ask(endpoint, body)).await
    }
}

/// What is said in place of an answer. A verdict of the relay's own is one that
/// refuses.
fn unanswered(endpoint: Endpoint, fault: &Fault) -> Answer {
    #[derive(Serialize)]
    struct Refused<'a> {
        allowed: bool,
        decision: &'static str,
        message: &'a str,
    }
    let message = &*fault.reason();
    let status = match (fault, endpoint) {
        (Fault::Untrusted(_), Endpoint::Preflight) => {
            let refused = Refused { allowed: false, decision: "deny", message };
            return Answer::json(StatusCode::OK, &refused);
        }
        (Fault::Late, _) => StatusCode::GATEWAY_TIMEOUT,
        (Fault::Unreachable(_) | Fault::Untrusted(_), _) => StatusCode::BAD_GATEWAY,
    };
    Answer::fault(status, message)
}
