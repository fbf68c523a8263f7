//! How much will be seen of a program, from its file.
//!
//! An input is two bytes that choose the machine, then the file.
#![no_main]

use std::cell::Cell;
use std::ffi::CStr;

use libfuzzer_sys::fuzz_target;
use rampart_core::coverage::{
    Coverage, Files, HEAD_BYTES, Kind, ReadAt, Seen, Status, follow, judge,
};
use rampart_core::host::{Cpu, Host, Os};

fuzz_target!(|input: &[u8]| check(input));

/// More reads than a file of this size can require mean a loop.
const MOST_READS: u32 = 8192;

fn check(input: &[u8]) {
    let [machine, mode, file @ ..] = input else { return };
    let host = Host {
        os: if machine & 1 == 0 { Os::Linux } else { Os::MacOs },
        cpu: if machine & 2 == 0 { Cpu::Arm64 } else { Cpu::X86_64 },
    };
    let status = Status { mode: 0o100_000 | u32::from(*mode) << 4, ..Status::default() };
    let watched = Watched { bytes: file, reads: Cell::new(0) };
    let head = file.get(..HEAD_BYTES).unwrap_or(file);
    let kind = judge(host, b"/opt/x", status, head, &watched);
    check_kind(host, head, kind);

    let mut disk = Disk { file, status, looked: 0 };
    let around_env = (machine & 4 != 0).then_some(&b"/a:/b"[..]);
    let followed = follow(&mut disk, host, c"/opt/x", around_env);
    match kind {
        Kind::Program(coverage) => assert_eq!(followed, Ok(Some(coverage))),
        // Every file here is the same script.
        Kind::Script(_) | Kind::Unknown => assert_eq!(followed, Ok(None)),
    }
}

/// No system reports what only another one has, and a script's words are parts of its line.
fn check_kind(host: Host, head: &[u8], kind: Kind<'_>) {
    match kind {
        Kind::Program(Coverage::Sip | Coverage::Hardened | Coverage::Arm64e) => {
            assert_eq!(host.os, Os::MacOs);
        }
        Kind::Script(interpreter) => {
            assert!(!interpreter.path.is_empty());
            for words in [interpreter.path, interpreter.argument] {
                assert!(!words.contains(&b'\n') && !words.contains(&0));
                assert!(head.windows(words.len().max(1)).any(|window| window.starts_with(words)));
            }
            if let Some(name) = interpreter.behind_env(host.os) {
                assert!(!name.is_empty() && !name.contains(&b' '));
            }
        }
        Kind::Program(_) | Kind::Unknown => {}
    }
}

/// Counts how often it is read.
struct Watched<'f> {
    bytes: &'f [u8],
    reads: Cell<u32>,
}

impl ReadAt for Watched<'_> {
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize {
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() < MOST_READS);
        self.bytes.read_at(offset, room)
    }
}

/// A file system with the same file at every path.
struct Disk<'f> {
    file: &'f [u8],
    status: Status,
    looked: u32,
}

impl<'f> Files for Disk<'f> {
    type File = Watched<'f>;
    type Error = ();

    fn open(&mut self, path: &CStr) -> Result<(Watched<'f>, Status), ()> {
        assert!(!path.is_empty());
        Ok((Watched { bytes: self.file, reads: Cell::new(0) }, self.status))
    }

    fn saw(&mut self, _: Seen<'_>) {
        self.looked += 1;
        assert!(self.looked <= 5);
    }
}
