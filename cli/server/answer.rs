//! Answers requests: asks the policy, writes the audit, puts the answer's bytes
//! together.

use std::borrow::Cow;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rampart_policy::{Action, Call, Decision};
use serde::{Deserialize, Serialize};

use super::audit::{Audit, Record};
use super::http::{Endpoint, Refusal, phrase};
use super::reload::Reload;
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

#[derive(Serialize)]
struct Answer<'a> {
    allowed: bool,
    decision: &'a str,
    message: &'a str,
    matched_policies: &'a [String],
    eval_duration_us: u128,
    audit_id: &'a str,
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'a str,
    version: &'a str,
    mode: &'a str,
    policy: &'a str,
}

#[derive(Serialize)]
struct Fault<'a> {
    error: &'a str,
    message: &'a str,
}

/// What all connections share to answer from.
pub struct Desk {
    pub mode: Mode,
    pub policy: Reload,
    pub audit: Audit,
    /// Tells this run's audit ids from those of others.
    run: String,
    count: u64,
    id: Vec<u8>,
    body: Vec<u8>,
}

impl Desk {
    /// `run` has to differ from run to run.
    pub fn new(mode: Mode, policy: Reload, audit: Audit, run: String) -> Self {
        Self { mode, policy, audit, run, count: 0, id: Vec::new(), body: Vec::new() }
    }

    /// Appends the answer to a whole request.
    pub fn answer(
        &mut self,
        endpoint: Endpoint,
        body: &[u8],
        pid: Option<i32>,
        keep_alive: bool,
        out: &mut Vec<u8>,
    ) {
        self.body.clear();
        let status = match endpoint {
            Endpoint::Health => self.health(),
            Endpoint::Preflight => match serde_json::from_slice::<Question<'_>>(body) {
                Ok(question) => self.decide(&question, pid),
                Err(error) => self.not_a_question(&error),
            },
        };
        head(status, self.body.len(), keep_alive, "", out);
        out.extend_from_slice(&self.body);
    }

    fn health(&mut self) -> u16 {
        let health = Health {
            status: "ok",
            version: env!("CARGO_PKG_VERSION"),
            mode: self.mode.name(),
            policy: self.policy.name(),
        };
        json(&mut self.body, &health);
        200
    }

    fn not_a_question(&mut self, error: &serde_json::Error) -> u16 {
        // Where, but not what: the error's own words may repeat the whole body.
        let (line, column) = (error.line(), error.column());
        let message = format!("{NOT_A_QUESTION} (line {line}, column {column})");
        json(&mut self.body, &Fault { error: phrase(400), message: &message });
        400
    }

    fn decide(&mut self, question: &Question<'_>, pid: Option<i32>) -> u16 {
        let call = Call {
            agent: text(question.agent.as_ref()).unwrap_or_default(),
            session: text(question.session.as_ref()).unwrap_or_default(),
            command: &question.params.command,
            cwd: text(question.cwd.as_ref()),
            coverage: text(question.params.coverage.as_ref()),
        };
        self.policy.look(Instant::now(), &mut self.audit);
        let start = Instant::now();
        let decision = match self.mode {
            Mode::Disabled => unexplained(Action::Allow, ""),
            Mode::Enforce | Mode::Monitor => judge(|| self.policy.policies().evaluate(&call)),
        };
        let eval_duration_us = start.elapsed().as_micros();

        self.count += 1;
        self.id.clear();
        let _ = write!(self.id, "{}-{}", self.run, self.count);
        let id = std::str::from_utf8(&self.id).unwrap_or("");
        let verdict = name(decision.action);
        self.audit.record(&Record {
            id,
            agent: call.agent,
            session: call.session,
            pid,
            command: call.command,
            cwd: call.cwd,
            verdict,
            policy: decision.matched.first().map(String::as_str),
            message: &decision.message,
            mode: self.mode.name(),
        });
        let answer = Answer {
            allowed: decision.allowed() || self.mode != Mode::Enforce,
            decision: verdict,
            message: &decision.message,
            matched_policies: &decision.matched,
            eval_duration_us,
            audit_id: id,
        };
        json(&mut self.body, &answer);
        200
    }
}

/// Appends the answer to a request that is not acceptable.
pub fn refuse(refusal: Refusal, keep_alive: bool, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    json(&mut body, &Fault { error: phrase(refusal.status), message: refusal.reason });
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
    let connection = if keep_alive { "" } else { "Connection: close\r\n" };
    let _ = write!(
        out,
        "HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         {field}{connection}\r\n",
        phrase(status),
    );
}

/// Strings and numbers always serialise, and a vector takes every byte.
fn json(out: &mut Vec<u8>, value: &impl Serialize) {
    let _ = serde_json::to_writer(out, value);
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
