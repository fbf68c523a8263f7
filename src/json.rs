//! Reads the JSON object of an answer byte by byte, in memory of fixed size.
//!
//! It is strict: exactly one object (RFC 8259), valid UTF-8, no lone surrogates, a top-level
//! `allowed` exactly once, which is a boolean. It also keeps the beginning of the texts that a
//! notice shows.

mod content;
mod fault;
mod number;
#[cfg(test)]
mod tests;

pub use content::{Answer, Prefix};
pub use fault::Fault;
use fault::{MISSING, NOT_BOOLEAN, NOT_JSON, TOO_DEEP, TWICE};
use number::{NumberState, step_number};

/// Deeper nesting is an error, as in `serde_json`.
const DEEPEST: u8 = 127;

/// In bytes; no key that matters is longer.
const LONGEST_KEY: usize = 24;

/// Reads one answer.
#[derive(Debug)]
pub struct Reader {
    expects: Expects,
    depth: u8,
    /// One bit for each open bracket, the outermost in the lowest bit; set for an object.
    objects: u128,
    key: Prefix<LONGEST_KEY>,
    field: Field,
    destination: Destination,
    answer: Answer,
}

/// What may follow.
#[derive(Debug, Clone, Copy)]
enum Expects {
    TopObject,
    KeyOrEnd,
    Key,
    Colon,
    Value,
    ValueOrEnd,
    CommaOrEnd,
    String(StringState),
    Number(NumberState),
    /// The rest of `true`, `false` or `null`.
    Literal(&'static [u8]),
    Nothing,
}

#[derive(Debug, Clone, Copy)]
enum StringState {
    Plain,
    /// In a character, with this many bytes to come; the next one is in this range.
    Utf8 {
        left: u8,
        low: u8,
        high: u8,
    },
    Escape,
    /// In `\uXXXX`, with this many hexadecimal digits to come.
    Code {
        left: u8,
        value: u16,
        leading: Option<u16>,
    },
    /// Before the backslash of the second half of a surrogate pair.
    PairBackslash(u16),
    /// Before its `u`.
    PairU(u16),
}

/// The top-level key whose value is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Allowed,
    Message,
    Policies,
    Suggestions,
    Other,
}

/// Where the string that is being read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Destination {
    TopKey,
    InnerKey,
    Message,
    Policy,
    Suggestion,
    Nowhere,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            expects: Expects::TopObject,
            depth: 0,
            objects: 0,
            key: Prefix::new(),
            field: Field::Other,
            destination: Destination::Nowhere,
            answer: Answer::EMPTY,
        }
    }
}

impl Reader {
    /// Reads more of the body.
    ///
    /// # Errors
    /// As soon as the body cannot become a verdict.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        loop {
            if let Expects::String(StringState::Plain) = self.expects {
                // Most of an answer, for which the state machine would be slow.
                let length = bytes.iter().position(|byte| !is_plain(*byte));
                let (plain, rest) =
                    bytes.split_at_checked(length.unwrap_or(bytes.len())).unwrap_or_default();
                self.keep(plain);
                bytes = rest;
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
            self.step(*byte)?;
            bytes = rest;
        }
    }

    /// The verdict at the end of the body.
    ///
    /// # Errors
    /// If the object is not complete or has no `allowed`.
    pub fn finish(&self) -> Result<bool, Fault> {
        match self.expects {
            Expects::Nothing => self.answer.allowed.ok_or(MISSING),
            _ => Err(NOT_JSON),
        }
    }

    /// What has been read.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    fn step(&mut self, byte: u8) -> Result<(), Fault> {
        match self.expects {
            Expects::String(text) => return self.step_string(text, byte),
            Expects::Number(number) => {
                if let Some(next) = step_number(number, byte)? {
                    self.expects = Expects::Number(next);
                    return Ok(());
                }
                // The number ended before this byte.
                self.expects = Expects::CommaOrEnd;
            }
            Expects::Literal(left) => return self.step_literal(left, byte),
            _ => {}
        }
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return Ok(());
        }
        match (self.expects, byte) {
            (Expects::TopObject, b'{') => self.open(true),
            (Expects::KeyOrEnd | Expects::Key, b'"') => {
                self.begin_key();
                Ok(())
            }
            (Expects::Colon, b':') => {
                self.expects = Expects::Value;
                Ok(())
            }
            (Expects::CommaOrEnd, b',') => {
                self.expects = if self.in_object() { Expects::Key } else { Expects::Value };
                Ok(())
            }
            (Expects::KeyOrEnd, b'}') | (Expects::ValueOrEnd, b']') => {
                self.close();
                Ok(())
            }
            (Expects::CommaOrEnd, b'}' | b']') if self.in_object() == (byte == b'}') => {
                self.close();
                Ok(())
            }
            (Expects::Value | Expects::ValueOrEnd, _) => self.begin_value(byte),
            _ => Err(NOT_JSON),
        }
    }

    fn in_object(&self) -> bool {
        self.objects & self.bracket() != 0
    }

    /// The bit of the innermost open bracket.
    fn bracket(&self) -> u128 {
        1u128.checked_shl(u32::from(self.depth.saturating_sub(1))).unwrap_or(0)
    }

    fn open(&mut self, object: bool) -> Result<(), Fault> {
        if self.depth >= DEEPEST {
            return Err(TOO_DEEP);
        }
        self.depth = self.depth.saturating_add(1);
        if object {
            self.objects |= self.bracket();
            self.expects = Expects::KeyOrEnd;
        } else {
            self.objects &= !self.bracket();
            self.expects = Expects::ValueOrEnd;
        }
        Ok(())
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.expects = if self.depth == 0 { Expects::Nothing } else { Expects::CommaOrEnd };
    }

    fn begin_key(&mut self) {
        self.expects = Expects::String(StringState::Plain);
        if self.depth == 1 {
            self.key = Prefix::new();
            self.destination = Destination::TopKey;
        } else {
            self.destination = Destination::InnerKey;
        }
    }

    fn begin_value(&mut self, byte: u8) -> Result<(), Fault> {
        if self.depth == 1 && self.field == Field::Allowed && !matches!(byte, b't' | b'f') {
            return Err(NOT_BOOLEAN);
        }
        self.expects = match byte {
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b'"' => {
                self.destination = match (self.field, self.depth) {
                    (Field::Message, 1) => Destination::Message,
                    (Field::Policies, 2) if self.answer.policy.length == 0 => Destination::Policy,
                    (Field::Suggestions, 2) if self.answer.suggestion.length == 0 => {
                        Destination::Suggestion
                    }
                    _ => Destination::Nowhere,
                };
                Expects::String(StringState::Plain)
            }
            b't' => self.begin_literal(b"rue", true),
            b'f' => self.begin_literal(b"alse", false),
            b'n' => Expects::Literal(b"ull"),
            b'-' => Expects::Number(NumberState::Minus),
            b'0' => Expects::Number(NumberState::Zero),
            b'1'..=b'9' => Expects::Number(NumberState::Integer),
            _ => return Err(NOT_JSON),
        };
        Ok(())
    }

    fn begin_literal(&mut self, rest: &'static [u8], value: bool) -> Expects {
        // `finish` gives no verdict unless the rest of the word follows.
        if self.depth == 1 && self.field == Field::Allowed {
            self.answer.allowed = Some(value);
        }
        Expects::Literal(rest)
    }

    fn step_literal(&mut self, left: &'static [u8], byte: u8) -> Result<(), Fault> {
        match left.split_first() {
            Some((expected, rest)) if *expected == byte => {
                self.expects =
                    if rest.is_empty() { Expects::CommaOrEnd } else { Expects::Literal(rest) };
                Ok(())
            }
            _ => Err(NOT_JSON),
        }
    }

    fn step_string(&mut self, text: StringState, byte: u8) -> Result<(), Fault> {
        let next = match text {
            StringState::Plain => match byte {
                b'"' => return self.end_string(),
                b'\\' => StringState::Escape,
                // `feed` has consumed plain bytes, so this one begins a longer character.
                _ => {
                    self.keep(&[byte]);
                    first_of_character(byte)?
                }
            },
            StringState::Utf8 { left, low, high } => {
                if !(low..=high).contains(&byte) {
                    return Err(NOT_JSON);
                }
                self.keep(&[byte]);
                if left == 1 {
                    StringState::Plain
                } else {
                    StringState::Utf8 { left: left.saturating_sub(1), low: 0x80, high: 0xbf }
                }
            }
            StringState::Escape if byte == b'u' => {
                StringState::Code { left: 4, value: 0, leading: None }
            }
            StringState::Escape => {
                self.keep(&[unescape(byte)?]);
                StringState::Plain
            }
            StringState::Code { left, value, leading } => {
                let value = value << 4 | hex_digit(byte)?;
                if left > 1 {
                    StringState::Code { left: left.saturating_sub(1), value, leading }
                } else {
                    self.end_code(value, leading)?
                }
            }
            StringState::PairBackslash(leading) if byte == b'\\' => StringState::PairU(leading),
            StringState::PairU(leading) if byte == b'u' => {
                StringState::Code { left: 4, value: 0, leading: Some(leading) }
            }
            StringState::PairBackslash(_) | StringState::PairU(_) => return Err(NOT_JSON),
        };
        self.expects = Expects::String(next);
        Ok(())
    }

    fn end_code(&mut self, value: u16, leading: Option<u16>) -> Result<StringState, Fault> {
        let scalar = match (leading, value) {
            (None, 0xd800..=0xdbff) => return Ok(StringState::PairBackslash(value)),
            (Some(leading), 0xdc00..=0xdfff) => {
                0x1_0000 + ((u32::from(leading) & 0x3ff) << 10 | u32::from(value) & 0x3ff)
            }
            (None, _) => u32::from(value),
            (Some(_), _) => return Err(NOT_JSON),
        };
        let character = char::from_u32(scalar).ok_or(NOT_JSON)?;
        self.keep(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(StringState::Plain)
    }

    fn keep(&mut self, text: &[u8]) {
        match self.destination {
            Destination::TopKey => self.key.push(text),
            Destination::Message => self.answer.message.push(text),
            Destination::Policy => self.answer.policy.push(text),
            Destination::Suggestion => self.answer.suggestion.push(text),
            Destination::InnerKey | Destination::Nowhere => {}
        }
    }

    fn end_string(&mut self) -> Result<(), Fault> {
        self.expects = match self.destination {
            Destination::TopKey => {
                self.field = self.field_of_key()?;
                Expects::Colon
            }
            Destination::InnerKey => Expects::Colon,
            Destination::Message
            | Destination::Policy
            | Destination::Suggestion
            | Destination::Nowhere => Expects::CommaOrEnd,
        };
        Ok(())
    }

    fn field_of_key(&self) -> Result<Field, Fault> {
        if self.key.is(b"allowed") {
            if self.answer.allowed.is_some() { Err(TWICE) } else { Ok(Field::Allowed) }
        } else if self.key.is(b"message") {
            Ok(Field::Message)
        } else if self.key.is(b"matched_policies") {
            Ok(Field::Policies)
        } else if self.key.is(b"suggestions") {
            Ok(Field::Suggestions)
        } else {
            Ok(Field::Other)
        }
    }
}

/// Whether a byte is a character of a string by itself (RFC 8259, section 7).
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7f) && !matches!(byte, b'"' | b'\\')
}

/// The state after the first byte of a character of two to four bytes (RFC 3629).
fn first_of_character(byte: u8) -> Result<StringState, Fault> {
    let (left, low, high) = match byte {
        0xc2..=0xdf => (1, 0x80, 0xbf),
        0xe0 => (2, 0xa0, 0xbf),
        0xe1..=0xec | 0xee..=0xef => (2, 0x80, 0xbf),
        0xed => (2, 0x80, 0x9f),
        0xf0 => (3, 0x90, 0xbf),
        0xf1..=0xf3 => (3, 0x80, 0xbf),
        0xf4 => (3, 0x80, 0x8f),
        _ => return Err(NOT_JSON),
    };
    Ok(StringState::Utf8 { left, low, high })
}

fn unescape(byte: u8) -> Result<u8, Fault> {
    Ok(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return Err(NOT_JSON),
    })
}

fn hex_digit(byte: u8) -> Result<u16, Fault> {
    char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok()).ok_or(NOT_JSON)
}
