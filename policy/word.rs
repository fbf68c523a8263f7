//! What a shell makes of one word: quotes undone, braces and variables put in, what it runs
//! taken out. The pieces are those of `brush-parser`; nothing else here knows a quote. What is put
//! in for a parameter: `parameter`.

use std::borrow::Cow;
use std::panic::catch_unwind;

use brush_parser::ParserOptions;
use brush_parser::word::{
    self, BraceExpressionMember as Member, BraceExpressionOrText as Braced, TildeExpr, WordPiece,
    WordPieceWithSource,
};

use crate::parameter::is_all_arguments;
use crate::scope::{Arguments, Variables};
use crate::shell;

/// How many words the braces of one word may make.
const MAX_BRACE_WORDS: usize = 64;
/// How many lists one word may have; the parser tries several ways at each.
const MAX_BRACES: usize = 8;
/// How often brackets may be opened in one word; the parser tries several ways at each.
const MAX_OPEN: usize = 200;
/// With how many it is parsed on the stack that is there.
const FEW_OPEN: usize = 40;
/// How deep a value may be nested in a value.
pub(crate) const MAX_VALUES: usize = 8;

/// What became of words as they were written.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The words: one for each, but for braces, `$@` and values with blanks.
    pub(crate) texts: Vec<String>,
    /// The scripts in them: `$(…)` and backquotes.
    pub(crate) scripts: Vec<String>,
    /// How long the values are that were put in, in bytes.
    pub(crate) put_in: usize,
    /// Whether a value was put in that is only what the line lets one expect.
    pub(crate) guessed: bool,
    /// Why one could not be read.
    pub(crate) unread: Option<String>,
}

/// What a script prints, where that can be seen.
pub(crate) type Prints<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads words.
pub(crate) struct Reader<'a> {
    pub(crate) variables: Option<&'a Variables>,
    pub(crate) arguments: Option<&'a Arguments>,
    pub(crate) prints: &'a Prints<'a>,
    pub(crate) reading: Reading,
}

/// The words that are being put together.
#[derive(Default)]
pub(crate) struct Building {
    pub(crate) done: Vec<String>,
    current: String,
    /// Whether there is a current word, which may be empty.
    begun: bool,
}

impl Building {
    pub(crate) fn push(&mut self, text: &str) {
        self.current.push_str(text);
        self.begun = true;
    }

    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.begun) {
            self.done.push(std::mem::take(&mut self.current));
        }
    }

    /// Adds values, each a word of its own but for the ends of the row.
    pub(crate) fn values<'v>(&mut self, values: impl Iterator<Item = &'v str>) {
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.end();
            }
            self.push(value);
        }
    }

    /// Adds a value without quotes, which is split at its blanks.
    pub(crate) fn split(&mut self, value: &str) {
        if value.starts_with(char::is_whitespace) {
            self.end();
        }
        self.values(value.split_whitespace());
        if value.ends_with(char::is_whitespace) {
            self.end();
        }
    }
}

/// What the word `raw` stands for, where nothing in it has to be expanded.
pub(crate) fn plain(raw: &str) -> Option<Cow<'_, str>> {
    let special = |byte| matches!(byte, b'\'' | b'"' | b'\\' | b'$' | b'`' | b'{');
    if raw.bytes().any(special) { shell::plain_word(raw) } else { Some(Cow::Borrowed(raw)) }
}

impl Reader<'_> {
    /// Reads the word `raw`.
    pub(crate) fn word(&mut self, raw: &str) {
        if let Some(word) = plain(raw) {
            self.reading.texts.push(word.into_owned());
            return;
        }
        for word in braces(raw) {
            let mut building = Building::default();
            self.pieces_of(&word, &mut building, 0);
            building.end();
            self.reading.texts.append(&mut building.done);
        }
    }

    /// Reads a text in which quotes stand for themselves, as that of a here-document.
    pub(crate) fn document(&mut self, raw: &str) -> String {
        if !raw.contains(['$', '`', '\\']) {
            return raw.to_string();
        }
        let pieces = guarded(raw, word::parse_heredoc);
        let mut building = Building::default();
        match pieces {
            Ok(pieces) => self.pieces(&pieces, raw, true, &mut building, 0),
            Err(why) => self.unread(raw, why, &mut building),
        }
        building.end();
        building.done.join(" ")
    }

    /// Takes the scripts out of a text that is none itself.
    pub(crate) fn expression(&mut self, raw: &str) {
        if raw.contains(['$', '`']) {
            self.document(raw);
        }
    }

    fn unread(&mut self, raw: &str, why: String, building: &mut Building) {
        self.reading.unread.get_or_insert(why);
        self.reading.guessed = true;
        // What runs in it is looked for as in a script that cannot be read.
        if raw.contains(['$', '`']) {
            self.reading.scripts.push(raw.to_string());
        }
        building.push(&raw.replace(['\'', '"'], ""));
    }

    pub(crate) fn pieces_of(&mut self, raw: &str, building: &mut Building, depth: usize) {
        match guarded(raw, word::parse) {
            Ok(pieces) => self.pieces(&pieces, raw, false, building, depth),
            Err(why) => self.unread(raw, why, building),
        }
    }

    fn pieces(
        &mut self,
        pieces: &[WordPieceWithSource],
        raw: &str,
        quoted: bool,
        building: &mut Building,
        depth: usize,
    ) {
        for WordPieceWithSource { piece, start_index, end_index } in pieces {
            let source = raw.get(*start_index..*end_index).unwrap_or_default();
            match piece {
                WordPiece::Text(text) | WordPiece::SingleQuotedText(text) => building.push(text),
                WordPiece::AnsiCQuotedText(text) => building.push(&unescaped(text)),
                WordPiece::DoubleQuotedSequence(inner)
                | WordPiece::GettextDoubleQuotedSequence(inner) => {
                    // `"$@"` may be no word at all, `""` is one.
                    if !matches!(&inner[..], [only] if is_all_arguments(&only.piece)) {
                        building.push("");
                    }
                    self.pieces(inner, raw, true, building, depth);
                }
                WordPiece::TildeExpansion(tilde) => match tilde {
                    TildeExpr::WorkingDir => building.push("$PWD"),
                    TildeExpr::OldWorkingDir => building.push("$OLDPWD"),
                    _ => building.push(source),
                },
                WordPiece::EscapeSequence(escape) => {
                    let escaped = escape.strip_prefix('\\').unwrap_or(escape);
                    if escaped != "\n" {
                        building.push(escaped);
                    }
                }
                // The bracket that was found belongs to a pattern.
                WordPiece::CommandSubstitution(script) if has_open_case(script) => {
                    self.reading
                        .scripts
                        .push(raw.get(start_index + 2..).unwrap_or_default().to_string());
                    building.push(source);
                }
                WordPiece::CommandSubstitution(script)
                | WordPiece::BackquotedCommandSubstitution(script) => {
                    self.script(script, source, quoted, building);
                }
                WordPiece::ArithmeticExpression(arithmetic) => {
                    building.push(source);
                    if depth < MAX_VALUES {
                        let mut aside = Building::default();
                        if arithmetic.value.contains(['$', '`']) {
                            self.pieces_of(&arithmetic.value, &mut aside, depth + 1);
                        }
                    }
                }
                WordPiece::ParameterExpansion(expansion) => {
                    self.parameter(expansion, source, quoted, building, depth);
                }
            }
        }
    }

    fn script(&mut self, script: &str, source: &str, quoted: bool, building: &mut Building) {
        let printed = (self.prints)(script);
        self.reading.scripts.push(script.to_string());
        match printed {
            Some(text) => {
                self.reading.guessed = true;
                let text = text.trim_end_matches('\n');
                if quoted { building.push(text) } else { building.split(text) }
            }
            None => building.push(source),
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<Vec<String>> {
        let argument = || self.arguments.and_then(|arguments| arguments.value(name));
        self.variables.and_then(|variables| variables.get(name)).or_else(argument)
    }
}

/// Whether a script ends inside of a `case`, whose patterns end with a bracket.
fn has_open_case(script: &str) -> bool {
    script.split_whitespace().any(|word| word == "case") && !script.contains("esac")
}

type Pieces = Vec<WordPieceWithSource>;

/// Lets the parser have a word that is not made to wear it out; should it panic, the word is
/// one that cannot be read.
fn guarded<E: ToString>(
    raw: &str,
    parse: fn(&str, &ParserOptions) -> Result<Pieces, E>,
) -> Result<Pieces, String> {
    let (mut opened, mut nests, mut doubled) = (0, 0, 0);
    for (at, byte) in raw.bytes().enumerate() {
        if matches!(byte, b'(' | b'{' | b'[' | b'`') {
            opened += 1;
            if byte != b'`' && raw[..at].ends_with('$') {
                nests += 1;
                doubled += usize::from(raw[at..].starts_with("(("));
            }
        }
    }
    let tried = nests > 0 && (opened > MAX_OPEN * 20 || unclosed(raw) > MAX_UNCLOSED);
    if nests > MAX_OPEN || tried || doubled > MAX_DOUBLED {
        return Err("a word with too many brackets".to_string());
    }
    let parse = || {
        catch_unwind(|| parse(raw, &ParserOptions::default()).map_err(|error| error.to_string()))
            .unwrap_or_else(|_| Err("a word that the parser fails on".to_string()))
    };
    // A level of words takes several of the grammar's.
    if nests > FEW_OPEN { shell::on_stack_for(nests * 8, parse) } else { parse() }
}

/// How many brackets may be open at the end of a word: each is tried in two ways, as those of the
/// text in `"$(cat <<E …)"` are.
const MAX_UNCLOSED: usize = 12;

fn unclosed(raw: &str) -> usize {
    raw.bytes().fold(0usize, |open, byte| match byte {
        b'(' => open + 1,
        b')' => open.saturating_sub(1),
        _ => open,
    })
}

/// How often arithmetic may be opened in one word: each is tried as a substitution, too.
const MAX_DOUBLED: usize = 8;

/// The words that the braces of `raw` stand for.
fn braces(raw: &str) -> Vec<String> {
    let listed = raw.contains('{') && (raw.contains(',') || raw.contains(".."));
    let few = raw.matches('{').count() <= MAX_BRACES
        && !raw.contains("$((")
        && unclosed(raw) <= MAX_UNCLOSED;
    let parse = || {
        catch_unwind(|| word::parse_brace_expansions(raw, &ParserOptions::default()).ok().flatten())
            .unwrap_or_default()
    };
    match (listed && few).then(parse).flatten() {
        Some(pieces) => expanded(&pieces).unwrap_or_else(|| vec![raw.to_string()]),
        None => vec![raw.to_string()],
    }
}

/// All that a row of pieces stands for; `None` if that is too much.
fn expanded(pieces: &[Braced]) -> Option<Vec<String>> {
    let mut words = vec![String::new()];
    for piece in pieces {
        let choices = match piece {
            Braced::Text(text) => vec![text.clone()],
            Braced::Expr(members) => {
                let mut choices = Vec::new();
                for member in members {
                    match member {
                        Member::NumberSequence { start, end, .. } => {
                            let (low, high) = (*start.min(end), *start.max(end));
                            choices.extend(
                                (low..=high).take(MAX_BRACE_WORDS).map(|number| number.to_string()),
                            );
                        }
                        Member::CharSequence { start, end, .. } => {
                            choices.extend((*start.min(end)..=*start.max(end)).map(String::from));
                        }
                        Member::Child(pieces) => choices.extend(expanded(pieces)?),
                    }
                }
                choices
            }
        };
        if words.len() * choices.len() > MAX_BRACE_WORDS {
            return None;
        }
        words = words
            .iter()
            .flat_map(|word| choices.iter().map(move |choice| format!("{word}{choice}")))
            .collect();
    }
    Some(words)
}

/// The text with the escapes of C undone, which are those of `printf` and `echo -e`.
pub(crate) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(kind) = chars.next() else { break };
        let (radix, digits) = match kind {
            'x' => (16, 2),
            'u' => (16, 4),
            'U' => (16, 8),
            '0'..='7' => (8, 2),
            _ => (0, 0),
        };
        if radix == 0 {
            out.push(match kind {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'e' | 'E' => '\u{1b}',
                'a' => '\u{7}',
                'b' => '\u{8}',
                'v' => '\u{b}',
                'f' => '\u{c}',
                other => other,
            });
            continue;
        }
        let mut value = if radix == 8 { kind.to_digit(8).unwrap_or(0) } else { 0 };
        for _ in 0..digits {
            let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else { break };
            value = value.wrapping_mul(radix) + digit;
            chars.next();
        }
        out.push(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    out
}
