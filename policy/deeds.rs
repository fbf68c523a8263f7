//! What a command does, as parts: to files and with URLs, by its words, its redirections, and
//! the code from elsewhere that it runs.

use std::collections::BTreeSet;

use crate::code;
use crate::feed::{Feed, Known};
use crate::invocation::{Inner, Invocation};
use crate::parts::{Faith, Kind};
use crate::programs::{Runs, Verb};
use crate::spelling::{has_wildcard, places, stands_for};
use crate::stage::{Command, Redirection};
use crate::visit::{SOURCE, Visitor};
use crate::{does, writes};

impl Visitor<'_> {
    /// Adds what redirections do.
    #[inline(never)]
    pub(crate) fn redirected(
        &mut self,
        command: &Command<'_>,
        invocation: Option<Invocation<'_, '_>>,
        part: usize,
    ) {
        let words = invocation.map_or(&[][..], |invocation| invocation.words);
        let program = invocation.and_then(|invocation| invocation.program);
        let writes = |to: &Redirection| to.operator.contains('>') || to.target.starts_with("/dev/");
        let some = command.redirections.iter().any(writes);
        let output = if some { self.output(command) } else { Feed::default() };
        for Redirection { operator, target } in &command.redirections {
            let network = target
                .strip_prefix("/dev/tcp/")
                .map(|to| ("tcp", to))
                .or_else(|| target.strip_prefix("/dev/udp/").map(|to| ("udp", to)));
            if let Some((scheme, to)) = network {
                let url = format!("{scheme}://{}", to.replace('/', ":"));
                self.deed(Verb::Fetch, &url, command.guessed, part);
                for file in self.sources(&output, Verb::Send, command.guessed, part) {
                    self.deed(Verb::Send, &file, command.guessed, part);
                }
                // A shell that is given to another machine runs what that says.
                if program.is_some_and(|program| program.runs == Runs::Shell) {
                    self.deed(Verb::Run, &url, command.guessed, part);
                }
                continue;
            }
            let verb = if operator.contains('>') { Verb::Write } else { Verb::Read };
            if *operator != "<<<" {
                self.deed(verb, target, command.guessed, part);
            }
            // `> F` alone, and with nothing written.
            if *operator == ">" && !command.around && writes::writes_nothing(words) {
                self.deed(Verb::Delete, target, command.guessed, part);
            }
            if *operator == "<" && program.is_some_and(|program| program.sends) {
                self.deed(Verb::Send, target, command.guessed, part);
            }
            let is_known = output.text().is_some() || output.is_foreign();
            if verb == Verb::Write && !words.is_empty() && is_known {
                self.made.insert(self.place(target), output.clone());
            }
        }
    }

    /// Adds what the command does to files and with URLs, and the code from there that it runs.
    #[inline(never)]
    pub(crate) fn does(
        &mut self,
        invocation: Invocation<'_, '_>,
        inner: &[Inner<'_>],
        command: &Command<'_>,
        origins: &[(String, Feed)],
        part: usize,
    ) {
        let deeds = does::deeds(invocation);
        // What is done twice is done.
        let mut known = BTreeSet::new();
        for (verb, target) in &deeds {
            if deeds.len() == 1 || known.insert((verb, target)) {
                self.deed(*verb, target, command.guessed, part);
            }
        }
        // A program that talks to another machine may give it a shell.
        let talks = invocation.program.is_some_and(|program| program.fetches == Some(""));
        if talks || !(inner.is_empty() && origins.is_empty() && self.made.is_empty()) {
            self.runs_unread(invocation, inner, command, origins, talks, part);
        }
        if invocation.program.is_some_and(|program| program.sends) {
            self.sends(invocation.words, command, origins, &deeds, part);
        }
    }

    /// Adds the code from elsewhere that the command runs.
    #[inline(never)]
    fn runs_unread(
        &mut self,
        invocation: Invocation<'_, '_>,
        inner: &[Inner<'_>],
        command: &Command<'_>,
        origins: &[(String, Feed)],
        talks: bool,
        part: usize,
    ) {
        let words = invocation.words;
        let of = |text: &str| {
            let in_text = origins
                .iter()
                .filter(|(source, _)| !source.is_empty() && text.contains(source.as_str()));
            in_text.map(|(_, feed)| feed.clone()).collect::<Vec<_>>()
        };
        // `$(curl …)` as a command, and files that were fetched.
        let mut run = Vec::new();
        let mut from = of(words[0]);
        if words[0].contains('/') {
            from.extend(self.made(words[0]).cloned());
        }
        for inner in inner {
            let text = match inner {
                Inner::Here(text) | Inner::Setting(text) | Inner::Script(text, _) => text,
                Inner::Code(code) | Inner::File(code) => *code,
                Inner::Input { .. } => "/dev/stdin",
                Inner::Words(_) => continue,
            };
            from.extend(of(text));
            if text == "/dev/stdin" {
                from.push(command.input.clone());
            }
            let code = match inner {
                Inner::Code(code) | Inner::File(code) => {
                    from.extend(self.made(code).cloned());
                    let is_url = code.starts_with("https://") || code.starts_with("http://");
                    run.extend(is_url.then(|| (*code).to_string()));
                    Some(*code).filter(|code| code::is_code(code))
                }
                Inner::Input { shell: false } => command.input.text(),
                _ => None,
            };
            if let Some(code) = code {
                run.extend(self.looks_through(code, part));
            }
        }
        if talks && gives_a_shell(invocation) {
            run.extend(writes::fetched(invocation));
        }
        let mut urls = Vec::new();
        for feed in from {
            urls.extend(self.sources(&feed, Verb::Run, command.guessed, part));
        }
        urls.extend(run);
        urls.dedup();
        for url in urls {
            self.deed(Verb::Run, &url, command.guessed, part);
        }
    }

    /// Adds what a program in another language does; gives where it gets code from.
    fn looks_through(&mut self, program: &str, part: usize) -> Vec<String> {
        let found = code::look_through(program);
        for (verb, path) in found.deeds {
            self.deed(verb, &path, true, part);
        }
        found.run
    }

    /// Adds what of files goes to another machine by the command.
    #[inline(never)]
    fn sends(
        &mut self,
        words: &[&str],
        command: &Command<'_>,
        origins: &[(String, Feed)],
        deeds: &[(Verb, String)],
        part: usize,
    ) {
        let read = deeds.iter().filter(|(verb, _)| *verb == Verb::Read);
        let mut files: Vec<String> = read.map(|(_, file)| file.clone()).collect();
        files.extend(self.sources(&command.input, Verb::Send, command.guessed, part));
        let in_words = origins.iter().filter(|(source, _)| {
            !source.is_empty() && words.iter().any(|word| word.contains(source.as_str()))
        });
        for (_, feed) in in_words {
            files.extend(self.sources(feed, Verb::Send, command.guessed, part));
        }
        // What socat opens, and what `ftp` and `sftp` are told to put.
        files.extend(words[1..].iter().filter_map(|word| {
            let (kind, rest) = word.split_once(':')?;
            matches!(&*kind.to_ascii_lowercase(), "file" | "open" | "gopen")
                .then(|| rest.split(',').next().unwrap_or(rest).to_string())
        }));
        let told = command.input.text().into_iter().flat_map(str::lines);
        files.extend(told.filter_map(|line| {
            let (verb, rest) = line.trim().split_once(' ')?;
            matches!(verb, "put" | "mput" | "send" | "append")
                .then(|| rest.split_whitespace().next().unwrap_or_default().to_string())
        }));
        for file in files {
            self.deed(Verb::Send, &file, command.guessed, part);
        }
    }

    /// The URLs whose code, or the files whose contents, the command that is `part` is given.
    /// What every stage of a pipeline hands on is told once of commands that are alike.
    #[inline(never)]
    fn sources(&mut self, feed: &Feed, verb: Verb, guessed: bool, part: usize) -> Vec<String> {
        let urls = verb == Verb::Run;
        if !(if urls { feed.is_foreign() } else { feed.is_of_files() }) {
            return Vec::new();
        }
        let mut known = Known::default();
        let like = feed.has_many().then(|| {
            (verb, guessed, self.cwd.as_deref().map(str::to_string), self.parts.like(part))
        });
        if let Some(like) = &like {
            known = self.known.remove(like).unwrap_or_default();
        }
        let (found, looked) = feed.sources(urls, &mut known, self.left / SOURCE);
        self.counts(looked * SOURCE);
        if let Some(like) = like {
            self.known.insert(like, known);
        }
        found
    }

    /// Adds a deed of the command that is `part`.
    #[inline(never)]
    fn deed(&mut self, verb: Verb, target: &str, guessed: bool, part: usize) {
        // What `{}` stands for is not known, nor is the file of a process or of no name.
        if !self.deeds
            || target.is_empty()
            || target.starts_with("{}")
            || target.starts_with("<(")
            || target.starts_with(">(")
        {
            return;
        }
        let faith =
            if guessed || target.contains(['$', '`']) { Faith::WIDE } else { Faith::EXCUSES };
        self.parts.begin(Some(part), Kind::Deed(verb));
        match verb {
            Verb::Fetch | Verb::Run => self.parts.spell(faith, &[target]),
            Verb::Send if target.ends_with(':') => self.parts.spell(faith, &[target]),
            _ => {
                let places = places(target, self.cwd.as_deref(), self.home);
                for place in places.iter() {
                    self.parts.spell(faith, &[place]);
                }
                for place in places.iter().filter(|place| has_wildcard(place)) {
                    for named in stands_for(place, self.named) {
                        self.parts.spell(Faith::WIDE, &[named]);
                    }
                }
            }
        }
    }
}

/// Whether a command that talks to another machine gives it a shell.
fn gives_a_shell(invocation: Invocation<'_, '_>) -> bool {
    let socat = |word: &&&str| {
        let word = word.to_ascii_lowercase();
        word.starts_with("exec:") || word.starts_with("system:") || word.starts_with("shell:")
    };
    let Invocation { words, program, .. } = invocation;
    words[1..].iter().any(|word| socat(&word))
        || program.is_some_and(|program| {
            program.has(&words[1..], |option, _| matches!(option.sign, Some('!' | '$')))
        })
}
