//! What a command changes for those behind it: the directory, variables, functions' arguments,
//! aliases, and the files that the line makes.

use std::borrow::Cow;
use std::rc::Rc;

use crate::feed::{Feed, Source};
use crate::invocation::Invocation;
use crate::programs::{self, base_name, is_option};
use crate::scope::Arguments;
use crate::simple::{DECLARES, assigned};
use crate::spelling::{self, places};
use crate::visit::Visitor;
use crate::writes;

/// How many lines a variable stands for at most.
const MAX_LINES: usize = 16;

/// How many variables with values from elsewhere are told apart.
const MAX_TAINTED: usize = 64;

impl Visitor<'_> {
    /// What a command changes for those behind it.
    #[inline(never)]
    pub(crate) fn takes_effect(&mut self, invocation: Invocation<'_, '_>, input: &Feed) {
        let words = invocation.words;
        match words[0] {
            "cd" | "pushd" => self.change_directory(words),
            name if DECLARES.contains(&name) => {
                for (name, value) in words[1..].iter().filter_map(|word| assigned(word)) {
                    self.assign(name, value);
                }
            }
            "unset" | "read" | "mapfile" | "readarray" => {
                let nothing = Feed::default();
                let input = if words[0] == "unset" { &nothing } else { input };
                for name in words[1..].iter().filter(|word| !is_option(word)) {
                    self.reads(name, input);
                }
            }
            "set" => {
                if let Some(at) = words.iter().position(|word| *word == "--") {
                    self.arguments = Some(Rc::new(Arguments::new("sh", &words[at + 1..])));
                }
            }
            "alias" => {
                for (name, value) in words[1..].iter().filter_map(|word| assigned(word)) {
                    self.scope.aliases.insert(name.to_string(), value.to_string());
                }
            }
            _ => {}
        }
        if self.deeds
            && let Some((file, url)) = writes::download(invocation)
        {
            let file = self.place(&file);
            self.made.insert(file, Feed::of_sources(vec![Source::Url(url)]));
        }
        let rest = &words[1..];
        match (invocation.name, rest) {
            ("mv" | "cp" | "install" | "ln", [from @ .., to]) => {
                for from in from {
                    let made = self.made(from).cloned();
                    let to = self.place(to);
                    if let Some(feed) = made {
                        self.made.insert(to, feed);
                    } else if from.contains('/') && programs::find(base_name(from)).is_some() {
                        self.copies.insert(to, (*from).to_string());
                    }
                }
            }
            ("tee", _) if input.text().is_some() || input.is_foreign() => {
                for file in rest.iter().filter(|word| !is_option(word)) {
                    let file = self.place(file);
                    self.made.insert(file, input.clone());
                }
            }
            _ => {}
        }
    }

    /// Follows `cd`, so that later relative paths are known.
    #[inline(never)]
    fn change_directory(&mut self, words: &[&str]) {
        let target = words[1..].iter().find(|word| !is_option(word)).copied().unwrap_or("~");
        let target = spelling::normal_word(target).into_owned();
        let at_home =
            target.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        self.cwd = match (at_home, self.home) {
            (Some(rest), Some(home)) => Some(Cow::Owned(format!("{home}{rest}"))),
            _ if target.starts_with(['/', '~']) => Some(Cow::Owned(target)),
            _ => self
                .cwd
                .as_deref()
                .and_then(|cwd| spelling::absolute_word(&target, cwd, Some(true)))
                .map(Cow::Owned),
        };
    }

    /// What is in a file that the line has made.
    pub(crate) fn made(&self, file: &str) -> Option<&Feed> {
        if self.made.is_empty() {
            return None;
        }
        self.made.get(&self.place(file))
    }

    /// A variable is given a line of what is read.
    fn reads(&mut self, name: &str, input: &Feed) {
        let text = input.text().filter(|text| text.lines().count() <= MAX_LINES);
        let lines = text.map(|text| text.lines().map(str::to_string).collect());
        self.scope.variables.set(name, lines);
        if input.is_foreign() {
            let feed = input.untold();
            for mut name in [format!("${name}"), format!("${{{name}")] {
                // Of so many it is not known any more which they are.
                if self.tainted.len() >= MAX_TAINTED {
                    name.truncate(1);
                }
                let before = self.tainted.remove(&name).unwrap_or_default();
                self.tainted.insert(name, before.and(feed.clone()));
            }
        }
    }

    pub(crate) fn assign(&mut self, name: &str, value: &str) {
        let longer = name.strip_suffix('+').and_then(|name| self.scope.variables.get(name));
        let longer = longer.map(|before| format!("{}{value}", before.join(" ")));
        self.counts(longer.as_ref().map_or(0, String::len));
        let (name, value) = (name.trim_end_matches('+'), longer.as_deref().unwrap_or(value));
        let list = value.strip_prefix('(').and_then(|value| value.strip_suffix(')'));
        let values = match list {
            Some(values) => values.split_whitespace().map(str::to_string).collect(),
            None => vec![value.to_string()],
        };
        self.scope.variables.set(name, Some(values));
    }

    /// A path by its first place.
    pub(crate) fn place(&self, path: &str) -> String {
        places(path, self.cwd.as_deref(), self.home).0
    }
}
