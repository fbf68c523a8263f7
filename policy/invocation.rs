//! A command by its words and its line of the table, and the kinds of what it may run.

use crate::programs::{self, Program, base_name, is_option};

/// What a command runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inner<'a> {
    /// A program with its arguments.
    Words(Vec<&'a str>),
    /// A shell script, and the arguments that it is given, `$0` first.
    Script(String, Vec<&'a str>),
    /// A shell script that runs in this very shell.
    Here(String),
    /// Code that is not read here: a script in another language, or a file of one.
    Code(&'a str),
    /// A file of a shell script.
    File(&'a str),
    /// The script on its standard input; a shell's if it is one.
    Input { shell: bool },
}

/// A command by its words, looked up in the table once.
#[derive(Clone, Copy)]
pub(crate) struct Invocation<'w, 'a> {
    /// All words, of which there is one at least.
    pub(crate) words: &'w [&'a str],
    /// The last component of the program's path.
    pub(crate) name: &'a str,
    /// The program's line, a subcommand's where there is one.
    pub(crate) program: Option<&'static Program>,
    /// The words behind the name.
    pub(crate) arguments: &'w [&'a str],
    /// The line of the program that options before a subcommand are of.
    global: Option<&'static Program>,
}

impl<'w, 'a> Invocation<'w, 'a> {
    /// Looks the command `words` up; `None` where there are none.
    pub(crate) fn of(words: &'w [&'a str]) -> Option<Self> {
        let (first, rest) = words.split_first()?;
        let name = base_name(first);
        let main = programs::find(name);
        let subcommand = rest
            .first()
            .filter(|second| !is_option(second))
            .and_then(|second| programs::find_subcommand(name, second));
        Some(Self {
            words,
            name,
            program: subcommand.or(main),
            arguments: &rest[usize::from(subcommand.is_some())..],
            global: main.filter(|program| program.global),
        })
    }

    /// The command without the options before its subcommand, and whether one of these
    /// changes what runs; `None` where there are none.
    pub(crate) fn without_globals(&self) -> Option<(Vec<&'a str>, bool)> {
        let (words, program) = (self.words, self.global?);
        let (mut at, mut risky) = (1, false);
        while let Some(given) = program.option(&words[at.min(words.len())..]) {
            risky |= matches!(given.sign, Some('!' | '~'));
            at += given.words;
        }
        let rest = words.get(at..).filter(|rest| at > 1 && !rest.is_empty())?;
        Some((std::iter::once(words[0]).chain(rest.iter().copied()).collect(), risky))
    }

    /// Whether it is a subcommand that is looked up.
    pub(crate) fn is_subcommand(&self) -> bool {
        self.arguments.len() + 2 == self.words.len()
    }
}
