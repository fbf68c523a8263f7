//! The bearer token that clients show to a server.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use subtle::ConstantTimeEq as _;

use crate::failure::Failure;
use crate::home;
use crate::text_file;
use crate::whole_file::create;

const RANDOM_BYTES: usize = 32;

/// A bearer token. It has no `Debug`, so that it cannot get into messages.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Checks that a header can hold the text.
    ///
    /// # Errors
    /// It is empty, or has characters other than visible ASCII.
    pub fn new(text: &str) -> Result<Self, Failure> {
        if text.is_empty() {
            return Err(Failure::usage("the token is empty"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::usage(
                "the token has a character that cannot stand in a header: only visible ASCII can",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// A token that nobody can guess.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn random() -> Result<Self, Failure> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| {
            Failure::new(format!("no random bytes to make a token of: {error}"))
        })?;
        let mut text = String::with_capacity(2 * RANDOM_BYTES);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// Reads a token file. Whitespace around the token is ignored.
    ///
    /// # Errors
    /// The file is missing, cannot be read or holds no usable token.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Self::made_of(path, text_file::read_named(path))?
            .ok_or_else(|| Failure::new(format!("there is no token file {}", path.display())))
    }

    /// Reads a token file that need not exist.
    ///
    /// # Errors
    /// The file cannot be read or holds no usable token.
    pub fn read_if_there(path: &Path) -> Result<Option<Self>, Failure> {
        Self::made_of(path, text_file::read(path))
    }

    fn made_of(path: &Path, read: io::Result<String>) -> Result<Option<Self>, Failure> {
        let text = match read {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Failure::new(format!(
                    "cannot read the token file {}: {error}",
                    path.display()
                )));
            }
        };
        home::warn_if_others_can_read("token file", path);
        Self::new(text.trim())
            .map(Some)
            .map_err(|_| Failure::new(format!("{} holds no usable token", path.display())))
    }

    /// Writes a new file with mode 0600; returns `false` if the file already exists.
    ///
    /// # Errors
    /// As the system says.
    pub fn save(&self, path: &Path) -> Result<bool, Failure> {
        create(path, format!("{}\n", self.0).as_bytes(), 0o600).map_err(|error| {
            Failure::new(format!("cannot write the token file {}: {error}", path.display()))
        })
    }

    /// The token's text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether these bytes are the token, compared in constant time.
    pub fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn only_the_same_bytes_are_the_token() {
        let token = Token::new("abc").unwrap();
        for (shown, same) in
            [("abc", true), ("abd", false), ("ab", false), ("abcd", false), ("", false)]
        {
            assert_eq!(token.is(shown.as_bytes()), same, "{shown}");
        }
    }

    #[test]
    fn a_token_that_cannot_stand_in_a_header_is_refused() {
        for text in ["", "a b", "a\nb", "ü", "a\u{7f}"] {
            assert!(Token::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn two_random_tokens_differ_and_have_64_digits() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(one.reveal().len(), 64);
        assert_ne!(one.reveal(), other.reveal());
    }
}
