//! A question and the verdict on it, as JSON.

use std::borrow::Cow;
use std::time::SystemTime;

use rampart_policy::{Action, Call, Decision, Seen};
use serde::{Deserialize, Serialize, Serializer};

use crate::audit::{Record, Said};
use crate::home;
use crate::mode::Mode;
use crate::processes;

/// Most questions have fewer fields that are copied to the audit.
const AUDITED: usize = 12;

/// Defines [`Question`] and [`Params`] from the table of their fields. `audited` marks a field that
/// is copied to the audit.
macro_rules! question {
    (
        body { $( $(#[$seen_doc:meta])* $seen:ident: $seen_type:ident => $seen_as:ty $(, $seen_audited:ident)?; )* }
        params { $( $(#[$detail_doc:meta])* $detail:ident: $detail_type:ident => $detail_as:ty $(, $detail_audited:ident)?; )* }
        body { $( $(#[$own_doc:meta])* $own:ident: $own_type:ty $(, $own_audited:ident)?; )* }
        params { $( $(#[$end_doc:meta])* $end:ident: $end_type:ty; )* }
    ) => {
        /// May this command run? Unknown fields are ignored.
        #[derive(Debug, Clone, Default, Deserialize)]
        pub struct Question<'a> {
            #[serde(borrow)]
            pub params: Params<'a>,
            $( $(#[$seen_doc])* pub $seen: Option<$seen_type<'a>>, )*
            $( $(#[$own_doc])* pub $own: Option<$own_type>, )*
        }

        /// The command that is to run.
        #[derive(Debug, Clone, Default, Deserialize)]
        pub struct Params<'a> {
            /// The command line.
            #[serde(borrow)]
            pub command: Cow<'a, str>,
            $( $(#[$detail_doc])* pub $detail: Option<$detail_type<'a>>, )*
            $( $(#[$end_doc])* pub $end: Option<$end_type>, )*
        }

        impl Question<'_> {
            /// The question with its own copies of all text.
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

            /// The question in the policy's terms.
            pub fn call(&self) -> Call<'_> {
                Call {
                    command: &self.params.command,
                    $( $seen: Seen::of(self.$seen.as_ref()), )*
                    $( $detail: Seen::of(self.params.$detail.as_ref()), )*
                    home: home::of_user(),
                    now: None,
                }
            }

            /// The fields that are copied to the audit, by name.
            fn audited(&self) -> Vec<(&'static str, Said<'_>)> {
                let mut found = Vec::with_capacity(AUDITED);
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
        /// Who asks, if not the library in the process: `kernel`.
        by: Text<'a>, audited;
        /// The process that is asked about, if `by` is set.
        pid: i32;
        /// How many programs the client has let run unchecked since its last answer.
        missed: u32;
        /// An event to record in place of a question: one of [`EVENTS`].
        event: Text<'a>;
        /// The event's message, for a person.
        message: Text<'a>;
        /// How long to wait for a person's decision, in milliseconds.
        ask_ms: u32;
    }
    params {
        /// The pipe at the program's standard input, if certain: `pipe:[N]`.
        stdin: Text<'a>;
        /// The pipe at its standard output.
        stdout: Text<'a>;
        /// The process that asks, as it knows itself.
        pid: i32;
        /// Its parent, as it knows it.
        parent: i32;
    }
}

/// A process started something other than what it was allowed; what one wanted to start could not
/// be read.
const EVENTS: [&str; 2] = ["changed-in-between", "unreadable"];

/// A string that borrows from the body unless it has escapes. (Serde would copy every
/// `Option<Cow<str>>`.)
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A whole number of the table, which borrows nothing.
type Number<'a> = u32;

impl<'a> Question<'a> {
    /// Reads a request's body. Checking it for UTF-8 once and parsing text is faster than parsing
    /// bytes.
    ///
    /// # Errors
    /// It is not a question.
    pub fn read(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        match std::str::from_utf8(body) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(body),
        }
    }

    /// The event and its message, if this is one instead of a question.
    pub fn finding(&self) -> Option<(&str, &str)> {
        let event = text(self.event.as_ref()).filter(|event| EVENTS.contains(event))?;
        Some((event, text(self.message.as_ref())?))
    }

    /// The audit record of a decision with this ID that took `took_us` microseconds. `pid` is the
    /// process that asks, if known.
    pub fn record<'r>(
        &'r self,
        id: &'r str,
        pid: Option<i32>,
        decision: &'r Decision,
        took_us: u64,
        mode: Mode,
    ) -> Record<'r> {
        let call = self.call();
        let mut fields = self.audited();
        fields.push(("mode", Said::Text(mode.name())));
        let parent = self.parent_of(pid, decision.allowed());
        fields.extend(parent.map(|parent| ("parent", Said::Number(parent.into()))));
        Record {
            time: SystemTime::now(),
            tool: "exec",
            id,
            agent: call.agent,
            session: call.session,
            pid: self.pid.or(pid),
            command: Some(call.command),
            part: decision.because.as_ref().and_then(|because| because.command.as_deref()),
            fields,
            verdict: verdict_name(decision.action),
            policies: decision.matched.iter().map(String::as_str).collect(),
            evaluation_us: took_us,
            message: &decision.message,
        }
    }

    /// The parent of the process that asks, if it is to be known now: what is refused has often
    /// ended when its record is written. Otherwise the writing thread looks it up.
    fn parent_of(&self, pid: Option<i32>, is_allowed: bool) -> Option<i32> {
        // In another PID namespace the same process has another ID, and so has its parent.
        let told = self.params.parent.filter(|_| pid.is_some() && self.params.pid == pid);
        let process = self.pid.or(pid).filter(|_| !is_allowed && told.is_none());
        told.or_else(|| processes::parent(process?))
    }

    /// The numbers of the pipes at the program's standard input and output.
    pub fn pipes(&self) -> [Option<u64>; 2] {
        [&self.params.stdin, &self.params.stdout].map(|pipe| {
            let number = text(pipe.as_ref())?.strip_prefix("pipe:[")?.strip_suffix(']')?;
            number.parse().ok()
        })
    }
}

/// The type of a field.
trait Field {
    type Owned;

    /// A copy that borrows nothing.
    fn into_owned(self) -> Self::Owned;

    /// The field for the audit.
    fn said(&self) -> Said<'_>;
}

impl Field for Text<'_> {
    type Owned = Text<'static>;

    fn into_owned(self) -> Text<'static> {
        Text(owned(self.0))
    }

    fn said(&self) -> Said<'_> {
        Said::Text(&self.0)
    }
}

impl Field for u32 {
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }

    fn said(&self) -> Said<'_> {
        Said::Number((*self).into())
    }
}

impl Field for i32 {
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }

    fn said(&self) -> Said<'_> {
        Said::Number((*self).into())
    }
}

/// Adds a field to the audit's.
fn audited<'q>(
    found: &mut Vec<(&'static str, Said<'q>)>,
    name: &'static str,
    field: Option<&'q impl Field>,
) {
    found.extend(field.map(|field| (name, field.said())));
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn text<'a>(text: Option<&'a Text<'_>>) -> Option<&'a str> {
    text.map(|Text(text)| &**text)
}

/// The decision, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether the command may run.
    pub allowed: bool,
    #[serde(serialize_with = "named")]
    pub decision: Action,
    /// The message of the rule that decided; empty if none did.
    pub message: String,
    /// Names of the policies that had a matching rule, the deciding one first.
    pub matched_policies: Vec<String>,
    /// How a person would allow what was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<String>,
    /// How long the policy took, in microseconds.
    pub eval_duration_us: u64,
    /// The ID of its line in the audit.
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
    use crate::audit::Said;
    use crate::mode::Mode;

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
                let audited = question.audited().into_iter();
                let audited = audited.map(|(name, said)| (name.to_owned(), json!(said)));
                assert_eq!(Value::Object(audited.collect()), kept, "{body}");
            }
        }
    }

    #[test]
    fn a_parent_is_believed_of_who_counts_processes_as_this_server_does() {
        let nobody = i32::MAX;
        let allowed = PolicySet::parse("default_action: allow\npolicies: []\n", "p.yaml").unwrap();
        for (pid, peer, parent) in [
            (nobody, Some(nobody), Some(5)),
            (nobody - 1, Some(nobody), None),
            (nobody, None, None),
        ] {
            let body =
                json!({ "params": { "command": "ls", "pid": pid, "parent": 5 } }).to_string();
            let question = Question::read(body.as_bytes()).unwrap();
            let decision = allowed.evaluate(&question.call());
            let record = question.record("1", peer, &decision, 0, Mode::Enforce);
            let told = record.fields.iter().find(|(name, _)| *name == "parent");
            assert_eq!(told.map(|(_, said)| *said), parent.map(Said::Number), "{body}");
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
