//! A question as it is put, the verdict on it, and what the two have to do with JSON.

use std::borrow::Cow;

use rampart_policy::{Action, Call, Decision, Form};
use serde::{Deserialize, Serialize, Serializer};

use crate::audit::Record;
use crate::home;
use crate::mode::Mode;

/// May this command run? What else a request says is ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct Question<'a> {
    /// Name of the agent, for the policy and the audit.
    #[serde(borrow, default)]
    pub agent: Option<Text<'a>>,
    /// Name of the run, for the policy and the audit.
    #[serde(borrow, default)]
    pub session: Option<Text<'a>>,
    #[serde(borrow)]
    pub params: Params<'a>,
    /// Working directory of who asks, where it is known.
    #[serde(borrow, default)]
    pub cwd: Option<Text<'a>>,
    /// Who asks on behalf of a process, where that is not the library in it: `kernel`.
    #[serde(borrow, default)]
    pub by: Option<Text<'a>>,
    /// That process.
    #[serde(default)]
    pub pid: Option<i32>,
    /// How many programs who asks has let run unchecked since it last had an answer.
    #[serde(default)]
    pub missed: Option<u32>,
    /// For how long a person's decision is waited for, in milliseconds.
    #[serde(default)]
    pub ask_ms: Option<u32>,
}

/// What is to be run.
#[derive(Debug, Clone, Deserialize)]
pub struct Params<'a> {
    /// The command line.
    #[serde(borrow)]
    pub command: Cow<'a, str>,
    /// How much will be seen of the program, where it is known.
    #[serde(borrow, default)]
    pub coverage: Option<Text<'a>>,
    /// Whether it is an argument list (`argv`) or a shell's text (`line`).
    #[serde(borrow, default)]
    pub form: Option<Text<'a>>,
    /// What the program is called, where that decides what it does.
    #[serde(borrow, default)]
    pub argv0: Option<Text<'a>>,
    /// The pipe that the program will read from, where that is certain: `pipe:[N]`.
    #[serde(borrow, default)]
    pub stdin: Option<Text<'a>>,
    /// The pipe that it will write to.
    #[serde(borrow, default)]
    pub stdout: Option<Text<'a>>,
}

/// A string that is copied only if it has escapes; serde copies every
/// `Option<Cow<str>>`.
#[derive(Debug, Clone, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'a> Question<'a> {
    /// Reads a request's body. Text that is checked once to be UTF-8 is read faster than
    /// bytes.
    ///
    /// # Errors
    /// It is no question.
    pub fn read(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        match std::str::from_utf8(body) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(body),
        }
    }

    /// The question by itself.
    pub fn into_owned(self) -> Question<'static> {
        let Self { agent, session, params, cwd, by, pid, missed, ask_ms } = self;
        let Params { command, coverage, form, argv0, stdin, stdout } = params;
        let params = Params {
            command: owned(command),
            coverage: coverage.map(Text::into_owned),
            form: form.map(Text::into_owned),
            argv0: argv0.map(Text::into_owned),
            stdin: stdin.map(Text::into_owned),
            stdout: stdout.map(Text::into_owned),
        };
        Question {
            agent: agent.map(Text::into_owned),
            session: session.map(Text::into_owned),
            params,
            cwd: cwd.map(Text::into_owned),
            by: by.map(Text::into_owned),
            pid,
            missed,
            ask_ms,
        }
    }

    /// What the audit has of a decision on it, which has this id and took so many microseconds;
    /// `pid` is the process that asks, where that is known.
    pub fn record<'r>(
        &'r self,
        id: &'r str,
        pid: Option<i32>,
        decision: &'r Decision,
        took_us: u64,
        mode: Mode,
    ) -> Record<'r> {
        let call = self.call();
        Record {
            id,
            agent: call.agent,
            session: call.session,
            pid: self.pid.or(pid),
            by: text(self.by.as_ref()),
            command: call.command,
            cwd: call.cwd,
            coverage: call.coverage,
            verdict: verdict_name(decision.action),
            policies: &decision.matched,
            evaluation_us: took_us,
            message: &decision.message,
            mode: mode.name(),
        }
    }

    /// The numbers of the pipes at its standard input and output.
    pub fn pipes(&self) -> [Option<u64>; 2] {
        [&self.params.stdin, &self.params.stdout].map(|pipe| {
            let number = text(pipe.as_ref())?.strip_prefix("pipe:[")?.strip_suffix(']')?;
            number.parse().ok()
        })
    }

    /// The question as the policy takes it.
    pub fn call(&self) -> Call<'_> {
        Call {
            agent: text(self.agent.as_ref()).unwrap_or_default(),
            session: text(self.session.as_ref()).unwrap_or_default(),
            command: &self.params.command,
            form: Form::from_word(text(self.params.form.as_ref())),
            argv0: text(self.params.argv0.as_ref()),
            cwd: text(self.cwd.as_ref()),
            home: home::of_user(),
            coverage: text(self.params.coverage.as_ref()),
            ..Call::default()
        }
    }
}

impl Text<'_> {
    fn into_owned(self) -> Text<'static> {
        Text(owned(self.0))
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn text<'a>(text: Option<&'a Text<'_>>) -> Option<&'a str> {
    text.map(|Text(text)| &**text)
}

/// What was decided, as the answer has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether the command may run.
    pub allowed: bool,
    #[serde(serialize_with = "named")]
    pub decision: Action,
    /// Why, in the words of the rule that decided; empty where no rule did.
    pub message: String,
    /// Names of the policies that had a matching rule, the deciding one first.
    pub matched_policies: Vec<String>,
    /// How a person would allow what was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<String>,
    /// How long the policy took, in microseconds.
    pub eval_duration_us: u64,
    /// The same as in the audit.
    pub audit_id: String,
}

/// The name of an action on the wire and in the audit.
pub fn verdict_name(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Watch => "watch",
        Action::Ask => "ask",
        Action::Deny => "deny",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn named<S: Serializer>(action: &Action, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(verdict_name(*action))
}

#[cfg(test)]
mod tests {
    use super::Question;

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
            let question = Question::read(body.as_bytes());
            assert_eq!(
                question.ok().map(|question| question.params.command.into_owned()).as_deref(),
                command,
                "{body}"
            );
        }
    }
}
