//! Starts a program with the library preloaded, to see whether the loader loads it.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rampart_core::coverage::Coverage;

use super::Check;
use crate::home::Home;
use crate::library;
use crate::program::coverage_of;
use crate::run::environment::{PRELOAD, is_guarded};

/// Far longer than a program that does nothing needs.
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
/// What the library writes when it is loaded and `RAMPART_DEBUG` is set.
const LOADED: &str = "[rampart] loaded";
const LONGEST_OUTPUT_BYTES: u64 = 16 << 10;

/// Whether the loader loads the library; `None` if there is no library, which another check
/// reports.
pub fn check(home: &Home) -> Option<Check> {
    let library = library::find(home).ok().filter(|path| library::can_be_listed(path))?;
    if is_guarded() {
        // What is started from here gets the settings of this run, and would be silent.
        let text = "this process is guarded, and so is what it starts";
        return Some(Check::ok("loader", text));
    }
    Some(match try_out(&library) {
        Ok(said) if said.contains(LOADED) => {
            Check::ok("loader", format!("loads the library by {PRELOAD}"))
        }
        Ok(said) => {
            let text =
                format!("a program that was started with {PRELOAD} did not load the library");
            let said = said.lines().next().unwrap_or("nothing");
            Check::problem("loader", text, format!("it said: {said}"))
        }
        Err(error) => {
            let text = format!("cannot try whether it loads the library: {error}");
            Check::problem("loader", text, "run `rampart doctor` where programs can be started")
        }
    })
}

/// What a program with the library preloaded writes to stderr.
fn try_out(library: &Path) -> io::Result<String> {
    let program = std::env::current_exe()?;
    // This program with `--version`; if it is static, `cat`, which ends at once without input.
    let is_loaded = coverage_of(program.as_os_str()) == Some(Coverage::Full);
    let mut command = if is_loaded { Command::new(program) } else { Command::new("/bin/cat") };
    let mut child = command
        .args(is_loaded.then_some("--version"))
        .env(PRELOAD, library)
        .env("RAMPART_DEBUG", "1")
        .env("RAMPART_MODE", "monitor")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > TIMEOUT {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("the program that was started does not end"));
        }
        std::thread::sleep(PAUSE);
    }
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(LONGEST_OUTPUT_BYTES).read_to_end(&mut said)?;
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}
