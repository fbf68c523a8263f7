//! What Linux tells about processes, in `/proc` (proc(5)) and by calls.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{FromRawFd as _, OwnedFd};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::{UNKNOWN, is_there};

/// A descriptor that becomes readable when the process is gone; `None` where the
/// system has no such thing.
pub fn handle(process: Pid) -> Option<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0) };
    let descriptor = i32::try_from(descriptor).ok().filter(|descriptor| *descriptor >= 0)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Enough for `/proc/PID/stat` and the like.
const STATUS_BYTES: usize = 2048;

/// `/proc/PID/stat` (`proc_pid_stat(5)`), read in one call.
pub fn status(process: i32) -> io::Result<String> {
    // A name, and some fifty numbers.
    let mut room = [0; STATUS_BYTES];
    Ok(String::from_utf8_lossy(short(process, "stat", &mut room)?).into_owned())
}

/// A value of `/proc/PID/status` (`proc_pid_status(5)`), of those that stand before the groups, of
/// which there may be many. The name of the process, which comes first, may be no UTF-8.
pub fn status_value(process: i32, name: &str) -> Option<String> {
    let mut room = [0; STATUS_BYTES];
    let text = String::from_utf8_lossy(short(process, "status", &mut room).ok()?);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// A file that the system has about a process and that fits into `room`, read in one call.
///
/// # Errors
/// As `open(2)` and `read(2)`.
pub fn short<'r>(process: i32, name: &str, room: &'r mut [u8]) -> io::Result<&'r [u8]> {
    let length = File::open(format!("/proc/{process}/{name}"))?.read(room)?;
    Ok(&room[..length])
}

/// The parent of a process; `None` where it is gone.
pub fn parent(process: i32) -> Option<i32> {
    let status = status(process).ok()?;
    // The name before it may itself contain parentheses and blanks.
    status.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Gives the environment that each process was started with, as far as this user may see it.
pub fn each_environment(mut take: impl FnMut(i32, Vec<&[u8]>)) {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        if let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) {
            take(pid, environment.split(|byte| *byte == 0).collect());
        }
    }
}

/// The environment that a process was started with, with a NUL behind each entry; `None` where
/// this user may not see it.
pub fn environment(process: i32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{process}/environ")).ok()
}

/// The words that a process was started with, as far as this user may see them.
pub fn words(process: i32) -> Vec<Vec<u8>> {
    let all = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    all.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

pub fn has_loaded(process: i32) -> bool {
    let maps = fs::read(format!("/proc/{process}/maps")).unwrap_or_default();
    String::from_utf8_lossy(&maps).contains("/librampart.so")
}

/// Whether a process is in a sealed run: a keeper is among its ancestors.
pub fn is_sealed(process: i32) -> bool {
    let is_keeper = |process: &i32| {
        let name = fs::read_to_string(format!("/proc/{process}/comm"));
        name.is_ok_and(|name| name.trim_end() == "rampart-keeper")
    };
    std::iter::successors(Some(process), |process| parent(*process).filter(|it| *it > 1))
        .any(|process| is_keeper(&process))
}

/// `USER_HZ` (time(7)), the same on all of Rust's Linux architectures.
const TICKS_A_SECOND: u64 = 100;

/// Now, in the units of [`started`].
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(std::time::Duration::ZERO, Into::into);
    time.as_secs() * TICKS_A_SECOND + u64::from(time.subsec_millis()) * TICKS_A_SECOND / 1000
}

/// When a process was started, in ticks since boot. `None` if it is gone or a zombie.
pub fn started(process: Pid) -> Option<u64> {
    /// Field 22 of `proc_pid_stat(5)`, counted from field 3, the first after the name.
    const START: usize = 19;
    let Ok(status) = status(process.as_raw()) else {
        // Other users' processes may be hidden (`hidepid`, proc(5)).
        return is_there(process).then_some(UNKNOWN);
    };
    let (_, fields) = status.rsplit_once(") ")?;
    if fields.starts_with(['Z', 'X']) {
        return None;
    }
    fields.split(' ').nth(START)?.parse().ok()
}
