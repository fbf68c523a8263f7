//! The handler that has the policy: evaluates, writes the audit, answers.
//!
//! [`Policy::decide`] does all of that but the answer, for a question's [`Case`]. Long commands are
//! evaluated on another thread, one at a time.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;
use rampart_policy::Decision;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_local;
use tokio::time::interval;

use super::accept::Server;
use super::answer::{AdmittedRequest, Answer, Endpoint, Handler, TOO_MANY};
use super::approval::Waiting;
use super::approval_queue::ApprovalQueue;
use super::aside::aside;
use super::case::{Case, Cases, FAULT, Judged, Open};
use super::in_flight::InFlight;
use super::pending::Hold;
use super::question::{Question, Verdict};
use super::reload::Reload;
use super::stream::Peer;
use super::webhook::UNTOLD;
use crate::audit::{self, Audit, Batch};
use crate::failure::Failure;
use crate::mode::Mode;

/// Longer questions go to another thread: evaluating them takes longer than the handover.
const LONG_BYTES: usize = 4 * 1024;
/// How many long questions are evaluated or wait for that; more are refused.
const LONG_AT_ONCE: usize = 17;
/// How often files are checked while nobody asks.
const TICK: Duration = Duration::from_secs(1);

const NOT_A_QUESTION: &str = "the body is not a JSON object with a string at params.command";

/// The policy in force, and the audit of what it decides.
pub struct Policy {
    cases: Arc<Cases>,
    rules: RefCell<Reload>,
    audit: Audit,
    /// The audit's thread is to be woken.
    unwritten: Notify,
    /// Lets one long question at a time be evaluated.
    turn: Semaphore,
    /// How many long questions are under way.
    long: Cell<usize>,
    /// Where a question waits for a person.
    approval_queue: ApprovalQueue,
}

impl Policy {
    /// A handler whose decisions have unique IDs.
    ///
    /// # Errors
    /// The system has no random bytes for them.
    pub fn new(mode: Mode, rules: Reload, audit: Audit) -> Result<Rc<Self>, Failure> {
        let cases = Cases::new(mode)?;
        Ok(Rc::new(Self {
            approval_queue: ApprovalQueue::new(cases.run()),
            cases,
            rules: RefCell::new(rules),
            audit,
            unwritten: Notify::new(),
            turn: Semaphore::new(1),
            long: Cell::new(0),
        }))
    }

    /// Compiles the policy, so that the first question does not wait for it.
    pub fn prepare(&self) {
        self.rules.borrow().policies().compile();
        audit::prepare();
    }

    /// Serves this policy until `shutdown` resolves.
    pub async fn serve(self: &Rc<Self>, server: Server, shutdown: impl Future<Output = ()>) {
        self.approval_queue.open(server.connections());
        let shutdown = async {
            shutdown.await;
            // Clients that wait for a person get an answer before the server ends.
            self.approval_queue.close();
        };
        // On a task of its own: to wake this future takes a system call.
        let policy = Rc::clone(self);
        let mut attending = spawn_local(async move { policy.attend().await });
        tokio::select! {
            () = server.run(Rc::clone(self), shutdown) => attending.abort(),
            ended = &mut attending => if let Err(fault) = ended { resume_unwind(fault.into_panic()) },
        }
        self.cases.webhook.finish();
        self.note_fault();
        self.audit.finish();
    }

    /// Decides one question. The verdict is written to the audit a moment later; with
    /// `--audit-sync` it is on the disk before this returns.
    ///
    /// `peer` is who asks, as far as known. A panic of the policy engine denies. If a person
    /// has to decide, `hold` waits for as long as the question says.
    ///
    /// # Errors
    /// The answer to a body that is no question, or to one long question too many.
    pub async fn decide(
        self: &Rc<Self>,
        body: Bytes,
        peer: Peer,
        hold: &impl Hold,
    ) -> Result<Verdict, Answer> {
        let judged = if body.len() <= LONG_BYTES {
            // The question is gone before anything is waited for: each future that held it would
            // have to be moved with it.
            let question = Question::read(&body).map_err(|error| not_a_question(&error))?;
            self.judge_here(self.next_case(peer), &question)
        } else {
            Box::pin(self.judge_long(body, peer)).await?
        };
        match judged {
            Judged::Closed(verdict) => Ok(verdict),
            // What it takes to wait for a person is not to be in each answer's way.
            Judged::Open(open) => Ok(Box::pin(self.close(*open, hold)).await),
        }
    }

    /// The verdict after waiting for a person.
    async fn close(&self, open: Open, hold: &impl Hold) -> Verdict {
        let Open { mut case, question, mut decision, took } = open;
        let announce = |decision: &Decision, waiting: &Waiting| {
            case.announce(&question, decision, Some(waiting));
        };
        let pid = case.peer.pid;
        let is_told =
            self.approval_queue.decide(&question, pid, &mut decision, hold, announce).await;
        if !is_told {
            case.announce(&question, &decision, None);
        }
        let verdict = case.conclude(&question, decision, took, self.audit.lines().as_mut());
        self.note();
        verdict
    }

    /// Wakes the audit's thread and checks the files, forever.
    async fn attend(&self) {
        let mut ticks = interval(TICK);
        loop {
            tokio::select! {
                () = self.unwritten.notified() => self.audit.wake(),
                _ = ticks.tick() => {
                    self.rules.borrow_mut().look(Instant::now(), &self.audit);
                    self.note_fault();
                    self.audit.follow();
                }
            }
        }
    }

    /// Writes an event if a webhook has failed.
    fn note_fault(&self) {
        if let Some(fault) = self.cases.webhook.take_fault() {
            self.audit.event(UNTOLD, &fault);
        }
    }

    /// Sees to it that new lines are written once the answer is sent.
    fn note(&self) {
        if self.audit.is_news() {
            self.unwritten.notify_one();
        }
    }

    fn next_case(&self, peer: Peer) -> Case {
        let mut rules = self.rules.borrow_mut();
        rules.look(Instant::now(), &self.audit);
        self.cases.next(rules.policies().clone(), rules.projects(), rules.spent(), peer)
    }

    fn judge_here(&self, case: Case, question: &Question<'_>) -> Judged {
        let judged = case.judge(question, || self.audit.lines());
        self.note();
        judged
    }

    /// Runs `judge` on another thread. Its lines get into the audit even if the client has gone
    /// meanwhile. `None` if it panicked.
    async fn judge_aside<T: Send + 'static>(
        self: &Rc<Self>,
        judge: impl FnOnce(&mut Batch) -> T + Send + 'static,
    ) -> Option<T> {
        let policy = Rc::clone(self);
        let judging = spawn_local(async move {
            let _turn = policy.turn.acquire().await.ok()?;
            let judged = aside(move || {
                let mut lines = Batch::default();
                let judged = judge(&mut lines);
                (judged, lines)
            });
            let (judged, lines) = judged.await?;
            policy.audit.lines().as_mut().append(lines);
            policy.note();
            Some(judged)
        });
        judging.await.ok().flatten()
    }

    async fn judge_long(self: &Rc<Self>, body: Bytes, peer: Peer) -> Result<Judged, Answer> {
        if self.long.get() == LONG_AT_ONCE {
            return Err(TOO_MANY.answer());
        }
        let _place = InFlight::take(&self.long);
        let case = self.next_case(peer);
        let judged = self.judge_aside(move |lines| match Question::read(&body) {
            Ok(question) => Ok(case.judge(&question, || lines)),
            Err(error) => Err(not_a_question(&error)),
        });
        judged.await.unwrap_or_else(|| Err(Answer::fault(StatusCode::BAD_REQUEST, FAULT)))
    }

    fn health(&self) -> Answer {
        #[derive(Serialize)]
        struct Health<'a> {
            status: &'static str,
            version: &'static str,
            mode: &'static str,
            policy: &'a str,
        }
        let rules = self.rules.borrow();
        let health = Health {
            status: "ok",
            version: env!("CARGO_PKG_VERSION"),
            mode: self.cases.mode.name(),
            policy: rules.name(),
        };
        Answer::json(StatusCode::OK, &health)
    }
}

impl Handler for Rc<Policy> {
    async fn answer(&self, asked: AdmittedRequest) -> Answer {
        match asked.endpoint {
            Endpoint::Preflight => {
                let AdmittedRequest { body, asker, .. } = asked;
                let decided = self.decide(body, asker.peer, &asker).await;
                decided.map_or_else(|answer| answer, |verdict| told(&verdict))
            }
            Endpoint::Health => self.health(),
            Endpoint::Approvals | Endpoint::Resolve => self.approval_queue.hear(&asked),
        }
    }
}

fn told(verdict: &Verdict) -> Answer {
    Answer::json(StatusCode::OK, verdict)
}

/// Only the position: serde's message may repeat the whole body.
fn not_a_question(error: &serde_json::Error) -> Answer {
    let (line, column) = (error.line(), error.column());
    let message = format!("{NOT_A_QUESTION} (line {line}, column {column})");
    Answer::fault(StatusCode::BAD_REQUEST, &message)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{LONG_BYTES, Policy};
    use crate::audit::{Audit, Durability};
    use crate::home::Home;
    use crate::mode::Mode;
    use crate::policy_file::{Files, InForce, Origin, compile};
    use crate::server::pending::Hold;
    use crate::server::stream::Peer;
    use crate::server::{Reload, runtime};

    const RULES: &str = "version: \"1\"\ndefault_action: allow\npolicies:\n  - name: p\n    \
        match: { tool: exec }\n    rules:\n      - action: deny\n        \
        when: { command_matches: [\"forbidden*\"] }\n";

    /// A client that never waits for a person.
    #[derive(Clone)]
    struct NoHold;

    impl Hold for NoHold {
        async fn say_held(&self) -> bool {
            false
        }

        fn is_there(&self) -> bool {
            false
        }
    }

    /// Both a short question and one that goes to another thread.
    #[test]
    fn a_question_of_this_process_is_decided_and_recorded() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p.yaml");
        let audit = directory.path().join("audit.jsonl");
        let policies = compile(RULES, &file).unwrap();
        let (source, origin) = (RULES.to_owned(), Origin::File(file.clone(), 0));
        let home = Home::locate().unwrap();
        let files = Files::new(Some(&file), &home);
        let in_force = InForce { policies, source, origin, files, home };
        let rules = Reload::never(in_force, Instant::now());
        let log = Audit::open(&audit, Durability::Synced);
        let runtime = runtime().unwrap();
        let policy = Policy::new(Mode::Enforce, rules, log).unwrap();
        for (words, length, allowed) in [
            ("forbidden", 0, false),
            ("ls", 0, true),
            ("forbidden", LONG_BYTES, false),
            ("ls", LONG_BYTES, true),
        ] {
            let command = format!("{words} {}", "x".repeat(length));
            let body = serde_json::json!({ "agent": "a", "params": { "command": command } });
            let body = body.to_string().into();
            let peer = Peer { pid: Some(7), ..Peer::UNKNOWN };
            let verdict = runtime.block_on(policy.decide(body, peer, &NoHold)).unwrap();
            assert_eq!(verdict.allowed, allowed, "{command}");
            let text = std::fs::read_to_string(&audit).unwrap();
            let line: serde_json::Value =
                serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(line["id"], verdict.audit_id.as_str());
            let request = &line["request"];
            assert_eq!((&line["agent"], &request["pid"]), (&"a".into(), &7.into()));
            assert_eq!(request["command"], command.as_str());
        }
    }
}
