//! Lists of words.

/// Words separated by single spaces.
///
/// One string rather than a table of pointers, which the loader would have to relocate in each
/// process.
#[derive(Debug, Clone, Copy)]
pub struct Words(pub &'static str);

impl Words {
    /// Whether `word` is one of them.
    #[must_use]
    pub fn contains(self, word: &[u8]) -> bool {
        self.0.as_bytes().split(|byte| *byte == b' ').any(|it| it == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_of_them_as_a_whole() {
        let words = Words("do done fi");
        for word in ["do", "done", "fi"] {
            assert!(words.contains(word.as_bytes()), "{word}");
        }
        for word in ["", " ", "d", "don", "do done", "one", "fi ", "if"] {
            assert!(!words.contains(word.as_bytes()), "{word}");
        }
    }
}
