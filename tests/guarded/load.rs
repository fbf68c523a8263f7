//! What each guarded process pays at load: nothing is made that it may never need.

use scripted_server::Server;

use crate::exports::output;
use crate::support::{Run, Sandbox, is_for_linux_alone};

#[test]
fn memory_for_the_count_of_missed_checks_is_shared_at_the_first_fork_only() {
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
    // The shell reads the file itself, after it has forked for a program or not.
    let script = "true; while read -r line; do echo \"$line\"; done </proc/self/maps";
    assert_eq!(shared(&["bash", "-c", script]), 0, "bash's true forks nothing");
    let script = format!("{} x; {}", sandbox.text("bin/tool"), &script[6..]);
    assert_eq!(shared(&["bash", "-c", &script]), 1);
}

/// The address of a section of the library.
fn address(name: &str) -> u64 {
    let sections = output("readelf", &["--sections", "--wide"]);
    let mut words = sections.split_whitespace().skip_while(|word| *word != name);
    let address = words.nth(2).unwrap_or_else(|| panic!("{name}: {sections}"));
    u64::from_str_radix(address, 16).expect("an address")
}

#[test]
fn code_and_constants_that_are_used_at_load_are_adjacent() {
    /// At a page fault the kernel maps the 64 KiB around it (`fault_around_bytes`).
    const AT_ONCE: u64 = 64 * 1024;
    if is_for_linux_alone("it is about ELF") {
        return;
    }
    let order = [".rela.dyn", ".rodata", ".text.at_load", ".text", ".text.rarely"].map(address);
    assert!(order.is_sorted(), "{order:x?}");
    let [.., begin, end, _] = order;
    assert!((AT_ONCE / 4..AT_ONCE / 2).contains(&(end - begin)), "{order:x?}");
}

/// A mapping of the library in a process.
#[derive(Debug, PartialEq)]
struct Mapping {
    rights: String,
    begin: u64,
    end: u64,
}

/// The library's mappings in a process with this mode.
fn mappings(mode: &str) -> Vec<Mapping> {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    let run = Run::guarded(&sandbox, &server.url, &["cat", "/proc/self/maps"]);
    let finished = run.env("RAMPART_MODE", mode).finish().success();
    let ours = finished.stdout.lines().filter(|line| line.ends_with("/librampart.so"));
    let mut mappings: Vec<Mapping> = ours
        .map(|line| {
            let (range, rest) = line.split_once(' ').expect("a range");
            let (begin, end) = range.split_once('-').expect("two addresses");
            let address = |text| u64::from_str_radix(text, 16).expect("an address");
            let (begin, end) = (address(begin), address(end));
            Mapping { rights: rest[..4].to_owned(), begin, end }
        })
        .collect();
    let base = mappings[0].begin;
    for mapping in &mut mappings {
        mapping.begin -= base;
        mapping.end -= base;
    }
    mappings
}

#[test]
fn data_that_is_not_written_to_after_load_is_one_read_only_page() {
    if is_for_linux_alone("it is about ELF") {
        return;
    }
    for mode in ["enforce", "disabled"] {
        let mappings = mappings(mode);
        let [text, mutable, constant] = &mappings[..] else { panic!("{mappings:x?}") };
        assert_eq!(
            [&*text.rights, &*mutable.rights, &*constant.rights],
            ["r-xp", "rw-p", "r--p"],
            "{mappings:x?}"
        );
        for name in [".init_array", ".data.rel.ro", ".dynamic", ".got", ".at_load"] {
            let address = address(name);
            assert!((constant.begin..constant.end).contains(&address), "{name}: {address:x}");
        }
        // More than one page would need another mapping.
        // SAFETY: takes no pointer.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        assert_eq!(i64::try_from(constant.end - constant.begin), Ok(page), "{mappings:x?}");
    }
}

#[test]
fn settings_that_do_not_fit_in_that_page_get_a_read_only_mapping() {
    if is_for_linux_alone("mappings are read from /proc") {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    // Anonymous mappings.
    let unnamed = |agent: &str| {
        let run = Run::guarded(&sandbox, &server.url, &["cat", "/proc/self/maps"]);
        let finished = run.env("RAMPART_AGENT", agent).finish().success();
        finished
            .stdout
            .lines()
            .filter(|line| line.contains(" r--p ") && line.ends_with(" 0 "))
            .count()
    };
    let long = "a".repeat(4000);
    assert_eq!(unnamed(&long), unnamed("short") + 1);
    let run = Run::guarded(&sandbox, &server.url, &["sh", "-c", "curl x"]);
    run.env("RAMPART_AGENT", &long).finish().success();
    assert_eq!(sandbox.take_marks(), ["curl x"]);
    let questions = server.take_requests();
    assert_eq!(questions.iter().map(|it| it.json()["agent"] == *long).collect::<Vec<_>>(), [true]);
}
