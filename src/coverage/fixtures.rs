//! Program files built by hand, as compilers, `lipo` and `codesign` would make them.

use super::HEAD_BYTES;
use crate::host::{Cpu, Host, Os};

/// The machines of the tests.
pub const ARM_MAC: Host = Host { os: Os::MacOs, cpu: Cpu::Arm64 };
pub const INTEL_MAC: Host = Host { os: Os::MacOs, cpu: Cpu::X86_64 };
pub const LINUX: Host = Host { os: Os::Linux, cpu: Cpu::X86_64 };
pub const HOSTS: [Host; 4] = [ARM_MAC, INTEL_MAC, LINUX, Host { os: Os::Linux, cpu: Cpu::Arm64 }];
/// The mode of an ordinary program.
pub const MODE: u32 = 0o100_755;

/// The head of a file, as [`judge`](super::judge()) takes it.
pub fn head_of(file: &[u8]) -> &[u8] {
    file.get(..HEAD_BYTES).unwrap_or(file)
}

/// Entitlements that grant both keys.
pub fn both(first: &str, second: &str) -> Vec<u8> {
    plist(&[granted(first), granted(second)].concat())
}

/// `cputype` and `cpusubtype`.
pub type Machine = (u32, u32);

pub const X86_64: Machine = (0x0100_0007, 3);
pub const X86_64_H: Machine = (0x0100_0007, 8);
pub const ARM64: Machine = (0x0100_000c, 0);
/// The high byte holds the version of the ABI.
pub const ARM64E: Machine = (0x0100_000c, 0x8000_0002);
pub const I386: Machine = (7, 3);
pub const POWERPC: Machine = (18, 0);

pub const ALLOW_VARIABLES: &str = "com.apple.security.cs.allow-dyld-environment-variables";
pub const ANY_LIBRARY: &str = "com.apple.security.cs.disable-library-validation";
pub const RUNTIME: u32 = 0x1_0000;
pub const RESTRICT: u32 = 0x800;
pub const REQUIRE_VALIDATION: u32 = 0x2000;

/// An ELF program for `machine` with program headers of these types.
pub fn elf(machine: u16, headers: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    bytes.resize(16, 0);
    bytes.extend(3u16.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.resize(32, 0);
    bytes.extend(64u64.to_le_bytes());
    bytes.resize(54, 0);
    bytes.extend(56u16.to_le_bytes());
    bytes.extend(u16::try_from(headers.len()).expect("few").to_le_bytes());
    bytes.resize(64, 0);
    for header in headers {
        let end = bytes.len() + 56;
        bytes.extend(header.to_le_bytes());
        bytes.resize(end, 0);
    }
    bytes
}

fn little(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn big(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("small")
}

fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

/// The load command that names the loader.
pub fn loader() -> Vec<u8> {
    [little(&[0xe, 32, 12]), b"/usr/lib/dyld\0\0\0\0\0\0\0".to_vec()].concat()
}

/// The load command of a segment with sections of these names.
pub fn segment(segment: &str, sections: &[&str]) -> Vec<u8> {
    let bytes = 72 + 80 * sections.len();
    let mut command = little(&[0x19, u32::try_from(bytes).expect("small")]);
    command.extend(name(segment));
    command.resize(64, 0);
    command.extend(little(&[u32::try_from(sections.len()).expect("few"), 0]));
    for section in sections {
        command.extend(name(section));
        command.extend(name(segment));
        command.resize(command.len() + 48, 0);
    }
    command
}

/// A 64-bit program with these load commands, and a signature if there is one.
pub fn thin(cpu: Machine, commands: &[Vec<u8>], signature: Option<&[u8]>) -> Vec<u8> {
    let mut commands = commands.to_vec();
    let mut bytes: usize = commands.iter().map(Vec::len).sum();
    if let Some(signature) = signature {
        bytes += 16;
        let offset = u32::try_from(32 + bytes).expect("small");
        commands.push(little(&[0x1d, 16, offset, size(signature)]));
    }
    let count = u32::try_from(commands.len()).expect("few");
    let header =
        [0xfeed_facf, cpu.0, cpu.1, 2, count, u32::try_from(bytes).expect("small"), 0x20_0085, 0];
    [little(&header), commands.concat(), signature.unwrap_or_default().to_vec()].concat()
}

/// A plain program without a signature.
pub fn plain(cpu: Machine) -> Vec<u8> {
    thin(cpu, &[segment("__TEXT", &["__text", "__const"]), loader()], None)
}

/// A plain program with a signature.
pub fn signed(flags: u32, entitlements: &[Vec<u8>]) -> Vec<u8> {
    thin(ARM64, &[segment("__TEXT", &["__text"]), loader()], Some(&signature(flags, entitlements)))
}

/// A universal file.
pub fn fat(slices: &[(Machine, Vec<u8>)]) -> Vec<u8> {
    let mut table = big(&[0xcafe_babe, u32::try_from(slices.len()).expect("few")]);
    let mut at = 8 + 20 * slices.len();
    for ((kind, subtype), slice) in slices {
        table.extend(big(&[*kind, *subtype, u32::try_from(at).expect("small"), size(slice), 0]));
        at += slice.len();
    }
    slices.iter().fold(table, |file, (_, slice)| [file, slice.clone()].concat())
}

/// A universal file with 64-bit offsets.
pub fn fat_64(slices: &[(Machine, Vec<u8>)]) -> Vec<u8> {
    let mut table = big(&[0xcafe_babf, u32::try_from(slices.len()).expect("few")]);
    let mut at = 8 + 32 * slices.len();
    for ((kind, subtype), slice) in slices {
        table.extend(big(&[*kind, *subtype]));
        table.extend((at as u64).to_be_bytes());
        table.extend((slice.len() as u64).to_be_bytes());
        table.extend(big(&[0, 0]));
        at += slice.len();
    }
    slices.iter().fold(table, |file, (_, slice)| [file, slice.clone()].concat())
}

/// A code signature: a code directory with these flags, and blobs of entitlements.
pub fn signature(flags: u32, entitlements: &[Vec<u8>]) -> Vec<u8> {
    let mut directory = big(&[0xfade_0c02, 88, 0x2_0500, flags]);
    directory.resize(88, 0);
    // The last blob stands for a certificate.
    let blobs = [&[directory], entitlements, &[big(&[0xfade_0b01, 8])]].concat();
    let mut at = 12 + 8 * blobs.len();
    let mut index = Vec::new();
    for blob in &blobs {
        index.extend(big(&[0, u32::try_from(at).expect("small")]));
        at += blob.len();
    }
    let count = u32::try_from(blobs.len()).expect("few");
    let head = big(&[0xfade_0cc0, u32::try_from(at).expect("small"), count]);
    [head, index, blobs.concat()].concat()
}

fn blob(magic: u32, content: &[u8]) -> Vec<u8> {
    [big(&[magic, size(content) + 8]), content.to_vec()].concat()
}

/// A property list, as written.
pub fn xml(text: &str) -> Vec<u8> {
    blob(0xfade_7171, text.as_bytes())
}

/// A property list whose dictionary holds `inner`.
pub fn plist(inner: &str) -> Vec<u8> {
    xml(&format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD \
         PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n{inner}</dict>\n</plist>\n"
    ))
}

/// The entry of a property list that grants `key`.
pub fn granted(key: &str) -> String {
    format!("\t<key>{key}</key>\n\t<true/>\n")
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..0x80 => vec![u8::try_from(short).expect("short")],
        long => {
            let [.., high, low] = long.to_be_bytes();
            vec![0x82, high, low]
        }
    };
    [vec![tag], length, content.to_vec()].concat()
}

/// An entry of the binary form: a key and whether it is true.
pub fn entry(key: &str, value: bool) -> Vec<u8> {
    let key = element(0x0c, key.as_bytes());
    element(0x30, &[key, element(1, &[if value { 0xff } else { 0 }])].concat())
}

/// The binary form, with these entries.
pub fn der(entries: &[Vec<u8>]) -> Vec<u8> {
    let dictionary = element(0xb0, &entries.concat());
    blob(0xfade_7172, &element(0x70, &[element(2, &[1]), dictionary].concat()))
}
