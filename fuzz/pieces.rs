//! Splits bytes into pieces, as a network does.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The longest piece, short so that most cuts fall inside lines.
const LONGEST_PIECE: u64 = 24;

/// Pieces whose sizes are derived from `bytes`, so that inputs stay readable and runs reproducible.
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
