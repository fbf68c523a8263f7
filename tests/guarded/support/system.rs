//! Which system the library under test is for: a choice of the run, so that one body of tests
//! serves Linux, a Mac, and macOS's library under `tests/minidyld`.

use std::env;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::thread;

/// Names the directory that `ci/macos-run` has put the harness into.
const HARNESS: &str = "RAMPART_TEST_MINIDYLD";

/// A system that a library was built for, and what it runs on here.
#[derive(Debug, PartialEq, Eq)]
pub enum System {
    Linux,
    /// Linux, where a miniature dyld loads macOS's library.
    Emulated {
        /// Where the miniature dyld is, for each processor.
        harness: PathBuf,
    },
    Mac,
}

static HERE: LazyLock<System> = LazyLock::new(|| match env::var_os(HARNESS).map(PathBuf::from) {
    _ if cfg!(target_os = "macos") => System::Mac,
    Some(harness) => System::Emulated { harness },
    None => System::Linux,
});

impl System {
    /// The one that the tests run for.
    pub fn here() -> &'static Self {
        &HERE
    }

    /// Whether it is macOS's library that is tested.
    pub fn is_macos() -> bool {
        *Self::here() != Self::Linux
    }

    /// The miniature dyld, as a library for the linker and for `LD_PRELOAD`, where it is used.
    pub fn loader(&self, is_for_arm64: bool) -> Option<PathBuf> {
        let Self::Emulated { harness } = self else { return None };
        let processor = if is_for_arm64 { "arm64" } else { "x86_64" };
        Some(harness.join(processor).join("libminidyld.so"))
    }
}

/// The variable that names libraries to the loader.
pub fn preload_variable() -> &'static str {
    if System::is_macos() { "DYLD_INSERT_LIBRARIES" } else { "LD_PRELOAD" }
}

/// Whether a test is for Linux alone, and this is not Linux: then it is said why.
#[must_use]
pub fn is_for_linux_alone(why: &str) -> bool {
    System::is_macos() && is_left_out("macOS", why)
}

/// Whether a test needs what only Linux's kernel can show, and this is a Mac: then it is said.
#[must_use]
pub fn needs_linux_beneath(why: &str) -> bool {
    *System::here() == System::Mac && is_left_out("a Mac", why)
}

/// Whether a test is for macOS alone, and this is Linux.
#[must_use]
pub fn is_for_macos_alone() -> bool {
    !System::is_macos() && is_left_out("Linux", "it is about macOS")
}

/// Whether a test needs what only a Mac can show, and this is none: then it is said why.
#[must_use]
pub fn needs_a_mac(why: &str) -> bool {
    is_for_macos_alone() || needs_a_mac_or_linux(why)
}

/// Whether a test cannot be done under the miniature dyld: then it is said why.
#[must_use]
pub fn needs_a_mac_or_linux(why: &str) -> bool {
    matches!(System::here(), System::Emulated { .. }) && is_left_out("minidyld", why)
}

/// Says that a test is left out on a `system`, and why.
#[must_use]
pub fn is_left_out(system: &str, why: &str) -> bool {
    // `ci/macos-run` makes a list of these lines.
    println!("left out on {system}: {}: {why}", thread::current().name().unwrap_or("a test"));
    true
}
