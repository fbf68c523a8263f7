//! Cuts bytes into pieces, as a network does.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The longest piece; a small one, so that most cuts fall into short lines.
const LONGEST_PIECE: u64 = 24;

/// Pieces whose sizes follow from `bytes` themselves, so that an input stays readable and
/// every run of it is the same.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let mut rest = bytes;
    std::iter::from_fn(move || {
        rest.len().hash(&mut hasher);
        let size = usize::try_from(hasher.finish() % LONGEST_PIECE).unwrap_or(0) + 1;
        let (piece, left) = rest.split_at(size.min(rest.len()));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}
