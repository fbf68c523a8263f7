//! A command as one line of shell words inside a JSON string (`docs/protocol.md`,
//! Request).

/// A receiver of bytes: a buffer, a counter, a socket.
pub trait Sink {
    /// Why it accepts no more bytes.
    type Stop;

    /// Accepts `bytes`.
    ///
    /// # Errors
    /// `Stop`; then the caller stops writing.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Stop>;
}

/// A sink that only counts.
#[derive(Debug, Default)]
pub struct Count(
    /// Bytes so far.
    pub usize,
);

impl Sink for Count {
    type Stop = core::convert::Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Stop> {
        self.0 = self.0.wrapping_add(bytes.len());
        Ok(())
    }
}

/// The word that names the program in the question: `argv[0]` if it is the path or the path's last
/// component, else the path. A caller may put anything into `argv[0]`.
#[must_use]
pub fn truthful_name<'a>(path: &'a [u8], argv0: Option<&'a [u8]>) -> &'a [u8] {
    match argv0 {
        Some(name) if !name.is_empty() && (name == path || name == last_component(path)) => name,
        _ => path,
    }
}

/// The part of a path after the last slash.
#[must_use]
pub fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Writes the words of a command, its program first, quoted so that a shell would read back the
/// same words, and escaped for JSON.
///
/// # Errors
/// The sink's.
pub fn write_words<'w, S: Sink>(
    mut words: impl Iterator<Item = &'w [u8]>,
    sink: &mut S,
) -> Result<(), S::Stop> {
    let Some(name) = words.next() else { return Ok(()) };
    write_word(name, is_plain(name) && !is_grammar(name), sink)?;
    words.try_for_each(|word| {
        sink.put(b" ")?;
        write_word(word, is_plain(word), sink)
    })
}

fn write_word<S: Sink>(word: &[u8], is_bare: bool, sink: &mut S) -> Result<(), S::Stop> {
    if is_bare {
        return sink.put(word);
    }
    sink.put(b"'")?;
    write_escaped(word, QUOTE_IN_QUOTES, sink)?;
    sink.put(b"'")
}

/// `'\''`, with the backslash escaped once more for JSON.
const QUOTE_IN_QUOTES: &[u8] = br"'\\''";

/// Whether a word needs no quotes.
fn is_plain(word: &[u8]) -> bool {
    let stands_as_it_is = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(byte);
    !word.is_empty() && word.iter().all(stands_as_it_is)
}

/// Whether a shell would not take a plain first word for the name of a program: `coproc rm` runs
/// `rm`, but a program named `coproc` need not.
fn is_grammar(word: &[u8]) -> bool {
    is_reserved(word) || is_assignment(word)
}

/// The reserved words of POSIX ("Reserved Words"), bash and zsh that need no quotes. Every check
/// asks twice: a `match` goes by the length and the letters, where a list is read to its end.
fn is_reserved(word: &[u8]) -> bool {
    matches!(
        word,
        b"case"
            | b"coproc"
            | b"do"
            | b"done"
            | b"elif"
            | b"else"
            | b"end"
            | b"esac"
            | b"fi"
            | b"for"
            | b"foreach"
            | b"function"
            | b"if"
            | b"in"
            | b"repeat"
            | b"select"
            | b"then"
            | b"time"
            | b"until"
            | b"while"
    )
}

/// Whether a word begins with `NAME=` or `NAME+=`.
fn is_assignment(word: &[u8]) -> bool {
    let Some(end) = word.iter().position(|byte| *byte == b'=') else { return false };
    let name = word.get(..end).unwrap_or_default();
    let name = name.strip_suffix(b"+").unwrap_or(name);
    name.first().is_some_and(|byte| !byte.is_ascii_digit())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Writes `text` as the inside of a JSON string. Bytes that are not UTF-8 and
/// control bytes become `\u00XX`, byte by byte.
///
/// # Errors
/// The sink's.
pub fn write_text<S: Sink>(text: &[u8], sink: &mut S) -> Result<(), S::Stop> {
    write_escaped(text, b"'", sink)
}

fn write_escaped<S: Sink>(mut text: &[u8], quote: &[u8], sink: &mut S) -> Result<(), S::Stop> {
    loop {
        let Err(error) = core::str::from_utf8(text) else {
            return write_valid(text, quote, sink);
        };
        let (valid, rest) = text.split_at_checked(error.valid_up_to()).unwrap_or((text, b""));
        write_valid(valid, quote, sink)?;
        // Without a length, the text ends in the middle of a character.
        let length = error.error_len().unwrap_or(rest.len());
        let (invalid, rest) = rest.split_at_checked(length).unwrap_or((rest, b""));
        invalid.iter().try_for_each(|byte| put_code(*byte, sink))?;
        text = rest;
    }
}

fn write_valid<S: Sink>(mut text: &[u8], quote: &[u8], sink: &mut S) -> Result<(), S::Stop> {
    while let Some(position) = text.iter().position(|byte| is_special(*byte)) {
        let (plain, rest) = text.split_at_checked(position).unwrap_or((text, b""));
        sink.put(plain)?;
        let Some((special, rest)) = rest.split_first() else { return Ok(()) };
        match special {
            b'\'' => sink.put(quote)?,
            b'"' => sink.put(br#"\""#)?,
            b'\\' => sink.put(br"\\")?,
            control => put_code(*control, sink)?,
        }
        text = rest;
    }
    sink.put(text)
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'\\' | 0x00..=0x1f | 0x7f)
}

fn put_code<S: Sink>(byte: u8, sink: &mut S) -> Result<(), S::Stop> {
    let hex = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
    sink.put(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 0xf)])
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    impl Sink for Vec<u8> {
        type Stop = core::convert::Infallible;

        fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Stop> {
            self.extend_from_slice(bytes);
            Ok(())
        }
    }

    fn json_of(words: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let Ok(()) = write_words(words.iter().copied(), &mut out);
        let mut count = Count::default();
        let Ok(()) = write_words(words.iter().copied(), &mut count);
        assert_eq!(count.0, out.len());
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    fn line_of(words: &[&[u8]]) -> String {
        serde_json::from_str(&format!("\"{}\"", json_of(words))).expect("a JSON string")
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let table: [(&[&[u8]], &str); 12] = [
            (&[b"git", b"status"], "git status"),
            (&[b"a_@%+=:,./-Z9"], "a_@%+=:,./-Z9"),
            (&[b"x", b""], "x ''"),
            (&[b""], "''"),
            (&[b"rm", b"-rf", b"a b"], "rm -rf 'a b'"),
            (&[b"echo", b"it's"], r"echo 'it'\''s'"),
            (&[b"'"], r"''\'''"),
            (&[b"a\"b\\c"], r#"'a"b\c'"#),
            (&[b"~"], "'~'"),
            (&["é☃".as_bytes()], "'é☃'"),
            (&[b"a\nb\x7f\x01"], "'a\nb\u{7f}\u{1}'"),
            (&[b"caf\xe9 \xff"], "'caf\u{e9} \u{ff}'"),
        ];
        for (words, line) in table {
            assert_eq!(line_of(words), line);
        }
    }

    #[test]
    fn a_reserved_word_or_assignment_is_quoted_if_it_is_the_first_word() {
        for word in ["time", "coproc", "then", "A=1", "a_B2+=", "_=x"] {
            assert_eq!(line_of(&[word.as_bytes(), b"ls"]), format!("'{word}' ls"));
            assert_eq!(line_of(&[b"ls", word.as_bytes()]), format!("ls {word}"));
        }
        for word in ["timeout", "/usr/bin/time", "=x", "1=2", "a-b=c", "x@A=1", "+=1", "a++=1"] {
            assert_eq!(line_of(&[word.as_bytes()]), word);
        }
        // Programs named like each reserved word of bash.
        let directory = tempfile::tempdir().expect("a directory");
        let words = std::process::Command::new("bash").args(["-c", "compgen -k"]).output();
        let words = String::from_utf8(words.expect("bash").stdout).expect("text");
        assert!(words.lines().count() > 15, "{words}");
        for word in words.lines().chain(["A=1", "a+=2"]) {
            let program = directory.path().join(word);
            std::fs::write(&program, "#!/bin/sh\necho \"${0##*/} $*\"\n").expect("a program");
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a mode");
            let mut shell = std::process::Command::new("/bin/bash");
            shell.env("PATH", directory.path()).arg("-c");
            let output = shell.arg(line_of(&[word.as_bytes(), b"ls"])).output().expect("bash");
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                format!("{word} ls\n"),
                "{output:?}"
            );
        }
    }

    #[test]
    fn control_and_foreign_bytes_are_escaped_one_by_one() {
        assert_eq!(json_of(&[b"\t\x1b\xc3\xe2\x98"]), r"'\u0009\u001b\u00c3\u00e2\u0098'");
    }

    #[test]
    fn a_line_of_a_shell_is_sent_unchanged() {
        let mut out = Vec::new();
        let Ok(()) = write_text(b"echo 'a' \"$b\" | sh\n", &mut out);
        assert_eq!(out, br#"echo 'a' \"$b\" | sh\u000a"#);
    }

    #[test]
    fn the_first_word_names_the_program_that_runs() {
        for (path, argv0, name) in [
            ("/usr/bin/git", Some("git"), "git"),
            ("/usr/bin/git", Some("/usr/bin/git"), "/usr/bin/git"),
            ("/usr/bin/git", Some("ls"), "/usr/bin/git"),
            ("/bin/bash", Some("-bash"), "/bin/bash"),
            ("git", Some("git"), "git"),
            ("git", Some(""), "git"),
            ("./x/", Some(""), "./x/"),
            ("/usr/bin/git", Some("bin/git"), "/usr/bin/git"),
            ("/usr/bin/git", None, "/usr/bin/git"),
        ] {
            let named = truthful_name(path.as_bytes(), argv0.map(str::as_bytes));
            assert_eq!(named, name.as_bytes(), "{path} {argv0:?}");
        }
    }

    #[test]
    fn a_shell_reads_back_the_argument_list() {
        let arguments: [&[u8]; 6] =
            [b"plain", b"", b" two words ", b"q'u'o\"te\\", b"$(x) `y` $z *", b"\nnew line\t"];
        let line = line_of(&[&[&b"printf"[..], b"%s\\0"], &arguments[..]].concat());
        let output = std::process::Command::new("sh").arg("-c").arg(line).output().expect("sh");
        let expected: Vec<u8> =
            arguments.iter().flat_map(|word| word.iter().chain(b"\0")).copied().collect();
        assert_eq!(output.stdout, expected);
    }
}
