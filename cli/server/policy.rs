//! The handler that has the policy: evaluates, writes the audit, answers.
//!
//! [`Policy::decide`] does all of that, for HTTP and for other questions in this process. Long
//! commands are evaluated on another thread, one at a time.

use std::cell::{Cell, OnceCell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;
use rampart_policy::{Action, Call, Decision, Form, PolicySet};
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::{interval, sleep};

use super::accept::Server;
use super::answer::{AdmittedRequest, Answer, Endpoint, Handler, TOO_MANY};
use super::approval::Waiting;
use super::approval_queue::ApprovalQueue;
use super::asker::Asker;
use super::in_flight::InFlight;
use super::own_process::OwnProcess;
use super::pending::Hold;
use super::pipes::Pipes;
use super::question::{Question, Verdict};
use super::reload::Reload;
use super::webhook::Webhook;
use crate::audit::{self, Audit, Batch, PIPED};
use crate::failure::Failure;
use crate::mode::Mode;
use crate::policy_file::suggestion;
use crate::project_policy::Projects;
use crate::spent_rules::SpentRules;
use crate::terminal::cut;
use crate::token::Token;

/// Longer questions go to another thread: evaluating them takes longer than the handover.
const LONG_BYTES: usize = 4 * 1024;
/// How many long questions are evaluated or wait for that; more are refused.
const LONG_AT_ONCE: usize = 17;
/// How many characters of a joined line are shown.
const SHOWN: usize = 120;
/// The audit's event for a webhook that failed.
pub const UNTOLD: &str = "webhook-failed";
/// How often files are checked while nobody asks.
const TICK: Duration = Duration::from_secs(1);

const NOT_A_QUESTION: &str = "the body is not a JSON object with a string at params.command";
const FAULT: &str = "the policy engine failed on this command, so it is refused; \
    please report it with the command";

/// The policy in force, and the audit of what it decides.
pub struct Policy {
    mode: Mode,
    itself: Arc<OwnProcess>,
    pipes: Arc<Mutex<Pipes>>,
    rules: RefCell<Reload>,
    audit: RefCell<Audit>,
    /// There are unwritten lines.
    unwritten: Notify,
    /// Unique to this run.
    run: String,
    /// How many questions there have been.
    count: Cell<u64>,
    /// Lets one long question at a time be evaluated.
    turn: Semaphore,
    /// How many long questions are under way.
    long: Cell<usize>,
    /// Where a question waits for a person.
    approval_queue: ApprovalQueue,
    webhook: Arc<Webhook>,
}

impl Policy {
    /// A handler whose decisions have unique IDs.
    ///
    /// # Errors
    /// The system has no random bytes for them.
    pub fn new(mode: Mode, rules: Reload, audit: Audit) -> Result<Rc<Self>, Failure> {
        let run = run_id()?;
        Ok(Rc::new(Self {
            mode,
            itself: Arc::new(OwnProcess::here()),
            pipes: Arc::default(),
            rules: RefCell::new(rules),
            audit: RefCell::new(audit),
            unwritten: Notify::new(),
            approval_queue: ApprovalQueue::new(&run),
            webhook: Arc::default(),
            run,
            count: Cell::new(0),
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
        self.webhook.finish();
        let audit = &mut *self.audit.borrow_mut();
        self.note_fault(audit);
        audit.finish();
    }

    /// Decides one question. The verdict is written to the audit a moment later; with
    /// `--audit-sync` it is on the disk before this returns.
    ///
    /// `pid` is the process that asks, if known. A panic of the policy engine denies. If a person
    /// has to decide, `hold` waits for as long as the question says.
    pub async fn decide(
        self: &Rc<Self>,
        question: Question<'_>,
        pid: Option<i32>,
        hold: &impl Hold,
    ) -> Verdict {
        let case = self.next_case(pid);
        let judged = if question.params.command.len() <= LONG_BYTES {
            self.judge_here(case, &question)
        } else {
            let (id, question) = (case.id.clone(), question.into_owned());
            let judged = self.judge_aside(move |lines| case.judge(&question, || lines));
            let judged = Box::pin(judged).await;
            judged.unwrap_or_else(|| Judged::Closed(Verdict::refused(self.mode, id)))
        };
        self.close(judged, hold).await
    }

    /// The final verdict, after waiting for a person if needed.
    async fn close(&self, judged: Judged, hold: &impl Hold) -> Verdict {
        match judged {
            Judged::Closed(verdict) => verdict,
            // What it takes to wait for a person is not to be in each answer's way.
            Judged::Open(open) => Box::pin(self.close_open(*open, hold)).await,
        }
    }

    async fn close_open(&self, open: Open, hold: &impl Hold) -> Verdict {
        let Open { mut case, question, mut decision, took } = open;
        let announce = |decision: &Decision, waiting: &Waiting| {
            case.announce(&question, decision, Some(waiting));
        };
        let pid = case.pid;
        let is_told =
            self.approval_queue.decide(&question, pid, &mut decision, hold, announce).await;
        if !is_told {
            case.announce(&question, &decision, None);
        }
        let mut audit = self.audit.borrow_mut();
        let verdict = case.conclude(&question, decision, took, audit.lines());
        self.note(&mut audit);
        verdict
    }

    /// Writes the audit and checks the files, forever. Lines are written in batches: waking the
    /// writing thread costs more than an answer.
    async fn attend(&self) {
        let mut ticks = interval(TICK);
        loop {
            tokio::select! {
                () = self.unwritten.notified() => {
                    sleep(audit::DELAY).await;
                    self.audit.borrow_mut().write();
                }
                _ = ticks.tick() => {
                    let audit = &mut *self.audit.borrow_mut();
                    self.rules.borrow_mut().look(Instant::now(), audit);
                    self.note_fault(audit);
                    audit.follow();
                }
            }
        }
    }

    /// Writes an event if a webhook has failed.
    fn note_fault(&self, audit: &mut Audit) {
        if let Some(fault) = self.webhook.take_fault() {
            audit.event(UNTOLD, &fault);
            self.note(audit);
        }
    }

    /// Sees to it that new lines are written: now with `--audit-sync`, otherwise soon.
    fn note(&self, audit: &mut Audit) {
        audit.settle();
        if audit.has_enough() {
            audit.write();
        } else {
            self.unwritten.notify_one();
        }
    }

    fn next_case(&self, pid: Option<i32>) -> Case {
        let mut rules = self.rules.borrow_mut();
        rules.look(Instant::now(), &mut self.audit.borrow_mut());
        self.count.set(self.count.get() + 1);
        Case {
            policies: rules.policies().clone(),
            projects: rules.projects(),
            spent: rules.spent(),
            itself: Arc::clone(&self.itself),
            pipes: Arc::clone(&self.pipes),
            webhook: Arc::clone(&self.webhook),
            joined: OnceCell::new(),
            mode: self.mode,
            pid,
            id: format!("{}-{}", self.run, self.count.get()),
        }
    }

    fn judge_here(&self, case: Case, question: &Question<'_>) -> Judged {
        let mut audit = self.audit.borrow_mut();
        let judged = case.judge(question, || audit.lines());
        self.note(&mut audit);
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
            let judged = spawn_blocking(move || {
                let mut lines = Batch::default();
                let judged = judge(&mut lines);
                (judged, lines)
            });
            let (judged, lines) = judged.await.ok()?;
            let mut audit = policy.audit.borrow_mut();
            audit.append(lines);
            policy.note(&mut audit);
            Some(judged)
        });
        judging.await.ok().flatten()
    }

    async fn preflight(self: &Rc<Self>, body: Bytes, asker: &Asker) -> Answer {
        let pid = asker.peer.pid;
        if body.len() <= LONG_BYTES {
            return match Question::read(&body) {
                Ok(question) => told(&self.decide(question, pid, asker).await),
                Err(error) => not_a_question(&error),
            };
        }
        match Box::pin(self.judge_long(body, pid)).await {
            Ok(judged) => told(&self.close(judged, asker).await),
            Err(answer) => answer,
        }
    }

    async fn judge_long(self: &Rc<Self>, body: Bytes, pid: Option<i32>) -> Result<Judged, Answer> {
        if self.long.get() == LONG_AT_ONCE {
            return Err(TOO_MANY.answer());
        }
        let _place = InFlight::take(&self.long);
        let case = self.next_case(pid);
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
            mode: self.mode.name(),
            policy: rules.name(),
        };
        Answer::json(StatusCode::OK, &health)
    }
}

impl Handler for Rc<Policy> {
    async fn answer(&self, asked: AdmittedRequest) -> Answer {
        match asked.endpoint {
            Endpoint::Preflight => self.preflight(asked.body, &asked.asker).await,
            Endpoint::Health => self.health(),
            Endpoint::Approvals | Endpoint::Resolve => self.approval_queue.hear(&asked),
        }
    }
}

/// What the IDs of a run's decisions begin with.
pub fn run_id() -> Result<String, Failure> {
    Ok(Token::random()?.reveal().chars().take(16).collect())
}

/// The result of evaluating a question.
pub enum Judged {
    Closed(Verdict),
    /// A person has to decide.
    Open(Box<Open>),
}

/// A question that waits for a person's decision.
pub struct Open {
    case: Case,
    question: Question<'static>,
    decision: Decision,
    took: Duration,
}

/// What the verdict depends on besides the question.
pub struct Case {
    pub policies: PolicySet,
    pub projects: Option<Arc<Projects>>,
    pub spent: Arc<SpentRules>,
    pub itself: Arc<OwnProcess>,
    pub pipes: Arc<Mutex<Pipes>>,
    pub webhook: Arc<Webhook>,
    pub mode: Mode,
    pub pid: Option<i32>,
    /// The pipeline of the command and those it is piped to, if that is what is refused.
    pub joined: OnceCell<String>,
    /// The decision's ID, in the answer and in the audit.
    pub id: String,
}

impl Case {
    /// The verdict, with its line in the audit, or that a person has to decide. A panic refuses: a
    /// client that gets no answer may let the command run.
    ///
    /// `audit` is called once there is a line.
    pub fn judge<A: AsMut<Batch>>(
        mut self,
        question: &Question<'_>,
        audit: impl FnOnce() -> A,
    ) -> Judged {
        if let Some((event, message)) = question.finding() {
            audit().as_mut().event(event, message);
            return Judged::Closed(Verdict::refused(self.mode, self.id));
        }
        let judged = || {
            let (decision, took) = self.evaluate(question);
            if decision.action == Action::Ask && self.mode == Mode::Enforce {
                return Some(Err((question.clone().into_owned(), decision, took)));
            }
            self.announce(question, &decision, None);
            Some(Ok(self.conclude(question, decision, took, audit().as_mut())))
        };
        match unless_it_fails(judged, || None) {
            Some(Ok(verdict)) => Judged::Closed(verdict),
            Some(Err((question, decision, took))) => {
                Judged::Open(Box::new(Open { case: self, question, decision, took }))
            }
            None => Judged::Closed(Verdict::refused(self.mode, self.id)),
        }
    }

    /// The policy's decision on the command alone, and on the pipelines that it forms with others.
    /// A pipeline counts only if a rule refuses it.
    fn decision(&self, question: &Question<'_>) -> Decision {
        let call = question.call();
        let alone = self.decide(&call);
        if !alone.allowed() || question.pipes() == [None, None] {
            return alone;
        }
        let pipes = || self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = pipes().join(question, question.pid.or(self.pid));
        // A separate memory: this must not spend rules that hold once, or count for rates.
        let policies = self.policies.clone().remembering(Arc::default());
        for line in lines {
            let (form, argv0, coverage) = (Form::Line, None, None);
            let call = Call { command: &line, form, argv0, coverage, ..call };
            let decision = policies.evaluate(&call);
            if !decision.allowed() && decision.because.is_some() {
                pipes().forget(question);
                let shown = cut(&line, SHOWN);
                let message = format!("{}{PIPED}{shown}`", decision.message);
                let _ = self.joined.set(line);
                // Deny rather than ask: a person would see only this end of the pipe.
                return Decision { action: Action::Deny, message, ..decision };
            }
        }
        alone
    }

    fn evaluate(&self, question: &Question<'_>) -> (Decision, Duration) {
        let call = question.call();
        let start = Instant::now();
        let decision = match self.mode {
            Mode::Disabled => unexplained(Action::Allow, ""),
            Mode::Enforce | Mode::Monitor => {
                judge(|| match self.itself.refuses(call.command, call.cwd) {
                    Some(message) => {
                        let matched = vec![OwnProcess::POLICY.to_owned()];
                        Decision { matched, ..unexplained(Action::Deny, &message) }
                    }
                    None => self.decision(question),
                })
            }
        };
        (decision, start.elapsed())
    }

    /// The policies' decision. A rule that is spent by it is recorded before anybody is told.
    fn decide(&self, call: &Call<'_>) -> Decision {
        let policies = match &self.projects {
            Some(projects) => &projects.restrict(self.policies.clone(), call.cwd),
            None => &self.policies,
        };
        let memory = policies.memory();
        // Another run may have spent it.
        if policies.holds_once() {
            self.spent.keep(memory);
        }
        let before = memory.count_spent();
        let decision = policies.evaluate(call);
        if memory.count_spent() > before {
            self.spent.keep(memory);
        }
        decision
    }

    /// Sends the webhooks.
    fn announce(&self, question: &Question<'_>, decision: &Decision, waiting: Option<&Waiting>) {
        self.webhook.tell(&self.policies, question, decision, waiting, self.mode);
    }

    /// The verdict, which takes the id. The audit has a line of it then.
    fn conclude(
        &mut self,
        question: &Question<'_>,
        decision: Decision,
        took: Duration,
        audit: &mut Batch,
    ) -> Verdict {
        let call = question.call();
        if let Some(missed @ 1..) = question.missed {
            let who = self
                .pid
                .map_or_else(String::new, |pid| format!(" of process {pid} or its descendants"));
            let message = format!(
                "in session {}, {missed} programs{who} ran unchecked, because this server could not \
                 be reached",
                call.session
            );
            audit.missed(call.agent, call.session, missed, &message);
        }
        let took_us = microseconds(took);
        audit.record(question.record(&self.id, self.pid, &decision, took_us, self.mode));
        let line = self.joined.get().map_or(call.command, String::as_str);
        let is_asked = question.ask_ms.is_some_and(|ms| ms > 0);
        let suggestions = suggestion(&self.policies, &decision, line, is_asked);
        let suggestions = suggestions.into_iter().collect();
        let id = std::mem::take(&mut self.id);
        Verdict { suggestions, ..Verdict::of(decision, self.mode, took, id) }
    }
}

impl Verdict {
    /// The verdict when the policy engine failed.
    fn refused(mode: Mode, audit_id: String) -> Self {
        Self::of(unexplained(Action::Deny, FAULT), mode, Duration::ZERO, audit_id)
    }

    fn of(decision: Decision, mode: Mode, took: Duration, audit_id: String) -> Self {
        Self {
            allowed: decision.allowed() || mode != Mode::Enforce,
            decision: decision.action,
            message: decision.message,
            matched_policies: decision.matched,
            suggestions: Vec::new(),
            eval_duration_us: microseconds(took),
            audit_id,
        }
    }
}

fn microseconds(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Evaluates; a command on which the policy engine panics is denied.
fn judge(evaluate: impl FnOnce() -> Decision) -> Decision {
    unless_it_fails(evaluate, || unexplained(Action::Deny, FAULT))
}

fn unless_it_fails<T>(work: impl FnOnce() -> T, instead: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| instead())
}

/// A decision that no rule made.
fn unexplained(action: Action, message: &str) -> Decision {
    Decision {
        action,
        message: message.to_owned(),
        matched: Vec::new(),
        because: None,
        unparsed: None,
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

    use rampart_policy::Action;

    use super::{LONG_BYTES, Policy, judge, unexplained};
    use crate::audit::{Audit, Durability};
    use crate::home::Home;
    use crate::mode::Mode;
    use crate::policy_file::{Files, InForce, Origin, compile};
    use crate::server::pending::Hold;
    use crate::server::question::Question;
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
            let body = body.to_string();
            let question = Question::read(body.as_bytes()).unwrap();
            let verdict = runtime.block_on(policy.decide(question, Some(7), &NoHold));
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

    #[test]
    fn a_policy_engine_that_panics_has_refused() {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let decision = judge(|| panic!("a fault"));
        std::panic::set_hook(quiet);
        assert_eq!(decision.action, Action::Deny);
        assert!(!decision.message.is_empty());
    }

    #[test]
    fn a_policy_engine_that_decides_is_left_alone() {
        let watch = unexplained(Action::Watch, "m");
        assert_eq!(judge(|| watch.clone()), watch);
    }
}
