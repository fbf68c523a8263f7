//! Whether the library can follow a program, read off the first bytes of its file.

/// How much of what a program does will be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// Nothing in the file speaks against it.
    Full,
    /// It is built for another machine, or another word size: its loader cannot load the
    /// library, and would complain on stderr.
    OtherArchitecture,
}

/// So many bytes of a file tell (elf(5): `e_ident`, `e_type`, `e_machine`).
pub const HEAD_BYTES: usize = 20;

/// `EI_CLASS`, `EI_DATA` and `e_machine` of the programs that can load the library.
const NATIVE: (u8, u8, u16) = if cfg!(target_arch = "aarch64") {
    (ELF_CLASS_64, ELF_LITTLE_ENDIAN, 183)
} else {
    (ELF_CLASS_64, ELF_LITTLE_ENDIAN, 62)
};
const ELF_CLASS_64: u8 = 2;
const ELF_LITTLE_ENDIAN: u8 = 1;

impl Coverage {
    /// What the first [`HEAD_BYTES`] of a file say; a shorter or another file says nothing.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let [0x7f, b'E', b'L', b'F', class, data, rest @ ..] = head else { return Self::Full };
        let Some([low, high]) = rest.get(12..14) else { return Self::Full };
        let machine = match *data {
            ELF_LITTLE_ENDIAN => u16::from_le_bytes([*low, *high]),
            _ => u16::from_be_bytes([*low, *high]),
        };
        if (*class, *data, machine) == NATIVE { Self::Full } else { Self::OtherArchitecture }
    }

    /// The word for it in a question, where it is worth one.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::OtherArchitecture => Some("other-arch"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_for_other_machines_are_told_apart() {
        let own = std::fs::read(std::env::current_exe().expect("a path")).expect("a program");
        assert_eq!(Coverage::of(&own), Coverage::Full);
        let head = own.get(..HEAD_BYTES).expect("a head");
        for length in 0..HEAD_BYTES {
            assert_eq!(Coverage::of(&head[..length]), Coverage::Full);
        }
        for (position, value) in [(4, 1), (5, 2), (18, 3), (19, 1)] {
            let mut other = head.to_vec();
            other[position] = value;
            assert_eq!(Coverage::of(&other), Coverage::OtherArchitecture, "{position}");
        }
        for text in [&b"#!/bin/sh\n# and a script of some length"[..], b"", b"\x7fELF", &[0; 64]] {
            assert_eq!(Coverage::of(text), Coverage::Full);
        }
    }
}
