//! The conditions that a rule may have. A new one is a line of [`CONDITIONS`].

use crate::Call;

/// One condition that a rule may have.
#[derive(Debug)]
pub(crate) struct Condition {
    /// Its key in a `when`.
    pub(crate) key: &'static str,
    /// What its value is, and what that is held against.
    pub(crate) kind: Kind,
    /// When it holds, in the words of `docs/policy.md`.
    pub(crate) holds: &'static str,
}

/// What the value of a condition is, and what that is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// One text or several, of which one has to fit.
    Texts(Against),
    /// Bounds on a number of the call, within which none is that is not known.
    Number(fn(&Call<'_>) -> Option<u64>),
    /// Bounds on how often the rule was asked within a time.
    Count,
    /// `true`: the rule holds always.
    Always,
    /// Anything by its name, about what no call has here.
    Parameters,
}

/// What texts are held against; those that are `not` to fit excuse what they fit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Against {
    /// The command, of which they are globs.
    Commands { not: bool },
    /// The command, in which they are to be found.
    Contents,
    /// The names of variables that are assigned before a command.
    Assigned,
    /// What the command does.
    Deeds { of: Aspect, not: bool },
    /// What a tool has answered, which is asked when it has, not before.
    Answer,
    /// A text of the call, as globs; none fits one that is not known.
    Call { text: Getter, not: bool, words: Words },
}

/// What of a deed is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aspect {
    Path,
    Url,
    Domain,
}

/// Gets a text of a call, where that is known.
pub(crate) type Getter = for<'c> fn(&Call<'c>) -> Option<&'c str>;
/// The words that a text of a call may be, and what they are words for; none where it may be any.
pub(crate) type Words = Option<(&'static str, &'static [&'static str])>;

/// How much can be seen of a program, in the words of the wire.
pub const COVERAGES: [&str; 9] =
    ["full", "sip", "hardened", "arm64e", "go", "static", "setuid", "other-arch", "reexec"];

const IS: bool = false;
const NOT: bool = true;

/// Every condition, a line each: its key, its kind, and when it holds, in the words that
/// `docs/policy.md` has for it.
#[rustfmt::skip]
pub(crate) const CONDITIONS: &[Condition] = &[
    on("command_matches",         commands(IS),                    "a glob matches the command"),
    on("command_not_matches",     commands(NOT),                   "no glob matches it; the part that one matches is excused"),
    on("command_contains",        Kind::Texts(Against::Contents),  "the text is in it, in any case"),
    on("command_env_assignments", Kind::Texts(Against::Assigned),  "a variable of this name is assigned before a command"),
    on("path_matches",            deeds(Aspect::Path, IS),         "it touches a file that is such a one"),
    on("path_not_matches",        deeds(Aspect::Path, NOT),        "that file is not such a one"),
    on("url_matches",             deeds(Aspect::Url, IS),          "it touches a URL that is such a one"),
    on("url_not_matches",         deeds(Aspect::Url, NOT),         "that URL is not such a one"),
    on("domain_matches",          deeds(Aspect::Domain, IS),       "it touches a URL whose host is such a one"),
    on("domain_not_matches",      deeds(Aspect::Domain, NOT),      "that host is not such a one"),
    on("session_matches",         text(|call| Some(call.session), IS),  "the session is such a one"),
    on("session_not_matches",     text(|call| Some(call.session), NOT), "the session is not such a one"),
    on("coverage_matches",        coverage(IS),                    "so much is seen of the program"),
    on("coverage_not_matches",    coverage(NOT),                   "not so much is seen of it, or it is not known how much"),
    on("agent_depth",             Kind::Number(|call| Some(call.agent_depth.unwrap_or(0).into())), "so many agents started one another; 0 where nobody says"),
    on("call_count",              Kind::Count,                     "it was asked so often within that time"),
    on("default",                 Kind::Always,                    "always"),
    on("response_matches",        Kind::Texts(Against::Answer),    "never by itself: a command has not answered before it runs; beside others it is left out"),
    on("response_not_matches",    Kind::Texts(Against::Answer),    "never by itself: a command has not answered before it runs; beside others it is left out"),
    on("tool_param_matches",      Kind::Parameters,                "never: it is about other tools"),
];

/// The key of each condition that a rule may have, and when it holds.
pub fn conditions() -> impl Iterator<Item = (&'static str, &'static str)> {
    CONDITIONS.iter().map(|condition| (condition.key, condition.holds))
}

const fn on(key: &'static str, kind: Kind, holds: &'static str) -> Condition {
    Condition { key, kind, holds }
}

const fn commands(not: bool) -> Kind {
    Kind::Texts(Against::Commands { not })
}

const fn deeds(of: Aspect, not: bool) -> Kind {
    Kind::Texts(Against::Deeds { of, not })
}

const fn text(text: Getter, not: bool) -> Kind {
    Kind::Texts(Against::Call { text, not, words: None })
}

const fn coverage(not: bool) -> Kind {
    let words = Some(("coverage", COVERAGES.as_slice()));
    Kind::Texts(Against::Call { text: |call| call.coverage, not, words })
}

#[cfg(test)]
mod tests {
    use super::conditions;

    #[test]
    fn each_condition_is_documented_in_its_own_words_and_no_other_is() {
        let page = include_str!("../docs/policy.md");
        let (_, table) = page.split_once("\n| key | holds if |\n|---|---|\n").expect("a table");
        let (table, _) = table.split_once("\n\n").expect("the table has an end");
        let rows: Vec<String> =
            conditions().map(|(key, holds)| format!("| `{key}` | {holds} |")).collect();
        assert_eq!(table.lines().collect::<Vec<_>>(), rows);
    }
}
