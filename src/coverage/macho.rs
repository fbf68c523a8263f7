//! Mach-O programs: which slice the kernel will run, and whether dyld will load the library into
//! it.

use super::signature;
use super::window::{ReadAt, Window};
use super::words::Coverage;
use crate::host::Cpu;

/// Magic numbers, as the first four bytes of a file.
const FAT: [u8; 4] = [0xca, 0xfe, 0xba, 0xbe];
const FAT_64: [u8; 4] = [0xca, 0xfe, 0xba, 0xbf];
const THIN_64: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];
/// 32-bit programs, and those of big-endian machines.
const FOREIGN: [[u8; 4]; 3] =
    [[0xce, 0xfa, 0xed, 0xfe], [0xfe, 0xed, 0xfa, 0xce], [0xfe, 0xed, 0xfa, 0xcf]];

/// No program has more slices. Java class files have the same magic number, followed by a version
/// that reads as 45 slices or more.
const MAX_SLICES: u32 = 32;
/// No program has more load commands.
const MAX_COMMANDS: u32 = 2048;
const MAX_SECTIONS: u32 = 256;

const CPU_X86_64: u32 = 0x0100_0007;
const CPU_ARM64: u32 = 0x0100_000c;
/// The high byte of a CPU subtype holds features: for arm64e the version of its ABI.
const SUBTYPE_MASK: u32 = 0x00ff_ffff;
const SUBTYPE_ARM64E: u32 = 2;

const EXECUTABLE: u32 = 2;
const HEADER_BYTES: u64 = 32;
const COMMAND_BYTES: u32 = 8;
const SEGMENT_BYTES: u64 = 72;
const SECTION_BYTES: u64 = 80;

/// Load commands.
mod command {
    pub const LOAD_DYLINKER: u32 = 0xe;
    pub const SEGMENT_64: u32 = 0x19;
    pub const CODE_SIGNATURE: u32 = 0x1d;
}

/// The architecture of a slice. The library has slices for arm64 and `x86_64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slice {
    Arm64e,
    Arm64,
    X86_64,
    Foreign,
}

impl Slice {
    fn of(kind: u32, subtype: u32) -> Self {
        match (kind, subtype & SUBTYPE_MASK) {
            (CPU_ARM64, SUBTYPE_ARM64E) => Self::Arm64e,
            (CPU_ARM64, _) => Self::Arm64,
            (CPU_X86_64, _) => Self::X86_64,
            _ => Self::Foreign,
        }
    }

    /// The kernel's preference for this slice; 0: it cannot run it.
    ///
    /// Apple silicon prefers arm64e to arm64, whatever the version of its ABI (XNU,
    /// `grade_arm64e_binary`); Rosetta translates `x86_64`. The children of a translated process
    /// are translated if they can be.
    fn grade(self, cpu: Cpu) -> u8 {
        match (self, cpu) {
            (Self::X86_64, Cpu::X86_64) => 4,
            (Self::Arm64e, _) => 3,
            (Self::Arm64, _) => 2,
            (Self::X86_64, Cpu::Arm64) => 1,
            (Self::Foreign, _) => 0,
        }
    }
}

/// Whether a file with these first bytes claims to be a Mach-O file.
pub fn is_macho(head: &[u8]) -> bool {
    let Some(magic) = head.first_chunk::<4>() else { return false };
    [FAT, FAT_64, THIN_64].contains(magic) || FOREIGN.contains(magic)
}

/// How much of the program will be seen; `None` if the file is damaged.
pub fn coverage(cpu: Cpu, file: &(impl ReadAt + ?Sized)) -> Option<Coverage> {
    let mut window = Window::new(file);
    let start = match window.bytes(0)? {
        magic @ (FAT | FAT_64) => match best_slice(cpu, magic, &mut window)? {
            (Slice::Foreign, _) => return Some(Coverage::OtherArchitecture),
            (_, start) => start,
        },
        _ => 0,
    };
    let magic = window.bytes(start)?;
    if FOREIGN.contains(&magic) {
        return Some(Coverage::OtherArchitecture);
    }
    (magic == THIN_64).then_some(())?;
    let field = |window: &mut Window<'_, _>, at| window.little(start.checked_add(at)?);
    let slice = Slice::of(field(&mut window, 4)?, field(&mut window, 8)?);
    if slice == Slice::Foreign {
        return Some(Coverage::OtherArchitecture);
    }
    (field(&mut window, 12)? == EXECUTABLE).then_some(())?;
    if slice == Slice::Arm64e {
        return Some(Coverage::Arm64e);
    }
    let commands = Commands::read(start, &mut window)?;
    if !commands.has_loader {
        return Some(Coverage::Static);
    }
    let is_closed = match commands.signature {
        _ if commands.is_restricted => true,
        Some(at) => signature::is_closed(at, &mut window)?,
        None => false,
    };
    Some(if is_closed { Coverage::Hardened } else { Coverage::Full })
}

/// The slice of a fat file that the kernel would run, and its offset.
fn best_slice<File: ReadAt + ?Sized>(
    cpu: Cpu,
    magic: [u8; 4],
    window: &mut Window<'_, File>,
) -> Option<(Slice, u64)> {
    let count = window.big(4)?;
    (count <= MAX_SLICES).then_some(())?;
    let mut best = (Slice::Foreign, 0);
    let mut at = 8u64;
    for _ in 0..count {
        let slice = Slice::of(window.big(at)?, window.big(at.checked_add(4)?)?);
        let place = at.checked_add(8)?;
        let (start, size) = match magic {
            FAT => (window.big(place)?.into(), 20),
            _ => (u64::from_be_bytes(window.bytes(place)?), 32),
        };
        if slice.grade(cpu) > best.0.grade(cpu) {
            best = (slice, start);
        }
        at = at.checked_add(size)?;
    }
    Some(best)
}

/// What the load commands of a slice say.
#[derive(Default)]
struct Commands {
    /// Whether a loader is named.
    has_loader: bool,
    /// Whether there is the section that forbids inserted libraries.
    is_restricted: bool,
    /// The offset of the code signature.
    signature: Option<u64>,
}

impl Commands {
    fn read<File: ReadAt + ?Sized>(start: u64, window: &mut Window<'_, File>) -> Option<Self> {
        let mut commands = Self::default();
        let count = window.little(start.checked_add(16)?)?;
        let size = window.little(start.checked_add(20)?)?;
        (count <= MAX_COMMANDS).then_some(())?;
        let mut at = start.checked_add(HEADER_BYTES)?;
        let end = at.checked_add(size.into())?;
        for _ in 0..count {
            let kind = window.little(at)?;
            let size = window.little(at.checked_add(4)?)?;
            let next = at.checked_add(size.into())?;
            (size >= COMMAND_BYTES && next <= end).then_some(())?;
            match kind {
                command::LOAD_DYLINKER => commands.has_loader = true,
                command::SEGMENT_64 => commands.is_restricted |= is_restricting(at, window)?,
                command::CODE_SIGNATURE => {
                    let offset = window.little(at.checked_add(8)?)?;
                    commands.signature = Some(start.checked_add(offset.into())?);
                }
                _ => {}
            }
            at = next;
        }
        Some(commands)
    }
}

/// Whether the segment of this load command holds `__RESTRICT,__restrict`.
fn is_restricting<File: ReadAt + ?Sized>(at: u64, window: &mut Window<'_, File>) -> Option<bool> {
    if window.bytes(at.checked_add(8)?)? != *b"__RESTRICT\0\0\0\0\0\0" {
        return Some(false);
    }
    let count = window.little(at.checked_add(64)?)?;
    (count <= MAX_SECTIONS).then_some(())?;
    let mut section = at.checked_add(SEGMENT_BYTES)?;
    for _ in 0..count {
        if window.bytes(section)? == *b"__restrict\0\0\0\0\0\0" {
            return Some(true);
        }
        section = section.checked_add(SECTION_BYTES)?;
    }
    Some(false)
}
