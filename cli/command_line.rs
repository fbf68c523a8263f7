//! Puts an argument list together to the one line that the policy is asked about,
//! by the same rule as the library does.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// The command line of an argument list. Every argument stays apart: a word with
/// other characters than `[A-Za-z0-9_@%+=:,./-]` is quoted. Bytes that are not
/// UTF-8 stand for the characters with their numbers.
pub fn command_line(words: &[OsString]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| quote(&text(word.as_bytes())))
        .collect();
    quoted.join(" ")
}

fn quote(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
    }
    text
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
            (
                &[b"/bin/ls", b"-la", b"a=b", b"x@y:1,2%+."],
                "/bin/ls -la a=b x@y:1,2%+.",
            ),
            (&[b"echo", b""], "echo ''"),
            (&[b"echo", b"a b", b"$HOME", b"*"], "echo 'a b' '$HOME' '*'"),
            (&[b"echo", b"it's"], r"echo 'it'\''s'"),
            (&[b"echo", b"a\nb"], "echo 'a\nb'"),
            (&[b"echo", "\u{fc}".as_bytes()], "echo '\u{fc}'"),
            (&[b"echo", b"\xff\xfe"], "echo '\u{ff}\u{fe}'"),
        ];
        for (words, line) in table {
            let words: Vec<_> = words
                .iter()
                .map(|word| OsString::from_vec(word.to_vec()))
                .collect();
            assert_eq!(command_line(&words), *line);
        }
    }
}
