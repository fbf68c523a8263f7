//! The tests that a policy file brings along.

use crate::format::{self, ActionEntry, TestEntry};
use crate::programs::Verb;
use crate::{Action, Call, Decision, PolicySet};

/// One test of a file.
#[derive(Debug, Clone, Copy)]
pub struct Test<'a>(&'a TestEntry);

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

impl Test<'_> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name.value
    }

    /// Line of the file that it begins in, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.0.name.referenced.line()
    }

    /// What it expects.
    #[must_use]
    pub fn expected(&self) -> Action {
        format::action(&self.0.expect.value).map_or(Action::Deny, ActionEntry::action)
    }
}

impl PolicySet {
    /// The tests that the file brings along, in its order.
    pub fn tests(&self) -> impl Iterator<Item = Test<'_>> {
        self.evaluator.checked.tests.iter().map(Test)
    }

    /// Runs one of them; `home` is the home that its paths are judged by.
    #[must_use]
    pub fn run_test(&self, test: &Test<'_>, home: Option<&str>) -> Outcome {
        let TestEntry { tool, params, agent, session, expect_message, .. } = test.0;
        let call = Call {
            agent: agent.as_deref().unwrap_or("test"),
            session: session.as_deref().unwrap_or("test"),
            command: params.command.as_deref().unwrap_or_default(),
            cwd: params.cwd.as_deref(),
            home,
            ..Call::default()
        };
        let deed = |verb, target: &Option<String>| {
            let target = target.as_deref().unwrap_or_default();
            self.evaluator.evaluate_deed(&call, verb, target, &self.memory)
        };
        let decision = match tool.as_deref().unwrap_or("exec") {
            "exec" | "bash" => self.evaluate(&call),
            "read" => deed(Verb::Read, &params.path),
            "write" | "edit" => deed(Verb::Write, &params.path),
            "delete" => deed(Verb::Delete, &params.path),
            "fetch" | "web_fetch" => deed(Verb::Fetch, &params.url),
            _ => return Outcome::Skipped,
        };
        let said =
            expect_message.as_ref().is_none_or(|text| decision.message.contains(text.as_str()));
        if decision.action == test.expected() && said {
            Outcome::Passed
        } else {
            Outcome::Failed(Box::new(decision))
        }
    }
}
