//! The handler that asks another server.
//!
//! In a run with `--ask`, a question tells the server how long it may wait for a person. The server
//! may hold it; if it answers `ask` at once, the person here is asked.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use rampart_policy::{Action, Decision};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::sleep;

use super::client::{Client, HeldReply};
use super::fault::Fault;
use crate::audit::Audit;
use crate::mode::Mode;
use crate::server::{
    AdmittedRequest, Answer, ApprovalQueue, Asker, Endpoint, Handler, Hold, InFlight, OnBehalf,
    OwnProcess, Question, Server, verdict_name,
};

/// How many questions the server may hold at once, each on its own connection. Further ones are
/// asked without waiting.
pub const MOST_HELD: usize = 256;
/// How often to check whether the asking process is still there.
const LOOK: Duration = Duration::from_millis(500);

/// Passes questions on, except for commands that would end the relay itself.
pub struct Relay {
    pub client: Client,
    pub itself: OwnProcess,
    /// Questions that the server leaves to the person here.
    pub approval_queue: ApprovalQueue,
    /// Where that person's decisions are recorded; `None` in a run without `--ask`.
    pub audit: Option<Audit>,
    /// How many questions the server holds now.
    pub held: Cell<usize>,
    /// Unique to this run.
    pub run: String,
    /// How many decisions the person here has made.
    pub count: Cell<u64>,
}

impl Handler for Rc<Relay> {
    async fn answer(&self, asked: AdmittedRequest) -> Answer {
        match asked.endpoint {
            Endpoint::Approvals | Endpoint::Resolve => self.approval_queue.hear(&asked),
            Endpoint::Preflight => self.preflight(asked.body, &asked.asker).await,
            Endpoint::Health => self.pass_on(Endpoint::Health, asked.body).await,
        }
    }
}

impl Relay {
    /// Serves until `shutdown` resolves.
    pub async fn serve(self, server: Server, shutdown: impl Future<Output = ()>) {
        self.approval_queue.open(server.connections());
        let relay = Rc::new(self);
        let shutdown = async {
            shutdown.await;
            // Clients that wait for a person get an answer before the relay ends.
            relay.approval_queue.close();
        };
        server.run(Rc::clone(&relay), shutdown).await;
        if let Some(audit) = &relay.audit {
            audit.finish();
        }
    }

    /// The server's own answer.
    ///
    /// # Errors
    /// There is none.
    pub async fn ask(&self, endpoint: Endpoint, body: Bytes) -> Result<Answer, Fault> {
        self.client.in_time(self.client.ask(endpoint, body)).await
    }

    /// The server's own answer, or one that says why there is none.
    async fn pass_on(&self, endpoint: Endpoint, body: Bytes) -> Answer {
        let told = self.ask(endpoint, body).await;
        told.unwrap_or_else(|fault| unanswered(endpoint, &fault))
    }

    async fn preflight(&self, body: Bytes, asker: &Asker) -> Answer {
        if let Some(message) = self.itself.refuses_question(&body) {
            return refused(&message);
        }
        let most = MOST_HELD.min(self.approval_queue.places() / 2);
        let ask_time = ask_time(&body).filter(|_| self.audit.is_some() && self.held.get() < most);
        let Some(ask_time) = ask_time else {
            return self.pass_on(Endpoint::Preflight, without_ask_time(body)).await;
        };
        // Parsed only to know who asks: the server judges it.
        let Ok(question) = Question::read(&body) else {
            return self.pass_on(Endpoint::Preflight, body).await;
        };
        let meanwhile = self.wait(&question, asker);
        match self.client.ask_and_wait(body.clone(), ask_time, meanwhile).await {
            Ok(HeldReply::AtOnce(answer)) => self.finish(answer, &question, asker).await,
            Ok(HeldReply::Held(Ok(answer))) => answer,
            // Not 5xx: the server was reached, so fail-open must not apply.
            Ok(HeldReply::Held(Err(fault))) => refused(&fault.reason()),
            Err(fault) => unanswered(Endpoint::Preflight, &fault),
        }
    }

    /// Tells the client to wait, and returns when it is gone.
    async fn wait(&self, question: &Question<'_>, asker: &Asker) {
        let _held = InFlight::take(&self.held);
        let hold = OnBehalf { hold: asker.clone(), process: question.pid };
        if !hold.say_held().await {
            return;
        }
        self.approval_queue.tell_of_another(question, asker.peer.pid);
        while hold.is_there() {
            sleep(LOOK).await;
        }
    }

    /// The final answer: if it leaves the decision to a person, the one here is asked.
    async fn finish(&self, answer: Answer, question: &Question<'_>, asker: &Asker) -> Answer {
        let Some(theirs) = asks(&answer) else { return answer };
        let mut decision = Decision {
            action: Action::Ask,
            message: theirs.message.clone().unwrap_or_default(),
            matched: theirs.matched_policies.clone().unwrap_or_default(),
            because: None,
            unparsed: None,
        };
        let pid = asker.peer.pid;
        if !self.approval_queue.decide(question, pid, &mut decision, asker, |_, _| {}).await {
            return answer;
        }
        self.record(question, pid, &decision);
        let Ok(Value::Object(mut told)) = serde_json::from_slice(&answer.body) else {
            return answer;
        };
        told.insert("allowed".into(), decision.allowed().into());
        told.insert("decision".into(), verdict_name(decision.action).into());
        told.insert("message".into(), decision.message.into());
        Answer::json(StatusCode::OK, &told)
    }

    /// Records the decision of the person here: the server only knows that it answered `ask`.
    fn record(&self, question: &Question<'_>, pid: Option<i32>, decision: &Decision) {
        let Some(audit) = &self.audit else { return };
        self.count.set(self.count.get() + 1);
        let id = format!("{}-{}", self.run, self.count.get());
        let record = question.record(&id, pid, decision, 0, Mode::Enforce);
        audit.lines().as_mut().record(record);
        audit.wake();
    }
}

/// The first field of a question that may wait for a person.
const ASK_MS: &[u8] = br#"{"ask_ms":"#;

/// How long a question may wait for a person.
fn ask_time(body: &[u8]) -> Option<Duration> {
    let rest = body.strip_prefix(ASK_MS)?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let ms = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    (ms > 0).then(|| Duration::from_millis(ms))
}

/// The question without that field, so that the server answers at once.
fn without_ask_time(body: Bytes) -> Bytes {
    let comma = |rest: &[u8]| rest.iter().position(|byte| *byte == b',').map(|at| at + 1);
    match body.strip_prefix(ASK_MS).and_then(|rest| rest.get(comma(rest)?..)) {
        Some(rest) => [b"{", rest].concat().into(),
        None => body,
    }
}

/// The fields of an answer that a person may have to approve.
#[derive(Deserialize)]
struct AskAnswer {
    allowed: bool,
    #[serde(default)]
    decision: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    matched_policies: Option<Vec<String>>,
}

/// The answer's fields, if a person would have to approve. Malformed answers are left to the
/// library.
fn asks(answer: &Answer) -> Option<AskAnswer> {
    let told: AskAnswer = serde_json::from_slice(&answer.body).ok()?;
    let word = told.decision.as_deref().unwrap_or_default();
    let asks = matches!(word, "ask" | "require_approval");
    (answer.status == StatusCode::OK && !told.allowed && asks).then_some(told)
}

/// The relay's own answer if the server gave none. Its only verdict is a refusal.
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
