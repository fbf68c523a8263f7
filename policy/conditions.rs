//! The conditions of a rule. A new one is a line of [`KEYS`].

use crate::Call;
use crate::glob::{Glob, collapse_blanks};
use crate::spelling::normal_pattern;

/// What a key of a `when` is about, and how its value is compared.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    /// Globs that the command meets, or that excuse it.
    Commands { not: bool },
    /// Texts in the command.
    Contains,
    /// Names of variables that are assigned before the command.
    Assigned,
    /// Globs on what the command does: on paths, URLs, or the hosts of these.
    Deeds { of: Aspect, not: bool },
    /// Globs on a word of the request.
    Field { get: fn(&Call<'_>) -> Option<Text>, not: bool, words: &'static [&'static str] },
    /// A bound on a number of the request.
    Depth,
    /// A bound on how often the rule was asked.
    Count,
    /// Nothing: the rule holds always.
    Always,
    /// Something that is never known here.
    Never,
}

/// A word of a request.
pub(crate) type Text = String;

/// What of a deed is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aspect {
    Path,
    Url,
    Domain,
}

/// How much can be seen of a program, in the words of the wire.
pub const COVERAGES: [&str; 9] =
    ["full", "sip", "hardened", "arm64e", "go", "static", "setuid", "other-arch", "reexec"];

const fn session(not: bool) -> Key {
    Key::Field { get: |call| Some(call.session.to_string()), not, words: &[] }
}

const fn coverage(not: bool) -> Key {
    Key::Field { get: |call| call.coverage.map(str::to_string), not, words: &COVERAGES }
}

const fn deeds(of: Aspect, not: bool) -> Key {
    Key::Deeds { of, not }
}

/// Every key that a `when` may have.
pub(crate) const KEYS: &[(&str, Key)] = &[
    ("command_matches", Key::Commands { not: false }),
    ("command_not_matches", Key::Commands { not: true }),
    ("command_contains", Key::Contains),
    ("command_env_assignments", Key::Assigned),
    ("path_matches", deeds(Aspect::Path, false)),
    ("path_not_matches", deeds(Aspect::Path, true)),
    ("url_matches", deeds(Aspect::Url, false)),
    ("url_not_matches", deeds(Aspect::Url, true)),
    ("domain_matches", deeds(Aspect::Domain, false)),
    ("domain_not_matches", deeds(Aspect::Domain, true)),
    ("session_matches", session(false)),
    ("session_not_matches", session(true)),
    ("coverage_matches", coverage(false)),
    ("coverage_not_matches", coverage(true)),
    ("agent_depth", Key::Depth),
    ("call_count", Key::Count),
    ("default", Key::Always),
    ("response_matches", Key::Never),
    ("response_not_matches", Key::Never),
    ("tool_param_matches", Key::Never),
];

/// The conditions of a rule; an absent one holds.
#[derive(Default)]
pub(crate) struct When {
    pub(crate) matches: Option<Vec<Pattern>>,
    pub(crate) contains: Option<Vec<Contained>>,
    pub(crate) not_matches: Vec<Pattern>,
    pub(crate) assigned: Option<Vec<Glob>>,
    pub(crate) deeds: Vec<OnDeed>,
    fields: Vec<OnField>,
    depth: Option<Bounds>,
    pub(crate) count: Option<Bounds>,
    /// Whether a condition belongs to another tool, so that no command can meet it.
    pub(crate) never: bool,
    /// Keys and patterns as they were written.
    pub(crate) written: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.written).finish()
    }
}

/// A condition on a deed.
pub(crate) struct OnDeed {
    pub(crate) of: Aspect,
    pub(crate) not: bool,
    pub(crate) patterns: Vec<Pattern>,
}

pub(crate) struct OnField {
    pub(crate) get: fn(&Call<'_>) -> Option<Text>,
    pub(crate) not: bool,
    pub(crate) patterns: Vec<Glob>,
}

/// Bounds on a number, and for how long what is counted counts, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    pub(crate) at_least: u64,
    pub(crate) at_most: Option<u64>,
    pub(crate) window: Option<u64>,
}

impl Bounds {
    pub(crate) fn hold(&self, number: u64) -> bool {
        number >= self.at_least && self.at_most.is_none_or(|most| number <= most)
    }
}

impl When {
    pub(crate) fn field(
        &mut self,
        get: fn(&Call<'_>) -> Option<Text>,
        not: bool,
        patterns: Vec<Glob>,
    ) {
        self.fields.push(OnField { get, not, patterns });
    }

    pub(crate) fn set_depth(&mut self, bounds: Bounds) {
        self.depth = Some(bounds);
    }

    /// Whether the conditions hold that are not about the command. No pattern matches a word
    /// that is not known.
    pub(crate) fn fits(&self, call: &Call<'_>) -> bool {
        !self.never
            && self.depth.is_none_or(|bounds| bounds.hold(call.depth.unwrap_or(0).into()))
            && self.fields.iter().all(|field| {
                let word = (field.get)(call);
                let any = word.is_some_and(|word| {
                    field.patterns.iter().any(|pattern| pattern.matches(&word))
                });
                any != field.not
            })
    }

    /// Whether it leaves out no call.
    pub(crate) fn is_absent(&self) -> bool {
        let all = |patterns: &Vec<Pattern>| {
            patterns.iter().any(|pattern| pattern.written.is_everything())
        };
        let field = |field: &OnField| {
            !field.not
                && field.patterns.iter().any(Glob::is_everything)
                && (field.get)(&Call::default()).is_some()
        };
        !self.never
            && self.matches.as_ref().is_none_or(all)
            && (self.matches.is_some() || self.contains.is_none())
            && self.not_matches.is_empty()
            && self.assigned.is_none()
            && self.deeds.is_empty()
            && self.depth.is_none()
            && self.count.is_none()
            && self.fields.iter().all(field)
    }

    /// Whether it says something of the command's text.
    pub(crate) fn is_about_text(&self) -> bool {
        self.matches.is_some()
            || self.contains.is_some()
            || self.assigned.is_some()
            || !self.not_matches.is_empty()
    }
}

/// A pattern, as written and in normal spelling.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) source: String,
    pub(crate) written: Glob,
    pub(crate) normal: Option<Glob>,
}

impl Pattern {
    /// A pattern on commands; `any_case` compares to texts in small letters.
    pub(crate) fn command(source: &str, any_case: bool) -> Result<Self, String> {
        let written = Glob::new(&cased(source, any_case))?;
        let normal =
            normal_pattern(source).and_then(|normal| Glob::new(&cased(&normal, any_case)).ok());
        Ok(Self { source: source.to_string(), written, normal })
    }

    /// A pattern on what is as it is written, such as a path.
    pub(crate) fn plain(source: &str, any_case: bool) -> Result<Self, String> {
        let written = Glob::new(&cased(source, any_case))?;
        Ok(Self { source: source.to_string(), written, normal: None })
    }

    pub(crate) fn globs(&self) -> impl Iterator<Item = &Glob> {
        std::iter::once(&self.written).chain(&self.normal)
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.globs().any(|glob| glob.matches(text))
    }
}

fn cased(text: &str, any_case: bool) -> String {
    if any_case { text.to_ascii_lowercase() } else { text.to_string() }
}

/// A text to be found in a command, whatever the case of its letters.
#[derive(Debug)]
pub(crate) struct Contained {
    pub(crate) source: String,
    pub(crate) lower: String,
}

impl Contained {
    pub(crate) fn new(source: &str) -> Self {
        let mut lower = source.to_lowercase();
        collapse_blanks(&mut lower, 0);
        Self { source: source.to_string(), lower }
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        let (needle, bytes) = (self.lower.as_bytes(), text.as_bytes());
        if needle.is_empty() {
            return false;
        }
        if self.lower.is_ascii() && text.is_ascii() {
            return bytes.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle));
        }
        text.to_lowercase().contains(&self.lower)
    }
}
