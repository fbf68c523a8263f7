//! The values of a policy file's keys: how each kind is written, with its place, and what is
//! found wrong with one.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::error::Problem;
use crate::glob::Glob;

/// One text or a list of them, with their places.
pub(crate) type Texts = Spanned<OneOrMany>;

#[derive(Debug)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<Spanned<String>>),
}

/// Every text of `texts` with its place.
pub(crate) fn each(texts: &Texts) -> Vec<(&str, Location)> {
    match &texts.value {
        OneOrMany::One(text) => vec![(text.as_str(), texts.referenced)],
        OneOrMany::Many(many) => {
            many.iter().map(|text| (text.value.as_str(), text.referenced)).collect()
        }
    }
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

            /// A key without a value is as a list without texts.
            fn visit_unit<E>(self) -> Result<OneOrMany, E> {
                Ok(OneOrMany::Many(Vec::new()))
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

/// Bounds on a number, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    gte: Option<u64>,
    gt: Option<u64>,
    lte: Option<u64>,
    lt: Option<u64>,
    eq: Option<u64>,
    window: Option<String>,
    /// Of what the calls are counted.
    tool: Option<String>,
}

impl Limits {
    /// Whether they are about calls that are never made here.
    pub(crate) fn are_of_another_tool(&self) -> bool {
        let tool = self.tool.as_deref().unwrap_or_default().trim();
        !matches!(tool, "" | "exec" | "command")
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gte, gt, lte, lt, eq, window, tool } = self;
        let numbers = [("gte", gte), ("gt", gt), ("lte", lte), ("lt", lt), ("eq", eq)];
        let numbers = numbers.into_iter().filter_map(|(key, bound)| Some((key, (*bound)?)));
        let bounds = numbers.map(|(key, bound)| format!("{key}: {bound}"));
        let window = window.iter().map(|window| format!("window: {window}"));
        let tool = tool.iter().map(|tool| format!("tool: {tool}"));
        write!(f, "{{{}}}", bounds.chain(window).chain(tool).collect::<Vec<_>>().join(", "))
    }
}

/// Bounds on a number, and for how long what is counted counts, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    at_least: u64,
    at_most: Option<u64>,
    pub(crate) window: Option<u64>,
}

impl Bounds {
    pub(crate) fn hold(&self, number: u64) -> bool {
        number >= self.at_least && self.at_most.is_none_or(|most| number <= most)
    }
}

/// What is found in a file while it is checked.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// What looks wrong.
    pub(crate) warnings: Vec<Problem>,
}

impl Findings {
    pub(crate) fn problem(&mut self, at: Location, text: impl Into<String>) {
        self.problems.push(Problem::new(at, text));
    }

    pub(crate) fn warning(&mut self, at: Location, text: impl Into<String>) {
        self.warnings.push(Problem::new(at, text));
    }

    /// Whether a key has a text. One that has none is as if it were not there.
    pub(crate) fn has_any(&mut self, texts: &Texts) -> bool {
        let has_any = !each(texts).is_empty();
        if !has_any {
            let text =
                "this list is empty, as if the key were not there; add a pattern or remove it";
            self.warning(texts.referenced, text);
        }
        has_any
    }

    /// Compiles every text of a key.
    pub(crate) fn compiled<T>(
        &mut self,
        texts: &Texts,
        compile: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        each(texts).into_iter().filter_map(|(text, at)| self.glob(text, at, &compile)).collect()
    }

    /// Compiles one.
    pub(crate) fn glob<T>(
        &mut self,
        text: &str,
        at: Location,
        compile: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if text.is_empty() {
            self.warning(at, "this pattern is empty and matches nothing; remove it or use `*`");
        }
        compile(text).map_err(|why| self.problem(at, format!("the pattern `{text}` {why}"))).ok()
    }

    /// Refuses globs that match none of the `words`, which are all that there are of a `kind`.
    pub(crate) fn known(&mut self, texts: &Texts, kind: &str, words: &[&str]) {
        for (text, at) in each(texts) {
            let Ok(glob) = Glob::new(text) else { continue };
            if !words.iter().any(|word| glob.matches(word)) {
                let words = words.join("`, `");
                self.problem(at, format!("no {kind} matches `{text}`; the words are `{words}`"));
            }
        }
    }

    pub(crate) fn bounds(&mut self, written: &Spanned<Limits>) -> Bounds {
        let (at, Limits { gte, gt, lte, lt, eq, window, .. }) =
            (written.referenced, &written.value);
        let window = window.as_ref().and_then(|text| {
            let window = humantime::parse_duration(text).ok();
            if window.is_none() {
                self.problem(at, format!("`{text}` is no duration; write one such as 1h"));
            }
            window.map(|window| window.as_secs())
        });
        // Of several, all are to hold.
        let above = gt.map(|number| number.saturating_add(1));
        let below = lt.map(|number| number.saturating_sub(1));
        let at_least = [*gte, above, *eq].into_iter().flatten().max();
        let at_most = [*lte, below, *eq].into_iter().flatten().min();
        if at_least.is_none() && at_most.is_none() {
            self.warning(
                at,
                "there is no bound, so that any number is within; write one such as `gte: 10`",
            );
        }
        Bounds { at_least: at_least.unwrap_or(0), at_most, window }
    }
}
