//! The system that the library under test is for: the same tests serve Linux, a Mac, and the macOS
//! library on Linux under `tests/minidyld`.

use std::env;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::thread;

/// The variable by which `ci/macos-run` names the directory of minidyld.
const HARNESS: &str = "RAMPART_TEST_MINIDYLD";

/// The system that the library was built for, and how it runs here.
#[derive(Debug, PartialEq, Eq)]
pub enum System {
    Linux,
    /// macOS, on Linux: minidyld loads the library.
    Emulated {
        /// The directory with a minidyld for each processor.
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
    /// The system of this run.
    pub fn here() -> &'static Self {
        &HERE
    }

    /// Whether the macOS library is tested.
    pub fn is_macos() -> bool {
        *Self::here() != Self::Linux
    }

    /// The minidyld of this run, if there is one: a library for the linker and for `LD_PRELOAD`.
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

/// Whether a test is to be left out because it is for Linux only; if so, says why.
#[must_use]
pub fn is_for_linux_alone(why: &str) -> bool {
    System::is_macos() && is_left_out("macOS", why)
}

/// Whether a test is to be left out because it needs Linux's kernel; if so, says why.
#[must_use]
pub fn needs_linux_beneath(why: &str) -> bool {
    *System::here() == System::Mac && is_left_out("a Mac", why)
}

/// Whether a test is to be left out because it is for macOS only.
#[must_use]
pub fn is_for_macos_alone() -> bool {
    !System::is_macos() && is_left_out("Linux", "it is about macOS")
}

/// Whether a test is to be left out because it needs a Mac; if so, says why.
#[must_use]
pub fn needs_a_mac(why: &str) -> bool {
    is_for_macos_alone() || needs_a_mac_or_linux(why)
}

/// Whether a test is to be left out because it does not work under minidyld; if so, says why.
#[must_use]
pub fn needs_a_mac_or_linux(why: &str) -> bool {
    matches!(System::here(), System::Emulated { .. }) && is_left_out("minidyld", why)
}

/// Says that a test is left out on a `system`, and why.
#[must_use]
pub fn is_left_out(system: &str, why: &str) -> bool {
    // `ci/macos-run` collects these lines.
    println!("left out on {system}: {}: {why}", thread::current().name().unwrap_or("a test"));
    true
}
