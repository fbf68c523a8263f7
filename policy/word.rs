//! One word of a shell line: quotes and backslashes undone, what it runs taken out.

use std::collections::HashMap;

use crate::heredoc::unmarked;

/// How many words the braces of one word may make.
const MAX_BRACE_WORDS: usize = 64;
/// Stands for an unquoted `$IFS` until the word is split there.
const SPLIT: char = '\u{1f}';

/// Variables whose value a line gives itself, by name.
pub(crate) type Variables = HashMap<String, String>;

/// The value of a variable that is one of several, or all of them.
pub(crate) fn several<S: AsRef<str>>(values: &[S]) -> String {
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    values.join(SPLIT.encode_utf8(&mut [0; 4]))
}

/// What a shell makes of one word as it is written.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The words that it becomes: one, but for braces and `$IFS`.
    pub(crate) texts: Vec<String>,
    /// The scripts in it: `$(…)` and backquotes.
    pub(crate) scripts: Vec<String>,
    /// Whether a variable was replaced by what the line lets one expect.
    pub(crate) guessed: bool,
}

/// Reads the word `raw`.
pub(crate) fn read(raw: &str, variables: &Variables) -> Reading {
    let mut reading = Reading::default();
    for word in expand_braces(&unmarked(raw)) {
        let mut text = String::with_capacity(word.len());
        Reader { variables, reading: &mut reading }.read(&word, false, &mut text);
        if text.contains(SPLIT) {
            let words = text.split(SPLIT).filter(|word| !word.is_empty());
            reading.texts.extend(words.map(str::to_string));
        } else {
            reading.texts.push(text);
        }
    }
    reading
}

struct Reader<'a> {
    variables: &'a Variables,
    reading: &'a mut Reading,
}

impl Reader<'_> {
    /// Appends what `raw` stands for to `text`. In a document quotes are plain.
    fn read(&mut self, raw: &str, document: bool, text: &mut String) {
        let mut quoted = document;
        let mut at = 0;
        while let Some(c) = raw[at..].chars().next() {
            let rest = &raw[at..];
            at += match c {
                '\\' => escape(rest, quoted, text),
                '\'' if !quoted => single_quoted(rest, text),
                '"' if !document => {
                    quoted = !quoted;
                    1
                }
                '$' if !quoted && rest.starts_with("$'") => ansi_quoted(rest, text),
                '$' if !quoted && rest.starts_with("$\"") => 1,
                '$' => self.dollar(rest, quoted, text),
                '`' => self.backquoted(rest, text),
                plain => {
                    text.push(plain);
                    plain.len_utf8()
                }
            };
        }
    }

    /// Reads what starts with the `$` of `rest`; returns its length.
    fn dollar(&mut self, rest: &str, quoted: bool, text: &mut String) -> usize {
        let after = &rest[1..];
        if after.starts_with('(') {
            let length = 1 + closing(after, '(', ')');
            let inner = rest[2..length].strip_suffix(')').unwrap_or(&rest[2..length]);
            if inner.starts_with('(') && inner.ends_with(')') {
                // Arithmetic, in which only the substitutions run anything.
                self.read(inner, true, &mut String::new());
            } else {
                self.reading.scripts.push(inner.to_string());
            }
            text.push_str(&rest[..length]);
            return length;
        }
        if after.starts_with('{') {
            let length = 1 + closing(after, '{', '}');
            let inner = rest[2..length].strip_suffix('}').unwrap_or(&rest[2..length]);
            self.parameter(inner, &rest[..length], quoted, text);
            return length;
        }
        let name = after.len() - after.trim_start_matches(is_name_char).len();
        let name = match after.chars().next() {
            Some('@' | '*' | '0'..='9') => 1,
            _ => name,
        };
        self.variable(&after[..name], &rest[..=name], quoted, text);
        1 + name
    }

    /// Reads the inside of `${…}`, whose whole is `raw`.
    fn parameter(&mut self, inner: &str, raw: &str, quoted: bool, text: &mut String) {
        let end = inner.len() - inner.trim_start_matches(is_name_char).len();
        let (name, operation) = inner.split_at(end);
        let mut argument = String::new();
        self.read(operation, quoted, &mut argument);
        let default = ["-", "="]
            .iter()
            .find_map(|op| argument.strip_prefix(':').unwrap_or(&argument).strip_prefix(op));
        match default {
            Some(default) if !name.is_empty() && !self.variables.contains_key(name) => {
                self.reading.guessed = true;
                text.push_str(default);
            }
            _ if matches!(inner, "@" | "*") => self.variable(inner, raw, quoted, text),
            _ => self.variable(name, raw, quoted, text),
        }
    }

    fn variable(&mut self, name: &str, raw: &str, quoted: bool, text: &mut String) {
        let positional = name.starts_with(|c: char| matches!(c, '@' | '*') || c.is_ascii_digit());
        if let Some(value) = self.variables.get(name) {
            self.reading.guessed = true;
            text.push_str(value);
        } else if name == "IFS" && !quoted {
            self.reading.guessed = true;
            text.push(SPLIT);
        } else if positional && name != "0" {
            // An argument that is not known is most likely not there.
            self.reading.guessed = true;
        } else {
            text.push_str(raw);
        }
    }

    fn backquoted(&mut self, rest: &str, text: &mut String) -> usize {
        let mut script = String::new();
        let mut chars = rest.char_indices().skip(1);
        let mut length = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '`' => {
                    length = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, c @ ('`' | '\\' | '$'))) => script.push(c),
                    Some((_, c)) => script.extend(['\\', c]),
                    None => {}
                },
                plain => script.push(plain),
            }
        }
        self.reading.scripts.push(script);
        text.push_str(&rest[..length]);
        length
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn escape(rest: &str, quoted: bool, text: &mut String) -> usize {
    let Some(c) = rest[1..].chars().next() else {
        text.push('\\');
        return 1;
    };
    if quoted && !matches!(c, '$' | '`' | '"' | '\\' | '\n') {
        text.push('\\');
    }
    if c != '\n' {
        text.push(c);
    }
    1 + c.len_utf8()
}

fn single_quoted(rest: &str, text: &mut String) -> usize {
    let inner = rest[1..].split('\'').next().unwrap_or_default();
    text.push_str(inner);
    (inner.len() + 2).min(rest.len())
}

/// `$'…'`, with the escapes of C.
fn ansi_quoted(rest: &str, text: &mut String) -> usize {
    2 + undo_escapes(&rest[2..], Some('\''), text)
}

/// Undoes the escapes of C up to `end`; returns the length read.
fn undo_escapes(rest: &str, end: Option<char>, text: &mut String) -> usize {
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if Some(c) == end {
            return at + 1;
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        let Some((_, kind)) = chars.next() else { break };
        let (radix, digits) = match kind {
            'x' => (16, 2),
            'u' => (16, 4),
            'U' => (16, 8),
            '0'..='7' => (8, 2),
            _ => (0, 0),
        };
        if radix == 0 {
            text.push(control(kind));
            continue;
        }
        let mut value = if radix == 8 { kind.to_digit(8).unwrap_or(0) } else { 0 };
        for _ in 0..digits {
            let Some(digit) = chars.peek().and_then(|(_, c)| c.to_digit(radix)) else {
                break;
            };
            value = value.wrapping_mul(radix) + digit;
            chars.next();
        }
        text.push(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    rest.len()
}

/// What a letter stands for behind a backslash, in `$'…'`, `printf` and `echo -e`.
fn control(letter: char) -> char {
    match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'e' | 'E' => '\u{1b}',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'v' => '\u{b}',
        'f' => '\u{c}',
        other => other,
    }
}

/// The text with the escapes that `printf` and `echo -e` undo undone.
pub(crate) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    undo_escapes(text, None, &mut out);
    out
}

/// Length of the construct that opens at the start of `text`, quotes regarded.
pub(crate) fn closing(text: &str, open: char, close: char) -> usize {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote != Some('\'') => {
                chars.next();
            }
            '\'' | '"' | '`' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            _ if quote.is_some_and(|quote| quote != '"') => {}
            // A substitution inside double quotes still nests.
            _ if c == open && (quote.is_none() || text[..at].ends_with('$')) => depth += 1,
            _ if c == close && depth > 0 && quote.is_none() => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ if c == close && quote.is_some() && depth > 1 => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The words that the unquoted `{a,b}` of `raw` stand for.
fn expand_braces(raw: &str) -> Vec<String> {
    let mut words = vec![raw.to_string()];
    let mut done = 0;
    while done < words.len() {
        match first_braces(&words[done]) {
            Some(expanded) if words.len() + expanded.len() <= MAX_BRACE_WORDS => {
                words.splice(done..=done, expanded);
            }
            _ => done += 1,
        }
    }
    words
}

/// Expands the first list in braces.
fn first_braces(raw: &str) -> Option<Vec<String>> {
    if !raw.contains('{') || !raw.contains(',') {
        return None;
    }
    let mut opened: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut quote = None;
    let mut chars = raw.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote != Some('\'') => {
                chars.next();
            }
            '\'' | '"' | '`' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            _ if quote.is_some() => {}
            '$' if raw[at..].starts_with("${") || raw[at..].starts_with("$(") => {
                let (open, close) =
                    if raw[at + 1..].starts_with('{') { ('{', '}') } else { ('(', ')') };
                let end = at + 1 + closing(&raw[at + 1..], open, close);
                while chars.offset() < end && chars.next().is_some() {}
            }
            '{' => opened.push((at, Vec::new())),
            ',' => {
                if let Some((_, commas)) = opened.last_mut() {
                    commas.push(at);
                }
            }
            '}' => match opened.pop() {
                Some((from, commas)) if !commas.is_empty() => {
                    let mut start = from + 1;
                    let mut words = Vec::with_capacity(commas.len() + 1);
                    for end in commas.into_iter().chain([at]) {
                        words.push([&raw[..from], &raw[start..end], &raw[at + 1..]].concat());
                        start = end + 1;
                    }
                    return Some(words);
                }
                _ => {}
            },
            _ => {}
        }
    }
    None
}
