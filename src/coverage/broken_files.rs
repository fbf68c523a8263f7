//! No broken file makes the detection read past its end or loop.

use super::fixtures::*;
use super::*;

/// The fixtures that broken files are made of.
fn whole_files() -> Vec<Vec<u8>> {
    let xml_both = both(ALLOW_VARIABLES, ANY_LIBRARY);
    let der_both = der(&[entry(ANY_LIBRARY, true), entry(ALLOW_VARIABLES, true)]);
    vec![
        elf(62, &[6, 1, 3]),
        elf(62, &[1, 2]),
        plain(X86_64),
        thin(ARM64, &[loader(), segment("__RESTRICT", &["__x", "__restrict"])], None),
        signed(RUNTIME, &[xml_both]),
        signed(RUNTIME, std::slice::from_ref(&der_both)),
        fat(&[(X86_64, plain(X86_64)), (ARM64, signed(RUNTIME, &[der_both]))]),
        fat_64(&[(X86_64, plain(X86_64)), (ARM64E, plain(ARM64E))]),
        b"#!/usr/bin/env -S node --flag\necho".to_vec(),
    ]
}

/// A file that counts reads.
struct Watched<'f> {
    bytes: &'f [u8],
    reads: std::cell::Cell<u32>,
}

impl ReadAt for Watched<'_> {
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize {
        self.reads.set(self.reads.get() + 1);
        self.bytes.read_at(offset, room)
    }
}

/// Judges a file on each host, which must end after a bounded number of reads.
fn judge_everywhere(file: &[u8]) {
    for host in HOSTS {
        let watched = Watched { bytes: file, reads: 0.into() };
        let status = Status { mode: MODE, flags: 0, ..Status::default() };
        let _ = judge(host, b"/opt/x", status, head_of(file), &watched);
        assert!(watched.reads.get() < 100, "{:?}", String::from_utf8_lossy(file));
    }
}

#[test]
fn a_file_cut_anywhere_is_survived() {
    for file in whole_files() {
        for length in 0..file.len() {
            judge_everywhere(&file[..length]);
        }
    }
}

#[test]
fn a_file_with_any_byte_changed_is_survived() {
    for file in whole_files() {
        let mut broken = file.clone();
        for position in 0..file.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, file[position] ^ 1, file[position] ^ 0x80] {
                broken[position] = value;
                judge_everywhere(&broken);
            }
            broken[position] = file[position];
        }
    }
}

#[test]
fn a_file_whose_numbers_are_all_huge_is_survived() {
    for file in whole_files() {
        for position in 0..file.len().saturating_sub(8) {
            for width in [2, 4, 8] {
                let mut broken = file.clone();
                broken[position..position + width].fill(0xff);
                judge_everywhere(&broken);
            }
        }
    }
}
