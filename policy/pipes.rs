//! What goes through a pipe: what a command writes, and how a pipeline is spelled.

use std::borrow::Cow;

use crate::command;
use crate::feed::{Feed, Source};
use crate::invocation::{Inner, Invocation};
use crate::parts::{Faith, Kind};
use crate::programs::{Verb, base_name};
use crate::runs::MAX_DEPTH;
use crate::stage::{Command, Stage};
use crate::visit::{Place, Visitor};
use crate::{does, writes};

impl Visitor<'_> {
    /// Adds a pipeline as one part.
    pub(crate) fn pipe(&mut self, stages: &[Stage<'_>], place: Place<'_>) -> usize {
        let part = self.parts.begin(place.parent, Kind::Whole);
        let (mut plain, mut normal): (Vec<Cow<'_, str>>, Vec<_>) = (Vec::new(), Vec::new());
        for (index, stage) in stages.iter().enumerate() {
            if index > 0 {
                plain.push(Cow::Borrowed("|"));
                normal.push(Cow::Borrowed("|"));
            }
            match stage {
                Stage::Simple(command, _) => {
                    plain.extend(command.words.iter().map(|word| Cow::Borrowed(word.as_ref())));
                    normal.extend(Self::short(command).into_iter().map(Cow::Borrowed));
                }
                Stage::Other(command) => {
                    plain.push(Cow::Owned(command.to_string()));
                    normal.extend(plain.last().cloned());
                }
            }
        }
        self.parts.spell(Faith::FULL, &plain);
        self.parts.spell(Faith::EXCUSES, &normal);
        part
    }

    /// A command of a pipeline in short: a shell that reads its script is `sh -s`, whatever
    /// it is called, started by, or given as options.
    pub(crate) fn short<'w>(command: &'w Command<'_>) -> Vec<&'w str> {
        let mut words: Vec<&str> = command.words.iter().map(AsRef::as_ref).collect();
        if matches!(innermost(words.clone()).1[..], [Inner::Input { .. }]) {
            return vec!["sh", "-s"];
        }
        if let Some(program) = words.first_mut() {
            *program = base_name(program);
        }
        words
    }

    /// What the command writes, where anybody reads that.
    pub(crate) fn heard(&self, command: &Command<'_>, place: Place<'_>) -> Feed {
        if place.heard { self.output(command) } else { Feed::default() }
    }

    /// What the command writes, as far as that is seen.
    pub(crate) fn output(&self, command: &Command<'_>) -> Feed {
        let (words, _, elsewhere) = innermost(command.words.iter().map(AsRef::as_ref).collect());
        let Some(invocation) = Invocation::of(&words) else { return Feed::default() };
        let name = invocation.name;
        if name == "tee" || name == "cat" && (words.len() == 1 || words[1..] == ["-"]) {
            return command.input.clone();
        }
        if let Some(text) = writes::written(invocation) {
            return Feed::of_text(text);
        }
        let mut own = Vec::new();
        let read = does::deeds(invocation).into_iter().filter(|(verb, _)| *verb == Verb::Read);
        // Its files are not this machine's.
        own.extend(read.filter(|_| !elsewhere).map(|(_, file)| Source::File(self.place(&file))));
        let redirected = command.redirections.iter().filter(|to| to.operator == "<");
        own.extend(redirected.map(|from| Source::File(self.place(&from.target))));
        if writes::tells_all_variables(invocation) && !elsewhere {
            own.push(Source::File("env:".to_string()));
        }
        own.extend(writes::fetched(invocation).into_iter().map(Source::Url));
        if writes::decodes(invocation) {
            own.push(Source::Url("data:".to_string()));
        }
        let mut feed = command.input.untold().and(Feed::of_sources(own));
        if matches!(name, "cat" | "head" | "tail" | "sed" | "gunzip" | "zcat") {
            for made in words[1..].iter().filter_map(|word| self.made(word)) {
                feed = if feed.text().is_some() {
                    feed.and(made.untold())
                } else {
                    feed.and(made.clone())
                };
            }
        }
        feed
    }
}

/// What is run in the end by wrappers such as `env` and `nice`, as far as they are followed, what
/// that runs, and whether one of them runs it elsewhere.
fn innermost(mut words: Vec<&str>) -> (Vec<&str>, Vec<Inner<'_>>, bool) {
    let mut elsewhere = false;
    for depth in 0.. {
        let Some(invocation) = Invocation::of(&words) else { break };
        let mut runs = command::inner(invocation);
        match runs.first_mut() {
            Some(Inner::Words(inner))
                if depth < MAX_DEPTH
                    && inner.len() < words.len()
                    && !invocation.name.ends_with("find") =>
            {
                elsewhere |= invocation.line().is_some_and(|line| line.elsewhere);
                words = std::mem::take(inner);
            }
            _ => return (words, runs, elsewhere),
        }
    }
    (words, Vec::new(), elsewhere)
}
