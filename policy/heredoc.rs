//! Rewrites here-documents as here-strings, which say the same.
//!
//! The parser's tokenizer loses its way, for ever in the worst case, where an expansion
//! stands near the delimiter of a here-document. So it is never shown one: what opens a
//! here-document is rewritten, and a `<<` that is only text gets a mark in its middle.

use std::borrow::Cow;

use crate::word::closing;

/// Parts a `<<` that is only text; taken out again when words are read.
const MARK: &str = "\u{e000}";

/// What the scanner is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    DoubleQuotes,
    Backquotes,
    Parentheses,
    Braces,
    Arithmetic,
}

/// A here-document whose body is still to come.
struct Pending {
    /// Where in the output it goes.
    segment: usize,
    delimiter: String,
    quoted: bool,
    strip_tabs: bool,
}

/// The script without here-documents.
///
/// # Errors
/// Why it cannot be told what a here-document is.
pub(crate) fn rewrite(script: &str) -> Result<Cow<'_, str>, String> {
    if !script.contains("<<") {
        return Ok(Cow::Borrowed(script));
    }
    let mut rewriter = Rewriter {
        script,
        at: 0,
        segments: vec![String::new()],
        inside: Vec::new(),
        pending: Vec::new(),
    };
    while rewriter.at < script.len() {
        rewriter.step()?;
    }
    if rewriter.pending.is_empty() {
        Ok(Cow::Owned(rewriter.segments.concat()))
    } else {
        Err("a here-document without a body".to_string())
    }
}

/// A word of a rewritten script as it was.
pub(crate) fn unmarked(raw: &str) -> Cow<'_, str> {
    if raw.contains(MARK) { Cow::Owned(raw.replace(MARK, "")) } else { Cow::Borrowed(raw) }
}

struct Rewriter<'a> {
    script: &'a str,
    at: usize,
    /// The output, with a segment for each here-string.
    segments: Vec<String>,
    inside: Vec<Inside>,
    pending: Vec<Pending>,
}

impl Rewriter<'_> {
    /// Takes over the next character, or what it opens.
    fn step(&mut self) -> Result<(), String> {
        let rest = &self.script[self.at..];
        let inside = self.inside.last().copied();
        let quoted = inside == Some(Inside::DoubleQuotes);
        let starts = |text: &str| rest.starts_with(text);
        let length = rest.chars().next().map_or(1, char::len_utf8);
        if starts("\\") {
            let escaped = rest[1..].chars().next().map_or(0, char::len_utf8);
            self.keep(1 + escaped);
        } else if starts("'") && !quoted {
            let end = rest[1..].find('\'').map_or(rest.len(), |end| end + 2);
            self.keep(end);
        } else if starts("$'") && !quoted {
            self.keep(ansi_length(rest));
        } else if starts("\"") {
            self.toggle(Inside::DoubleQuotes);
            self.keep(1);
        } else if starts("`") {
            self.toggle(Inside::Backquotes);
            self.keep(1);
        } else if starts("$((") || (starts("((") && !quoted) {
            self.inside.push(Inside::Arithmetic);
            self.inside.push(Inside::Arithmetic);
            self.keep(if starts("$") { 3 } else { 2 });
        } else if starts("$(") || (starts("(") && !quoted) {
            let arithmetic = inside == Some(Inside::Arithmetic) && !starts("$");
            self.inside.push(if arithmetic { Inside::Arithmetic } else { Inside::Parentheses });
            self.keep(if starts("$") { 2 } else { 1 });
        } else if starts("${") {
            self.inside.push(Inside::Braces);
            self.keep(2);
        } else if starts(")") && matches!(inside, Some(Inside::Parentheses | Inside::Arithmetic))
            || starts("}") && inside == Some(Inside::Braces)
        {
            self.inside.pop();
            self.keep(1);
        } else if quoted || inside == Some(Inside::Arithmetic) {
            self.keep(length);
        } else if starts("#") && self.starts_word() {
            self.keep(rest.find('\n').unwrap_or(rest.len()));
        } else if starts("<<<") {
            self.out().push_str("<<< ");
            self.at += 3;
        } else if starts("<<") {
            self.open()?;
        } else if starts("\n") && !self.pending.is_empty() {
            self.keep(1);
            self.bodies();
        } else {
            self.keep(length);
        }
        Ok(())
    }

    fn out(&mut self) -> &mut String {
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    /// Takes over `length` bytes, in which every `<<` is text.
    fn keep(&mut self, length: usize) {
        let script = self.script;
        let end = (self.at + length).min(script.len());
        for c in script[self.at..end].chars() {
            if c == '<' && self.out().ends_with('<') {
                self.out().push_str(MARK);
            }
            self.out().push(c);
        }
        self.at = end;
    }

    fn toggle(&mut self, what: Inside) {
        if self.inside.last() == Some(&what) {
            self.inside.pop();
        } else {
            self.inside.push(what);
        }
    }

    fn starts_word(&self) -> bool {
        let before = self.script[..self.at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || ";|&()".contains(c))
    }

    /// Reads the operator and its delimiter.
    fn open(&mut self) -> Result<(), String> {
        let script = self.script;
        self.at += 2;
        let strip_tabs = script[self.at..].starts_with('-');
        self.at += usize::from(strip_tabs);
        self.at +=
            script[self.at..].len() - script[self.at..].trim_start_matches([' ', '\t']).len();
        let mut delimiter = String::new();
        let mut quote = None;
        let mut quoted = false;
        let mut chars = script[self.at..].char_indices();
        let mut end = script.len();
        while let Some((at, c)) = chars.next() {
            match (quote, c) {
                (None, ' ' | '\t' | '\n' | ';' | '|' | '&' | '<' | '>' | '(' | ')') => {
                    end = self.at + at;
                    break;
                }
                (None, '\'' | '"') => (quote, quoted) = (Some(c), true),
                (Some(open), c) if open == c => quote = None,
                (None, '\\') => {
                    quoted = true;
                    delimiter.extend(chars.next().map(|(_, c)| c));
                }
                (_, plain) => delimiter.push(plain),
            }
        }
        if quote.is_some() || end == self.at || delimiter.contains(['$', '`', '\n']) {
            return Err("a here-document whose delimiter is not plain".to_string());
        }
        self.at = end;
        self.pending.push(Pending { segment: self.segments.len(), delimiter, quoted, strip_tabs });
        self.segments.extend([String::new(), String::new()]);
        Ok(())
    }

    /// Reads the bodies that start here.
    fn bodies(&mut self) {
        let script = self.script;
        for Pending { segment, delimiter, quoted, strip_tabs } in std::mem::take(&mut self.pending)
        {
            let mut body = String::new();
            while self.at < script.len() {
                let rest = &script[self.at..];
                let line = rest.split('\n').next().unwrap_or_default();
                self.at = (self.at + line.len() + 1).min(script.len());
                let line = if strip_tabs { line.trim_start_matches('\t') } else { line };
                if line == delimiter {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            let body = body.strip_suffix('\n').unwrap_or(&body);
            let word = if quoted {
                format!("'{}'", body.replace('\'', "'\\''"))
            } else {
                double_quoted(body)
            };
            self.segments[segment] = format!(" <<< {} ", marked(&word));
        }
    }
}

/// The text with every `<<` in it marked as text.
fn marked(text: &str) -> String {
    let parted = format!("<{MARK}<");
    // Twice, for the second pair in a row of three.
    text.replace("<<", &parted).replace("<<", &parted)
}

/// Length of the `$'…'` that `text` starts with.
fn ansi_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(2) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The body of a here-document that is expanded, as one word in double quotes.
fn double_quoted(body: &str) -> String {
    let mut word = String::from("\"");
    let mut at = 0;
    while let Some(c) = body[at..].chars().next() {
        let rest = &body[at..];
        let length = match c {
            '\\' if rest[1..].starts_with(['$', '`', '\\', '\n']) => 2,
            '"' | '\\' => {
                word.push('\\');
                1
            }
            '$' if rest.starts_with("$(") => 1 + closing(&rest[1..], '(', ')'),
            '$' if rest.starts_with("${") => 1 + closing(&rest[1..], '{', '}'),
            '`' => rest[1..].find('`').map_or(rest.len(), |end| end + 2),
            plain => plain.len_utf8(),
        };
        word.push_str(&rest[..length]);
        at += length;
    }
    word.push('"');
    word
}
