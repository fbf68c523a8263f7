//! The library's file: exports, dependencies, segments.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::{is_for_linux_alone, library};

/// Why these tests are for ELF files only.
const INSPECTED: &str = "ci/macos_inspect.py reads macOS's library";

const OLDEST_GLIBC: (u32, u32) = (2, 34);

/// The output of a binutils program for the library.
pub fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).arg(library()).env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|why| panic!("{program} (binutils) is needed: {why}"));
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).expect("ASCII")
}

/// The functions in the table of hooks.
fn listed() -> BTreeSet<String> {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("platform/linux/table.rs");
    let text = std::fs::read_to_string(table).expect("the table of hooks");
    let (_, from_the_first) = text.split_once("\nmacro_rules! table {").expect("the table begins");
    let names = from_the_first.lines().filter_map(|line| {
        let line = line.strip_prefix("    ")?.trim_start();
        Some(line.strip_prefix("fn ")?.split_once('(')?.0.to_owned())
    });
    names.collect()
}

#[test]
fn exactly_the_functions_of_the_table_are_exported() {
    if is_for_linux_alone(INSPECTED) {
        return;
    }
    let symbols = output("nm", &["-D", "--defined-only"]);
    let exported = symbols.lines().map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        assert_eq!(fields.next(), Some("T"), "{line}: a function");
        fields.next().expect("a name").to_owned()
    });
    let listed = listed();
    assert!(listed.len() >= 17, "{listed:?}");
    assert_eq!(exported.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn the_c_library_is_all_that_is_needed() {
    if is_for_linux_alone(INSPECTED) {
        return;
    }
    let dynamic = output("readelf", &["--dynamic", "--wide"]);
    let needed: Vec<&str> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert_eq!(needed.len(), 1, "{needed:?}");
    assert!(needed[0].ends_with("[libc.so.6]"), "{needed:?}");
    assert!(!dynamic.contains("TEXTREL"), "{dynamic}");
    assert!(!dynamic.contains("PATH)"), "no RPATH or RUNPATH: {dynamic}");
}

#[test]
fn no_symbol_is_younger_than_the_oldest_glibc_that_is_supported() {
    if is_for_linux_alone(INSPECTED) {
        return;
    }
    let versions = output("readelf", &["--version-info", "--wide"]);
    let mut seen = 0;
    for name in versions.split_whitespace().filter_map(|word| word.strip_prefix("GLIBC_")) {
        let mut numbers = name.split('.').map(|number| number.parse().expect("a number"));
        let version = (numbers.next().expect("major"), numbers.next().expect("minor"));
        assert!(version <= OLDEST_GLIBC, "GLIBC_{name}");
        seen += 1;
    }
    assert!(seen > 0, "{versions}");
}

#[test]
fn no_part_of_it_is_writable_and_executable_and_it_has_no_thread_locals() {
    if is_for_linux_alone(INSPECTED) {
        return;
    }
    let segments = output("readelf", &["--segments", "--wide"]);
    let stack = segments.lines().find(|line| line.contains("GNU_STACK")).expect("a stack header");
    assert!(stack.contains(" RW ") && !stack.contains('E'), "{stack}");
    assert!(!segments.contains(" RWE "), "{segments}");
    assert!(!segments.contains(" TLS "), "{segments}");
}

#[test]
fn no_panic_can_be_reached() {
    // With this feature the panic handler calls an undefined function: the library links only if
    // the linker found the handler unreachable.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panic-gate");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", "preload", "--package", "librampart"])
        .args(["--features", "panic-gate", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}
