//! The entitlements of a code signature that are about inserted libraries, from an XML property
//! list or from the binary form (DER).

use super::window::{ReadAt, Window};

/// dyld obeys its environment variables.
const VARIABLES: &[u8] = b"com.apple.security.cs.allow-dyld-environment-variables";
/// Libraries of any team may be loaded.
const ANY_LIBRARY: &[u8] = b"com.apple.security.cs.disable-library-validation";

/// More bytes are not read.
const MAX_BYTES: u64 = 256 << 10;
/// More entries are not read.
const MAX_ENTRIES: u32 = 2048;

/// Which of the two entitlements a program has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entitlements {
    pub variables: bool,
    pub any_library: bool,
}

impl Entitlements {
    fn grant(&mut self, name: &[u8]) {
        self.variables |= name == VARIABLES;
        self.any_library |= name == ANY_LIBRARY;
    }
}

/// A word that is read byte by byte; if it is too long it equals none of those above.
#[derive(Clone, Copy)]
struct Word {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Word {
    const LONGEST: usize = 64;
    const EMPTY: Self = Self { bytes: [0; Self::LONGEST], length: 0 };

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length = self.length.saturating_add(1);
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The entitlements in an XML property list: the keys of the outermost dictionary that are followed
/// by `<true/>`. `None` for a list with comments or CDATA, which could hide or fake a key; no tool
/// writes them.
pub fn xml<File: ReadAt + ?Sized>(
    (start, end): (u64, u64),
    window: &mut Window<'_, File>,
) -> Option<Entitlements> {
    (end.checked_sub(start)? <= MAX_BYTES).then_some(())?;
    let mut granted = Entitlements::default();
    let mut depth = 0u32;
    let (mut text, mut key) = (Word::EMPTY, Word::EMPTY);
    let mut tag = None;
    for at in start..end {
        match (window.byte(at)?, &mut tag) {
            (b'<', None) => tag = Some(Word::EMPTY),
            (b'<', Some(_)) => return None,
            (b'>', Some(name)) => {
                match name.as_bytes() {
                    [b'!', b'-' | b'[', ..] => return None,
                    b"dict" | b"array" => depth = depth.checked_add(1)?,
                    b"/dict" | b"/array" => depth = depth.checked_sub(1)?,
                    b"true/" | b"true /" if depth == 1 => granted.grant(key.as_bytes()),
                    _ => {}
                }
                // A key belongs to the next element only.
                key = if name.as_bytes() == b"/key" { text } else { Word::EMPTY };
                (text, tag) = (Word::EMPTY, None);
            }
            (byte, Some(name)) => name.push(byte),
            (byte, None) => text.push(byte),
        }
    }
    Some(granted)
}

/// Tags of the binary form.
mod tag {
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const TEXT: u8 = 0x0c;
    pub const ENTRY: u8 = 0x30;
    /// `[APPLICATION 16]`, around everything.
    pub const ENTITLEMENTS: u8 = 0x70;
    /// `[CONTEXT 16]`, the dictionary.
    pub const DICTIONARY: u8 = 0xb0;
}

/// The entitlements in DER: a version, then a dictionary of key-value pairs.
pub fn der<File: ReadAt + ?Sized>(
    (start, end): (u64, u64),
    window: &mut Window<'_, File>,
) -> Option<Entitlements> {
    let all = Element::read(start, end, window)?.expect(tag::ENTITLEMENTS)?;
    let version = Element::read(all.start, all.end, window)?.expect(tag::INTEGER)?;
    let dictionary = Element::read(version.end, all.end, window)?.expect(tag::DICTIONARY)?;
    let mut granted = Entitlements::default();
    let mut at = dictionary.start;
    for _ in 0..MAX_ENTRIES {
        if at == dictionary.end {
            return Some(granted);
        }
        let entry = Element::read(at, dictionary.end, window)?.expect(tag::ENTRY)?;
        let key = Element::read(entry.start, entry.end, window)?.expect(tag::TEXT)?;
        let value = Element::read(key.end, entry.end, window)?;
        if value.tag == tag::BOOLEAN && window.byte(value.start)? != 0 {
            granted.grant(key.word(window)?.as_bytes());
        }
        at = entry.end;
    }
    None
}

/// A DER element: its tag, and the start and end of its content.
struct Element {
    tag: u8,
    start: u64,
    end: u64,
}

impl Element {
    /// Reads the head of the element at `at`; `None` if it does not end before `limit`.
    fn read<File: ReadAt + ?Sized>(
        at: u64,
        limit: u64,
        window: &mut Window<'_, File>,
    ) -> Option<Self> {
        let tag = window.byte(at)?;
        let mut start = at.checked_add(2)?;
        let first = window.byte(at.checked_add(1)?)?;
        let mut length = u64::from(first);
        if first >= 0x80 {
            // The long form: this is the number of bytes that hold the length.
            let bytes = first & 0x7f;
            (1..=4).contains(&bytes).then_some(())?;
            length = 0;
            for _ in 0..bytes {
                length = length.checked_mul(256)?.checked_add(window.byte(start)?.into())?;
                start = start.checked_add(1)?;
            }
        }
        let end = start.checked_add(length)?;
        (end <= limit).then_some(Self { tag, start, end })
    }

    fn expect(self, tag: u8) -> Option<Self> {
        (self.tag == tag).then_some(self)
    }

    fn word<File: ReadAt + ?Sized>(&self, window: &mut Window<'_, File>) -> Option<Word> {
        let mut word = Word::EMPTY;
        if self.end.checked_sub(self.start)? <= Word::LONGEST as u64 {
            for at in self.start..self.end {
                word.push(window.byte(at)?);
            }
        }
        Some(word)
    }
}
