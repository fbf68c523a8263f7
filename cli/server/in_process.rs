//! A policy without a server, for questions of this process (the keeper of a sealed run).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rampart_policy::PolicySet;

use super::case::{Cases, Judged};
use super::own_process::OwnProcess;
use super::question::{Question, Verdict};
use super::webhook::UNTOLD;
use crate::audit::{self, Audit, Batch};
use crate::background::gives_way;
use crate::failure::{Failure, why_not_started};
use crate::home::Home;
use crate::mode::Mode;
use crate::spent_rules::SpentRules;

/// A policy that decides questions on the caller's thread, unless a person has to be asked.
pub struct InProcess {
    cases: Arc<Cases>,
    policies: PolicySet,
    spent: Arc<SpentRules>,
    audit_state: Mutex<AuditState>,
    unwritten: Condvar,
    /// The writing thread has to be woken.
    is_news: AtomicBool,
}

/// The audit, and whether it has unwritten lines.
struct AuditState {
    audit: Audit,
    is_behind: bool,
}

/// The unwritten lines, to which more are added. These are written soon after.
struct Lines<'p>(&'p InProcess, MutexGuard<'p, AuditState>);

impl AsMut<Batch> for Lines<'_> {
    fn as_mut(&mut self) -> &mut Batch {
        self.1.audit.lines()
    }
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        let Self(own, audit_state) = self;
        own.note_fault(audit_state);
        audit_state.audit.settle();
        if audit_state.audit.has_enough() {
            audit_state.audit.write();
        } else if !std::mem::replace(&mut audit_state.is_behind, true) {
            own.is_news.store(true, Ordering::Relaxed);
        }
    }
}

impl InProcess {
    /// # Errors
    /// The system has no random bytes for the IDs, or no thread to write the audit.
    pub fn new(
        mode: Mode,
        policies: PolicySet,
        mut audit: Audit,
        home: &Home,
    ) -> Result<Arc<Self>, Failure> {
        // The keeper has to start all its threads before the filter names them.
        audit.begin();
        let spent = SpentRules::of(home);
        spent.keep(policies.memory());
        let in_process = Arc::new(Self {
            cases: Cases::new(mode)?,
            policies,
            spent: Arc::new(spent),
            audit_state: Mutex::new(AuditState { audit, is_behind: false }),
            unwritten: Condvar::new(),
            is_news: AtomicBool::new(false),
        });
        let writer = Arc::clone(&in_process);
        let cannot = |error| {
            Failure::new(format!("cannot start the audit's thread: {}", why_not_started(&error)))
        };
        std::thread::Builder::new().spawn(move || writer.write_on()).map_err(cannot)?;
        Ok(in_process)
    }

    /// The verdict that the server would give; call [`Self::wake`] afterwards. `None` if the server
    /// has to be asked: a person may have to decide, or the command may end the server, which only
    /// the server itself can tell.
    pub fn decide(&self, question: &Question<'_>) -> Option<Verdict> {
        if OwnProcess::may_be_meant(&question.params.command) {
            return None;
        }
        let spent = Arc::clone(&self.spent);
        let case = self.cases.next(self.policies.clone(), None, spent, None);
        match case.judge(question, || Lines(self, self.audit_state())) {
            Judged::Closed(verdict) => Some(verdict),
            Judged::Open(_) => None,
        }
    }

    /// Writes an event that is not a decision.
    pub fn note(&self, event: &str, message: &str) {
        Lines(self, self.audit_state()).as_mut().event(event, message);
        self.wake();
    }

    /// Whether the question's command may be connected by a pipe to a known one.
    pub fn may_join(&self, question: &Question<'_>) -> bool {
        self.cases.may_join(question)
    }

    /// Wakes the writing thread if needed. Called after the answer is given, because waking a
    /// thread costs as much as much of an answer.
    pub fn wake(&self) {
        if self.is_news.swap(false, Ordering::Relaxed) {
            self.unwritten.notify_one();
        }
    }

    /// Writes everything, before the process ends.
    pub fn finish(&self) {
        self.cases.webhook.finish();
        let mut audit_state = self.audit_state();
        self.note_fault(&mut audit_state);
        audit_state.audit.finish();
    }

    /// Writes an event if a webhook has failed.
    fn note_fault(&self, audit_state: &mut AuditState) {
        if let Some(fault) = self.cases.webhook.take_fault() {
            audit_state.audit.lines().event(UNTOLD, &fault);
        }
    }

    /// The writing thread: prepares policy and audit, then writes lines in batches, forever.
    fn write_on(&self) {
        self.policies.compile();
        audit::prepare();
        gives_way();
        loop {
            let is_idle = |audit_state: &mut AuditState| !audit_state.is_behind;
            drop(self.unwritten.wait_while(self.audit_state(), is_idle));
            std::thread::sleep(audit::DELAY);
            let mut audit_state = self.audit_state();
            audit_state.is_behind = false;
            audit_state.audit.write();
        }
    }

    fn audit_state(&self) -> MutexGuard<'_, AuditState> {
        self.audit_state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
