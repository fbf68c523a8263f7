//! Reads a file piece by piece through a small buffer, so that nothing of its size is ever
//! in memory.

/// A file that can be read at any place, like `pread(2)`.
pub trait ReadAt {
    /// Fills the start of `room` with what stands at `offset`, and says how much that is;
    /// nothing at the end of the file and where it cannot be read.
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize;
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let from = rest.unwrap_or_default().iter();
        room.iter_mut().zip(from).map(|(to, from)| *to = *from).count()
    }
}

/// Few system calls for a run of load commands, and little stack.
const WINDOW_BYTES: usize = 512;

/// A part of a file, moved to where something is to be read.
pub struct Window<'f, File: ?Sized> {
    file: &'f File,
    offset: u64,
    length: usize,
    bytes: [u8; WINDOW_BYTES],
}

impl<'f, File: ReadAt + ?Sized> Window<'f, File> {
    pub fn new(file: &'f File) -> Self {
        Self { file, offset: 0, length: 0, bytes: [0; WINDOW_BYTES] }
    }

    /// The `N` bytes at a place; `None` if the file has not so many there.
    pub fn bytes<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        if let Some(bytes) = self.held(at) {
            return Some(bytes);
        }
        self.offset = at;
        self.length = self.file.read_at(at, &mut self.bytes);
        self.held(at)
    }

    fn held<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let start = usize::try_from(at.checked_sub(self.offset)?).ok()?;
        let held = self.bytes.get(..self.length)?.get(start..start.checked_add(N)?)?;
        held.try_into().ok()
    }

    pub fn byte(&mut self, at: u64) -> Option<u8> {
        self.bytes(at).map(|[byte]| byte)
    }

    /// A number as Mach-O headers of today's machines have it.
    pub fn little(&mut self, at: u64) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    /// A number as fat headers and code signatures have it.
    pub fn big(&mut self, at: u64) -> Option<u32> {
        self.bytes(at).map(u32::from_be_bytes)
    }
}
