//! One question's way to its verdict, and to its line in the audit.
//!
//! [`Cases`] makes them, one for each question; [`Case::judge`] decides.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rampart_policy::{Action, Because, Call, Decision, Form, PolicySet};

use super::approval::Waiting;
use super::own_process::OwnProcess;
use super::pipes::Pipes;
use super::question::{Question, Verdict};
use super::stream::Peer;
use super::unsealed::Unsealed;
use super::webhook::Webhook;
use crate::audit::{Batch, PIPED};
use crate::failure::Failure;
use crate::mode::Mode;
use crate::policy_file::{decide, suggestion};
use crate::project_policy::Projects;
use crate::spent_rules::SpentRules;
use crate::terminal::cut;
use crate::token::Token;

/// How many characters of a joined line are shown.
const SHOWN: usize = 120;

/// What is said of a command on which the policy engine failed.
pub const FAULT: &str = "the policy engine failed on this command, so it is refused; \
    please report it with the command";

/// The result of evaluating a question.
pub enum Judged {
    Closed(Verdict),
    /// A person has to decide.
    Open(Box<Open>),
}

/// A question that waits for a person's decision.
pub struct Open {
    pub case: Case,
    pub question: Question<'static>,
    pub decision: Decision,
    pub took: Duration,
}

/// Makes the cases of this process: what they share.
pub struct Cases {
    pub mode: Mode,
    pub webhook: Webhook,
    unsealed: Unsealed,
    itself: OwnProcess,
    pipes: Mutex<Pipes>,
    /// What the IDs begin with.
    run: String,
    /// How many cases there have been.
    count: AtomicU64,
}

/// A question's case: what its verdict depends on besides the question.
pub struct Case {
    cases: Arc<Cases>,
    policies: PolicySet,
    projects: Option<Arc<Projects>>,
    spent: Arc<SpentRules>,
    /// Who asks, as far as known.
    pub peer: Peer,
    /// The pipeline of the command and those it is piped to, if that is what is refused.
    joined: OnceCell<String>,
    /// The decision's ID, in the answer and in the audit.
    pub id: String,
}

impl Cases {
    /// # Errors
    /// The system has no random bytes for the IDs.
    pub fn new(mode: Mode) -> Result<Arc<Self>, Failure> {
        Ok(Arc::new(Self {
            mode,
            webhook: Webhook::default(),
            unsealed: Unsealed::default(),
            itself: OwnProcess::here(),
            pipes: Mutex::default(),
            run: run_id()?,
            count: AtomicU64::new(0),
        }))
    }

    /// The case of a question that `peer` asks, under these rules.
    pub fn next(
        self: &Arc<Self>,
        policies: PolicySet,
        projects: Option<Arc<Projects>>,
        spent: Arc<SpentRules>,
        peer: Peer,
    ) -> Case {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{}-{number}", self.run);
        Case {
            cases: Arc::clone(self),
            policies,
            projects,
            spent,
            peer,
            joined: OnceCell::new(),
            id,
        }
    }

    /// What the decisions' IDs begin with: unique to this process.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Whether the question's command may be connected by a pipe to a known one.
    pub fn may_join(&self, question: &Question<'_>) -> bool {
        let pipes = question.pipes();
        pipes != [None, None] && self.pipes().may_join(pipes)
    }

    fn pipes(&self) -> MutexGuard<'_, Pipes> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the IDs of a run's decisions begin with.
pub fn run_id() -> Result<String, Failure> {
    Ok(Token::random()?.reveal().chars().take(16).collect())
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
            return Judged::Closed(Verdict::refused(self.cases.mode, self.id));
        }
        let judged = || {
            let (decision, took) = self.evaluate(question);
            if decision.action == Action::Ask && self.cases.mode == Mode::Enforce {
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
            None => Judged::Closed(Verdict::refused(self.cases.mode, self.id)),
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
        let lines = self.cases.pipes().join(question, self.peer);
        // A separate memory: this must not spend rules that hold once, or count for rates.
        let policies = self.policies.clone().remembering(Arc::default());
        for line in lines {
            let (form, argv0, coverage) = (Form::Line, None, None);
            let call = Call { command: &line, form, argv0, coverage, ..call };
            let decision = policies.evaluate(&call);
            if !decision.allowed()
                && let Some(because) = decision.because
            {
                self.cases.pipes().forget(question);
                let shown = cut(&line, SHOWN);
                let message = format!("{}{PIPED}{shown}`", decision.message);
                let _ = self.joined.set(line);
                // Deny rather than ask: a person would see only this end of the pipe.
                let because = Some(Because { command: None, ..because });
                return Decision { action: Action::Deny, message, because, ..decision };
            }
        }
        alone
    }

    fn evaluate(&self, question: &Question<'_>) -> (Decision, Duration) {
        let call = question.call();
        let start = Instant::now();
        let decision = match self.cases.mode {
            Mode::Disabled => unexplained(Action::Allow, ""),
            Mode::Enforce | Mode::Monitor => {
                judge(|| match self.cases.itself.refuses(call.command, call.cwd) {
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
        let decision = decide(policies, call);
        if memory.count_spent() > before {
            self.spent.keep(memory);
        }
        decision
    }

    /// Sends the webhooks.
    pub fn announce(
        &self,
        question: &Question<'_>,
        decision: &Decision,
        waiting: Option<&Waiting>,
    ) {
        self.cases.webhook.tell(&self.policies, question, decision, waiting, self.cases.mode);
    }

    /// The verdict, which takes the id. The audit has a line of it then.
    pub fn conclude(
        &mut self,
        question: &Question<'_>,
        decision: Decision,
        took: Duration,
        audit: &mut Batch,
    ) -> Verdict {
        let (call, mode) = (question.call(), self.cases.mode);
        if let Some(missed @ 1..) = question.missed {
            let who = self
                .peer
                .pid
                .map_or_else(String::new, |pid| format!(" of process {pid} or its descendants"));
            let message = format!(
                "in session {}, {missed} programs{who} ran unchecked, because this server could not \
                 be reached",
                call.session
            );
            audit.missed(call.agent, call.session, missed, &message);
        }
        if decision.allowed() {
            self.cases.unsealed.look(question, self.peer.pid, audit);
        }
        let took_us = microseconds(took);
        audit.record(question.record(&self.id, self.peer.pid, &decision, took_us, mode));
        let line = self.joined.get().map_or(call.command, String::as_str);
        let is_asked = question.ask_ms.is_some_and(|ms| ms > 0);
        let suggestions = suggestion(&self.policies, &decision, line, is_asked);
        let suggestions = suggestions.into_iter().collect();
        let id = std::mem::take(&mut self.id);
        Verdict { suggestions, ..Verdict::of(decision, mode, took, id) }
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

#[cfg(test)]
mod tests {
    use rampart_policy::Action;

    use super::{judge, unexplained};

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
