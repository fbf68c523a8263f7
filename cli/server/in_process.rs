//! A policy without a server, for questions of this process (the keeper of a sealed run).

use std::sync::Arc;

use rampart_policy::PolicySet;

use super::case::{Cases, Judged};
use super::own_process::OwnProcess;
use super::question::{Question, Verdict};
use super::stream::Peer;
use super::webhook::UNTOLD;
use crate::audit::Audit;
use crate::failure::Failure;
use crate::home::Home;
use crate::mode::Mode;
use crate::spent_rules::SpentRules;

/// A policy that decides questions on the caller's thread, unless a person has to be asked.
pub struct InProcess {
    cases: Arc<Cases>,
    policies: PolicySet,
    spent: Arc<SpentRules>,
    audit: Audit,
}

impl InProcess {
    /// # Errors
    /// The system has no random bytes for the IDs.
    pub fn new(
        mode: Mode,
        policies: PolicySet,
        audit: Audit,
        home: &Home,
    ) -> Result<Self, Failure> {
        // The keeper has to start all its threads before the filter names them.
        let compiled = policies.clone();
        audit.begin(move || compiled.compile());
        let spent = SpentRules::of(home);
        spent.keep(policies.memory());
        Ok(Self { cases: Cases::new(mode)?, policies, spent: Arc::new(spent), audit })
    }

    /// The verdict that the server would give; call [`Self::wake`] afterwards. `None` if the server
    /// has to be asked: a person may have to decide, or the command may end the server, which only
    /// the server itself can tell.
    pub fn decide(&self, question: &Question<'_>) -> Option<Verdict> {
        if OwnProcess::may_be_meant(&question.params.command) {
            return None;
        }
        let spent = Arc::clone(&self.spent);
        let case = self.cases.next(self.policies.clone(), None, spent, Peer::UNKNOWN);
        match case.judge(question, || self.audit.lines()) {
            Judged::Closed(verdict) => Some(verdict),
            Judged::Open(_) => None,
        }
    }

    /// Writes an event that is not a decision.
    pub fn note(&self, event: &str, message: &str) {
        self.audit.lines().as_mut().event(event, message);
        self.wake();
    }

    /// Whether the question's command may be connected by a pipe to a known one.
    pub fn may_join(&self, question: &Question<'_>) -> bool {
        self.cases.may_join(question)
    }

    /// Sees to it that what was decided is written. Called after the answer is given.
    pub fn wake(&self) {
        if let Some(fault) = self.cases.webhook.take_fault() {
            self.audit.lines().as_mut().event(UNTOLD, &fault);
        }
        self.audit.wake();
    }

    /// Writes everything, before the process ends.
    pub fn finish(&self) {
        self.cases.webhook.finish();
        self.wake();
        self.audit.finish();
    }
}
