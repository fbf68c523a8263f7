//! What a process pays for being guarded before it does anything: nothing is made that it may
//! never need.

use std::fs;

use scripted_server::Server;

use crate::support::{Run, Sandbox, is_for_linux_alone, library};

#[test]
fn a_process_that_forks_nothing_shares_no_memory_for_the_count_of_what_it_missed() {
    if is_for_linux_alone("mappings are read from /proc") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let shared = |words: &[&str]| {
        let run = Run::guarded(&sandbox, &server.url, words).env("RAMPART_NOTICE", "1");
        let finished = run.finish().success();
        assert!(finished.stdout.contains("/librampart.so"), "{finished:#?}");
        finished.stdout.lines().filter(|line| line.contains(" rw-s ")).count()
    };
    assert_eq!(shared(&["cat", "/proc/self/maps"]), 0);
    // A shell that starts one program after the other forks for the first of them. It reads the
    // file itself.
    let script = "true; while read -r line; do echo \"$line\"; done </proc/self/maps";
    assert_eq!(shared(&["bash", "-c", script]), 0, "bash's true forks nothing");
    let script = format!("{} x; {}", sandbox.text("bin/tool"), &script[6..]);
    assert_eq!(shared(&["bash", "-c", &script]), 1);
}

const PAGE_BYTES: u64 = 4096;
/// Type and flag of a segment (elf(5)).
const LOAD: u32 = 1;
const WRITABLE: u32 = 2;

#[test]
fn what_is_zero_at_load_shares_a_page_with_what_is_not() {
    if is_for_linux_alone("it is about ELF") {
        return;
    }
    let file = fs::read(library()).expect("the library");
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    // `Elf64_Ehdr` and `Elf64_Phdr` (elf(5)).
    let first = usize::try_from(word(32)).expect("an offset");
    let count = usize::from(u16::from_le_bytes([file[56], file[57]]));
    let writable: Vec<(u64, u64)> = (0..count)
        .map(|at| first + at * 56)
        .filter(|at| half(*at) == LOAD && half(at + 4) & WRITABLE != 0)
        .map(|at| (word(at + 16) + word(at + 32), word(at + 16) + word(at + 40)))
        .collect();
    let [(in_file, in_memory)] = writable[..] else { panic!("{writable:x?}") };
    assert_ne!(in_file % PAGE_BYTES, 0, "the zeroed data have a mapping of their own");
    assert_eq!(in_file / PAGE_BYTES, (in_memory - 1) / PAGE_BYTES, "and a page of their own");
}
