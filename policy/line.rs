//! The text of a shell line: split where that is plain, parsed where it is not, and
//! broken at every operator where it cannot be parsed.

use std::borrow::Cow;
use std::panic::catch_unwind;

use crate::heredoc;

use brush_parser::{ParserOptions, Token, ast, parse_tokens, uncached_tokenize_str};

/// The longest script that the parser is given, in bytes: more than an argument can hold.
const MAX_SCRIPT: usize = 160 << 10;
/// How deep brackets and compound commands may be nested; the parser recurses.
const MAX_NESTING: usize = 24;
/// How deep `(` and `case` may be nested; the parser tries several ways at each.
const MAX_GROUPS: usize = 5;
/// Words that open a compound command.
const OPENERS: &[&str] = &["if", "while", "until", "for", "select", "case", "{", "[[", "coproc"];
/// Words that close one.
const CLOSERS: &[&str] = &["fi", "done", "esac", "}", "]]"];
/// Words that mean something else than a command where a command may start.
const RESERVED: &[&str] = &[
    "if", "then", "else", "elif", "fi", "do", "done", "while", "until", "for", "select", "case",
    "esac", "function", "time", "coproc", "!", "[[", "{", "}",
];

/// The words of a line that is one simple command of plain and quoted words; `None`
/// where it is more, or may be.
pub(crate) fn quick_words(line: &str) -> Option<Vec<Cow<'_, str>>> {
    let bytes = line.as_bytes();
    let mut words = Vec::with_capacity(8);
    let mut at = 0;
    loop {
        while matches!(bytes.get(at), Some(b' ' | b'\t')) {
            at += 1;
        }
        if at == bytes.len() {
            break;
        }
        let start = at;
        while bytes.get(at).is_some_and(|&byte| is_plain(byte)) {
            at += 1;
        }
        if matches!(bytes.get(at), None | Some(b' ' | b'\t')) {
            words.push(Cow::Borrowed(&line[start..at]));
            continue;
        }
        let mut word = line[start..at].to_string();
        at = quoted_word(line, at, &mut word)?;
        words.push(Cow::Owned(word));
    }
    let reserved = words.first().is_none_or(|word| RESERVED.contains(&word.as_ref()));
    (!reserved).then_some(words)
}

/// Reads on in a word that holds quotes; returns where it ends.
fn quoted_word(line: &str, mut at: usize, word: &mut String) -> Option<usize> {
    let bytes = line.as_bytes();
    loop {
        let start = at;
        match bytes.get(at) {
            None | Some(b' ' | b'\t') => return Some(at),
            Some(b'\'') => {
                let length = line[at + 1..].find('\'')?;
                word.push_str(&line[at + 1..=at + length]);
                at += length + 2;
            }
            Some(b'"') => {
                let length = line[at + 1..].find(['"', '$', '`', '\\'])?;
                if bytes[at + 1 + length] != b'"' {
                    return None;
                }
                word.push_str(&line[at + 1..=at + length]);
                at += length + 2;
            }
            Some(b'\\') => {
                let escaped = line[at + 1..].chars().next().filter(|c| *c != '\n')?;
                word.push(escaped);
                at += 1 + escaped.len_utf8();
            }
            Some(&byte) if is_plain(byte) => {
                while bytes.get(at).is_some_and(|&byte| is_plain(byte)) {
                    at += 1;
                }
                word.push_str(&line[start..at]);
            }
            Some(_) => return None,
        }
    }
}

/// Whether a byte stands for itself wherever it stands in a command.
fn is_plain(byte: u8) -> bool {
    byte >= 0x80
        || byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'@'
                | b'%'
                | b'+'
                | b'='
                | b':'
                | b','
                | b'.'
                | b'/'
                | b'-'
                | b'~'
                | b'*'
                | b'?'
                | b'['
                | b']'
                | b'^'
        )
}

/// Whether a word is `NAME=value`, a variable for the command that follows.
pub(crate) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_suffix('+').unwrap_or(name);
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Whether a word stands before a command and is none.
pub(crate) fn is_no_command(word: &str) -> bool {
    is_assignment(word) || RESERVED.contains(&word)
}

/// Parses a script.
///
/// # Errors
/// Why it cannot be parsed.
pub(crate) fn parse(script: &str) -> Result<ast::Program, String> {
    if script.len() > MAX_SCRIPT {
        return Err(format!("a script longer than {} KiB", MAX_SCRIPT >> 10));
    }
    let script = &*heredoc::rewrite(script)?;
    if nesting(script) > MAX_NESTING {
        return Err(format!("nested deeper than {MAX_NESTING} levels"));
    }
    // The parser is not ours: should it panic, the line is one that cannot be parsed.
    catch_unwind(|| {
        let options = ParserOptions::default();
        let tokens = uncached_tokenize_str(script, &options.tokenizer_options())
            .map_err(|error| format!("not a shell line: {error}"))?;
        if groups(&tokens).is_none_or(|deepest| deepest > MAX_GROUPS) {
            return Err(format!(
                "brackets that do not match, or nested deeper than {MAX_GROUPS} levels"
            ));
        }
        parse_tokens(&tokens, &options).map_err(|error| format!("not a shell line: {error}"))
    })
    .unwrap_or_else(|_| Err("a line that the parser fails on".to_string()))
}

/// How deep brackets and compound commands are nested at most, quotes disregarded.
fn nesting(script: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    let mut word = 0;
    let bytes = script.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'(' | b'{' | b'[' => depth += 1,
            b')' | b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let ends =
            !(byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'_' | b'-' | b'.' | b'/'));
        if ends || at + 1 == bytes.len() {
            let end = if ends { at } else { at + 1 };
            let name = script.get(word..end).unwrap_or_default();
            if OPENERS.contains(&name) || name == "!" {
                depth += 1;
            } else if CLOSERS.contains(&name) {
                depth = depth.saturating_sub(1);
            }
            word = at + 1;
        }
        // A `!` nests nothing for longer than its command.
        if matches!(byte, b'\n' | b';') && depth < MAX_NESTING {
            deepest = deepest.max(depth);
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// How deep `(` and `case` are nested at most; `None` if they do not match, which
/// takes the parser long to find out.
fn groups(tokens: &[Token]) -> Option<usize> {
    let mut open = Vec::new();
    let mut deepest = 0;
    for token in tokens {
        match token {
            Token::Operator(operator, _) if operator == "(" => open.push(true),
            Token::Operator(operator, _) if operator == ")" => match open.last() {
                Some(true) => {
                    open.pop();
                }
                // The end of a pattern of `case`.
                Some(false) => {}
                None => return None,
            },
            Token::Word(word, _) if word == "case" => open.push(false),
            Token::Word(word, _) if word == "esac" && open.last() == Some(&false) => {
                open.pop();
            }
            _ => {}
        }
        deepest = deepest.max(open.len());
    }
    open.is_empty().then_some(deepest)
}

const OPERATORS: &[char] = &[';', '|', '&', '(', ')', '<', '>', '\n', '`', '{', '}', '$'];
const QUOTES: &[char] = &['\'', '"', '\\'];

/// What may be the pipelines of a script that cannot be parsed, without quotes.
pub(crate) fn crude_pipelines(script: &str) -> impl Iterator<Item = String> {
    let pieces = script.split(|c: char| c != '|' && OPERATORS.contains(&c));
    pieces.map(|piece| piece.replace(QUOTES, "")).filter(|piece| piece.contains('|'))
}

/// The pieces of a script that cannot be parsed: split at every operator, once with
/// quotes and backslashes taken away and once split at the quotes as well.
pub(crate) fn crude_pieces(script: &str) -> impl Iterator<Item = String> {
    let undone = script.split(OPERATORS).map(|piece| piece.replace(QUOTES, ""));
    let apart =
        script.split(|c: char| OPERATORS.contains(&c) || QUOTES.contains(&c)).map(str::to_string);
    undone.chain(apart).filter(|piece| !piece.trim().is_empty())
}
