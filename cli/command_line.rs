//! Joins an argument list into the line that the policy is asked about, as the library does.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt as _;
use std::str::FromStr;

use clap::builder::{OsStringValueParser, TypedValueParser};
use rampart_core::command::{Sink, write_words};

/// Most lines are shorter.
const COMMON_BYTES: usize = 128;

/// The command line of an argument list.
pub fn command_line(words: &[OsString]) -> String {
    let mut json = Json(Vec::with_capacity(COMMON_BYTES));
    let Ok(()) = write_words(words.iter().map(|word| word.as_bytes()), &mut json);
    // `write_words` always writes the inside of a valid JSON string, which nearly always has no
    // escapes.
    if json.0.contains(&b'\\') {
        return serde_json::from_slice(&[b"\"", &json.0[..], b"\""].concat()).unwrap_or_default();
    }
    String::from_utf8(json.0).unwrap_or_default()
}

/// Nobody types a longer command.
const TYPED_BYTES: usize = 240;

/// The `rampart allow` line that allows exactly this command; `None` if nobody would type it.
pub fn how_to_allow(command: &str) -> Option<String> {
    let typed = command.len() <= TYPED_BYTES && !command.chars().any(char::is_control);
    typed.then(|| command_line(&["rampart", "allow", &literal(command)].map(OsString::from)))
}

/// A pattern that matches only this command.
pub fn literal(command: &str) -> String {
    command.chars().fold(String::new(), |mut pattern, c| {
        match c {
            '*' | '?' | '[' => pattern.extend(['[', c, ']']),
            c => pattern.push(c),
        }
        pattern
    })
}

/// A parser for a number in a range.
pub fn number<N>(range: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
    }
}

/// Parses a name, which may not be empty: the library takes an empty one for none.
pub fn named() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|name: OsString| {
        if name.is_empty() { Err("it is empty: write a name") } else { Ok(name) }
    })
}

/// Parses how many, or which one of a list.
///
/// # Errors
/// It is no number.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a number".to_owned())
}

struct Json(Vec<u8>);

impl Sink for Json {
    type Stop = Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::command_line;

    #[test]
    fn every_argument_stays_apart() {
        let table: &[(&[&[u8]], &str)] = &[
            (&[b"ls"], "ls"),
            (&[b"/bin/ls", b"-la", b"a=b", b"x@y:1,2%+."], "/bin/ls -la a=b x@y:1,2%+."),
            (&[b"echo", b""], "echo ''"),
            (&[b"echo", b"a b", b"$HOME", b"*"], "echo 'a b' '$HOME' '*'"),
            (&[b"echo", b"it's"], r"echo 'it'\''s'"),
            (&[b"echo", b"a\nb"], "echo 'a\nb'"),
            (&[b"echo", "\u{fc}".as_bytes()], "echo '\u{fc}'"),
            (&[b"echo", b"\xff\xfe"], "echo '\u{ff}\u{fe}'"),
        ];
        for (words, line) in table {
            let words: Vec<_> =
                words.iter().map(|word| OsString::from_vec(word.to_vec())).collect();
            assert_eq!(command_line(&words), *line);
        }
    }
}
