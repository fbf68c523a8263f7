//! The policy file as it is written: its keys, their types, and where each stands.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::conditions::{KEYS, Key};
use crate::error::PolicyError;

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
    pub(crate) policies: Vec<PolicyEntry>,
    pub(crate) notify: Option<Spanned<Receiver>>,
    #[serde(default)]
    pub(crate) tests: Vec<TestEntry>,
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

/// One of the tests of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestEntry {
    pub(crate) name: Spanned<String>,
    pub(crate) tool: Option<String>,
    #[serde(default)]
    pub(crate) params: ParamsEntry,
    pub(crate) agent: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) expect: Spanned<String>,
    pub(crate) expect_message: Option<String>,
}

/// What the call of a test is about; what this server knows nothing of is left out.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ParamsEntry {
    pub(crate) command: Option<String>,
    #[serde(alias = "file_path")]
    pub(crate) path: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) cwd: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyEntry {
    pub(crate) name: Spanned<String>,
    pub(crate) description: Option<String>,
    pub(crate) priority: Option<i64>,
    pub(crate) enabled: Option<bool>,
    #[serde(rename = "match")]
    pub(crate) applies: Option<MatchEntry>,
    pub(crate) rules: Spanned<Vec<RuleEntry>>,
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
    #[serde(default)]
    pub(crate) once: bool,
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

/// The words for actions, in any case, and what they say.
pub(crate) const ACTIONS: &[(&str, ActionEntry)] = &[
    ("deny", ActionEntry::Deny),
    ("allow", ActionEntry::Allow),
    ("watch", ActionEntry::Watch),
    ("log", ActionEntry::Watch),
    ("ask", ActionEntry::Ask),
    ("require_approval", ActionEntry::Ask),
    ("webhook", ActionEntry::Webhook),
];

/// What a word for an action says.
pub(crate) fn action(word: &str) -> Option<ActionEntry> {
    ACTIONS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, action)| *action)
}

/// The conditions of a rule: each known key with its value.
#[derive(Debug, Default)]
pub(crate) struct WhenEntry {
    pub(crate) keys: Vec<(Spanned<String>, &'static str, Value)>,
    pub(crate) unknown: Vec<Spanned<String>>,
}

/// The value of a condition.
#[derive(Debug)]
pub(crate) enum Value {
    Texts(Texts),
    Flag(bool),
    Limits(Spanned<LimitsEntry>),
    Ignored,
}

/// Bounds on a number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsEntry {
    pub(crate) gte: Option<u64>,
    pub(crate) gt: Option<u64>,
    pub(crate) lte: Option<u64>,
    pub(crate) lt: Option<u64>,
    pub(crate) eq: Option<u64>,
    pub(crate) window: Option<String>,
}

/// One text or a list of them, with their places.
pub(crate) type Texts = Spanned<OneOrMany>;

#[derive(Debug)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<Spanned<String>>),
}

/// Reads the text of a policy file.
pub(crate) fn read(source: &str, origin: &str) -> Result<Document, PolicyError> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_nodes: MAX_NODES, max_aliases: MAX_ALIASES },
    };
    serde_saphyr::from_str_with_options(source, options)
        .map_err(|error| PolicyError::from_yaml(origin, &error))
}

/// Every text of `texts` with its place.
pub(crate) fn each(texts: &Texts) -> Vec<(&str, serde_saphyr::Location)> {
    match &texts.value {
        OneOrMany::One(text) => vec![(text.as_str(), texts.referenced)],
        OneOrMany::Many(many) => {
            many.iter().map(|text| (text.value.as_str(), text.referenced)).collect()
        }
    }
}

/// Reads a value that is there, be it null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut many = Vec::new();
                while let Some(text) = seq.next_element()? {
                    many.push(text);
                }
                Ok(OneOrMany::Many(many))
            }
        }

        deserializer.deserialize_any(TextsVisitor)
    }
}

impl<'de> Deserialize<'de> for WhenEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhenVisitor;

        impl<'de> Visitor<'de> for WhenVisitor {
            type Value = WhenEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the conditions of a rule")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WhenEntry, A::Error> {
                let mut when = WhenEntry::default();
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    let Some((name, kind)) = KEYS.iter().find(|(name, _)| *name == key.value)
                    else {
                        map.next_value::<IgnoredAny>()?;
                        when.unknown.push(key);
                        continue;
                    };
                    let value = match kind {
                        Key::Always => Value::Flag(map.next_value()?),
                        Key::Depth | Key::Count => Value::Limits(map.next_value()?),
                        Key::Never => map.next_value::<IgnoredAny>().map(|_| Value::Ignored)?,
                        _ => Value::Texts(map.next_value()?),
                    };
                    when.keys.push((key, name, value));
                }
                Ok(when)
            }
        }

        deserializer.deserialize_map(WhenVisitor)
    }
}
