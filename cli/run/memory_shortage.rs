//! Whom the kernel ends where memory is short (`proc_pid_oom_score_adj(5)`): it takes the largest, and
//! in a small memory group that would be the run's server or keeper. Each adjustment is in thousandths
//! of the memory that there is.

use std::fs;
use std::io;

/// `OOM_SCORE_ADJ_MIN` (linux/oom.h)
const LEAST: i32 = -1000;
const FILE: &str = "/proc/self/oom_score_adj";
/// For the processes of the guard, where that is allowed (`CAP_SYS_RESOURCE`).
const GUARD: i32 = -500;
/// Else for the command, and all that it starts: as much as browsers give to their pages.
const COMMAND: i32 = 300;

/// Called in a process of the guard.
pub fn outlive_others() {
    let _ = own().and_then(|own| set((own + GUARD).max(LEAST)));
}

/// Called in the process that becomes the command.
pub fn go_before_guard() {
    let Ok(own) = own() else { return };
    // Whoever may do this has spared the guard.
    let _ = if set(own - 1).is_ok() { set(own) } else { set(own + COMMAND) };
}

fn own() -> io::Result<i32> {
    fs::read_to_string(FILE)?.trim().parse().map_err(io::Error::other)
}

fn set(adjustment: i32) -> io::Result<()> {
    fs::write(FILE, adjustment.to_string())
}
