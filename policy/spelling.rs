//! The normal spelling of a command, so that two ways to write one thing compare equal.
//!
//! Patterns and commands go through the same functions: whatever a command is spelled
//! like, a pattern that says the same meets it in the middle.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// How a program that is known here reads its arguments.
pub(crate) struct Tool {
    names: &'static [&'static str],
    /// Long options and the letter that means the same.
    long: &'static [(&'static str, char)],
    /// Letters that mean the same as another letter.
    same: &'static [(char, char)],
    /// Letters, long options that change nothing about what is done to which file.
    noise: &'static str,
    noise_long: &'static [&'static str],
    /// Letters that take a value.
    values: &'static str,
    /// How the program treats its operands.
    pub(crate) operands: Operands,
}

/// How a program treats its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operands {
    /// Each by itself.
    Each,
    /// Each by itself behind the first, which says what to do (`chmod MODE FILE…`).
    EachAfterFirst,
    /// Each by itself before the last, the target (`mv FILE… DIR`).
    EachBeforeLast,
    /// Each by itself before the first option (`find DIR… -name x`).
    EachBeforeOptions,
}

const PLAIN: Tool = Tool {
    names: &[],
    long: &[],
    same: &[],
    noise: "",
    noise_long: &[],
    values: "",
    operands: Operands::Each,
};

const TOOLS: &[Tool] = &[
    Tool {
        names: &["rm"],
        long: &[("recursive", 'r'), ("force", 'f')],
        same: &[('R', 'r')],
        noise: "vidI",
        noise_long: &[
            "verbose",
            "dir",
            "interactive",
            "one-file-system",
            "no-preserve-root",
            "preserve-root",
        ],
        ..PLAIN
    },
    Tool {
        names: &["chmod", "chown", "chgrp"],
        long: &[("recursive", 'R')],
        noise: "cfvHLP",
        noise_long: &[
            "changes",
            "silent",
            "quiet",
            "verbose",
            "preserve-root",
            "no-preserve-root",
            "dereference",
        ],
        operands: Operands::EachAfterFirst,
        ..PLAIN
    },
    Tool {
        names: &["mv", "cp", "ln", "install"],
        long: &[("recursive", 'r'), ("force", 'f'), ("archive", 'a')],
        same: &[('R', 'r')],
        noise: "vinu",
        noise_long: &["verbose", "interactive", "no-clobber", "update"],
        values: "SmogZ",
        operands: Operands::EachBeforeLast,
    },
    Tool { names: &["find"], operands: Operands::EachBeforeOptions, ..PLAIN },
    Tool {
        names: &["grep", "egrep", "fgrep", "rg", "sed", "awk", "gawk"],
        values: "eABCmFvD",
        operands: Operands::EachAfterFirst,
        ..PLAIN
    },
    Tool { names: &["tee"], noise: "aip", noise_long: &["append", "ignore-interrupts"], ..PLAIN },
    Tool { names: &["head", "tail", "cut"], values: "ncdfbs", ..PLAIN },
    Tool { names: &["shred", "truncate", "split"], values: "nsblCa", ..PLAIN },
    Tool { names: &["xxd", "od", "hexdump", "strings"], values: "lscgjNtAwnoe", ..PLAIN },
    Tool {
        names: &[
            "rmdir", "unlink", "srm", "wipefs", "touch", "dd", "kill", "killall", "cat", "tac",
            "nl", "less", "more", "bat", "base64", "base32", "sort", "uniq", "wc", "rev",
        ],
        ..PLAIN
    },
];

/// What is known of the program `name`, a last path component.
pub(crate) fn tool(name: &str) -> Option<&'static Tool> {
    static BY_NAME: LazyLock<HashMap<&str, &Tool>> = LazyLock::new(|| {
        TOOLS.iter().flat_map(|tool| tool.names.iter().map(move |name| (*name, tool))).collect()
    });
    BY_NAME.get(name).copied()
}

/// The arguments of a known program, sorted out.
#[derive(Debug, Default)]
pub(crate) struct Arguments<'a> {
    /// Options as they were written, with their values.
    pub(crate) written: Vec<&'a str>,
    /// Options in normal spelling: one cluster of letters, then the long ones.
    pub(crate) options: Vec<String>,
    pub(crate) operands: Vec<&'a str>,
}

impl Tool {
    /// Sorts `words`, all behind the program, into options and operands.
    pub(crate) fn arguments<'a>(&self, words: &[&'a str]) -> Arguments<'a> {
        if self.operands == Operands::EachBeforeOptions {
            let paths = words.iter().take_while(|word| !is_find_expression(word)).count();
            return Arguments {
                written: words[paths..].to_vec(),
                options: words[paths..].iter().map(|word| (*word).to_string()).collect(),
                operands: words[..paths].to_vec(),
            };
        }
        let mut sorted = Arguments::default();
        let mut letters = Vec::new();
        let mut rest = words.iter();
        while let Some(&word) = rest.next() {
            if word == "--" {
                sorted.operands.extend(rest.by_ref());
            } else if !is_option(word) {
                sorted.operands.push(word);
            } else if has_wildcard(word) {
                sorted.written.push(word);
                sorted.options.push(word.to_string());
            } else if let Some(long) = word.strip_prefix("--") {
                sorted.written.push(word);
                self.long(long, word, &mut letters, &mut sorted.options);
            } else {
                sorted.written.push(word);
                for (at, letter) in word.char_indices().skip(1) {
                    if !self.values.contains(letter) {
                        self.letter(letter, &mut letters);
                        continue;
                    }
                    letters.push(letter);
                    if at + letter.len_utf8() == word.len() {
                        sorted.written.extend(rest.next());
                    }
                    break;
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
        match self.operands {
            Operands::Each | Operands::EachBeforeLast => true,
            Operands::EachAfterFirst => index + 1 == len,
            Operands::EachBeforeOptions => index == 0,
        }
    }

    fn letter(&self, letter: char, letters: &mut Vec<char>) {
        let same = self.same.iter().find(|(from, _)| *from == letter);
        let letter = same.map_or(letter, |(_, to)| *to);
        if !self.noise.contains(letter) {
            letters.push(letter);
        }
    }

    /// GNU programs take any unambiguous start of a long option.
    fn long(&self, name: &str, word: &str, letters: &mut Vec<char>, options: &mut Vec<String>) {
        let name = name.split_once('=').map_or(name, |(name, _)| name);
        if let Some((_, letter)) = self.long.iter().find(|(long, _)| long.starts_with(name)) {
            letters.push(*letter);
        } else if !self.noise_long.iter().any(|long| long.starts_with(name)) {
            options.push(word.to_string());
        }
    }
}

/// A word that is an option: `-` alone is the standard input.
pub(crate) fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

fn is_find_expression(word: &str) -> bool {
    is_option(word) && !matches!(word, "-H" | "-L" | "-P") || matches!(word, "(" | "!")
}

fn has_wildcard(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

/// A pattern in normal spelling, where that differs from how it is written.
pub(crate) fn normal_pattern(pattern: &str) -> Option<String> {
    let words: Vec<&str> = pattern.split(' ').filter(|word| !word.is_empty()).collect();
    let (program, arguments) = words.split_first()?;
    let mut normal = vec![(*program).to_string()];
    match tool(base_name(program)).filter(|tool| tool.operands != Operands::EachBeforeOptions) {
        Some(tool) => {
            let arguments = tool.arguments(arguments);
            normal.extend(arguments.options);
            normal.extend(arguments.operands.iter().map(|word| normal_word(word).into_owned()));
        }
        None => normal.extend(arguments.iter().map(|word| normal_word(word).into_owned())),
    }
    let normal = normal.join(" ");
    (normal != pattern).then_some(normal)
}

/// The last component of a program's path.
pub(crate) fn base_name(program: &str) -> &str {
    match program.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name,
        _ => program,
    }
}

/// A word with the paths in it in normal spelling: `//`, `.`, `..` and a trailing `/`
/// resolved by name, the home directory as `~`.
pub(crate) fn normal_word(word: &str) -> Cow<'_, str> {
    // Only a slash or the home directory can be spelled in another way.
    if !word.bytes().any(|byte| matches!(byte, b'/' | b'$')) {
        return Cow::Borrowed(word);
    }
    let Some((head, path)) = path_in(word) else {
        return Cow::Borrowed(word);
    };
    let normal = normal_path(path);
    if normal == path { Cow::Borrowed(word) } else { Cow::Owned(format!("{head}{normal}")) }
}

/// A word with the relative path in it made absolute, where there is one. `is_path` says
/// whether the word is a path; if it is not known, one with a slash or a dot in front is.
pub(crate) fn absolute_word(word: &str, cwd: &str, is_path: Option<bool>) -> Option<String> {
    // Most words are none, and that is seen sooner than what else they are.
    if is_path != Some(true) && !word.bytes().any(|byte| matches!(byte, b'/' | b'.')) {
        return None;
    }
    let (head, path) = path_in(word)?;
    let relative = !path.is_empty() && !path.starts_with(['/', '~', '$', '-']);
    let is_path = is_path.unwrap_or_else(|| path.contains('/') || path.starts_with('.'));
    (relative && is_path).then(|| format!("{head}{}", normal_path(&format!("{cwd}/{path}"))))
}

/// The path in a word and what stands before it (`of=`, `--file=`, `@`); no path is found
/// in a URL or a sentence.
fn path_in(word: &str) -> Option<(&str, &str)> {
    if word.contains([' ', '\n']) || word.contains("://") {
        return None;
    }
    let mut at = 0;
    if let Some((name, _)) = word.split_once('=') {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.chars().all(is_name) {
            at = name.len() + 1;
        }
    } else if word.starts_with('-') {
        return None;
    }
    if word[at..].starts_with('@') {
        at += 1;
    }
    Some(word.split_at(at))
}

fn normal_path(path: &str) -> Cow<'_, str> {
    let home = ["$HOME", "${HOME}"].iter().find_map(|home| path.strip_prefix(home));
    let path = match home {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Cow::Owned(format!("~{rest}")),
        _ => Cow::Borrowed(path),
    };
    let bytes = path.as_bytes();
    let odd = bytes.windows(3).any(|three| matches!(three, b"/./" | b"/.."))
        || bytes.windows(2).any(|two| two == b"//")
        || bytes.starts_with(b"./")
        || (bytes.len() > 1 && (bytes.ends_with(b"/") || bytes.ends_with(b"/.")));
    if !odd {
        return path;
    }
    let mut kept: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => match kept.last() {
                // What a wildcard or the home stands for is not known by name.
                Some(last)
                    if *last != ".." && !has_wildcard(last) && !last.starts_with(['~', '$']) =>
                {
                    kept.pop();
                }
                None if path.starts_with('/') => {}
                Some(_) | None => kept.push(component),
            },
            plain => kept.push(plain),
        }
    }
    let joined = kept.join("/");
    if path.starts_with('/') {
        Cow::Owned(format!("/{joined}"))
    } else if joined.is_empty() {
        Cow::Borrowed(".")
    } else {
        Cow::Owned(joined)
    }
}
