//! The glob of policy files: which texts a pattern stands for.
//!
//! A pattern is compiled once. Three shapes cover nearly all of them without any
//! search: a literal, a literal with a trailing star, and a list of pieces to be
//! found in order. The rest is run as a set of states, character by character, so
//! that no pattern makes a text cost more than its length times the pattern's.

use crate::bits::Bits;

/// How often `**` may stand in one pattern.
const MAX_CROSSING_STARS: usize = 2;

/// One step of a compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Char(char),
    /// `?`: any character but `/`.
    One,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `*` or `**`; the latter crosses `/`.
    Star {
        crossing: bool,
    },
}

#[derive(Debug, Clone)]
enum Shape {
    Nothing,
    Everything,
    /// Pieces to be found in order, anywhere in the text; for a pattern that begins with
    /// `**/`, the start of the text is as good as the slash.
    Pieces {
        pieces: Vec<Piece>,
        below: bool,
    },
    Anchored {
        /// Whether the start of the text is as good as the slash behind a `**` in front.
        below: bool,
        /// Literal start of the text.
        prefix: String,
        /// What follows the prefix.
        steps: Vec<Step>,
        /// Whether anything may follow the steps.
        open: bool,
    },
}

/// A piece without stars: plain text, or text with `?` and classes.
#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Steps(Vec<Step>),
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    shape: Shape,
}

impl Glob {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// What is wrong with the pattern, as the end of a sentence about it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let mut collapsed = pattern.to_string();
        collapse_blanks(&mut collapsed, 0);
        let mut steps = parse(&collapsed)?;
        let stars = |steps: &[Step]| {
            steps.iter().filter(|step| matches!(step, Step::Star { crossing: true })).count()
        };
        if stars(&steps) > MAX_CROSSING_STARS {
            return Err(format!("has `**` more than {MAX_CROSSING_STARS} times; use `*`"));
        }
        let shape = match steps.first() {
            None => Shape::Nothing,
            Some(Step::Star { .. }) if steps.len() == 1 => Shape::Everything,
            Some(Step::Star { crossing }) if !crossing || is_loose(&steps) => {
                let below = *crossing && matches!(steps.get(1), Some(Step::Char('/')));
                Shape::Pieces { pieces: pieces(&steps), below }
            }
            Some(first) => {
                let crossing = matches!(first, Step::Star { .. });
                let below = crossing && matches!(steps.get(1), Some(Step::Char('/')));
                let open = matches!(steps.last(), Some(Step::Star { .. }));
                if open {
                    steps.pop();
                }
                let literal = steps.iter().take_while(|step| matches!(step, Step::Char(_))).count();
                let prefix = text_of(&steps[..literal]);
                Shape::Anchored { below, prefix, steps: steps.split_off(literal), open }
            }
        };
        Ok(Self { shape })
    }

    /// The pattern that matches nothing.
    pub(crate) fn nothing() -> Self {
        Self { shape: Shape::Nothing }
    }

    /// Whether the pattern stands for `text`, in which runs of blanks are one.
    pub(crate) fn matches<'t>(&self, text: &'t str) -> bool {
        match &self.shape {
            Shape::Nothing => false,
            Shape::Everything => true,
            Shape::Pieces { pieces, below } => {
                let (pieces, text) = match &pieces[..] {
                    [Piece::Text(first), others @ ..]
                        if *below && text.starts_with(&first[1..]) =>
                    {
                        (others, &text[first.len() - 1..])
                    }
                    pieces => (pieces, text),
                };
                let behind =
                    |rest: &'t str, piece: &Piece| Some(&rest[piece.end_of_first(rest)?..]);
                pieces.iter().try_fold(text, behind).is_some()
            }
            Shape::Anchored { below, prefix, steps, open } => {
                let fits = |steps, text: &str| {
                    text.strip_prefix(prefix.as_str()).is_some_and(|rest| run(steps, rest, *open))
                };
                fits(steps, text) || *below && fits(&steps[2..], text)
            }
        }
    }

    /// Whether every text matches.
    pub(crate) fn is_everything(&self) -> bool {
        matches!(self.shape, Shape::Everything)
    }

    /// The one text that matches, where the pattern has no wildcard.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match &self.shape {
            Shape::Anchored { prefix, steps, open: false, .. } if steps.is_empty() => Some(prefix),
            _ => None,
        }
    }

    /// The texts that every matching text contains which has a NUL before it and behind it.
    pub(crate) fn literals(&self) -> Vec<String> {
        let runs = |steps: &[Step]| -> Vec<String> {
            let runs = steps.split(|step| step.only().is_none()).map(text_of);
            runs.filter(|run| !matches!(run.as_str(), "" | "\0")).collect()
        };
        match &self.shape {
            Shape::Nothing | Shape::Everything => Vec::new(),
            Shape::Pieces { pieces, below } => pieces
                .iter()
                .enumerate()
                .flat_map(|(index, piece)| match piece {
                    Piece::Text(text) if *below && index == 0 => vec![text[1..].to_string()],
                    Piece::Text(text) => vec![text.clone()],
                    Piece::Steps(steps) => runs(steps),
                })
                .collect(),
            Shape::Anchored { below, prefix, steps, open } => {
                let mut all = vec![Step::Char('\0')];
                all.extend(prefix.chars().map(Step::Char));
                all.extend_from_slice(steps);
                if *below {
                    // The slash may be missing.
                    all.drain(..=2);
                }
                all.extend((!open).then_some(Step::Char('\0')));
                runs(&all)
            }
        }
    }
}

/// Makes every run of blanks in `text`, from the byte `start` on, one space.
pub(crate) fn collapse_blanks(text: &mut String, start: usize) {
    let bytes = &text.as_bytes()[start..];
    // To look at every byte is faster than to look where to stop.
    let are_blanks = |two: &[u8]| two == b"  ";
    let has_two = bytes.windows(2).fold(false, |found, two| found | are_blanks(two));
    if !has_two && !bytes.contains(&b'\t') {
        return;
    }
    let mut bytes = text.split_off(start).into_bytes();
    let mut before = false;
    bytes.retain_mut(|byte| {
        let blank = matches!(byte, b' ' | b'\t');
        if blank {
            *byte = b' ';
        }
        !(std::mem::replace(&mut before, blank) && blank)
    });
    text.push_str(&String::from_utf8_lossy(&bytes));
}

fn parse(pattern: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                let crossing = chars.next_if_eq(&'*').is_some();
                if crossing && chars.peek() == Some(&'*') {
                    return Err("has three stars in a row; use `*` or `**`".into());
                }
                steps.push(Step::Star { crossing });
            }
            '?' => steps.push(Step::One),
            '[' => steps.push(class(&mut chars)?),
            plain => steps.push(Step::Char(plain)),
        }
    }
    Ok(steps)
}

/// Reads a class behind its `[`. A `]` that stands first is one of its characters.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Step, String> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let unclosed = || "has a class that is not closed; end it with `]`".to_string();
        let from = chars.next().ok_or_else(unclosed)?;
        if from == ']' && !ranges.is_empty() {
            return Ok(Step::Class { negated, ranges });
        }
        let mut ahead = chars.clone();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
            chars.next();
            let to = chars.next().ok_or_else(unclosed)?;
            if to < from {
                return Err(format!("has the range `{from}-{to}`, which is the wrong way round"));
            }
            ranges.push((from, to));
        } else {
            ranges.push((from, from));
        }
    }
}

fn pieces(steps: &[Step]) -> Vec<Piece> {
    steps
        .split(|step| matches!(step, Step::Star { .. }))
        .filter(|piece| !piece.is_empty())
        .map(|piece| {
            if piece.iter().all(|step| matches!(step, Step::Char(_))) {
                Piece::Text(text_of(piece))
            } else {
                Piece::Steps(piece.to_vec())
            }
        })
        .collect()
}

/// Whether whatever follows the last piece matches, and between pieces whatever there is.
fn is_loose(steps: &[Step]) -> bool {
    let all_cross = |steps: &[Step]| !steps.contains(&Step::Star { crossing: false });
    matches!(steps, [inner @ .., Step::Star { .. }] if all_cross(inner))
}

fn text_of(steps: &[Step]) -> String {
    steps.iter().filter_map(Step::only).collect()
}

impl Piece {
    /// Where the first occurrence in `text` ends.
    fn end_of_first(&self, text: &str) -> Option<usize> {
        match self {
            Self::Text(piece) => find(text, piece).map(|at| at + piece.len()),
            Self::Steps(steps) => text.char_indices().find_map(|(at, _)| {
                let mut chars = text[at..].char_indices();
                let fits =
                    steps.iter().all(|step| chars.next().is_some_and(|(_, c)| step.takes(c)));
                fits.then(|| at + chars.offset())
            }),
        }
    }
}

/// Where a piece, which is not empty, is in a text. Most are short, and what makes ready for a long
/// search takes longer than to look at each place.
#[inline(never)]
fn find(text: &str, piece: &str) -> Option<usize> {
    let (text, piece) = (text.as_bytes(), piece.as_bytes());
    let (first, rest) = piece.split_first()?;
    let last = text.len().checked_sub(rest.len())?;
    (0..last).find(|at| text[*at] == *first && text[at + 1..].starts_with(rest))
}

impl Step {
    /// The one character that it takes, if there is but one: `[*]` is a star.
    fn only(&self) -> Option<char> {
        match self {
            Self::Char(c) => Some(*c),
            Self::Class { negated: false, ranges } => match ranges[..] {
                [(from, to)] if from == to => Some(from),
                _ => None,
            },
            _ => None,
        }
    }

    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::One => c != '/',
            Self::Class { negated, ranges } => {
                ranges.iter().any(|&(from, to)| (from..=to).contains(&c)) != *negated
            }
            Self::Star { crossing } => *crossing || c != '/',
        }
    }
}

/// Whether `steps` match a start of `text` (`open`) or the whole of it.
fn run(steps: &[Step], text: &str, open: bool) -> bool {
    if steps.is_empty() {
        return open || text.is_empty();
    }
    // Most texts fail at their end already.
    if !open
        && !steps.last().is_some_and(|step| text.chars().next_back().is_some_and(|c| step.takes(c)))
    {
        return steps.iter().all(|step| matches!(step, Step::Star { .. })) && text.is_empty();
    }
    // The positions in `steps` that the text read so far can stand at.
    let mut states = Bits::new(steps.len() + 1);
    let mut next = Bits::new(steps.len() + 1);
    enter(steps, 0, &mut states);
    for c in text.chars() {
        if open && states.holds(steps.len()) {
            return true;
        }
        next.clear();
        for state in states.within(0..steps.len()).filter(|state| steps[*state].takes(c)) {
            let stays = matches!(steps[state], Step::Star { .. });
            enter(steps, if stays { state } else { state + 1 }, &mut next);
        }
        if next.within(0..steps.len() + 1).next().is_none() {
            return false;
        }
        std::mem::swap(&mut states, &mut next);
    }
    states.holds(steps.len())
}

/// Adds `state`, and those reached from it by letting stars take nothing.
fn enter(steps: &[Step], mut state: usize, states: &mut Bits) {
    loop {
        states.set(state);
        if !matches!(steps.get(state), Some(Step::Star { .. })) {
            return;
        }
        state += 1;
    }
}
