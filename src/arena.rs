//! Text put together piece by piece in memory of fixed size.

/// The memory was too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A region of bytes, handed out in slices from its start.
#[derive(Debug)]
pub struct Arena<'m> {
    free: &'m mut [u8],
}

impl<'m> Arena<'m> {
    /// An arena over `memory`.
    pub fn new(memory: &'m mut [u8]) -> Self {
        Self { free: memory }
    }

    /// Joins pieces into one slice that lives as long as the memory.
    ///
    /// # Errors
    /// [`Full`] if they do not fit; then the arena is unchanged.
    pub fn join(&mut self, pieces: &[&[u8]]) -> Result<&'m [u8], Full> {
        self.write(|text| pieces.iter().try_for_each(|piece| text.push(piece)))
    }

    /// What `fill` writes, as one slice that lives as long as the memory.
    ///
    /// # Errors
    /// [`Full`] if `fill` returns it; then the arena is unchanged.
    pub fn write(
        &mut self,
        fill: impl FnOnce(&mut TextBuffer<'_>) -> Result<(), Full>,
    ) -> Result<&'m [u8], Full> {
        let mut text = TextBuffer::new(self.free);
        fill(&mut text)?;
        let length = text.length;
        let (taken, free) =
            core::mem::take(&mut self.free).split_at_mut_checked(length).ok_or(Full)?;
        self.free = free;
        Ok(taken)
    }
}

/// Copies as much of `bytes` as fits to `room`, from `position` on; returns how many bytes.
pub fn copy_fitting(room: &mut [u8], position: usize, bytes: &[u8]) -> usize {
    let room = room.get_mut(position..).unwrap_or_default();
    let fitting = bytes.len().min(room.len());
    if let (Some(room), Some(bytes)) = (room.get_mut(..fitting), bytes.get(..fitting)) {
        room.copy_from_slice(bytes);
    }
    fitting
}

/// Bytes appended to a buffer of fixed size.
#[derive(Debug)]
pub struct TextBuffer<'b> {
    buffer: &'b mut [u8],
    length: usize,
}

impl<'b> TextBuffer<'b> {
    /// An empty text that may grow to the size of `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`Full`] if they do not fit; then nothing is appended.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.length.checked_add(bytes.len()).ok_or(Full)?;
        self.buffer.get_mut(self.length..end).ok_or(Full)?.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    /// Appends what `fill` writes at the start of the free room; `fill` returns how many bytes
    /// that is.
    ///
    /// # Errors
    /// [`Full`] if it returns `None`; then nothing is appended.
    pub fn push_with(&mut self, fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), Full> {
        let room = self.buffer.get_mut(self.length..).ok_or(Full)?;
        let most = room.len();
        let count = fill(room).filter(|count| *count <= most).ok_or(Full)?;
        self.length = self.length.saturating_add(count);
        Ok(())
    }

    /// Appends as much of `bytes` as there is room for.
    pub fn push_lossy(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(copy_fitting(self.buffer, self.length, bytes));
    }

    /// What has been appended.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

/// A number in decimal digits, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    digits: [u8; Self::LONGEST],
    start: usize,
}

impl Decimal {
    /// Digits of the largest `u64`.
    const LONGEST: usize = 20;

    /// The digits of `number`.
    #[must_use]
    pub fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; Self::LONGEST];
        let mut start = Self::LONGEST;
        for digit in digits.iter_mut().rev() {
            // The remainder fits in a byte.
            *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
            start -= 1;
            if number == 0 {
                break;
            }
        }
        Self { digits, start }
    }

    /// The digits, the most significant first, without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }

    /// Reads digits; `None` for anything else or a number above `u64::MAX`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<u64> {
        if text.is_empty() {
            return None;
        }
        text.iter().try_fold(0u64, |sum, byte| {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            sum.checked_mul(10)?.checked_add(u64::from(digit))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_hands_out_slices_until_it_is_full() {
        let mut memory = [0; 10];
        let mut arena = Arena::new(&mut memory);
        assert_eq!(arena.join(&[b"abc", b"", b"de"]), Ok(&b"abcde"[..]));
        assert_eq!(arena.join(&[b"123456"]), Err(Full));
        assert_eq!(arena.join(&[b"12345"]), Ok(&b"12345"[..]));
        assert_eq!(arena.join(&[b"x"]), Err(Full));
        assert_eq!(arena.join(&[]), Ok(&b""[..]));
    }

    #[test]
    fn a_piece_is_appended_whole_or_not_at_all_unless_it_may_be_cut() {
        let mut buffer = [0; 4];
        let mut text = TextBuffer::new(&mut buffer);
        assert_eq!(text.push(b"abc"), Ok(()));
        assert_eq!(text.push(b"de"), Err(Full));
        assert_eq!(text.as_bytes(), b"abc");
        text.push_lossy(b"de");
        assert_eq!(text.as_bytes(), b"abcd");
    }

    #[test]
    fn a_decimal_that_was_written_is_read_back() {
        for number in [0, 1, 9, 10, 99, 100, 65_536, u64::MAX] {
            let written = Decimal::new(number);
            assert_eq!(written.as_bytes(), number.to_string().as_bytes());
            assert_eq!(Decimal::parse(written.as_bytes()), Some(number));
        }
        for bad in [&b""[..], b"-1", b"+1", b" 1", b"1 ", b"0x1", b"18446744073709551616"] {
            assert_eq!(Decimal::parse(bad), None, "{bad:?}");
        }
    }
}
