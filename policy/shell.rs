//! A shell line as a tree: the grammar of `brush-parser`, what it is spared, and the pieces
//! of what no shell would take.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use brush_parser::{
    ParserOptions, Token, TokenizerError, ast, parse_tokens, uncached_tokenize_str,
};

/// The longest script that the parser is given, in bytes.
const MAX_SCRIPT: usize = 1 << 20;
/// How deep compound commands may be nested; the parser recurses.
const MAX_NESTING: usize = 24;
/// How deep `(` and `case` may be nested; the parser tries several ways at each.
const MAX_GROUPS: usize = 6;
/// How many expansions a script may have; each may be nested in the one before.
const MAX_EXPANSIONS: usize = 1 << 16;
/// With how many it is parsed on the stack that is there.
const FEW_EXPANSIONS: usize = 64;
/// What one level of nesting may take on the stack, in bytes.
const LEVEL: usize = 16 << 10;

/// Words behind which, as behind an operator, a command begins.
const BEFORE_COMMAND: &[&str] =
    &["if", "then", "else", "elif", "do", "while", "until", "time", "coproc", "!", "{"];
/// Words that open something, and what closes that; nothing does where a command's end is enough.
#[rustfmt::skip]
const OPENERS: &[(&str, &str)] = &[
    ("if", "fi"), ("while", "done"), ("until", "done"), ("for", "done"), ("select", "done"),
    ("case", "esac"), ("{", "}"), ("[[", "]]"), ("coproc", ""), ("!", ""),
];
const OTHERS: &[&str] = &["then", "else", "elif", "do", "function", "time"];

/// Whether a word, where a command begins, means something else than a command.
fn is_reserved(word: &str) -> bool {
    OPENERS.iter().any(|(opener, _)| *opener == word) || is_closer(word) || OTHERS.contains(&word)
}

fn is_closer(word: &str) -> bool {
    !word.is_empty() && OPENERS.iter().any(|(_, closer)| *closer == word)
}

/// The words of a text that says an argument list as the wire says it: words of characters
/// that stand for themselves, and words in single quotes. `None` where it holds more.
pub(crate) fn argument_list(text: &str) -> Option<Vec<Cow<'_, str>>> {
    words(text, false)
}

/// The words of a script that is nothing but a simple command without expansions, so that it
/// need not be parsed.
pub(crate) fn plain_script(script: &str) -> Option<Vec<Cow<'_, str>>> {
    // With quotes in it a name is none that is assigned to.
    let assigns = |words: &[Cow<'_, str>]| words.first().is_some_and(|word| is_assignment(word));
    words(script, true).filter(|words| {
        is_command(script, words) && !(assigns(words) && script.contains(['\'', '"', '\\']))
    })
}

/// The words of a line that is nothing but an argument list to a shell as well.
pub(crate) fn plain_line(line: &str) -> Option<Vec<Cow<'_, str>>> {
    argument_list(line).filter(|words| is_command(line, words))
}

/// One word of a script, where it holds no expansion.
pub(crate) fn plain_word(raw: &str) -> Option<Cow<'_, str>> {
    let mut at = 0;
    let word = plain_word_at(raw, &mut at, true)?;
    (at == raw.len() && !raw.starts_with("~+") && !raw.starts_with("~-")).then_some(word)
}

/// Whether a line that is these words is a command, and no syntax.
fn is_command(line: &str, words: &[Cow<'_, str>]) -> bool {
    words.first().is_some_and(|word| !is_reserved(word)) && !line.starts_with(['\'', '"', '\\'])
}

fn words(text: &str, of_shell: bool) -> Option<Vec<Cow<'_, str>>> {
    let bytes = text.as_bytes();
    let mut words = Vec::with_capacity(8);
    let mut at = 0;
    loop {
        while bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        if at == bytes.len() {
            return Some(words);
        }
        words.push(plain_word_at(text, &mut at, of_shell)?);
    }
}

/// Reads the word that begins at `at`, up to a blank; `of_shell` is for what a shell undoes
/// and the wire does not say.
fn plain_word_at<'t>(text: &'t str, at: &mut usize, of_shell: bool) -> Option<Cow<'t, str>> {
    let bytes = text.as_bytes();
    let mut word: Cow<'t, str> = Cow::Borrowed("");
    while let Some(byte) = bytes.get(*at).filter(|byte| **byte != b' ') {
        let rest = &text[*at..];
        let (piece, end) = match byte {
            b'\'' => {
                let length = rest[1..].find('\'')?;
                (&rest[1..=length], length + 2)
            }
            b'"' if of_shell => {
                let length = rest[1..].find(['"', '$', '`', '\\'])?;
                (rest.as_bytes()[length + 1] == b'"').then_some((&rest[1..=length], length + 2))?
            }
            b'\\' => {
                let escaped = rest[1..].chars().next()?;
                let plain = escaped == '\'' || of_shell && !matches!(escaped, '\n' | '{' | '}');
                let end = 1 + escaped.len_utf8();
                plain.then_some((&rest[1..end], end))?
            }
            // What `find` and `xargs` put something in place of.
            b'{' if of_shell && word.is_empty() && (rest == "{}" || rest.starts_with("{} ")) => {
                (&rest[..2], 2)
            }
            _ => {
                let length =
                    rest.bytes().position(|byte| !IS_PLAIN[byte as usize]).unwrap_or(rest.len());
                (length > 0).then_some((&rest[..length], length))?
            }
        };
        *at += end;
        match &mut word {
            Cow::Borrowed("") => word = Cow::Borrowed(piece),
            word => word.to_mut().push_str(piece),
        }
    }
    Some(word)
}

/// Whether a byte stands for itself wherever it stands in a command, as far as is of
/// interest here: a pattern for files stays one.
const IS_PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0_u8;
    loop {
        plain[byte as usize] = byte >= 0x80 || byte.is_ascii_alphanumeric();
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    let others = b"_@%+=:,./-~*?[]^";
    let mut at = 0;
    while at < others.len() {
        plain[others[at] as usize] = true;
        at += 1;
    }
    plain
};

/// Whether a word is `NAME=value`, a variable for the command that follows.
pub(crate) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_suffix('+').unwrap_or(name);
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Parses a script.
///
/// # Errors
/// Why it cannot be parsed.
pub(crate) fn parse(script: &str) -> Result<ast::Program, String> {
    if script.len() > MAX_SCRIPT {
        return Err(format!("a script longer than {} KiB", MAX_SCRIPT >> 10));
    }
    let bytes = script.as_bytes();
    let expansions = bytes
        .windows(2)
        .filter(|two| two[0] == b'`' || (two[0] == b'$' && matches!(two[1], b'(' | b'{' | b'[')))
        .count();
    if expansions <= FEW_EXPANSIONS {
        return parse_here(script);
    }
    if expansions > MAX_EXPANSIONS {
        return Err(format!("more than {MAX_EXPANSIONS} expansions"));
    }
    on_stack_for(expansions, || parse_here(script))
}

/// Parses on a stack that is large enough for so many levels. Not on a thread: there may be none to
/// be had (`ulimit -u`), and a text that is not parsed is only looked at as text.
pub(crate) fn on_stack_for<T>(
    levels: usize,
    parse: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let stack = levels * LEVEL + (1 << 20);
    catch_unwind(AssertUnwindSafe(|| stacker::grow(stack, parse)))
        .unwrap_or_else(|_| Err("a text that the parser fails on".to_string()))
}

fn parse_here(script: &str) -> Result<ast::Program, String> {
    // Within an expansion the tokenizer takes blanks behind `<<` for the end mark of a
    // here-document, and never ends if the text does before an empty line: `<<$[  `,
    // `||a $(|| \<<< ;; for `. So each has one.
    let documents = script.as_bytes().windows(2).filter(|two| *two == b"<<").count();
    let script = if documents > 0 || script.ends_with('\\') {
        Cow::Owned(format!("{script}{}", "\n".repeat(2 * documents + 2)))
    } else {
        Cow::Borrowed(script)
    };
    match parse_ended(&script) {
        // The end of the script ends a here-document as well.
        Err(Fault::Unterminated(tags)) => {
            let tags =
                tags.split(", ").map(brush_parser::unquote_str).collect::<Vec<_>>().join("\n");
            parse_ended(&format!("{}\n{tags}\n", script.trim_end_matches('\n')))
        }
        parsed => parsed,
    }
    .map_err(|fault| match fault {
        Fault::Unterminated(tags) => {
            format!("not a shell line: nothing ends the here-document {tags}")
        }
        Fault::Other(why) => why,
    })
}

/// Why a script cannot be parsed.
enum Fault {
    /// Here-documents with these end marks do not end.
    Unterminated(String),
    Other(String),
}

fn parse_ended(script: &str) -> Result<ast::Program, Fault> {
    // The parser is not ours: should it panic, the line is one that cannot be parsed.
    catch_unwind(|| {
        let options = ParserOptions::default();
        let mut tokens = uncached_tokenize_str(script, &options.tokenizer_options()).map_err(
            |error| match error {
                TokenizerError::UnterminatedHereDocuments(tags, _) => Fault::Unterminated(tags),
                error => Fault::Other(format!("not a shell line: {error}")),
            },
        )?;
        if !is_shallow(&mut tokens) {
            return Err(Fault::Other("brackets that do not match, or nested too deep".to_string()));
        }
        parse_tokens(&tokens, &options)
            .map_err(|error| Fault::Other(format!("not a shell line: {error}")))
    })
    .unwrap_or_else(|_| Err(Fault::Other("a line that the parser fails on".to_string())))
}

/// Whether commands are nested no deeper than the parser is given.
/// `select` is `for` to all that follows: the grammar has no word for it.
fn is_shallow(tokens: &mut [Token]) -> bool {
    let mut open: Vec<(&str, &str)> = Vec::new();
    let is_group = |(opener, _): &(&str, &str)| matches!(*opener, "(" | "case");
    let mut begins = true;
    for token in tokens {
        match token {
            Token::Operator(operator, _) => {
                match operator.as_str() {
                    "(" => open.push(("(", ")")),
                    ")" => match open.iter().rposition(is_group) {
                        Some(at) if open[at].0 == "(" => open.truncate(at),
                        // The end of a pattern of `case`.
                        Some(_) => {}
                        None => return false,
                    },
                    ";" | "\n" | "&" => {
                        while open.pop_if(|(_, closer)| closer.is_empty()).is_some() {}
                    }
                    _ => {}
                }
                begins = !matches!(
                    operator.as_str(),
                    "<" | ">" | ">>" | "<<" | "<<-" | "<<<" | ">&" | "<&" | ">|" | "<>"
                );
            }
            Token::Word(word, _) => {
                if begins && word == "select" {
                    *word = "for".to_string();
                }
                let word = word.as_str();
                if let Some(opener) = OPENERS.iter().find(|(opener, _)| begins && *opener == word) {
                    open.push(*opener);
                } else if (begins || word == "]]")
                    && let Some(at) = open.iter().rposition(|(_, closer)| *closer == word)
                {
                    open.truncate(at);
                }
                begins = begins && (BEFORE_COMMAND.contains(&word) || is_closer(word));
            }
        }
        let groups = open.iter().filter(|opener| is_group(opener)).count();
        if open.len() > MAX_NESTING || groups > MAX_GROUPS {
            return false;
        }
    }
    // The parser takes long to find out.
    !open.iter().any(is_group)
}

const OPERATORS: &[char] = &[';', '|', '&', '(', ')', '<', '>', '\n', '`', '{', '}'];
const QUOTES: &[char] = &['\'', '"', '\\'];
/// In place of `{}` in a script that is split at its operators: in what `find` runs it is none.
pub(crate) const MARK: &str = "\u{f8ff}";

/// A piece of what no shell would take: the words of each stage; more than one is a pipeline.
type Piece = Vec<Vec<String>>;

/// A script without the words and brackets of the grammar that stand before its first command.
pub(crate) fn behind_openers(script: &str) -> &str {
    let mut rest = script.trim_start();
    loop {
        let word = match rest.strip_prefix(['(', '{']) {
            Some(_) => &rest[..1],
            // Not looked for at each of many brackets: it may be all the rest.
            None => rest.split_whitespace().next().unwrap_or_default(),
        };
        if !matches!(word, "(" | "{") && !BEFORE_COMMAND.contains(&word) {
            return rest;
        }
        rest = rest[word.len()..].trim_start();
    }
}

/// The comments of a script, and whether each stands where a command would begin.
pub(crate) fn comments(script: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    if !script.contains('#') {
        return found;
    }
    let bytes = script.as_bytes();
    // The quote that is open, whether a word begins, and whether a command does.
    let (mut quote, mut word, mut command) = (0, true, true);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quote != b'\'' => (at, word, command) = (at + 1, false, false),
            b'\'' | b'"' if quote == 0 => (quote, word, command) = (byte, false, false),
            _ if byte == quote => quote = 0,
            _ if quote != 0 => {}
            b'#' if word => {
                let end = script[at..].find('\n').map_or(script.len(), |end| at + end);
                found.push((&script[at..end], command));
                at = end;
                continue;
            }
            b' ' | b'\t' => word = true,
            b'\n' | b';' | b'|' | b'&' | b'(' => (word, command) = (true, true),
            _ => (word, command) = (false, false),
        }
        at += 1;
    }
    found
}

/// The pieces of a script that cannot be parsed: split at every operator, once with quotes
/// and backslashes taken away and once split at the quotes as well; and its pipelines.
pub(crate) fn crude_pieces(script: &str) -> impl Iterator<Item = Piece> {
    let words = |text: &str| -> Vec<String> {
        let words =
            text.split_whitespace().skip_while(|word| is_assignment(word) || is_reserved(word));
        words.map(|word| word.replace(MARK, "{}")).collect()
    };
    let undone = script
        .split(OPERATORS)
        .map(|piece| piece.replace("$'", "'").replace("$\"", "\"").replace(QUOTES, ""));
    // Parentheses are code as well, whose quotes were lost on the way: `python3 -c f(x)`.
    let with_code = script
        .split([';', '|', '&', '\n'])
        .filter(|piece| piece.contains(['(', ')']))
        .map(|piece| piece.replace(QUOTES, ""));
    let apart =
        script.split(|c: char| OPERATORS.contains(&c) || QUOTES.contains(&c)).map(str::to_string);
    // A command may stand behind a redirection.
    let behind = script.split(['<', '>']).skip(1).map(|rest| {
        let piece = rest.trim_start_matches('&').split(OPERATORS).next().unwrap_or_default();
        let (_, command) = piece.trim_start().split_once(' ').unwrap_or_default();
        command.replace(QUOTES, "")
    });
    let single =
        undone.chain(with_code).chain(apart).chain(behind).map(move |piece| vec![words(&piece)]);
    let pipelines = script
        .split(|c: char| c != '|' && OPERATORS.contains(&c))
        .map(|piece| piece.replace(QUOTES, ""))
        .filter(|piece| piece.contains('|'))
        .map(move |piece| piece.split('|').map(words).collect());
    // Most are the same however they are split.
    let mut known = BTreeSet::new();
    single
        .chain(pipelines)
        .filter(|stages: &Piece| stages.iter().any(|stage| !stage.is_empty()))
        .filter(move |stages| known.insert(stages.clone()))
}
