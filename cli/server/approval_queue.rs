//! Where questions wait for a person, whether the server's own policy says `ask` or the server
//! behind a relay does.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use hyper::StatusCode;
use nix::unistd::Pid;
use rampart_policy::{Action, Decision};
use serde::Serialize;

use super::answer::{AdmittedRequest, Answer, Endpoint};
use super::approval::{Reply, Waiting};
use super::connections::Connections;
use super::pending::{Hold, Outcome, Pending, Refused};
use super::person;
use super::question::Question;
use crate::processes;

const NOT_A_REPLY: &str = "the body is not a JSON object with a boolean `approved`";

/// The questions that wait for a person, and who may answer them.
pub struct ApprovalQueue {
    pending: Pending,
    /// The server's connections, once there is one.
    connections: OnceCell<Rc<Connections>>,
}

impl ApprovalQueue {
    /// `run` is unique to each server.
    pub fn new(run: &str) -> Self {
        Self { pending: Pending::new(run), connections: OnceCell::new() }
    }

    /// Takes questions from a server's connections from now on.
    pub fn open(&self, connections: Rc<Connections>) {
        let _ = self.connections.set(connections);
    }

    /// Ends all waiting questions, and takes no more.
    pub fn close(&self) {
        self.pending.end();
    }

    /// Lets a person decide, if one has approved this before or if the question says how long it
    /// may wait. `announce` is called when the question starts to wait. Returns whether the
    /// decision was announced or comes from an earlier approval.
    pub async fn decide(
        &self,
        question: &Question<'_>,
        asker: Option<i32>,
        decision: &mut Decision,
        hold: &impl Hold,
        announce: impl FnOnce(&Decision, &Waiting),
    ) -> bool {
        let call = question.call();
        let pid = question.pid.or(asker);
        let part = decision.because.as_ref().and_then(|because| because.command.as_deref());
        if self.pending.remembers(call.session, call.command, part, pid) {
            decision.action = Action::Allow;
            "a person has approved it before".clone_into(&mut decision.message);
            return true;
        }
        let Some(ms @ 1..) = question.ask_ms else { return false };
        let mut waits = false;
        let announce = |waiting: &Waiting| {
            waits = true;
            announce(decision, waiting);
        };
        let limit = Duration::from_millis(ms.into());
        let hold = OnBehalf { hold: hold.clone(), process: question.pid };
        let waiting = waiting(question, pid, decision);
        let ended = self.pending.wait(waiting, limit, self.places(), &hold, announce);
        apply(ended.await, decision);
        waits
    }

    /// Notifies the person here of a question that waits at another server.
    pub fn tell_of_another(&self, question: &Question<'_>, asker: Option<i32>) {
        let decision = Decision {
            action: Action::Ask,
            message: String::new(),
            matched: Vec::new(),
            because: None,
            unparsed: None,
        };
        let waiting = waiting(question, question.pid.or(asker), &decision);
        self.pending
            .tell_of_another(Waiting { left_ms: question.ask_ms.unwrap_or(0).into(), ..waiting });
    }

    /// How many connections the server takes.
    pub fn places(&self) -> usize {
        self.connections.get().map_or(usize::MAX, |connections| connections.places())
    }

    /// Answers `GET /v1/approvals` and `POST /v1/approvals/ID/resolve`.
    pub fn hear(&self, asked: &AdmittedRequest) -> Answer {
        #[derive(Serialize)]
        struct Approvals {
            approvals: Vec<Waiting>,
        }
        #[derive(Serialize)]
        struct Resolved<'a> {
            id: &'a str,
            approved: bool,
        }
        let has_asked =
            |pid| self.connections.get().is_some_and(|connections| connections.askers.has(pid));
        if let Some(objection) = person::objection(asked.asker.peer, has_asked) {
            return Answer::fault(StatusCode::FORBIDDEN, objection);
        }
        if asked.endpoint == Endpoint::Approvals {
            return Answer::json(StatusCode::OK, &Approvals { approvals: self.pending.list() });
        }
        let id = &*asked.subject;
        let reply = serde_json::from_slice::<Reply>(&asked.body);
        let approved = reply.as_ref().is_ok_and(|reply| reply.approved);
        // That a question no longer waits is reported even if the reply is malformed.
        let resolved = self.pending.find(id).and_then(|number| match reply {
            Ok(reply) => self.pending.resolve(number, reply),
            Err(_) => Err(Refused::NoReply),
        });
        match resolved {
            Ok(()) => Answer::json(StatusCode::OK, &Resolved { id, approved }),
            Err(Refused::NoReply) => Answer::fault(StatusCode::BAD_REQUEST, NOT_A_REPLY),
            Err(Refused::Unknown) => {
                Answer::fault(StatusCode::NOT_FOUND, "no waiting question has this id")
            }
            Err(Refused::Over(how)) => {
                Answer::fault(StatusCode::CONFLICT, &format!("the question no longer waits: {how}"))
            }
        }
    }
}

fn waiting(question: &Question<'_>, pid: Option<i32>, decision: &Decision) -> Waiting {
    let call = question.call();
    Waiting {
        id: String::new(),
        command: call.command.to_owned(),
        part: decision.because.as_ref().and_then(|because| because.command.clone()),
        agent: call.agent.to_owned(),
        session: call.session.to_owned(),
        cwd: call.cwd.map(str::to_owned),
        pid,
        message: decision.message.clone(),
        policy: decision.matched.first().cloned(),
        waited_ms: 0,
        left_ms: 0,
    }
}

/// A client, perhaps one that asks for another process, which waits.
#[derive(Clone)]
pub struct OnBehalf<H> {
    pub hold: H,
    pub process: Option<i32>,
}

impl<H: Hold> Hold for OnBehalf<H> {
    async fn say_held(&self) -> bool {
        self.hold.say_held().await
    }

    fn is_there(&self) -> bool {
        let is_running = |process| processes::started(Pid::from_raw(process)).is_some();
        self.hold.is_there() && self.process.is_none_or(is_running)
    }
}

/// Applies the outcome of asking a person to the decision.
fn apply(outcome: Outcome, decision: &mut Decision) {
    let why = match outcome {
        Outcome::Unasked => return,
        Outcome::Said(Reply { approved: true, .. }) => {
            decision.action = Action::Allow;
            "a person has approved it".clone_into(&mut decision.message);
            return;
        }
        Outcome::Said(Reply { message, .. }) => {
            decision.action = Action::Deny;
            decision.message = message.unwrap_or_else(|| "A person has denied it".to_owned());
            return;
        }
        Outcome::Late(limit) => format!("Nobody answered within {} s", limit.as_secs_f64()),
        Outcome::Gone => "The process that asked is gone".to_owned(),
        Outcome::Ended => "The server ended before anybody answered".to_owned(),
    };
    // First, because who shows it may leave out the end.
    let message = std::mem::take(&mut decision.message);
    decision.message = if message.is_empty() { why } else { format!("{why}. {message}") };
}
