//! The tests that a policy file brings along.

use std::borrow::Cow;
use std::sync::Arc;

use serde_saphyr::Location;

use crate::compile::TOOLS;
use crate::format::{self, ActionEntry, TestEntry};
use crate::glob::Glob;
use crate::memory::MOST_CALLS;
use crate::programs::Verb;
use crate::value::{OneOrMany, each};
use crate::{Action, Call, Decision, PolicySet};

/// One test of a file: an entry, or one of the commands that an entry lists.
#[derive(Debug, Clone, Copy)]
pub struct Test<'a> {
    entry: &'a TestEntry,
    command: &'a str,
    at: Location,
    /// Whether there are others of the same name.
    is_one_of_many: bool,
}

/// What became of a [`Test`].
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The verdict is the one that was expected.
    Passed,
    /// It is another one; this is it.
    Failed(Box<Decision>),
    /// It is about a tool that no command is here.
    Skipped,
}

impl<'a> Test<'a> {
    /// Those of one entry.
    fn of(entry: &'a TestEntry) -> Vec<Self> {
        let at = entry.at();
        let test = |command, at, is_one_of_many| Self { entry, command, at, is_one_of_many };
        match &entry.params.command {
            None => vec![test("", at, false)],
            Some(one) if matches!(one.value, OneOrMany::One(_)) => {
                each(one).into_iter().map(|(command, _)| test(command, at, false)).collect()
            }
            Some(many) => {
                each(many).into_iter().map(|(command, at)| test(command, at, true)).collect()
            }
        }
    }

    /// Its name, and its command where others have the same name, or where it has none.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        let Some(name) = self.entry.name.as_ref().map(|name| name.value.as_str()) else {
            return Cow::Borrowed(self.command);
        };
        if self.is_one_of_many {
            Cow::Owned(format!("{name}: {}", self.command))
        } else {
            Cow::Borrowed(name)
        }
    }

    /// Line of the file that it begins in, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.at.line()
    }

    /// What it expects.
    #[must_use]
    pub fn expected(&self) -> Action {
        let expected = self.entry.expect.as_ref().and_then(|word| format::action(&word.value).ok());
        expected.map_or(Action::Deny, ActionEntry::action)
    }

    /// The call that it is about; `home` is the home that its paths are judged by where it names
    /// none.
    #[must_use]
    pub fn call(&self, home: Option<&'a str>) -> Call<'a> {
        self.entry.call(self.command, home)
    }
}

impl PolicySet {
    /// The tests that the file brings along, in its order.
    pub fn tests(&self) -> impl Iterator<Item = Test<'_>> {
        self.evaluator.checked.tests.iter().flat_map(Test::of)
    }

    /// Runs a test, of this file or of another; `home` is as for [`Test::call`]. What other calls
    /// and tests have met does not count.
    #[must_use]
    pub fn run_test<'a>(&self, test: &Test<'a>, home: Option<&'a str>) -> Outcome {
        let TestEntry { tool, params, expect_message, call_count, .. } = test.entry;
        // Two names that only calls have, of tools that policies call otherwise.
        let tool = match tool.as_deref() {
            None | Some("bash") => "exec",
            Some("web_fetch") => "fetch",
            Some(tool) => tool,
        };
        let Some((_, verbs)) = TOOLS.iter().find(|(name, _)| *name == tool) else {
            return Outcome::Skipped;
        };
        let deed = verbs.first().map(|verb| {
            let path = params.file_path.as_ref().or(params.path.as_ref());
            let is_url = matches!(verb, Verb::Fetch | Verb::Run);
            let target = if is_url { params.url.as_ref() } else { path };
            (*verb, target.map_or("", String::as_str))
        });
        let call = test.call(home);
        let afresh = self.clone().remembering(Arc::default());
        let judge = || match deed {
            None => afresh.evaluate(&call),
            Some((verb, target)) => {
                afresh.evaluator.evaluate_deed(&call, verb, target, &afresh.memory)
            }
        };
        for _ in 1..call_count.unwrap_or(1).min(MOST_CALLS) {
            judge();
        }
        let decision = judge();
        // There it is a glob.
        let says = |text: &String| {
            decision.message.contains(text.as_str())
                || Glob::new(text).is_ok_and(|glob| glob.matches(&decision.message))
        };
        let said = expect_message.as_ref().is_none_or(says);
        if decision.action == test.expected() && said {
            Outcome::Passed
        } else {
            Outcome::Failed(Box::new(decision))
        }
    }
}
