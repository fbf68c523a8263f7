//! Answers requests: asks the policy, writes the audit, puts the answer's bytes
//! together.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rampart_policy::{Action, Call, Decision, PolicySet};
use serde::Deserialize;

use super::http::{Endpoint, Refusal, phrase};
use super::reload::Reload;
use crate::audit::json::Object;
use crate::audit::{Audit, Lines, Record};
use crate::mode::Mode;

const NOT_A_QUESTION: &str = "the body is not a JSON object with a string at params.command";
const FAULT: &str = "the policy engine failed on this command, so it is refused; \
    please report it with the command";

/// What the library sends. What else there is, is ignored.
#[derive(Deserialize)]
struct Question<'a> {
    #[serde(borrow, default)]
    agent: Option<Text<'a>>,
    #[serde(borrow, default)]
    session: Option<Text<'a>>,
    #[serde(borrow)]
    params: Params<'a>,
    #[serde(borrow, default)]
    cwd: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    command: Cow<'a, str>,
    #[serde(borrow, default)]
    coverage: Option<Text<'a>>,
}

/// A string that is copied only if it has escapes; serde copies every
/// `Option<Cow<str>>`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'a>(text: Option<&'a Text<'_>>) -> Option<&'a str> {
    text.map(|Text(text)| &**text)
}

/// What the answer to a question depends on besides the question.
pub struct Case<'a> {
    pub policies: &'a PolicySet,
    pub mode: Mode,
    /// The process that asks, where the system tells it.
    pub pid: Option<i32>,
    /// The same in the answer and in the audit.
    pub id: &'a str,
}

impl Case<'_> {
    /// Appends the answer's body, and the audit's line; gives the status.
    pub fn answer(&self, body: &[u8], answer: &mut Vec<u8>, audit: &mut Lines) -> u16 {
        match question(body) {
            Ok(question) => self.decide(&question, answer, audit),
            Err(error) => not_a_question(&error, answer),
        }
    }

    fn decide(&self, question: &Question<'_>, answer: &mut Vec<u8>, audit: &mut Lines) -> u16 {
        let call = Call {
            agent: text(question.agent.as_ref()).unwrap_or_default(),
            session: text(question.session.as_ref()).unwrap_or_default(),
            command: &question.params.command,
            cwd: text(question.cwd.as_ref()),
            coverage: text(question.params.coverage.as_ref()),
        };
        let start = Instant::now();
        let decision = match self.mode {
            Mode::Disabled => unexplained(Action::Allow, ""),
            Mode::Enforce | Mode::Monitor => judge(|| self.policies.evaluate(&call)),
        };
        let eval_duration_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let verdict = name(decision.action);
        audit.record(&Record {
            id: self.id,
            agent: call.agent,
            session: call.session,
            pid: self.pid,
            command: call.command,
            cwd: call.cwd,
            coverage: call.coverage,
            verdict,
            policy: decision.matched.first().map(String::as_str),
            message: &decision.message,
            mode: self.mode.name(),
        });
        let mut told = Object::new(answer);
        told.flag("allowed", decision.allowed() || self.mode != Mode::Enforce);
        told.text("decision", verdict);
        told.text("message", &decision.message);
        told.texts("matched_policies", &decision.matched);
        told.number("eval_duration_us", eval_duration_us);
        told.text("audit_id", self.id);
        told.end();
        200
    }
}

/// What all connections share to answer from.
pub struct Desk {
    pub mode: Mode,
    pub policy: Reload,
    pub audit: Audit,
    /// The id of the last question: this run's own prefix, and a number.
    id: String,
    prefix: usize,
    count: u64,
    body: Vec<u8>,
}

impl Desk {
    /// `run` has to differ from run to run.
    pub fn new(mode: Mode, policy: Reload, audit: Audit, run: &str) -> Self {
        let id = format!("{run}-");
        Self { mode, policy, audit, prefix: id.len(), id, count: 0, body: Vec::new() }
    }

    /// Appends the answer to a whole request.
    pub fn answer(
        &mut self,
        endpoint: Endpoint,
        body: &[u8],
        pid: Option<i32>,
        keep_alive: bool,
        out: &mut Vec<u8>,
        now: Instant,
    ) {
        self.body.clear();
        let status = match endpoint {
            Endpoint::Health => self.health(),
            Endpoint::Preflight => {
                self.next_question(now);
                let (policies, mode, id) = (self.policy.policies(), self.mode, &*self.id);
                let case = Case { policies, mode, pid, id };
                let status = case.answer(body, &mut self.body, self.audit.lines());
                self.audit.settle();
                status
            }
        };
        whole(status, keep_alive, &self.body, out);
    }

    /// What it takes to answer a question elsewhere: the policies, the mode, the id.
    pub fn hand_out(&mut self, now: Instant) -> (PolicySet, Mode, String) {
        self.next_question(now);
        (self.policy.policies().clone(), self.mode, self.id.clone())
    }

    fn next_question(&mut self, now: Instant) {
        self.policy.look(now, &mut self.audit);
        self.count += 1;
        self.id.truncate(self.prefix);
        self.id.push_str(itoa::Buffer::new().format(self.count));
    }

    fn health(&mut self) -> u16 {
        let mut health = Object::new(&mut self.body);
        health.text("status", "ok");
        health.text("version", env!("CARGO_PKG_VERSION"));
        health.text("mode", self.mode.name());
        health.text("policy", self.policy.name());
        health.end();
        200
    }
}

/// Text that is checked once to be UTF-8 is read faster than bytes.
fn question(body: &[u8]) -> Result<Question<'_>, serde_json::Error> {
    match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    }
}

fn not_a_question(error: &serde_json::Error, answer: &mut Vec<u8>) -> u16 {
    // Where, but not what: the error's own words may repeat the whole body.
    let (line, column) = (error.line(), error.column());
    let message = format!("{NOT_A_QUESTION} (line {line}, column {column})");
    fault(400, &message, answer);
    400
}

/// The answer's body where something failed that should not: not one of those that let a
/// client run what it likes.
pub fn failed(answer: &mut Vec<u8>) -> u16 {
    answer.clear();
    fault(400, FAULT, answer);
    400
}

/// Appends a whole answer.
pub fn whole(status: u16, keep_alive: bool, body: &[u8], out: &mut Vec<u8>) {
    head(status, body.len(), keep_alive, "", out);
    out.extend_from_slice(body);
}

/// Appends the answer to a request that is not acceptable.
pub fn refuse(refusal: Refusal, keep_alive: bool, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    fault(refusal.status, refusal.reason, &mut body);
    let field = match refusal.status {
        401 => "WWW-Authenticate: Bearer\r\n",
        405 if refusal.reason.contains("POST") => "Allow: POST\r\n",
        405 => "Allow: GET\r\n",
        _ => "",
    };
    head(refusal.status, body.len(), keep_alive, field, out);
    out.extend_from_slice(&body);
}

/// The verdict, where the engine gives one: a command that makes it fail is refused.
fn judge(evaluate: impl FnOnce() -> Decision) -> Decision {
    catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|_| unexplained(Action::Deny, FAULT))
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

/// The name of an action on the wire and in the audit.
pub fn name(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Watch => "watch",
        Action::Ask => "ask",
        Action::Deny => "deny",
    }
}

fn head(status: u16, length: usize, keep_alive: bool, field: &str, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put("HTTP/1.1 ");
    put(number.format(status));
    put(" ");
    put(phrase(status));
    put("\r\nContent-Type: application/json\r\nContent-Length: ");
    put(number.format(length));
    put("\r\n");
    put(field);
    put(if keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
}

fn fault(status: u16, message: &str, out: &mut Vec<u8>) {
    let mut fault = Object::new(out);
    fault.text("error", phrase(status));
    fault.text("message", message);
    fault.end();
}

#[cfg(test)]
mod tests {
    use rampart_policy::Action;

    use super::{Question, judge, unexplained};

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

    #[test]
    fn a_question_needs_a_command_and_nothing_else() {
        for (body, command) in [
            (r#"{"params":{"command":"ls"}}"#, Some("ls")),
            (
                r#"{"agent":"a","session":"s","params":{"command":"ls","x":[1]},"enforce":true}"#,
                Some("ls"),
            ),
            (r#"{"agent":null,"cwd":null,"params":{"command":""},"more":{"y":2}}"#, Some("")),
            (r#"{"params":{"command":"a\u00ff\n"}}"#, Some("a\u{ff}\n")),
            ("", None),
            ("{}", None),
            ("[]", None),
            (r#"{"params":{}}"#, None),
            (r#"{"params":{"command":null}}"#, None),
            (r#"{"params":{"command":1}}"#, None),
            (r#"{"params":{"command":"ls","coverage":"static"}}"#, Some("ls")),
            (r#"{"params":{"command":"ls","coverage":null}}"#, Some("ls")),
            (r#"{"params":{"command":"ls","coverage":7}}"#, None),
            (r#"{"agent":1,"params":{"command":"ls"}}"#, None),
            (r#"{"params":{"command":"ls"}} x"#, None),
            (r#"{"params":{"command":"ls"},"params":{"command":"ls"}}"#, None),
            (r#"{"params":{"command":"\ud800"}}"#, None),
        ] {
            let question = serde_json::from_str::<Question<'_>>(body);
            assert_eq!(
                question.ok().map(|question| question.params.command.into_owned()).as_deref(),
                command,
                "{body}"
            );
        }
    }
}
