//! A question as it is put, the verdict on it, and what the two have to do with JSON.

use std::borrow::Cow;

use rampart_policy::{Action, Call, Decision, Form};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::audit::Record;
use crate::home;
use crate::mode::Mode;

/// Makes a question of the table of its fields; `audited` is a function by which they get into
/// the audit.
macro_rules! question {
    (
        body { $( $(#[$seen_doc:meta])* $seen:ident: $seen_type:ty => $seen_as:ty $(, $seen_audited:ident)?; )* }
        params { $( $(#[$detail_doc:meta])* $detail:ident: $detail_type:ty => $detail_as:ty $(, $detail_audited:ident)?; )* }
        body { $( $(#[$own_doc:meta])* $own:ident: $own_type:ty $(, $own_audited:ident)?; )* }
        params { $( $(#[$end_doc:meta])* $end:ident: $end_type:ty; )* }
    ) => {
        /// May this command run? What else a request says is ignored.
        #[derive(Debug, Clone, Default, Deserialize)]
        pub struct Question<'a> {
            #[serde(borrow)]
            pub params: Params<'a>,
            $( $(#[$seen_doc])* pub $seen: Option<$seen_type>, )*
            $( $(#[$own_doc])* pub $own: Option<$own_type>, )*
        }

        /// What is to be run.
        #[derive(Debug, Clone, Default, Deserialize)]
        pub struct Params<'a> {
            /// The command line.
            #[serde(borrow)]
            pub command: Cow<'a, str>,
            $( $(#[$detail_doc])* pub $detail: Option<$detail_type>, )*
            $( $(#[$end_doc])* pub $end: Option<$end_type>, )*
        }

        impl Question<'_> {
            /// The question by itself.
            pub fn into_owned(self) -> Question<'static> {
                let params = Params {
                    command: owned(self.params.command),
                    $( $detail: self.params.$detail.map(Field::into_owned), )*
                    $( $end: self.params.$end.map(Field::into_owned), )*
                };
                Question {
                    params,
                    $( $seen: self.$seen.map(Field::into_owned), )*
                    $( $own: self.$own.map(Field::into_owned), )*
                }
            }

            /// The question as the policy takes it.
            pub fn call(&self) -> Call<'_> {
                Call {
                    command: &self.params.command,
                    $( $seen: Seen::of(self.$seen.as_ref()), )*
                    $( $detail: Seen::of(self.params.$detail.as_ref()), )*
                    home: home::of_user(),
                    now: None,
                }
            }

            /// What the audit has of it by the names of the fields.
            fn audited(&self) -> Vec<(&'static str, Value)> {
                let mut found = Vec::new();
                $( $( $seen_audited(&mut found, stringify!($seen), self.$seen.as_ref()); )? )*
                $( $( $own_audited(&mut found, stringify!($own), self.$own.as_ref()); )? )*
                $( $( $detail_audited(&mut found, stringify!($detail), self.params.$detail.as_ref()); )? )*
                found
            }
        }

        #[cfg(test)]
        const FIELDS: &[&str] = &[
            "params.command",
            $( stringify!($seen), )*
            $( stringify!($own), )*
            $( concat!("params.", stringify!($detail)), )*
            $( concat!("params.", stringify!($end)), )*
        ];
    };
}

rampart_policy::fields! { question
    body {
        /// Who asks on behalf of a process, where that is not the library in it: `kernel`.
        by: Text<'a>, audited;
        /// That process.
        pid: i32;
        /// How many programs who asks has let run unchecked since it last had an answer.
        missed: u32;
        /// Something that who asks has found out, in place of a question: one of [`EVENTS`].
        event: Text<'a>;
        /// What that was, for a person.
        message: Text<'a>;
        /// For how long a person's decision is waited for, in milliseconds.
        ask_ms: u32;
    }
    params {
        /// The pipe that the program will read from, where that is certain: `pipe:[N]`.
        stdin: Text<'a>;
        /// The pipe that it will write to.
        stdout: Text<'a>;
    }
}

/// That a process started something else than it was allowed to, and that what one wanted to start
/// could not be read.
const EVENTS: [&str; 2] = ["changed-in-between", "unreadable"];

/// A string that is copied only if it has escapes; serde copies every
/// `Option<Cow<str>>`.
#[derive(Debug, Clone, Deserialize, Serialize)]
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

    /// What who asks has found out, if this is no question: the event and its message.
    pub fn finding(&self) -> Option<(&str, &str)> {
        let event = text(self.event.as_ref()).filter(|event| EVENTS.contains(event))?;
        Some((event, text(self.message.as_ref())?))
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
            command: call.command,
            fields: self.audited(),
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
}

/// What a field is read as.
trait Field {
    type Owned;

    /// The same by itself.
    fn into_owned(self) -> Self::Owned;
}

impl Field for Text<'_> {
    type Owned = Text<'static>;

    fn into_owned(self) -> Text<'static> {
        Text(owned(self.0))
    }
}

impl Field for u32 {
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }
}

impl Field for i32 {
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }
}

/// What the policy sees of a field that was read as a `T`.
trait Seen<'q, T> {
    fn of(field: Option<&'q T>) -> Self;
}

impl<'q> Seen<'q, Text<'_>> for Option<&'q str> {
    fn of(field: Option<&'q Text<'_>>) -> Self {
        text(field)
    }
}

impl<'q> Seen<'q, Text<'_>> for &'q str {
    fn of(field: Option<&'q Text<'_>>) -> Self {
        text(field).unwrap_or_default()
    }
}

impl<'q> Seen<'q, Text<'_>> for Form {
    fn of(field: Option<&'q Text<'_>>) -> Self {
        Self::from_word(text(field))
    }
}

impl<'q> Seen<'q, u32> for Option<u32> {
    fn of(field: Option<&'q u32>) -> Self {
        field.copied()
    }
}

/// Adds a field to what the audit has.
fn audited(
    found: &mut Vec<(&'static str, Value)>,
    name: &'static str,
    field: Option<&impl Serialize>,
) {
    if let Some(value) = field.and_then(|field| serde_json::to_value(field).ok()) {
        found.push((name, value));
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
    use rampart_policy::{Action, PolicySet};
    use serde_json::{Value, json};

    use super::{FIELDS, Question};

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

    #[test]
    fn what_a_question_says_gets_to_the_rules_and_into_the_audit() {
        let policies = "default_action: allow\npolicies:\n- name: p\n  rules:\n  \
                        - {action: deny, when: {agent_depth: {gte: 2}}, message: m}\n  \
                        - {action: watch, when: {coverage_matches: static, session_matches: s}}\n";
        let policies = PolicySet::parse(policies, "p.yaml").unwrap();
        for (body, action, kept) in [
            (r#"{"params":{"command":"ls"}}"#, Action::Allow, json!({})),
            (
                r#"{"agent_depth":2,"params":{"command":"ls"}}"#,
                Action::Deny,
                json!({"agent_depth": 2}),
            ),
            (
                r#"{"agent_depth":1,"cwd":"/\u0061","params":{"command":"ls","argv0":"x"}}"#,
                Action::Allow,
                json!({"agent_depth": 1, "cwd": "/a"}),
            ),
            (
                r#"{"session":"s","by":"kernel","params":{"command":"ls","coverage":"static"}}"#,
                Action::Watch,
                json!({"by": "kernel", "coverage": "static"}),
            ),
        ] {
            let question = Question::read(body.as_bytes()).unwrap();
            for question in [question.clone(), question.into_owned()] {
                assert_eq!(policies.evaluate(&question.call()).action, action, "{body}");
                assert_eq!(Value::from_iter(question.audited()), kept, "{body}");
            }
        }
    }

    #[test]
    fn each_field_of_a_question_is_documented() {
        let page = include_str!("../../docs/protocol.md");
        for field in FIELDS {
            let named = format!("`{field}`");
            let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
            assert!(rows.into_iter().any(|names| names.contains(&named)), "{field}");
        }
    }
}
