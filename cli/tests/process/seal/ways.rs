//! All ways in which a static program can start another.

use std::process::Command;

use super::{Sealed, text};
use crate::world::{finished, stderr, stdout};

pub const STARTS: &str = include_str!("starts.c");

/// The ways, and how a refusal looks.
const WAYS: &[(&str, i32, &str)] = &[
    ("execve", 1, "EPERM\n"),
    ("execv", 1, "EPERM\n"),
    ("execvp", 1, "EPERM\n"),
    ("no-environment", 1, "EPERM\n"),
    ("no-arguments", 1, "EPERM\n"),
    ("other-name", 1, "EPERM\n"),
    ("relative", 1, "EPERM\n"),
    ("fexecve", 1, "EPERM\n"),
    ("execveat-empty", 1, "EPERM\n"),
    ("execveat-directory", 1, "EPERM\n"),
    ("proc-fd", 1, "EPERM\n"),
    ("dev-fd", 1, "EPERM\n"),
    ("vfork", 1, "EPERM\n"),
    ("fork", 1, "EPERM\n"),
    ("posix_spawn", 1, "EPERM\n"),
    ("posix_spawnp", 1, "EPERM\n"),
    ("system", 126, ""),
    ("popen", 126, ""),
    ("thread", 1, "EPERM\n"),
    ("raw", 1, "EPERM\n"),
    ("int80", 1, "EPERM\n"),
];

#[test]
fn what_a_static_program_starts_is_asked_about_in_whatever_way_it_does() {
    let sealed = Sealed::new();
    let starts = sealed.compiled("starts", STARTS);
    for (way, status, said) in WAYS {
        let path = |name: &str| sealed.0.path("bin").join(name);
        let permitted = path("permitted");
        let words = [text(&starts), way, text(&permitted), "one"];
        let mut bare = Command::new(&starts);
        bare.args(&words[1..]).env("PATH", sealed.0.path("bin"));
        finished(&mut bare);
        // Some ways need 32-bit support in the kernel, or this processor.
        if !sealed.ran("permitted") {
            assert!(["int80", "raw"].contains(way), "{way}");
            continue;
        }
        let allowed = sealed.run(&words);
        assert_eq!(allowed.status.code(), Some(0), "{way}: {}", stderr(&allowed));
        assert!(sealed.ran("permitted"), "{way}");

        let forbidden = path("forbidden");
        let denied = sealed.run(&[text(&starts), way, text(&forbidden), "one"]);
        assert!(!sealed.ran("forbidden"), "{way}");
        // There the C library has its own words for it.
        let status_is_right = denied.status.code() == Some(*status) || *way == "popen";
        assert!(status_is_right, "{way}: {denied:?}");
        if *way != "popen" {
            assert_eq!(stdout(&denied), *said, "{way}");
        }
    }
}

#[test]
fn a_file_without_a_name_is_asked_about_by_the_kernels_name_for_it() {
    let sealed = Sealed::new();
    let starts = sealed.compiled("starts", STARTS);
    let permitted = sealed.0.path("bin/permitted");
    let denied = sealed.run(&[text(&starts), "memory", text(&permitted)]);
    assert_eq!(stdout(&denied), "EPERM\n");
    assert!(!sealed.ran("permitted"));
    let policy = super::POLICY.replace(", \"*/memfd:*\"", "");
    sealed.0.write("p.yaml", &policy);
    sealed.run(&[text(&starts), "memory", text(&permitted)]);
    assert!(sealed.ran("permitted"));
}
