//! Reads a file of any size through a small buffer.

/// A file that can be read at any offset, as by `pread(2)`.
pub trait ReadAt {
    /// Reads bytes at `offset` into the start of `room` and returns how many; 0 at the end of the
    /// file and on an error.
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize;
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        let from = rest.unwrap_or_default().iter();
        room.iter_mut().zip(from).map(|(to, from)| *to = *from).count()
    }
}

/// A compromise: few system calls for a series of load commands, and little stack.
const WINDOW_BYTES: usize = 512;

/// A part of a file, which is moved as needed.
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

    /// The `N` bytes at an offset; `None` if the file ends before.
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

    /// A little-endian number, as in Mach-O headers.
    pub fn little(&mut self, at: u64) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    /// A big-endian number, as in fat headers and code signatures.
    pub fn big(&mut self, at: u64) -> Option<u32> {
        self.bytes(at).map(u32::from_be_bytes)
    }
}
