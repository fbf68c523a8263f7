//! The bytes of one connection that are read and not yet answered.
//!
//! An idle connection holds none: the buffer that a request fits into passes from
//! connection to connection. Only larger requests get one of their own, and all
//! of those together stay within a budget.

use std::ops::Range;

/// Most requests fit into this many bytes.
const COMMON_BYTES: usize = 16 * 1024;
/// What all larger buffers together may hold.
const BUDGET_BYTES: usize = 128 * 1024 * 1024;

/// Bytes as they came, a window of a vector that is always initialised.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    filled: Range<usize>,
}

impl Buffer {
    /// What was read and not yet consumed.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.filled.clone()]
    }

    /// The same, to be changed.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled.clone()]
    }

    /// Whether nothing is left to be looked at.
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Room to read into.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled.end..]
    }

    /// Takes over so many bytes that were written into the room.
    pub fn extend(&mut self, count: usize) {
        self.filled.end = self.bytes.len().min(self.filled.end + count);
    }

    /// Drops so many bytes from the front.
    pub fn consume(&mut self, count: usize) {
        self.filled.start = self.filled.end.min(self.filled.start + count);
    }

    /// Drops bytes from the end until so many are left.
    pub fn truncate(&mut self, length: usize) {
        self.filled.end = self.filled.end.min(self.filled.start + length);
    }
}

/// Hands out buffers, and keeps count of the large ones.
pub struct Store {
    spare: Vec<Buffer>,
    left: usize,
}

impl Store {
    pub fn new() -> Self {
        Self { spare: Vec::new(), left: BUDGET_BYTES }
    }

    /// Makes room in the buffer, at least one byte. `false`: the budget is spent.
    #[must_use]
    pub fn make_room(&mut self, buffer: &mut Buffer) -> bool {
        if buffer.bytes.is_empty() {
            *buffer = self
                .spare
                .pop()
                .unwrap_or_else(|| Buffer { bytes: vec![0; COMMON_BYTES], filled: 0..0 });
        }
        if buffer.filled.end < buffer.bytes.len() {
            return true;
        }
        if buffer.filled.start > 0 {
            buffer.bytes.copy_within(buffer.filled.clone(), 0);
            buffer.filled = 0..buffer.filled.len();
            return true;
        }
        let (old, new) = (buffer.bytes.len(), 2 * buffer.bytes.len());
        let more = new - charged(old);
        if more > self.left {
            return false;
        }
        self.left -= more;
        buffer.bytes.resize(new, 0);
        true
    }

    /// Takes the buffer of a connection that needs it no more.
    pub fn take_back(&mut self, buffer: &mut Buffer) {
        let mut buffer = std::mem::take(buffer);
        self.left += charged(buffer.bytes.len());
        if buffer.bytes.len() == COMMON_BYTES && self.spare.is_empty() {
            buffer.filled = 0..0;
            self.spare.push(buffer);
        }
    }
}

/// What a buffer of this size takes from the budget.
fn charged(bytes: usize) -> usize {
    if bytes > COMMON_BYTES { bytes } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{BUDGET_BYTES, Buffer, COMMON_BYTES, Store};

    fn fill(store: &mut Store, buffer: &mut Buffer, bytes: &[u8]) {
        for byte in bytes {
            assert!(store.make_room(buffer));
            buffer.room()[0] = *byte;
            buffer.extend(1);
        }
    }

    #[test]
    fn bytes_come_out_as_they_went_in_across_growing_and_moving() {
        let (mut store, mut buffer) = (Store::new(), Buffer::default());
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * COMMON_BYTES).collect();
        fill(&mut store, &mut buffer, &bytes[..COMMON_BYTES]);
        buffer.consume(100);
        fill(&mut store, &mut buffer, &bytes[COMMON_BYTES..]);
        assert_eq!(buffer.filled(), &bytes[100..]);
    }

    #[test]
    fn the_budget_is_whole_again_when_all_buffers_are_back() {
        let mut store = Store::new();
        let mut buffers = Vec::new();
        'full: loop {
            let mut buffer = Buffer::default();
            for _ in 0..10 {
                if !store.make_room(&mut buffer) {
                    break 'full;
                }
                let room = buffer.room().len();
                buffer.extend(room);
            }
            buffers.push(buffer);
        }
        assert!(buffers.len() > 4);
        for buffer in &mut buffers {
            store.take_back(buffer);
        }
        assert!(store.left <= BUDGET_BYTES);
        let mut last = Buffer::default();
        assert!(store.make_room(&mut last));
    }
}
