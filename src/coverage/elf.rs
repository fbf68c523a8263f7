//! ELF programs (`elf(5)`): headers and notes.

use super::window::ReadAt;
use super::words::Coverage;
use crate::host::Cpu;

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const EXECUTABLE: u16 = 2;
const SHARED_OBJECT: u16 = 3;
const INTERPRETER: u32 = 3;
const NOTES: u32 = 4;
/// The size of a 64-bit program header; the kernel takes no other.
const PROGRAM_HEADER_BYTES: u16 = 56;
/// The most that the kernel takes: 64 KiB (`load_elf_phdrs`, `fs/binfmt_elf.c`).
const MAX_PROGRAM_HEADERS: u16 = u16::MAX / PROGRAM_HEADER_BYTES;

/// Offsets in the ELF header, in bytes.
mod at {
    pub const TYPE: usize = 16;
    pub const MACHINE: usize = 18;
    pub const PROGRAM_HEADERS: usize = 32;
    pub const PROGRAM_HEADER_BYTES: usize = 54;
    pub const PROGRAM_HEADER_COUNT: usize = 56;
}

/// How much of the program will be seen; `None` if this is not a program, or if its program headers
/// cannot be read.
///
/// A program that names no loader is static, position-independent or not. So is the dynamic loader
/// run as a program: it would load the library, but the program that it runs is not asked about.
pub fn coverage(cpu: Cpu, head: &[u8], file: &(impl ReadAt + ?Sized)) -> Option<Coverage> {
    let [0x7f, b'E', b'L', b'F', class, data, ..] = head else { return None };
    let native = match cpu {
        Cpu::X86_64 => 62,
        Cpu::Arm64 => 183,
    };
    let machine = match *data {
        LITTLE_ENDIAN => u16::from_le_bytes(field(head, at::MACHINE)?),
        _ => u16::from_be_bytes(field(head, at::MACHINE)?),
    };
    if (*class, *data, machine) != (CLASS_64, LITTLE_ENDIAN, native) {
        return Some(Coverage::OtherArchitecture);
    }
    let kind = u16::from_le_bytes(field(head, at::TYPE)?);
    (kind == EXECUTABLE || kind == SHARED_OBJECT).then_some(())?;
    Some(match segments(head, file)? {
        Segments { name_loader: false, .. } => Coverage::Static,
        Segments { are_of_go: true, .. } => Coverage::Go,
        Segments { .. } => Coverage::Full,
    })
}

/// What the program headers say.
#[derive(Default)]
struct Segments {
    /// Whether they name a loader.
    name_loader: bool,
    /// Whether their notes are those of Go's linker.
    are_of_go: bool,
}

/// Reads the program headers of a 64-bit program.
fn segments(head: &[u8], file: &(impl ReadAt + ?Sized)) -> Option<Segments> {
    let size = u16::from_le_bytes(field(head, at::PROGRAM_HEADER_BYTES)?);
    let count = u16::from_le_bytes(field(head, at::PROGRAM_HEADER_COUNT)?);
    if size != PROGRAM_HEADER_BYTES || count == 0 {
        return None;
    }
    let start = u64::from_le_bytes(field(head, at::PROGRAM_HEADERS)?);
    let mut at = start;
    let mut found = Segments::default();
    for _ in 0..count.min(MAX_PROGRAM_HEADERS) {
        let mut header = [0; PROGRAM_HEADER_BYTES as usize];
        if head.read_at(at, &mut header) < header.len() {
            // Tools that change a program move its headers to the end. Each costs a system call
            // there, and what follows matters only if no loader was named.
            if found.name_loader {
                return Some(found);
            }
            (file.read_at(at, &mut header) == header.len()).then_some(())?;
        }
        match u32::from_le_bytes(field(&header, 0)?) {
            INTERPRETER => found.name_loader = true,
            NOTES => {
                let offset = u64::from_le_bytes(field(&header, 8)?);
                let bytes = u64::from_le_bytes(field(&header, 32)?);
                found.are_of_go |= has_go_note(head, file, offset, bytes);
            }
            _ => {}
        }
        at = at.checked_add(u64::from(PROGRAM_HEADER_BYTES))?;
    }
    Some(found)
}

/// Whether one of the notes is the build id of Go's linker (`ELF_NOTE_GOBUILDID_TAG` and
/// `ELF_NOTE_GO_NAME`, cmd/link/internal/ld/elf.go).
fn has_go_note(head: &[u8], file: &(impl ReadAt + ?Sized), start: u64, bytes: u64) -> bool {
    /// Linkers write three or four notes.
    const MAX_NOTES: usize = 16;
    const BUILD_ID: [u8; 4] = 4u32.to_le_bytes();
    const NAME: &[u8; 4] = b"Go\0\0";
    let mut at = start;
    for _ in 0..MAX_NOTES {
        let mut note = [0; 16];
        let is_read =
            head.read_at(at, &mut note) == note.len() || file.read_at(at, &mut note) == note.len();
        let [name_bytes, content_bytes, kind, name] = core::array::from_fn(|word| {
            field::<4>(&note, word.saturating_mul(4)).unwrap_or_default()
        });
        if !is_read || at.saturating_sub(start) >= bytes {
            return false;
        }
        let name_bytes = u32::from_le_bytes(name_bytes);
        if name_bytes == 4 && kind == BUILD_ID && name == *NAME {
            return true;
        }
        let padded = |bytes: u32| u64::from(bytes).next_multiple_of(4);
        let content_bytes = u32::from_le_bytes(content_bytes);
        at = at
            .saturating_add(12)
            .saturating_add(padded(name_bytes))
            .saturating_add(padded(content_bytes));
    }
    false
}

fn field<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::super::HEAD_BYTES;
    use super::*;

    const NATIVE: Cpu = crate::host::Host::HERE.cpu;

    #[test]
    fn programs_for_other_architectures_are_recognised() {
        let own = std::fs::read(std::env::current_exe().expect("a path")).expect("a program");
        let head = own.get(..HEAD_BYTES).expect("a head");
        assert_eq!(coverage(NATIVE, head, head), Some(Coverage::Full));
        for (position, value) in [(4, 1), (5, 2), (18, 3), (19, 1)] {
            let mut other = head.to_vec();
            other[position] = value;
            assert_eq!(
                coverage(NATIVE, &other, &other[..]),
                Some(Coverage::OtherArchitecture),
                "{position}"
            );
            // Also without the rest of the header.
            assert_eq!(
                coverage(NATIVE, &other[..20], &other[..20]),
                Some(Coverage::OtherArchitecture)
            );
        }
    }

    #[test]
    fn a_truncated_or_unusual_header_says_nothing() {
        let whole = super::super::fixtures::elf(62, &[1, 3]);
        for length in 0..64 + 56 + 56 {
            let head = &whole[..length];
            assert_eq!(coverage(Cpu::X86_64, head, head), None, "{length}");
        }
        assert_eq!(coverage(Cpu::X86_64, &whole, &whole[..]), Some(Coverage::Full));
        // A relocatable file, a core dump, program headers of another size or far away.
        for (position, value) in [(16, 1), (16, 4), (54, 57), (39, 0xff), (33, 0xff)] {
            let mut odd = whole.clone();
            odd[position] = value;
            assert_eq!(coverage(Cpu::X86_64, &odd, &odd[..]), None, "{position}");
        }
    }

    #[test]
    fn program_headers_are_found_wherever_they_are() {
        let whole = |kinds: &[u32]| super::super::fixtures::elf(62, kinds);
        for (kinds, told) in [
            (&[NOTES, INTERPRETER, NOTES][..], Some(Coverage::Full)),
            (&[NOTES, NOTES][..], Some(Coverage::Static)),
        ] {
            let near = whole(kinds);
            // As patchelf and what makes one file of a Node program leave it.
            let mut far = near.clone();
            far.resize(9000, 0);
            far.extend(&near[64..]);
            far[32..40].copy_from_slice(&9000u64.to_le_bytes());
            let head = &far[..HEAD_BYTES];
            assert_eq!(coverage(Cpu::X86_64, head, &far[..]), told, "{kinds:?}");
            assert_eq!(coverage(Cpu::X86_64, head, head), None, "{kinds:?}");
        }
    }

    #[test]
    fn the_note_of_gos_linker_is_found_anywhere_among_others() {
        let note = |name: &[u8], kind: u32, content: &[u8]| {
            let size = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small").to_le_bytes();
            let mut note = [size(name), size(content), kind.to_le_bytes()].concat();
            for part in [name, content] {
                note.extend(part);
                note.resize(note.len().next_multiple_of(4), 0);
            }
            note
        };
        let gnu = note(b"GNU\0", 3, &[7; 21]);
        let go = note(b"Go\0\0", 4, &[7; 83]);
        for (notes, is_go) in [
            ([gnu.clone(), go.clone()].concat(), true),
            ([go.clone(), gnu.clone()].concat(), true),
            ([gnu.clone(), gnu.clone()].concat(), false),
            (note(b"Go\0\0", 3, b""), false),
            (note(b"Gox\0", 4, b""), false),
            (note(&[b'x'; 4000], u32::MAX, b""), false),
            (vec![0xff; 64], false),
            (vec![], false),
        ] {
            // In the head, and far beyond it.
            for offset in [64 + 2 * 56, 5000] {
                let mut program = super::super::fixtures::elf(62, &[NOTES, INTERPRETER]);
                let put = |program: &mut Vec<u8>, at: usize, number: usize| {
                    program[at..at + 8].copy_from_slice(&(number as u64).to_le_bytes());
                };
                put(&mut program, 64 + 8, offset);
                put(&mut program, 64 + 32, notes.len());
                program.resize(offset, 0);
                program.extend(&notes);
                // Bytes after the notes are not searched.
                program.extend(if is_go { vec![] } else { go.clone() });
                let head = program.get(..HEAD_BYTES).unwrap_or(&program);
                let expected = if is_go { Coverage::Go } else { Coverage::Full };
                assert_eq!(coverage(Cpu::X86_64, head, &program[..]), Some(expected), "{notes:?}");
            }
        }
    }
}
