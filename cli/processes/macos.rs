//! What macOS tells about processes.

use std::os::fd::OwnedFd;

use nix::unistd::Pid;

use super::argument_area::{environment_in, words_in};
use super::{UNKNOWN, is_there};

/// `ARG_MAX` (`sys/syslimits.h`)
const LARGEST_AREA: usize = 1024 * 1024;

/// Always `None`: macOS has no such descriptor. (A kqueue is lost in a forked child.)
pub fn handle(_process: Pid) -> Option<OwnedFd> {
    None
}

/// What the system tells about a process, if anything.
pub fn facts(process: i32) -> Option<libc::proc_bsdinfo> {
    let mut facts = std::mem::MaybeUninit::<libc::proc_bsdinfo>::uninit();
    let size = i32::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
    let room = facts.as_mut_ptr().cast();
    // SAFETY: the buffer has that many bytes.
    let filled = unsafe { libc::proc_pidinfo(process, libc::PROC_PIDTBSDINFO, 0, room, size) };
    // SAFETY: all of it was filled in.
    (filled == size).then(|| unsafe { facts.assume_init() })
}

/// The parent of a process; `None` where it is gone.
pub fn parent(process: i32) -> Option<i32> {
    facts(process)?.pbi_ppid.try_into().ok()
}

/// Gives the environment that each process was started with, as far as this user may see it.
pub fn each_environment(mut take: impl FnMut(i32, Vec<&[u8]>)) {
    let mut room = vec![0; LARGEST_AREA];
    for pid in all().into_iter().filter(|pid| *pid > 0) {
        if let Some(environment) = argument_area(pid, &mut room).and_then(environment_in) {
            take(pid, environment.collect());
        }
    }
}

/// The environment that a process was started with, with a NUL behind each entry; `None` where
/// this user may not see it.
pub fn environment(process: i32) -> Option<Vec<u8>> {
    let mut room = vec![0; LARGEST_AREA];
    let entries = argument_area(process, &mut room).and_then(environment_in)?;
    Some(entries.collect::<Vec<_>>().join(&0))
}

/// The words that a process was started with, as far as this user may see them.
pub fn words(process: i32) -> Vec<Vec<u8>> {
    let mut room = vec![0; LARGEST_AREA];
    let words = argument_area(process, &mut room).and_then(words_in);
    words.map_or_else(Vec::new, |words| words.map(<[u8]>::to_vec).collect())
}

pub fn has_loaded(_process: i32) -> bool {
    false
}

/// There are no sealed runs on this system.
pub fn is_sealed(_process: i32) -> bool {
    false
}

/// Now, in the units of [`started`].
pub fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// When a process was started, in seconds since the epoch. `None` if it is gone.
pub fn started(process: Pid) -> Option<u64> {
    match facts(process.as_raw()) {
        Some(found) => Some(found.pbi_start_tvsec),
        // The system does not tell about every process.
        None => is_there(process).then_some(UNKNOWN),
    }
}

/// The IDs of all processes.
fn all() -> Vec<i32> {
    /// Room for processes started between the two calls.
    const NEWCOMERS: usize = 64;
    // SAFETY: without a buffer the call only counts.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let mut pids = vec![0; usize::try_from(count).unwrap_or(0) + NEWCOMERS];
    let bytes = i32::try_from(size_of_val(&pids[..])).unwrap_or(i32::MAX);
    // SAFETY: the buffer has that many bytes.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), bytes) };
    pids.truncate(usize::try_from(count).unwrap_or(0));
    pids
}

/// The kernel's copy of a process's arguments and environment (`KERN_PROCARGS2`, sys/sysctl.h).
fn argument_area(pid: i32, room: &mut [u8]) -> Option<&[u8]> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let mut length = room.len();
    let (start, nothing) = (room.as_mut_ptr().cast(), std::ptr::null_mut());
    // SAFETY: the name has three elements, and the buffer that many bytes.
    let status = unsafe { libc::sysctl(name.as_mut_ptr(), 3, start, &raw mut length, nothing, 0) };
    room.get(..length).filter(|_| status == 0)
}
