//! ELF programs (`elf(5)`), by their first bytes alone.

use super::{Coverage, Cpu};

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const EXECUTABLE: u16 = 2;
const SHARED_OBJECT: u16 = 3;
const INTERPRETER: u32 = 3;
/// The size of a 64-bit program header; the kernel takes no other.
const PROGRAM_HEADER_BYTES: u16 = 56;

/// Where things stand in the header, in bytes.
mod at {
    pub const TYPE: usize = 16;
    pub const MACHINE: usize = 18;
    pub const PROGRAM_HEADERS: usize = 32;
    pub const PROGRAM_HEADER_BYTES: usize = 54;
    pub const PROGRAM_HEADER_COUNT: usize = 56;
}

/// How much of the program is seen; `None` if this is no program, or its program headers
/// are not among the bytes.
///
/// What names no loader is static, position-independent or not. The dynamic loader itself,
/// run as a program, looks the same from here and counts as static too: it would load
/// the library, but a program that is started through it is not asked about.
pub fn coverage(cpu: Cpu, head: &[u8]) -> Option<Coverage> {
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
    names_loader(head).map(|named| if named { Coverage::Full } else { Coverage::Static })
}

/// Whether a 64-bit program names the loader that is to load it.
fn names_loader(head: &[u8]) -> Option<bool> {
    let size = u16::from_le_bytes(field(head, at::PROGRAM_HEADER_BYTES)?);
    let count = u16::from_le_bytes(field(head, at::PROGRAM_HEADER_COUNT)?);
    if size != PROGRAM_HEADER_BYTES || count == 0 {
        return None;
    }
    let start = u64::from_le_bytes(field(head, at::PROGRAM_HEADERS)?);
    let mut at = usize::try_from(start).ok()?;
    for _ in 0..count {
        let header: [u8; PROGRAM_HEADER_BYTES as usize] = field(head, at)?;
        let [kind @ .., _, _, _, _] = header.first_chunk::<8>()?;
        if u32::from_le_bytes(*kind) == INTERPRETER {
            return Some(true);
        }
        at = at.checked_add(header.len())?;
    }
    Some(false)
}

fn field<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::super::HEAD_BYTES;
    use super::*;

    const NATIVE: Cpu = super::super::Host::HERE.cpu;

    #[test]
    fn programs_for_other_machines_are_told_apart() {
        let own = std::fs::read(std::env::current_exe().expect("a path")).expect("a program");
        let head = own.get(..HEAD_BYTES).expect("a head");
        assert_eq!(coverage(NATIVE, head), Some(Coverage::Full));
        for (position, value) in [(4, 1), (5, 2), (18, 3), (19, 1)] {
            let mut other = head.to_vec();
            other[position] = value;
            assert_eq!(coverage(NATIVE, &other), Some(Coverage::OtherArchitecture), "{position}");
            // Without the rest of the header too.
            assert_eq!(coverage(NATIVE, &other[..20]), Some(Coverage::OtherArchitecture));
        }
    }

    #[test]
    fn a_header_that_is_cut_or_odd_says_nothing() {
        let whole = super::super::fixtures::elf(62, &[1, 3]);
        for length in 0..64 + 56 + 56 {
            assert_eq!(coverage(Cpu::X86_64, &whole[..length]), None, "{length}");
        }
        assert_eq!(coverage(Cpu::X86_64, &whole), Some(Coverage::Full));
        // A relocatable file, a core dump, program headers of another size or far away.
        for (position, value) in [(16, 1), (16, 4), (54, 57), (39, 0xff), (33, 0xff)] {
            let mut odd = whole.clone();
            odd[position] = value;
            assert_eq!(coverage(Cpu::X86_64, &odd), None, "{position}");
        }
    }
}
