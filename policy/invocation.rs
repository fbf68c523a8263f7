//! A command by its words and its line of the table: its subcommand, options and operands, and the
//! kinds of what it may run.

use crate::programs::{self, Operands, Program, base_name, is_option};
use crate::spelling::has_wildcard;

/// What a command runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inner<'a> {
    /// A program with its arguments.
    Words(Vec<&'a str>),
    /// A shell script, and the arguments that it is given, `$0` first.
    Script(String, Vec<&'a str>),
    /// A shell script that is a setting of the program, which whoever permits that permits.
    Setting(String),
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
    pub(crate) global: Option<&'static Program>,
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
        let mut program = self.global?;
        let is_deeper = self.is_subcommand() && self.program.is_some_and(|line| line.global);
        if !is_deeper && !is_option(self.words.get(1)?) {
            return None;
        }
        let (mut rest, mut short, mut risky) = (&self.words[1..], vec![self.words[0]], false);
        loop {
            while let Some(given) = program.option(rest) {
                risky |= matches!(given.sign, Some('!' | ':' | '~'));
                rest = &rest[given.words..];
            }
            // A subcommand may have subcommands of its own, as `docker compose` has.
            let second = rest.first().filter(|_| short.len() == 1);
            let deeper = second.and_then(|second| programs::find_subcommand(self.name, second));
            let Some(deeper) = deeper.filter(|deeper| deeper.global) else { break };
            short.push(rest[0]);
            (program, rest) = (deeper, &rest[1..]);
        }
        let is_shorter = short.len() + rest.len() < self.words.len() && !rest.is_empty();
        short.extend(rest);
        is_shorter.then_some((short, risky))
    }

    /// The line of the program, of its subcommand wherever its own options stand.
    pub(crate) fn line(&self) -> Option<&'static Program> {
        let behind = self.without_globals().map(|(short, _)| short);
        let behind = behind.as_deref().and_then(Invocation::of).filter(Invocation::is_subcommand);
        behind.map_or(self.program, |behind| behind.program)
    }

    /// Whether it is a subcommand that is looked up.
    pub(crate) fn is_subcommand(&self) -> bool {
        self.arguments.len() + 2 == self.words.len()
    }
}

/// An option that is there, and what its value is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    /// As it was written, without its dashes.
    pub(crate) name: &'a str,
    /// The value of one that takes one, and the sign behind it in the table, if any.
    pub(crate) value: Option<&'a str>,
    pub(crate) sign: Option<char>,
    /// How many words it takes up.
    pub(crate) words: usize,
}

impl Given<'_> {
    /// Whether it has one of the names, or its `word` has one that is a letter, before a value.
    pub(crate) fn is_named(&self, names: &str, word: &str) -> bool {
        let letters = if word.starts_with("--") { "" } else { word };
        let letters = match (self.value, letters.split_once(self.name)) {
            (Some(_), Some((before, _))) => before,
            _ => letters,
        };
        let mut names = names.split(' ');
        names.any(|name| name == self.name || name.len() == 1 && letters.contains(name))
    }
}

/// The arguments of a program whose options have a normal spelling, sorted out.
#[derive(Debug, Default)]
pub(crate) struct Arguments<'a> {
    /// Options as they were written, with their values.
    pub(crate) written: Vec<&'a str>,
    /// Options in normal spelling: one cluster of letters, then the long ones.
    pub(crate) options: Vec<String>,
    pub(crate) operands: Vec<&'a str>,
}

impl Program {
    /// Whether one of the words, read as an option, is such a one as is asked for.
    pub(crate) fn has<'a>(
        &self,
        words: &[&'a str],
        is: impl Fn(Given<'a>, &'a str) -> bool,
    ) -> bool {
        (0..words.len())
            .any(|at| self.option(&words[at..]).is_some_and(|option| is(option, words[at])))
    }

    /// Reads the option `words[0]`; `None` where that is none.
    pub(crate) fn option<'a>(&self, words: &[&'a str]) -> Option<Given<'a>> {
        let word = *words.first()?;
        if !is_option(word) {
            return None;
        }
        let next = words.get(1).copied();
        let taken = |name: &'a str, attached: Option<&'a str>| {
            self.sign(name).map(|sign| match sign {
                '?' => Given { name, value: None, sign: Some('?'), words: 1 },
                sign @ ('.' | '~') => Given { name, value: None, sign: Some(sign), words: 1 },
                sign => {
                    let values = if sign == '=' { 2 } else { 1 } - usize::from(attached.is_some());
                    Given {
                        name,
                        value: attached.or(next),
                        sign: Some(sign),
                        words: words.len().min(1 + values),
                    }
                }
            })
        };
        let plain = Given { name: word.trim_start_matches('-'), value: None, sign: None, words: 1 };
        if let Some(long) = word.strip_prefix("--") {
            let (name, attached) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            return Some(taken(name, attached).unwrap_or(Given { name, value: attached, ..plain }));
        }
        let short = &word[1..];
        // Programs with long options behind one dash, such as find and terraform.
        let (name, attached) =
            short.split_once('=').map_or((short, None), |(name, value)| (name, Some(value)));
        if name.len() > 1
            && let Some(given) = taken(name, attached)
        {
            return Some(given);
        }
        for (at, letter) in short.char_indices() {
            let end = at + letter.len_utf8();
            let attached = (end < short.len()).then(|| &short[end..]);
            if let Some(given) = taken(&short[at..end], attached) {
                if given.sign == Some('.') {
                    if attached.is_none() {
                        return Some(given);
                    }
                    continue;
                }
                return Some(if given.sign == Some('?') {
                    Given { name: short, ..given }
                } else {
                    given
                });
            }
        }
        Some(plain)
    }

    /// Sorts `words`, all behind the program, into options and operands.
    pub(crate) fn arguments<'a>(&self, words: &[&'a str]) -> Arguments<'a> {
        let mut sorted = Arguments::default();
        if self.does == Operands::Find {
            let paths = starting_points(words);
            sorted.written = words[paths..].to_vec();
            sorted.options = words[paths..].iter().map(|word| (*word).to_string()).collect();
            sorted.operands = words[..paths].to_vec();
            sorted.operands.retain(|word| !matches!(*word, "(" | ")"));
            return sorted;
        }
        let mut letters = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let word = words[at];
            if word == "--" {
                sorted.operands.extend(&words[at + 1..]);
                break;
            }
            let Some(given) = self.option(&words[at..]) else {
                sorted.operands.push(word);
                at += 1;
                continue;
            };
            if has_wildcard(word) {
                sorted.written.push(word);
                sorted.options.push(word.to_string());
                at += 1;
                continue;
            }
            sorted.written.extend(&words[at..at + given.words]);
            at += given.words;
            if word.starts_with("--") {
                self.long(given.name, word, &mut letters, &mut sorted.options);
            } else {
                // The letters up to the one that takes a value, that one included.
                for letter in word[1..].chars() {
                    self.letter(letter, &mut letters);
                    if given.value.is_some() && given.name.chars().eq([letter]) {
                        break;
                    }
                }
            }
        }
        letters.sort_unstable();
        letters.dedup();
        if !letters.is_empty() {
            sorted.options.insert(0, std::iter::once('-').chain(letters).collect());
        }
        sorted
    }

    /// Whether the argument at `index` of `len` of one deed, in normal order, is a path.
    pub(crate) fn is_path(&self, index: usize, len: usize) -> bool {
        match self.does {
            Operands::AfterFirst(_) => index + 1 == len,
            Operands::Find => index == 0,
            _ => true,
        }
    }

    fn letter(&self, letter: char, letters: &mut Vec<char>) {
        let mut styled = self.style.iter().flatten();
        match styled.find(|(name, _)| name.chars().eq([letter])) {
            Some((_, same)) => letters.extend(same),
            None if letter == '-' => {}
            None => letters.push(letter),
        }
    }

    /// GNU programs take any unambiguous start of a long option.
    fn long(&self, name: &str, word: &str, letters: &mut Vec<char>, options: &mut Vec<String>) {
        let mut styled = self.style.iter().flatten();
        match styled.find(|(long, _)| long.len() > 1 && long.starts_with(name)) {
            Some((_, same)) => letters.extend(same),
            None => options.push(word.to_string()),
        }
    }

    /// The operands of each thing that the command does.
    pub(crate) fn each<'a>(&self, operands: &[&'a str]) -> Vec<Vec<&'a str>> {
        match (self.does, operands) {
            (Operands::Each(_) | Operands::Find | Operands::Keys, [_, _, ..]) => {
                operands.iter().map(|operand| vec![*operand]).collect()
            }
            (Operands::AfterFirst(_), [first, rest @ ..]) if rest.len() > 1 => {
                rest.iter().map(|operand| vec![*first, *operand]).collect()
            }
            (Operands::To { .. }, [rest @ .., last]) if rest.len() > 1 => {
                rest.iter().map(|operand| vec![*operand, *last]).collect()
            }
            _ => vec![operands.to_vec()],
        }
    }
}

/// How many of the arguments of `find` are starting points.
pub(crate) fn starting_points(words: &[&str]) -> usize {
    let is_test = |word: &&&str| {
        let is_global = matches!(**word, "-H" | "-L" | "-P" | "-D") || word.starts_with("-O");
        is_option(word) && !is_global || **word == "!"
    };
    let before = words.iter().take_while(|word| !is_test(word)).count();
    // A bracket may hold starting points, and tests.
    before - words[..before].iter().rev().take_while(|word| **word == "(").count()
}
