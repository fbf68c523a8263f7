//! Each branch of the detection, on files made here.

use std::collections::HashMap;
use std::ffi::{CStr, CString};

use super::fixtures::*;
use super::*;
use crate::host::{Host, Os};

fn kind_of(host: Host, file: &[u8]) -> Kind<'_> {
    let status = Status { mode: MODE, flags: 0, ..Status::default() };
    judge(host, b"/opt/homebrew/bin/x", status, head_of(file), file)
}

#[test]
fn each_word_stands_for_one_coverage() {
    for coverage in Coverage::ALL {
        assert_eq!(Coverage::from_word(coverage.word()), Some(coverage));
    }
    for word in ["", "Full", "full ", "other"] {
        assert_eq!(Coverage::from_word(word), None);
    }
}

#[test]
fn the_library_is_withheld_if_a_loader_would_complain_or_abort() {
    for coverage in Coverage::ALL {
        let foreign = matches!(coverage, Coverage::OtherArchitecture | Coverage::Reexec);
        assert_eq!(coverage.withholds_library(Os::Linux), foreign, "{coverage:?}");
        assert_eq!(coverage.withholds_library(Os::MacOs), coverage != Coverage::Full);
    }
}

#[test]
fn the_slice_that_the_kernel_would_run_decides() {
    use Coverage::{Arm64e, Full, OtherArchitecture as Foreign};
    let universal =
        |cpus: &[Machine]| -> Vec<_> { cpus.iter().map(|cpu| (*cpu, plain(*cpu))).collect() };
    // On Apple silicon, and on Intel or under Rosetta.
    let table: [(&[Machine], Coverage, Coverage); 11] = [
        (&[ARM64], Full, Full),
        (&[X86_64], Full, Full),
        (&[X86_64_H], Full, Full),
        (&[ARM64E], Arm64e, Arm64e),
        (&[X86_64, ARM64], Full, Full),
        (&[X86_64, ARM64E], Arm64e, Full),
        (&[ARM64, ARM64E], Arm64e, Arm64e),
        (&[ARM64E, ARM64], Arm64e, Arm64e),
        (&[I386, POWERPC], Foreign, Foreign),
        (&[I386, X86_64_H, X86_64], Full, Full),
        (&[], Foreign, Foreign),
    ];
    for (cpus, silicon, intel) in table {
        for make in [fat, fat_64] {
            let file = make(&universal(cpus));
            assert_eq!(kind_of(ARM_MAC, &file), Kind::Program(silicon), "{cpus:?}");
            assert_eq!(kind_of(INTEL_MAC, &file), Kind::Program(intel), "{cpus:?}");
        }
        if let [cpu] = cpus {
            assert_eq!(kind_of(ARM_MAC, &plain(*cpu)), Kind::Program(silicon), "{cpu:?}");
            assert_eq!(kind_of(INTEL_MAC, &plain(*cpu)), Kind::Program(intel), "{cpu:?}");
        }
    }
    let old_arm64e = plain((ARM64E.0, 2));
    assert_eq!(kind_of(ARM_MAC, &old_arm64e), Kind::Program(Arm64e));
}

#[test]
fn the_header_of_a_slice_counts_more_than_the_table_of_slices() {
    let file = fat(&[(ARM64, plain(ARM64E))]);
    assert_eq!(kind_of(ARM_MAC, &file), Kind::Program(Coverage::Arm64e));
    let file = fat(&[(ARM64, plain(POWERPC))]);
    assert_eq!(kind_of(ARM_MAC, &file), Kind::Program(Coverage::OtherArchitecture));
    let file = fat(&[(ARM64, fat(&[(ARM64, plain(ARM64))]))]);
    assert_eq!(kind_of(ARM_MAC, &file), Kind::Unknown);
}

#[test]
fn programs_of_other_word_sizes_and_byte_orders_are_foreign() {
    for magic in [0xfeed_face_u32, 0xcefa_edfe, 0xcffa_edfe] {
        let mut file = plain(ARM64);
        file[..4].copy_from_slice(&magic.to_le_bytes());
        let kind = kind_of(ARM_MAC, &file);
        assert_eq!(kind, Kind::Program(Coverage::OtherArchitecture), "{magic:x}");
        let slices = fat(&[(ARM64, file.clone())]);
        assert_eq!(kind_of(ARM_MAC, &slices), kind, "{magic:x}");
    }
}

#[test]
fn a_file_that_is_no_program_is_unknown() {
    // Java's class files begin like fat files.
    let mut class = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61];
    class.resize(2000, 1);
    let mut library = plain(ARM64);
    library[12] = 6;
    for file in [&class[..], &library, b"", b"echo hello", b"#!", b"#!\n/bin/sh\n", &[0; 4096]] {
        for host in HOSTS {
            assert_eq!(kind_of(host, file), Kind::Unknown, "{host:?}");
        }
    }
    assert_eq!(kind_of(LINUX, &plain(X86_64)), Kind::Unknown);
    assert_eq!(kind_of(INTEL_MAC, &elf(62, &[3])), Kind::Unknown);
}

#[test]
fn a_signature_may_keep_the_library_out() {
    use Coverage::{Full, Hardened};
    let xml_both = both(ALLOW_VARIABLES, ANY_LIBRARY);
    let der_both = der(&[entry(ANY_LIBRARY, true), entry(ALLOW_VARIABLES, true)]);
    let only = |key: &str| plist(&granted(key));
    let table: [(u32, Vec<Vec<u8>>, Coverage); 20] = [
        (0, vec![], Full),
        (2, vec![], Full),
        (RUNTIME, vec![], Hardened),
        (RESTRICT, vec![], Hardened),
        (REQUIRE_VALIDATION, vec![], Hardened),
        (RUNTIME, vec![xml_both.clone()], Full),
        (RUNTIME, vec![der_both.clone()], Full),
        (RUNTIME, vec![only(ALLOW_VARIABLES)], Hardened),
        (RUNTIME, vec![only(ANY_LIBRARY)], Hardened),
        (RESTRICT, vec![only(ALLOW_VARIABLES)], Full),
        (REQUIRE_VALIDATION, vec![only(ANY_LIBRARY)], Full),
        // The binary form counts.
        (RUNTIME, vec![xml_both.clone(), der(&[])], Hardened),
        (RUNTIME, vec![der_both, plist("")], Full),
        (RUNTIME, vec![der(&[entry(ALLOW_VARIABLES, false), entry(ANY_LIBRARY, true)])], Hardened),
        (RUNTIME, vec![both(ALLOW_VARIABLES, "com.example.other")], Hardened),
        (RUNTIME, vec![xml("")], Hardened),
        // These only look like an entitlement.
        (RESTRICT, vec![plist(&format!("<!-- {} -->", granted(ALLOW_VARIABLES)))], Hardened),
        (RESTRICT, vec![plist(&format!("<key>{ALLOW_VARIABLES}</key><false/>"))], Hardened),
        (RESTRICT, vec![plist(&format!("<string>{ALLOW_VARIABLES}</string><true/>"))], Hardened),
        (
            RESTRICT,
            vec![plist(&format!("<key>x</key><dict>{}</dict>", granted(ALLOW_VARIABLES)))],
            Hardened,
        ),
    ];
    for (flags, entitlements, expected) in table {
        let file = signed(flags, &entitlements);
        let said = String::from_utf8_lossy(&file);
        assert_eq!(kind_of(ARM_MAC, &file), Kind::Program(expected), "{flags:x} {said}");
        let universal = fat(&[(X86_64, plain(X86_64)), (ARM64, file.clone())]);
        assert_eq!(kind_of(ARM_MAC, &universal), Kind::Program(expected), "{flags:x} {said}");
    }
}

#[test]
fn an_entitlement_is_found_wherever_it_stands() {
    // At each position relative to the borders of the window.
    for padding in 0..600 {
        let filler = format!("\t<key>{}</key>\n\t<false/>\n", "x".repeat(padding));
        let granting = [filler, granted(ALLOW_VARIABLES)].concat();
        let file = signed(RESTRICT, &[plist(&granting)]);
        assert_eq!(kind_of(ARM_MAC, &file), Kind::Program(Coverage::Full), "{padding}");
        let entries = [entry(&"x".repeat(padding), false), entry(ALLOW_VARIABLES, true)];
        let file = signed(RESTRICT, &[der(&entries)]);
        assert_eq!(kind_of(ARM_MAC, &file), Kind::Program(Coverage::Full), "{padding}");
    }
}

#[test]
fn a_program_may_forbid_preloading_by_a_section() {
    let with = |segment_name, sections: &[&str]| {
        thin(ARM64, &[loader(), segment(segment_name, sections)], None)
    };
    let table = [
        (with("__RESTRICT", &["__restrict"]), Coverage::Hardened),
        (with("__RESTRICT", &["__other", "__restrict"]), Coverage::Hardened),
        (with("__RESTRICT", &["__other"]), Coverage::Full),
        (with("__RESTRICT", &[]), Coverage::Full),
        (with("__TEXT", &["__restrict"]), Coverage::Full),
    ];
    for (file, expected) in table {
        assert_eq!(kind_of(ARM_MAC, &file), Kind::Program(expected));
    }
}

#[test]
fn a_program_without_a_loader_is_static() {
    let file = thin(ARM64, &[segment("__TEXT", &["__text"])], None);
    assert_eq!(kind_of(ARM_MAC, &file), Kind::Program(Coverage::Static));
    for (headers, expected) in [
        (&[6, 3, 1, 2][..], Coverage::Full),
        (&[1; 14], Coverage::Static),
        (&[1, 2], Coverage::Static),
    ] {
        assert_eq!(kind_of(LINUX, &elf(62, headers)), Kind::Program(expected), "{headers:?}");
    }
    // Headers that are not in the head do not matter if a loader was found before.
    assert_eq!(kind_of(LINUX, &elf(62, &[1; 40])), Kind::Program(Coverage::Static));
    assert_eq!(
        kind_of(LINUX, &elf(62, &[&[3][..], &[1; 40]].concat())),
        Kind::Program(Coverage::Full)
    );
    assert_eq!(kind_of(LINUX, &elf(62, &[])), Kind::Unknown);
}

#[test]
fn the_status_counts_more_than_the_content() {
    fn judged<'f>(host: Host, path: &[u8], mode: u32, flags: u32, file: &'f [u8]) -> Kind<'f> {
        judge(host, path, Status { mode, flags, ..Status::default() }, head_of(file), file)
    }
    let (mac, linux) = (plain(ARM64), elf(62, &[3]));
    let restricted = 0x0008_0000;
    for (file, path, mode, flags, expected) in [
        (&mac, &b"/bin/sh"[..], MODE, 0, Coverage::Sip),
        (&mac, b"sh", MODE, restricted, Coverage::Sip),
        (&mac, b"/bin/sh", 0, 0, Coverage::Sip),
        (&mac, b"/opt/x", 0o104_755, restricted, Coverage::Setuid),
        (&mac, b"/opt/x", 0o102_644, 0, Coverage::Setuid),
        (&plain(ARM64E), b"/bin/sh", MODE, 0, Coverage::Sip),
    ] {
        assert_eq!(judged(ARM_MAC, path, mode, flags, file), Kind::Program(expected), "{path:?}");
    }
    for (file, mode, expected) in [
        (&linux, MODE, Coverage::Full),
        (&linux, 0o104_755, Coverage::Setuid),
        (&linux, 0o102_755, Coverage::Setuid),
        // Mandatory locking; a directory; a status that is not known.
        (&linux, 0o102_745, Coverage::Full),
        (&linux, 0o042_775, Coverage::Full),
        (&linux, 0, Coverage::Full),
        // Without a loader that can run here, set-user-ID makes no difference.
        (&elf(62, &[1]), 0o104_755, Coverage::Static),
        (&elf(183, &[3]), 0o104_755, Coverage::OtherArchitecture),
    ] {
        // On Linux neither the path nor the flags matter.
        let kind = judged(LINUX, b"/bin/sh", mode, restricted, file);
        assert_eq!(kind, Kind::Program(expected), "{mode:o}");
    }
    let script = judged(LINUX, b"/x", 0o104_755, 0, b"#!/bin/sh\n");
    assert!(matches!(script, Kind::Script(_)), "{script:?}");
}

#[test]
fn the_program_of_this_test_is_covered_in_full() {
    let own = std::fs::read(std::env::current_exe().expect("a path")).expect("a program");
    assert_eq!(kind_of(Host::HERE, &own), Kind::Program(Coverage::Full));
}

/// The files of a test; others are missing.
#[derive(Default)]
struct Disk {
    files: HashMap<CString, (Vec<u8>, u32)>,
    seen: Vec<CString>,
}

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_at(&self, offset: u64, room: &mut [u8]) -> usize {
        self.0.read_at(offset, room)
    }
}

impl Files for Disk {
    type File = Bytes;
    type Error = ();

    fn open(&mut self, path: &CStr) -> Result<(Bytes, Status), ()> {
        let (bytes, mode) = self.files.get(path).filter(|(_, mode)| mode & 0o400 != 0).ok_or(())?;
        Ok((Bytes(bytes.clone()), Status { mode: *mode, flags: 0, ..Status::default() }))
    }

    fn status(&mut self, path: &CStr, (): &()) -> Option<Status> {
        self.files.get(path).map(|(_, mode)| Status { mode: *mode, flags: 0, ..Status::default() })
    }

    fn saw(&mut self, seen: Seen<'_>) {
        self.seen.push(seen.path.to_owned());
    }
}

impl Disk {
    fn with(mut self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = CString::new(path).expect("no NUL");
        self.files.insert(path, (bytes.as_ref().to_vec(), MODE));
        self
    }

    fn follow(mut self, host: Host, around_env: Option<&[u8]>) -> (Option<Coverage>, String) {
        let coverage = follow(&mut self, host, c"/s", around_env).expect("a file");
        let seen: Vec<_> = self.seen.iter().map(|it| it.to_str().expect("text")).collect();
        (coverage, seen.join(" "))
    }
}

#[test]
fn a_script_is_covered_as_its_interpreter_is() {
    let (full, static_program) = (elf(62, &[3]), elf(62, &[1]));
    let linux = |interpreter: &[u8]| {
        Disk::default().with("/s", "#!/i -x\necho").with("/i", interpreter).follow(LINUX, None)
    };
    assert_eq!(linux(&full), (Some(Coverage::Full), "/s /i".to_owned()));
    assert_eq!(linux(&static_program), (Some(Coverage::Static), "/s /i".to_owned()));
    assert_eq!(linux(b"text"), (None, "/s /i".to_owned()));
    assert_eq!(Disk::default().with("/s", "#!/i\n").follow(LINUX, None), (None, "/s".into()));
    assert_eq!(follow(&mut Disk::default(), LINUX, c"/s", None), Err(()));
}

#[test]
fn scripts_of_scripts_are_followed_as_far_as_the_kernel_does() {
    let chain = || {
        let machine = Disk::default().with("/s", "#!/1\n").with("/1", "#!/2\n");
        machine.with("/2", "#!/3\n").with("/4", elf(62, &[3]))
    };
    let ends = |machine: Disk, host| machine.follow(host, None);
    let (coverage, seen) = ends(chain().with("/3", "#!/4\n"), LINUX);
    assert_eq!((coverage, &*seen), (Some(Coverage::Full), "/s /1 /2 /3 /4"));
    let (coverage, seen) = ends(chain().with("/3", "#!/s\n"), LINUX);
    assert_eq!((coverage, &*seen), (None, "/s /1 /2 /3 /s"));
    let (coverage, seen) = ends(chain(), ARM_MAC);
    assert_eq!((coverage, &*seen), (None, "/s /1"));
    let mac = Disk::default().with("/s", "#!/i").with("/i", plain(ARM64));
    assert_eq!(ends(mac, ARM_MAC), (Some(Coverage::Full), "/s /i".to_owned()));
}

#[test]
fn the_program_behind_env_is_looked_up_in_path() {
    let machine = || {
        let mut machine = Disk::default()
            .with("/s", "#!/usr/bin/env node\n")
            .with("/usr/bin/env", plain(ARM64E))
            .with("/a/node", "not to be executed")
            .with("/b/node", plain(ARM64))
            .with("node", plain(ARM64E));
        machine.files.get_mut(c"/a/node").expect("a file").1 = 0o100_644;
        machine
    };
    let follow = |around_env| machine().follow(ARM_MAC, around_env);
    assert_eq!(follow(None), (Some(Coverage::Sip), "/s /usr/bin/env".to_owned()));
    assert_eq!(follow(Some(b"/none:/a:/b")), (Some(Coverage::Full), "/s /b/node".to_owned()));
    assert_eq!(follow(Some(b"/none::/b")), (Some(Coverage::Arm64e), "/s node".to_owned()));
    assert_eq!(follow(Some(b"/none")), (None, "/s".to_owned()));
    let long = [b"/".repeat(600), b":/b".to_vec()].concat();
    assert_eq!(follow(Some(&long)), (Some(Coverage::Full), "/s /b/node".to_owned()));
}

#[test]
fn a_program_that_cannot_be_read_is_judged_by_its_status() {
    let follow = |host, path: &CStr, mode| {
        let mut disk = Disk::default().with(path.to_str().expect("text"), "");
        disk.files.get_mut(path).expect("a file").1 = mode;
        follow(&mut disk, host, path, None)
    };
    for host in HOSTS {
        assert_eq!(follow(host, c"/opt/sudo", 0o104_111), Ok(Some(Coverage::Setuid)));
        assert_eq!(follow(host, c"/opt/x", 0o100_111), Err(()));
        let protected = (host.os == Os::MacOs).then_some(Coverage::Sip);
        assert_eq!(follow(host, c"/usr/bin/x", 0o100_111), protected.map(Some).ok_or(()));
    }
}
