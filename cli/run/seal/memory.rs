//! Reads the memory of a process that is stopped in a system call (`process_vm_readv(2)`).

use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// How much is read at once. No page is smaller, so no read crosses into an unmapped page.
const PAGE: usize = 4096;
/// How much is read ahead from each address: most paths, lists and arguments are shorter. Twice as
/// much is what an allocator still has at hand.
const SHORT: usize = 512;
/// The longest string that the kernel takes, its NUL included: 32 pages (execve(2)).
const LONGEST_STRING: usize = 32 * PAGE;
/// The kernel takes no more arguments and environment together (three quarters of 8 MiB).
const LONGEST_LIST: usize = 6 * 1024 * 1024;

/// From how many addresses one call reads.
const AT_ONCE: usize = 16;
/// The results of how many calls are kept.
const KEPT: usize = 4;
/// For how many arguments the strings are read ahead.
const AHEAD: usize = 64;

/// The memory of a process, with a cache of what was read last.
pub struct Memory {
    process: Pid,
    /// The size of its pointers, in bytes.
    pointer: usize,
    blocks: Vec<Block>,
}

/// From where one call reads.
#[derive(Default)]
struct Starts {
    addresses: [u64; AT_ONCE],
    count: usize,
}

impl Starts {
    fn all(&self) -> &[u64] {
        &self.addresses[..self.count]
    }
}

/// What one call has read.
struct Block {
    starts: Starts,
    /// How much was asked for from each of them, if their pages are that long.
    most: usize,
    /// One after the other, as far as there was memory.
    bytes: Vec<u8>,
}

impl Block {
    /// The bytes from an address on; never empty.
    fn at(&self, address: u64) -> Option<&[u8]> {
        let mut left = &self.bytes[..];
        for start in self.starts.all() {
            let (piece, more) = left.split_at(reach(*start, self.most).min(left.len()));
            let offset = address.checked_sub(*start).and_then(|it| usize::try_from(it).ok());
            if let Some(found) = offset.and_then(|offset| piece.get(offset..))
                && !found.is_empty()
            {
                return Some(found);
            }
            left = more;
        }
        None
    }
}

impl Memory {
    pub fn new(process: Pid, pointer: usize) -> Self {
        Self { process, pointer, blocks: Vec::with_capacity(KEPT) }
    }

    /// Reads what is at some addresses into the cache in one call. Errors show when the addresses
    /// are read.
    pub fn read_ahead(&mut self, addresses: impl IntoIterator<Item = u64>) {
        let mut starts = Starts::default();
        for address in addresses {
            let is_near =
                |start: &u64| *start <= address && address - *start < reach(*start, SHORT) as u64;
            let is_new = !starts.all().iter().any(is_near) && self.kept(address).is_none();
            if address != 0 && is_new {
                starts.addresses[starts.count] = address;
                starts.count += 1;
                if starts.count == AT_ONCE {
                    break;
                }
            }
        }
        // Nothing is saved for a single one.
        if starts.count > 1 {
            let _ = self.read(starts, SHORT);
        }
    }

    /// The string at an address, without its NUL.
    ///
    /// # Errors
    /// `EFAULT` for an unmapped address, `E2BIG` if longer than the kernel accepts: the call itself
    /// would fail with the same. Otherwise as `process_vm_readv(2)`.
    pub fn string(&mut self, address: u64) -> Result<Vec<u8>, Errno> {
        let mut string = Vec::new();
        let mut at = address;
        loop {
            let bytes = self.bytes_at(at)?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                string.extend_from_slice(&bytes[..end]);
                return if string.len() < LONGEST_STRING { Ok(string) } else { Err(Errno::E2BIG) };
            }
            string.extend_from_slice(bytes);
            at = at.checked_add(bytes.len() as u64).ok_or(Errno::EFAULT)?;
            if string.len() >= LONGEST_STRING {
                return Err(Errno::E2BIG);
            }
        }
    }

    /// The strings of a list that ends with NULL; NULL itself is an empty list.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn strings(&mut self, list: u64) -> Result<Vec<Vec<u8>>, Errno> {
        let pointers = self.pointers(list)?;
        let mut room = LONGEST_LIST;
        let mut strings = Vec::with_capacity(pointers.len());
        for some in pointers.chunks(AHEAD) {
            self.read_ahead(some.iter().copied());
            for address in some {
                let string = self.string(*address)?;
                room = room.checked_sub(string.len() + 1).ok_or(Errno::E2BIG)?;
                strings.push(string);
            }
        }
        Ok(strings)
    }

    fn pointers(&mut self, list: u64) -> Result<Vec<u64>, Errno> {
        let mut pointers = Vec::new();
        if list == 0 {
            return Ok(pointers);
        }
        let mut at = list;
        while pointers.len() < LONGEST_LIST / self.pointer {
            let address = self.pointer_at(at)?;
            if address == 0 {
                return Ok(pointers);
            }
            pointers.push(address);
            at = at.checked_add(self.pointer as u64).ok_or(Errno::EFAULT)?;
        }
        Err(Errno::E2BIG)
    }

    fn pointer_at(&mut self, address: u64) -> Result<u64, Errno> {
        let mut pointer = [0; 8];
        let mut got = 0;
        // One that is not aligned may lie across the end of a page.
        while got < self.pointer {
            let wanted = self.pointer - got;
            let bytes = self.bytes_at(address.checked_add(got as u64).ok_or(Errno::EFAULT)?)?;
            let count = bytes.len().min(wanted);
            pointer[got..got + count].copy_from_slice(&bytes[..count]);
            got += count;
        }
        Ok(u64::from_le_bytes(pointer))
    }

    /// The bytes at an address, at most up to the end of its page; never empty.
    fn bytes_at(&mut self, address: u64) -> Result<&[u8], Errno> {
        if self.kept(address).is_none() {
            let mut starts = Starts { count: 1, ..Starts::default() };
            starts.addresses[0] = address;
            self.read(starts, PAGE)?;
        }
        self.kept(address).ok_or(Errno::EFAULT)
    }

    fn kept(&self, address: u64) -> Option<&[u8]> {
        self.blocks.iter().rev().find_map(|block| block.at(address))
    }

    /// Reads so many bytes from each address, at most up to the end of its page, and stops where
    /// there is no memory.
    #[expect(clippy::slow_vector_initialization, reason = "malloc(3) has a cache, calloc(3) none")]
    fn read(&mut self, starts: Starts, most: usize) -> Result<(), Errno> {
        let mut there = [RemoteIoVec { base: 0, len: 0 }; AT_ONCE];
        let mut length = 0;
        for (piece, start) in there.iter_mut().zip(starts.all()) {
            let base = usize::try_from(*start).map_err(|_| Errno::EFAULT)?;
            *piece = RemoteIoVec { base, len: reach(*start, most) };
            length += piece.len;
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.resize(length, 0);
        let mut here = [IoSliceMut::new(&mut bytes)];
        let read = process_vm_readv(self.process, &mut here, &there[..starts.count])?;
        if read == 0 {
            return Err(Errno::EFAULT);
        }
        bytes.truncate(read);
        if self.blocks.len() == KEPT {
            self.blocks.remove(0);
        }
        self.blocks.push(Block { starts, most, bytes });
        Ok(())
    }
}

/// How much is read from an address on: so much, or what is left of its page.
fn reach(address: u64, most: usize) -> usize {
    rest(address).min(most)
}

/// How many bytes are left in the page from an address on.
fn rest(address: u64) -> usize {
    PAGE - usize::try_from(address % PAGE as u64).unwrap_or(0)
}

/// Whether a process has memory at an address that can be read.
///
/// # Errors
/// As `process_vm_readv(2)`.
pub fn has_memory_at(process: Pid, address: u64) -> Result<bool, Errno> {
    let base = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
    let there = [RemoteIoVec { base, len: 1 }];
    match process_vm_readv(process, &mut [IoSliceMut::new(&mut [0])], &there) {
        Err(Errno::EFAULT) => Ok(false),
        read => read.map(|length| length > 0),
    }
}

/// Whether a process that was forked from this one can be read.
///
/// # Errors
/// As `process_vm_readv(2)`.
pub fn look_into_fork(process: Pid) -> Result<(), Errno> {
    static WORD: &std::ffi::CStr = c"there";
    let address = WORD.as_ptr().addr() as u64;
    let read = Memory::new(process, size_of::<usize>()).string(address)?;
    if read == WORD.to_bytes() { Ok(()) } else { Err(Errno::EFAULT) }
}

#[cfg(test)]
mod tests {
    use std::ffi::{CString, c_char};

    use nix::errno::Errno;
    use nix::unistd::getpid;

    use super::{LONGEST_STRING, Memory, PAGE, SHORT, has_memory_at};

    fn own() -> Memory {
        Memory::new(getpid(), size_of::<usize>())
    }

    fn address<T>(of: *const T) -> u64 {
        of.addr() as u64
    }

    /// Two pages of memory with nothing behind them.
    fn pages() -> *mut u8 {
        use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE};
        // SAFETY: new memory at a place that the kernel chooses.
        unsafe {
            let (any, flags) = (std::ptr::null_mut(), MAP_ANONYMOUS | MAP_PRIVATE);
            let start = libc::mmap(any, 3 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
            assert_ne!(start, MAP_FAILED);
            assert_eq!(libc::mprotect(start.byte_add(2 * PAGE), PAGE, PROT_NONE), 0);
            start.cast()
        }
    }

    #[test]
    fn strings_are_read_up_to_their_end_whatever_the_pages_do() {
        let start = pages();
        for length in [0, 1, 7, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1] {
            // SAFETY: the two pages are ours; the string ends with the last byte of them.
            let text = unsafe {
                let text = start.add(2 * PAGE - 1 - length);
                text.write_bytes(b'x', length);
                text.add(length).write(0);
                text
            };
            assert_eq!(own().string(address(text)), Ok(vec![b'x'; length]));
        }
        // SAFETY: as above.
        unsafe { start.add(2 * PAGE - 1).write(b'x') };
        assert_eq!(own().string(address(start) + 2 * PAGE as u64 - 9), Err(Errno::EFAULT));
    }

    #[test]
    fn what_is_not_there_is_a_fault_and_what_the_kernel_does_not_take_is_too_big() {
        assert_eq!(own().string(0), Err(Errno::EFAULT));
        assert_eq!(own().string(1), Err(Errno::EFAULT));
        assert_eq!(own().string(u64::MAX), Err(Errno::EFAULT));
        assert_eq!(own().strings(8), Err(Errno::EFAULT));
        let longest = CString::new(vec![b'x'; LONGEST_STRING - 1]).unwrap();
        assert_eq!(own().string(address(longest.as_ptr())).map(|it| it.len()), Ok(131_071));
        let longer = CString::new(vec![b'x'; LONGEST_STRING]).unwrap();
        assert_eq!(own().string(address(longer.as_ptr())), Err(Errno::E2BIG));
        let list: Vec<*const i8> = vec![longest.as_ptr().cast(); 48];
        let list = [&list[..], &[std::ptr::null()]].concat();
        assert_eq!(own().strings(address(list.as_ptr())).map(|it| it.len()), Ok(48));
        let list: Vec<*const i8> = vec![longest.as_ptr().cast(); 49];
        let list = [&list[..], &[std::ptr::null()]].concat();
        assert_eq!(own().strings(address(list.as_ptr())), Err(Errno::E2BIG));
    }

    #[test]
    fn a_list_ends_with_null_and_null_is_an_empty_one() {
        assert_eq!(own().strings(0), Ok(vec![]));
        let list = [c"a".as_ptr(), c"".as_ptr(), c"\xff".as_ptr(), std::ptr::null()];
        let read = own().strings(address(list.as_ptr()));
        assert_eq!(read, Ok(vec![b"a".to_vec(), vec![], vec![0xff]]));
        // Pointers of another size, and a list that is not aligned.
        let narrow: Vec<u8> = [0, 0x10u32, 0].iter().flat_map(|each| each.to_le_bytes()).collect();
        let mut memory = Memory::new(getpid(), 4);
        assert_eq!(memory.strings(address(narrow.as_ptr())), Ok(vec![]));
        assert_eq!(memory.strings(address(narrow.as_ptr()) + 4), Err(Errno::EFAULT));
        let start = pages();
        // SAFETY: the list lies across the two pages, which are ours.
        let list = unsafe {
            let list = start.add(PAGE - 11);
            let text = address(c"odd".as_ptr()).to_ne_bytes();
            list.copy_from_nonoverlapping(text.as_ptr(), text.len());
            list
        };
        assert_eq!(own().strings(address(list)), Ok(vec![b"odd".to_vec()]));
    }

    #[test]
    fn arguments_longer_than_what_is_read_ahead_are_read_whole() {
        let lengths = [SHORT - 1, SHORT, 1, SHORT + 1, 0, 3 * PAGE];
        let words = lengths.map(|length| CString::new(vec![b'x'; length]).unwrap());
        let list: Vec<*const c_char> =
            words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
        let read = own().strings(address(list.as_ptr())).unwrap();
        assert!(read.iter().map(Vec::as_slice).eq(words.iter().map(|word| word.to_bytes())));
    }

    #[test]
    fn memory_is_there_or_not() {
        assert_eq!(has_memory_at(getpid(), address(c"a".as_ptr())), Ok(true));
        assert_eq!(has_memory_at(getpid(), 1), Ok(false));
    }

    #[test]
    fn a_long_list_is_read_whole() {
        let word = c"word";
        let mut list = vec![word.as_ptr(); 100_000];
        list.push(std::ptr::null());
        let read = own().strings(address(list.as_ptr())).unwrap();
        assert!(read.len() == 100_000 && read.iter().all(|each| each == b"word"));
    }
}
