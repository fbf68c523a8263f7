//! The policy file as it is written: its keys, their types, and where each stands.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_saphyr::{Location, Spanned};

use crate::error::{PolicyError, unknown_word};
use crate::value::Texts;
use crate::when::WhenEntry;
use crate::{Action, Call, Seen};

/// How many parts (keys, values, items) a policy file may have.
const MAX_NODES: usize = 1_000_000;
/// How often aliases may be used in a policy file.
const MAX_ALIASES: usize = 1_000;

/// A policy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) version: Option<Spanned<String>>,
    pub(crate) default_action: Option<Spanned<String>>,
    pub(crate) policies: Option<Vec<PolicyEntry>>,
    pub(crate) notify: Option<Spanned<Receiver>>,
    pub(crate) tests: Option<Vec<TestEntry>>,
}

/// Who is told: `notify` of a file, or `webhook` of a rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receiver {
    pub(crate) url: Option<String>,
    #[serde(rename = "timeout")]
    _timeout: Option<IgnoredAny>,
    #[serde(rename = "fail_open")]
    _fail_open: Option<IgnoredAny>,
    pub(crate) platform: Option<String>,
    pub(crate) on: Option<Texts>,
}

/// What is done where nobody can be asked, which is always so here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskEntry {
    #[serde(rename = "audit")]
    _audit: Option<bool>,
    #[serde(rename = "headless_only")]
    _headless_only: Option<bool>,
}

macro_rules! tests {
    (
        body { $( $(#[$body_doc:meta])* $body:ident: $body_type:ident => $body_seen:ty $(, $body_use:ident)?; )* }
        params { $( $(#[$params_doc:meta])* $params:ident: $params_type:ident => $params_seen:ty $(, $params_use:ident)?; )* }
    ) => {
        /// One of the tests of a file: what it is about, where a question has that as well, and what
        /// the verdict is to be.
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct TestEntry {
            pub(crate) name: Option<Spanned<String>>,
            pub(crate) tool: Option<String>,
            #[serde(default)]
            pub(crate) params: ParamsEntry,
            $( $(#[$body_doc])* $body: Option<$body_type>, )*
            /// Home of whoever is guarded.
            home: Option<String>,
            /// How often it was asked for, this time included.
            pub(crate) call_count: Option<u32>,
            pub(crate) expect: Option<Spanned<String>>,
            pub(crate) expect_message: Option<String>,
        }

        /// What the call of a test is about; what this server knows nothing of is left out.
        #[derive(Debug, Default, Deserialize)]
        pub(crate) struct ParamsEntry {
            /// One command, or several that each get the same verdict.
            pub(crate) command: Option<Texts>,
            pub(crate) path: Option<String>,
            pub(crate) file_path: Option<String>,
            pub(crate) url: Option<String>,
            /// As files of earlier versions have it.
            cwd: Option<String>,
            $( $(#[$params_doc])* $params: Option<$params_type>, )*
        }

        impl TestEntry {
            /// Where it is, by its name or, where it has none, by what it expects or is about.
            pub(crate) fn at(&self) -> Location {
                let text = self.name.as_ref().or(self.expect.as_ref()).map(|it| it.referenced);
                let command = || self.params.command.as_ref().map(|it| it.referenced);
                text.or_else(command).unwrap_or(Location::UNKNOWN)
            }

            /// The call that it is about, for one of its commands; `home` is where it names none.
            pub(crate) fn call<'t>(&'t self, command: &'t str, home: Option<&'t str>) -> Call<'t> {
                let mut call = Call {
                    command,
                    $( $body: Seen::of(self.$body.as_ref()), )*
                    $( $params: Seen::of(self.params.$params.as_ref()), )*
                    home: self.home.as_deref().or(home),
                    now: None,
                };
                call.cwd = call.cwd.or(self.params.cwd.as_deref());
                for name in [&mut call.agent, &mut call.session] {
                    *name = if name.is_empty() { "test" } else { name };
                }
                call
            }
        }
    };
}

type Text = String;
type Number = u32;

crate::fields!(tests);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyEntry {
    pub(crate) name: Spanned<String>,
    pub(crate) description: Option<String>,
    pub(crate) priority: Option<i64>,
    pub(crate) enabled: Option<bool>,
    #[serde(rename = "match")]
    pub(crate) applies: Option<MatchEntry>,
    pub(crate) rules: Option<Vec<RuleEntry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchEntry {
    pub(crate) tool: Option<Texts>,
    pub(crate) agent: Option<Spanned<String>>,
    pub(crate) session: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleEntry {
    pub(crate) action: Spanned<String>,
    /// Inside, nothing where the key is there without a value.
    #[serde(default, deserialize_with = "present")]
    pub(crate) when: Option<Spanned<Option<WhenEntry>>>,
    pub(crate) message: Option<String>,
    pub(crate) once: Option<bool>,
    pub(crate) expires_at: Option<Spanned<String>>,
    pub(crate) added: Option<String>,
    #[serde(rename = "ask")]
    _ask: Option<AskEntry>,
    pub(crate) webhook: Option<Receiver>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActionEntry {
    Deny,
    Allow,
    Watch,
    Ask,
    Webhook,
}

impl ActionEntry {
    /// What is to be done then.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::Deny => Action::Deny,
            Self::Allow => Action::Allow,
            Self::Watch => Action::Watch,
            Self::Ask | Self::Webhook => Action::Ask,
        }
    }
}

/// The words for actions, in any case, and what they say.
const ACTIONS: &[(&str, ActionEntry)] = &[
    ("deny", ActionEntry::Deny),
    ("allow", ActionEntry::Allow),
    ("watch", ActionEntry::Watch),
    ("log", ActionEntry::Watch),
    ("ask", ActionEntry::Ask),
    ("require_approval", ActionEntry::Ask),
    ("webhook", ActionEntry::Webhook),
];

/// What a word for an action says, or what is wrong with it.
pub(crate) fn action(word: &str) -> Result<ActionEntry, String> {
    let known = ACTIONS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
    known.map(|(_, action)| *action).ok_or_else(|| {
        let names: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
        unknown_word(word, &names)
    })
}

/// Reads the text of a policy file.
pub(crate) fn read(source: &str, origin: &str) -> Result<Document, PolicyError> {
    let options = serde_saphyr::options! {
        strict_booleans: false,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_nodes: MAX_NODES, max_aliases: MAX_ALIASES },
    };
    serde_saphyr::from_str_with_options(source, options)
        .map_err(|error| PolicyError::from_yaml(origin, &error))
}

/// Reads a value that is there, be it null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
