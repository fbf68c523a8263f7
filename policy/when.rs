//! The `when` of a rule: its conditions as they are written, compiled, and held against a call.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::conditions::{Against, Aspect, CONDITIONS, Condition, Getter, Kind};
use crate::error::unknown_key;
use crate::glob::Glob;
use crate::patterns::{Contained, Pattern};
use crate::value::{Bounds, Findings, Limits, Texts, each};
use crate::{Action, Call};

/// The conditions of a rule as they are written.
#[derive(Debug, Default)]
pub(crate) struct WhenEntry {
    given: Vec<(&'static Condition, Given)>,
    unknown: Vec<Spanned<String>>,
}

/// The value of a condition, and what it is a value of.
#[derive(Debug)]
enum Given {
    Texts(Against, Texts),
    Number(fn(&Call<'_>) -> Option<u64>, Spanned<Limits>),
    Count(Spanned<Limits>),
    Always(bool),
    Parameters,
    /// A key without a value, which is as none.
    Nothing,
}

impl Given {
    /// Reads the value of a key.
    fn read<'de, A: MapAccess<'de>>(kind: Kind, map: &mut A) -> Result<Self, A::Error> {
        Ok(match kind {
            Kind::Texts(against) => Self::Texts(against, map.next_value()?),
            Kind::Number(number) => {
                let limits = map.next_value::<Option<_>>()?;
                limits.map_or(Self::Nothing, |limits| Self::Number(number, limits))
            }
            Kind::Count => map.next_value::<Option<_>>()?.map_or(Self::Nothing, Self::Count),
            Kind::Always => Self::Always(map.next_value::<Option<_>>()?.unwrap_or_default()),
            Kind::Parameters => {
                let named = map.next_value::<Option<HashMap<String, Option<String>>>>()?;
                named.filter(|named| !named.is_empty()).map_or(Self::Nothing, |_| Self::Parameters)
            }
        })
    }

    /// Its values, for people to see.
    fn written(&self) -> Vec<String> {
        match self {
            Self::Texts(_, texts) => each(texts).into_iter().map(|(text, _)| text.into()).collect(),
            Self::Number(_, limits) | Self::Count(limits) => vec![limits.value.to_string()],
            Self::Always(_) | Self::Parameters | Self::Nothing => Vec::new(),
        }
    }

    /// Whether it says something.
    fn says_something(&self) -> bool {
        match self {
            Self::Texts(_, texts) => !each(texts).is_empty(),
            Self::Always(is_so) => *is_so,
            Self::Nothing => false,
            _ => true,
        }
    }

    /// Whether it is about what a command says.
    fn is_about_command(&self) -> bool {
        let of = |against: &Against| {
            matches!(
                against,
                Against::Commands { not: false } | Against::Contents | Against::Assigned
            )
        };
        matches!(self, Self::Texts(against, _) if of(against))
    }

    /// Whether a rule may hold by it, and not only be kept from holding.
    fn lets_hold(&self) -> bool {
        let excludes = matches!(
            self,
            Self::Texts(
                Against::Commands { not: true }
                    | Against::Deeds { not: true, .. }
                    | Against::Call { not: true, words: None, .. }
                    | Against::Answer,
                _
            )
        );
        !excludes
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
                    let known = |condition: &&Condition| condition.key == key.value;
                    if let Some(condition) = CONDITIONS.iter().find(known) {
                        when.given.push((condition, Given::read(condition.kind, &mut map)?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        when.unknown.push(key);
                    }
                }
                Ok(when)
            }
        }

        deserializer.deserialize_map(WhenVisitor)
    }
}

/// The conditions of a rule; an absent one holds.
#[derive(Debug, Default)]
pub(crate) struct When {
    pub(crate) matches: Option<Vec<Pattern>>,
    /// Of a rule that asks, the same in the case that they are written in.
    pub(crate) as_written: Vec<Pattern>,
    pub(crate) contains: Option<Vec<Contained>>,
    pub(crate) not_matches: Vec<Pattern>,
    pub(crate) assigned: Option<Vec<Glob>>,
    pub(crate) deeds: Vec<OnDeed>,
    /// Those on the call, whatever the command is.
    on_call: Vec<OnCall>,
    pub(crate) count: Option<Bounds>,
    /// Whether it says only what it is not for.
    pub(crate) excludes_only: bool,
    /// Why no command can meet it, where none can.
    pub(crate) never: Option<String>,
    /// Keys and values as they were written.
    pub(crate) written: Vec<(&'static str, String)>,
}

/// A condition on a deed.
#[derive(Debug)]
pub(crate) struct OnDeed {
    pub(crate) of: Aspect,
    pub(crate) not: bool,
    pub(crate) patterns: Vec<Pattern>,
}

/// A condition on a call.
#[derive(Debug)]
enum OnCall {
    Text { text: Getter, not: bool, globs: Vec<Glob> },
    Number { number: fn(&Call<'_>) -> Option<u64>, bounds: Bounds },
}

impl OnCall {
    /// Whether it holds. No glob fits what is not known, and no bounds do.
    fn holds(&self, call: &Call<'_>) -> bool {
        match self {
            Self::Text { text, not, globs } => {
                text(call).is_some_and(|text| globs.iter().any(|glob| glob.matches(text))) != *not
            }
            Self::Number { number, bounds } => {
                number(call).is_some_and(|number| bounds.hold(number))
            }
        }
    }

    /// Whether it leaves out no call.
    fn is_absent(&self) -> bool {
        match self {
            Self::Text { text, not, globs } => {
                let is_always_known = text(&Call::default()).is_some();
                !not && is_always_known && globs.iter().any(Glob::is_everything)
            }
            Self::Number { .. } => false,
        }
    }
}

impl When {
    /// The conditions of a rule that wants `action` done.
    pub(crate) fn compile(
        entry: &WhenEntry,
        at: Location,
        action: Action,
        found: &mut Findings,
    ) -> Self {
        let known: Vec<&str> = CONDITIONS.iter().map(|condition| condition.key).collect();
        for key in &entry.unknown {
            found.problem(key.referenced, unknown_key(&key.value, &known));
        }
        let says = |(_, given): &&(_, Given)| given.says_something();
        let said: Vec<_> = entry.given.iter().filter(says).collect();
        if entry.unknown.is_empty() && said.is_empty() {
            let text = "this `when` has no condition, so that the rule holds always; remove it or write `default: true` if that is meant";
            found.warning(at, text);
        }
        let mut when = Self::default();
        for (condition, given) in &entry.given {
            when.written.extend(given.written().into_iter().map(|value| (condition.key, value)));
            when.hold(condition, given, action.restricts(), found);
        }
        // A rule that is to hold always does, whatever else it says; but it permits no more.
        let always = said.iter().any(|(_, given)| matches!(given, Given::Always(true)));
        if always && action != Action::Allow {
            if said.len() > 1 {
                found.warning(
                    at,
                    "`default: true` makes this rule hold always, whatever else its `when` says",
                );
            }
            return Self { written: when.written, ..Self::default() };
        }
        if action == Action::Ask {
            let in_case = |pattern: &Pattern| Pattern::command(&pattern.source, false).ok();
            when.as_written = when.matches.iter().flatten().filter_map(in_case).collect();
        }
        when.look_at_exclusions(&said, action.restricts());
        let by_command = said.iter().any(|(_, given)| given.is_about_command());
        let excludes_paths = |on: &OnDeed| on.not && on.of == Aspect::Path;
        let only_so = !when.deeds.is_empty() && when.deeds.iter().all(excludes_paths);
        if action.restricts() && by_command && only_so {
            found.warning(at, "`path_not_matches` says nothing here: this rule is about what commands say, not about a path; add `path_matches`");
            when.deeds.clear();
        }
        when
    }

    /// What answers and what is excluded lets no rule hold; a rule that restricts by what it excludes
    /// alone is meant to restrict all else.
    fn look_at_exclusions(&mut self, said: &[&(&'static Condition, Given)], restricts: bool) {
        let Some((only, _)) = said.first() else { return };
        if said.iter().any(|(_, given)| given.lets_hold()) {
            return;
        }
        let is_answer = |given: &Given| matches!(given, Given::Texts(Against::Answer, _));
        if said.iter().all(|(_, given)| is_answer(given)) {
            self.never = Some(format!("`{}` holds {}", only.key, only.holds));
        } else if restricts {
            self.excludes_only = true;
        } else {
            self.never = Some("it says only what it is not for".to_string());
        }
    }

    /// Adds one condition.
    fn hold(
        &mut self,
        condition: &Condition,
        given: &Given,
        restricts: bool,
        found: &mut Findings,
    ) {
        match given {
            Given::Texts(against, texts) if found.has_any(texts) => {
                self.hold_texts(*against, texts, restricts, found);
            }
            Given::Number(number, limits) => {
                let bounds = found.bounds(limits);
                self.on_call.push(OnCall::Number { number: *number, bounds });
            }
            Given::Count(limits) => {
                self.count = Some(found.bounds(limits));
                if limits.value.are_of_another_tool() {
                    self.never = Some(format!("`{}` is about another tool", condition.key));
                }
            }
            Given::Parameters => {
                self.never = Some(format!("`{}` holds {}", condition.key, condition.holds));
            }
            Given::Texts(..) | Given::Always(_) | Given::Nothing => {}
        }
    }

    fn hold_texts(
        &mut self,
        against: Against,
        texts: &Texts,
        restricts: bool,
        found: &mut Findings,
    ) {
        match against {
            Against::Commands { not: false } => {
                let patterns = found.compiled(texts, |text| Pattern::command(text, restricts));
                self.matches = Some(patterns);
            }
            // What excuses is no looser than what permits; what keeps a permission from
            // holding restricts.
            Against::Commands { not: true } => {
                self.not_matches = found.compiled(texts, |text| Pattern::command(text, !restricts));
            }
            Against::Contents => {
                let compile = |text: &str| Ok(Contained::new(text, restricts));
                self.contains = Some(found.compiled(texts, compile));
            }
            Against::Assigned => self.assigned = Some(found.compiled(texts, Glob::new)),
            Against::Deeds { of, not } => {
                let compile = |text: &str| Pattern::plain(text, restricts != not);
                self.deeds.push(OnDeed { of, not, patterns: found.compiled(texts, compile) });
            }
            Against::Answer => {}
            Against::Call { text, not, words } => {
                if let Some((kind, words)) = words {
                    found.known(texts, kind, words);
                }
                let globs = found.compiled(texts, Glob::new);
                self.on_call.push(OnCall::Text { text, not, globs });
            }
        }
    }

    /// Whether the conditions hold that are not about the command.
    pub(crate) fn fits(&self, call: &Call<'_>) -> bool {
        self.never.is_none() && self.on_call.iter().all(|condition| condition.holds(call))
    }

    /// Whether it leaves out no call.
    pub(crate) fn is_absent(&self) -> bool {
        let all = |patterns: &Vec<Pattern>| {
            patterns.iter().any(|pattern| pattern.written.is_everything())
        };
        self.never.is_none()
            && self.matches.as_ref().is_none_or(all)
            && (self.matches.is_some() || self.contains.is_none())
            && self.not_matches.is_empty()
            && self.assigned.is_none()
            && self.deeds.is_empty()
            && self.count.is_none()
            && self.on_call.iter().all(OnCall::is_absent)
    }

    /// Whether it says something of the command's text.
    pub(crate) fn is_about_text(&self) -> bool {
        self.is_about_words() || self.assigned.is_some() || !self.not_matches.is_empty()
    }

    /// Whether it has patterns, or texts, for commands to meet.
    pub(crate) fn is_about_words(&self) -> bool {
        self.matches.is_some() || self.contains.is_some()
    }
}
