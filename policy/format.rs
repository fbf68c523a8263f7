//! The policy file as it is written: its keys, their types, and where each stands.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

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
    pub(crate) default_action: Option<DefaultAction>,
    pub(crate) policies: Vec<PolicyEntry>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DefaultAction {
    Allow,
    Deny,
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
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleEntry {
    pub(crate) action: Spanned<ActionEntry>,
    /// Inside, nothing where the key is there without a value.
    #[serde(default, deserialize_with = "present")]
    pub(crate) when: Option<Spanned<Option<WhenEntry>>>,
    pub(crate) message: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ActionEntry {
    Deny,
    Allow,
    #[serde(alias = "log")]
    Watch,
    Ask,
    Webhook,
}

/// The conditions of a rule. Keys of other tools are kept by name alone.
#[derive(Debug, Default)]
pub(crate) struct WhenEntry {
    pub(crate) command_matches: Option<Texts>,
    pub(crate) command_not_matches: Option<Texts>,
    pub(crate) command_contains: Option<Texts>,
    pub(crate) session_matches: Option<Texts>,
    pub(crate) session_not_matches: Option<Texts>,
    pub(crate) coverage_matches: Option<Texts>,
    pub(crate) coverage_not_matches: Option<Texts>,
    pub(crate) default: Option<bool>,
    pub(crate) others: Vec<Spanned<String>>,
}

/// The keys that a `when` about commands may have.
pub(crate) const WHEN_KEYS: [&str; 8] = [
    "command_matches",
    "command_not_matches",
    "command_contains",
    "session_matches",
    "session_not_matches",
    "coverage_matches",
    "coverage_not_matches",
    "default",
];

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
                    match key.value.as_str() {
                        "command_matches" => when.command_matches = Some(map.next_value()?),
                        "command_not_matches" => when.command_not_matches = Some(map.next_value()?),
                        "command_contains" => when.command_contains = Some(map.next_value()?),
                        "session_matches" => when.session_matches = Some(map.next_value()?),
                        "session_not_matches" => when.session_not_matches = Some(map.next_value()?),
                        "coverage_matches" => when.coverage_matches = Some(map.next_value()?),
                        "coverage_not_matches" => {
                            when.coverage_not_matches = Some(map.next_value()?);
                        }
                        "default" => when.default = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            when.others.push(key);
                        }
                    }
                }
                Ok(when)
            }
        }

        deserializer.deserialize_map(WhenVisitor)
    }
}
