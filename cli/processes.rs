//! Processes of this machine: which there are, what the system tells about them, when one ends.

#[cfg(target_os = "linux")]
use std::cell::RefCell;
#[cfg(target_os = "linux")]
use std::collections::HashSet;
use std::os::fd::OwnedFd;

use nix::unistd::Pid;
use rampart_core::host::Os;

/// A descriptor that becomes readable when the process is gone; `None` where the
/// system has no such thing.
#[cfg(target_os = "linux")]
pub fn handle(process: Pid) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd as _;

    // SAFETY: the call takes two integers and touches no memory of ours.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0) };
    let descriptor = i32::try_from(descriptor).ok().filter(|descriptor| *descriptor >= 0)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The start time of a process that is there, where the system does not tell it.
pub const UNKNOWN: u64 = 0;

/// How to recognise the processes of a tree.
pub struct Marks {
    /// An entry in the environment of all of them.
    entry: Vec<u8>,
    /// When the root was started.
    pub since: u64,
    /// The root's control groups, as in `/proc/PID/cgroup`.
    #[cfg(target_os = "linux")]
    groups: Vec<u8>,
    /// Whether the root's process group is one of this PID namespace.
    #[cfg(target_os = "linux")]
    is_grouped: bool,
    /// Processes known to be older than the tree, with the inode of their directory in `/proc`, which
    /// no later process has. Looking up a start time costs more than the rest of a search.
    #[cfg(target_os = "linux")]
    elders: RefCell<HashSet<(i32, u64)>>,
}

impl Marks {
    /// The marks of the tree with this root.
    pub fn new(root: Pid, entry: Vec<u8>) -> Self {
        Self {
            entry,
            since: started(root).unwrap_or(0),
            #[cfg(target_os = "linux")]
            groups: read_whole(root, "cgroup", &mut Vec::with_capacity(STATUS_BYTES))
                .map_or_else(|_| Vec::new(), <[u8]>::to_vec),
            #[cfg(target_os = "linux")]
            is_grouped: is_grouped(root),
            #[cfg(target_os = "linux")]
            elders: RefCell::default(),
        }
    }

    /// Whether a process, whose directory in `/proc` has this inode, lives and is not older than the
    /// tree.
    #[cfg(target_os = "linux")]
    fn may_have(&self, process: Pid, inode: u64) -> bool {
        // Groups are inherited, or are those of a process of the tree. Threads of the kernel have
        // none.
        if self.is_grouped && !is_grouped(process) {
            return false;
        }
        let mut elders = self.elders.borrow_mut();
        if elders.contains(&(process.as_raw(), inode)) {
            return false;
        }
        match started(process) {
            Some(start) if start < self.since => {
                if inode != NO_INODE {
                    elders.insert((process.as_raw(), inode));
                }
                false
            }
            start => start.is_some(),
        }
    }
}

/// What `/proc` gives in place of an inode when it lacks memory (`proc_fill_cache`, fs/proc/base.c).
#[cfg(target_os = "linux")]
const NO_INODE: u64 = 1;

/// Whether the process's group is one of this PID namespace, as far as can be told.
#[cfg(target_os = "linux")]
fn is_grouped(process: Pid) -> bool {
    nix::unistd::getpgid(Some(process)) != Ok(Pid::from_raw(0))
}

/// `/proc/PID/stat` (`proc_pid_stat(5)`), read in one call.
#[cfg(target_os = "linux")]
pub fn status(process: i32) -> std::io::Result<String> {
    // A name, and some fifty numbers.
    let mut room = [0; STATUS_BYTES];
    Ok(String::from_utf8_lossy(short(process, "stat", &mut room)?).into_owned())
}

/// Enough for `/proc/PID/stat` and the like.
#[cfg(target_os = "linux")]
const STATUS_BYTES: usize = 2048;

/// A file that the system has about a process and that fits into `room`, read in one call.
///
/// # Errors
/// As `open(2)` and `read(2)`.
#[cfg(target_os = "linux")]
pub fn short<'r>(process: i32, name: &str, room: &'r mut [u8]) -> std::io::Result<&'r [u8]> {
    use std::io::Read as _;

    let length = std::fs::File::open(format!("/proc/{process}/{name}"))?.read(room)?;
    Ok(&room[..length])
}

/// The parent of a process; `None` where it is gone.
#[cfg(target_os = "linux")]
pub fn parent(process: i32) -> Option<i32> {
    let status = status(process).ok()?;
    // The name before it may itself contain parentheses and blanks.
    status.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The parent of a process; `None` where it is gone.
#[cfg(target_os = "macos")]
pub fn parent(process: i32) -> Option<i32> {
    facts(process)?.pbi_ppid.try_into().ok()
}

/// What the system tells about a process, if anything.
#[cfg(target_os = "macos")]
pub fn facts(process: i32) -> Option<libc::proc_bsdinfo> {
    let mut facts = std::mem::MaybeUninit::<libc::proc_bsdinfo>::uninit();
    let size = i32::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
    let room = facts.as_mut_ptr().cast();
    // SAFETY: the buffer has that many bytes.
    let filled = unsafe { libc::proc_pidinfo(process, libc::PROC_PIDTBSDINFO, 0, room, size) };
    // SAFETY: all of it was filled in.
    (filled == size).then(|| unsafe { facts.assume_init() })
}

/// Gives the environment that each process was started with, as far as this user may see it.
#[cfg(target_os = "linux")]
pub fn each_environment(mut take: impl FnMut(i32, Vec<&[u8]>)) {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        if let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) {
            take(pid, environment.split(|byte| *byte == 0).collect());
        }
    }
}

/// The environment that a process was started with, with a NUL behind each entry; `None` where
/// this user may not see it.
#[cfg(target_os = "linux")]
pub fn environment(process: i32) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{process}/environ")).ok()
}

/// The environment that a process was started with, with a NUL behind each entry; `None` where
/// this user may not see it.
#[cfg(target_os = "macos")]
pub fn environment(process: i32) -> Option<Vec<u8>> {
    let mut room = vec![0; LARGEST_AREA];
    let entries = argument_area(process, &mut room).and_then(environment_in)?;
    Some(entries.collect::<Vec<_>>().join(&0))
}

/// Whether the library is in a process: by its environment or, as programs may overwrite that to
/// set their title, by its mappings.
pub fn has_library(process: i32) -> bool {
    has_entry(process, names_library) || has_loaded(process)
}

/// Whether a process was started with such an entry in its environment, as far as this user may see
/// that.
pub fn has_entry(process: i32, is_it: impl FnMut(&[u8]) -> bool) -> bool {
    environment(process).is_some_and(|all| all.split(|byte| *byte == 0).any(is_it))
}

/// The library's file name, without its suffix.
const LIBRARY: &[u8] = b"librampart.";

#[cfg(target_os = "linux")]
fn has_loaded(process: i32) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps"));
    maps.is_ok_and(|maps| maps.contains("/librampart.so"))
}

#[cfg(target_os = "macos")]
fn has_loaded(_process: i32) -> bool {
    false
}

/// `ARG_MAX` (`sys/syslimits.h`)
#[cfg(target_os = "macos")]
const LARGEST_AREA: usize = 1024 * 1024;

/// Gives the environment that each process was started with, as far as this user may see it.
#[cfg(target_os = "macos")]
pub fn each_environment(mut take: impl FnMut(i32, Vec<&[u8]>)) {
    let mut room = vec![0; LARGEST_AREA];
    for pid in all().into_iter().filter(|pid| *pid > 0) {
        if let Some(environment) = argument_area(pid, &mut room).and_then(environment_in) {
            take(pid, environment.collect());
        }
    }
}

/// The words that a process was started with, as far as this user may see them.
#[cfg(target_os = "linux")]
pub fn words(process: i32) -> Vec<Vec<u8>> {
    let all = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    all.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// The words that a process was started with, as far as this user may see them.
#[cfg(target_os = "macos")]
pub fn words(process: i32) -> Vec<Vec<u8>> {
    let mut room = vec![0; LARGEST_AREA];
    let words = argument_area(process, &mut room).and_then(words_in);
    words.map_or_else(Vec::new, |words| words.map(<[u8]>::to_vec).collect())
}

/// Whether a process with this environment is of a guarded run.
pub fn is_guarded(process: i32, environment: &[&[u8]]) -> bool {
    environment.iter().copied().any(names_library) || is_sealed(process)
}

/// Whether this entry is a preload list with the library in it.
fn names_library(entry: &[u8]) -> bool {
    let name = Os::HERE.preload_variable().to_bytes();
    let list = entry.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"="));
    list.is_some_and(|list| list.windows(LIBRARY.len()).any(|part| part == LIBRARY))
}

/// Whether a process is in a sealed run: a keeper is among its ancestors.
#[cfg(target_os = "linux")]
pub fn is_sealed(process: i32) -> bool {
    let is_keeper = |process: &i32| {
        let name = std::fs::read_to_string(format!("/proc/{process}/comm"));
        name.is_ok_and(|name| name.trim_end() == "rampart-keeper")
    };
    std::iter::successors(Some(process), |process| parent(*process).filter(|it| *it > 1))
        .any(|process| is_keeper(&process))
}

/// There are no sealed runs on this system.
#[cfg(target_os = "macos")]
pub fn is_sealed(_process: i32) -> bool {
    false
}

/// Enough for most environments.
#[cfg(target_os = "linux")]
const ENVIRONMENT_BYTES: usize = 16 * 1024;

/// A process of the tree other than this one. In doubt a process belongs to the tree: a server that
/// lives too long does less harm than one that is missing.
#[cfg(target_os = "linux")]
pub fn of_tree(marks: &Marks) -> Option<Pid> {
    use std::os::unix::fs::DirEntryExt as _;

    let own = Pid::this();
    let mut room = Vec::with_capacity(ENVIRONMENT_BYTES);
    let named = |directory: std::io::Result<std::fs::DirEntry>| {
        let directory = directory.ok()?;
        let process = directory.file_name().to_str()?.parse().ok()?;
        Some((Pid::from_raw(process), directory.ino()))
    };
    std::fs::read_dir("/proc")
        .ok()?
        .filter_map(named)
        .filter(|(process, inode)| *process != own && marks.may_have(*process, *inode))
        .map(|(process, _)| process)
        .find(|process| is_of_tree(*process, marks, &mut room))
}

/// A file that the system has about a process. `room` should have capacity: the standard library
/// would otherwise begin with reads of 32 bytes.
///
/// # Errors
/// As `open(2)` and `read(2)`.
#[cfg(target_os = "linux")]
fn read_whole<'r>(process: Pid, name: &str, room: &'r mut Vec<u8>) -> std::io::Result<&'r [u8]> {
    use std::io::Read as _;

    room.clear();
    std::fs::File::open(format!("/proc/{process}/{name}"))?.read_to_end(room)?;
    Ok(room)
}

#[cfg(target_os = "linux")]
fn is_of_tree(process: Pid, marks: &Marks, room: &mut Vec<u8>) -> bool {
    const ANY_RUN: &[u8] = b"RAMPART_URL=";
    let has = |environment: &[u8], is_it: &dyn Fn(&[u8]) -> bool| {
        environment.split(|byte| *byte == 0).any(is_it)
    };
    match read_whole(process, "environ", room) {
        Ok(environment) if has(environment, &|entry| entry == marks.entry) => true,
        Ok(environment) if has(environment, &|entry| entry.starts_with(ANY_RUN)) => false,
        // It may have overwritten its environment to set a title.
        Ok(_) => read_whole(process, "maps", room)
            .is_ok_and(|maps| String::from_utf8_lossy(maps).contains("/librampart.so")),
        // It cannot be read (`PR_SET_DUMPABLE` in prctl(2)): compare user and control groups.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let status = read_whole(process, "status", room).unwrap_or_default();
            let status = String::from_utf8_lossy(status);
            let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
            let user = user.and_then(|users| users.split_whitespace().next()?.parse().ok());
            user == Some(nix::unistd::getuid().as_raw())
                && read_whole(process, "cgroup", room).is_ok_and(|groups| groups == marks.groups)
        }
        Err(_) => false,
    }
}

/// Now, in the units of [`started`].
#[cfg(target_os = "linux")]
pub fn now() -> u64 {
    use nix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(std::time::Duration::ZERO, Into::into);
    time.as_secs() * TICKS_A_SECOND + u64::from(time.subsec_millis()) * TICKS_A_SECOND / 1000
}

/// `USER_HZ` (time(7)), the same on all of Rust's Linux architectures.
#[cfg(target_os = "linux")]
const TICKS_A_SECOND: u64 = 100;

/// When a process was started, in ticks since boot. `None` if it is gone or a zombie.
#[cfg(target_os = "linux")]
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

/// Always `None`: macOS has no such descriptor. (A kqueue is lost in a forked child.)
#[cfg(target_os = "macos")]
pub fn handle(_process: Pid) -> Option<OwnedFd> {
    None
}

/// A process of the tree other than this one. macOS only tells about this user's processes that it
/// does not protect.
#[cfg(target_os = "macos")]
pub fn of_tree(marks: &Marks) -> Option<Pid> {
    let own = Pid::this().as_raw();
    let mut room = vec![0; LARGEST_AREA];
    let is_one = |pid: &i32| {
        let area = argument_area(*pid, &mut room);
        area.and_then(environment_in).is_some_and(|mut all| all.any(|each| each == marks.entry))
    };
    all().into_iter().filter(|pid| *pid > 0 && *pid != own).find(is_one).map(Pid::from_raw)
}

/// Now, in the units of [`started`].
#[cfg(target_os = "macos")]
pub fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// When a process was started, in seconds since the epoch. `None` if it is gone.
#[cfg(target_os = "macos")]
pub fn started(process: Pid) -> Option<u64> {
    match facts(process.as_raw()) {
        Some(found) => Some(found.pbi_start_tvsec),
        // The system does not tell about every process.
        None => is_there(process).then_some(UNKNOWN),
    }
}

/// The IDs of all processes.
#[cfg(target_os = "macos")]
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
#[cfg(target_os = "macos")]
fn argument_area(pid: i32, room: &mut [u8]) -> Option<&[u8]> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let mut length = room.len();
    let (start, nothing) = (room.as_mut_ptr().cast(), std::ptr::null_mut());
    // SAFETY: the name has three elements, and the buffer that many bytes.
    let status = unsafe { libc::sysctl(name.as_mut_ptr(), 3, start, &raw mut length, nothing, 0) };
    room.get(..length).filter(|_| status == 0)
}

/// The strings in such an area, and how many of them are arguments. It holds their number, the
/// program's path, NULs up to a word boundary, then arguments and environment, each NUL-terminated.
#[cfg(any(test, target_os = "macos"))]
fn strings_in(area: &[u8]) -> Option<(usize, impl Iterator<Item = &[u8]>)> {
    let (count, rest) = area.split_first_chunk()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let (_, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte == 0)?)?;
    let (_, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte != 0)?)?;
    Some((count, rest.split(|byte| *byte == 0)))
}

#[cfg(any(test, target_os = "macos"))]
fn environment_in(area: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (count, strings) = strings_in(area)?;
    Some(strings.skip(count).take_while(|entry| !entry.is_empty()))
}

#[cfg(any(test, target_os = "macos"))]
fn words_in(area: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (count, strings) = strings_in(area)?;
    Some(strings.take(count))
}

/// Whether there is a process with this ID.
pub fn is_there(process: Pid) -> bool {
    nix::sys::signal::kill(process, None) != Err(nix::errno::Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::{environment_in, words_in};

    #[cfg(target_os = "linux")]
    #[test]
    fn who_has_the_id_of_an_older_process_is_not_taken_for_it() {
        use std::os::unix::fs::MetadataExt as _;

        use nix::unistd::Pid;

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Pid::from_raw(child.id().try_into().unwrap());
        let inode = std::fs::metadata(format!("/proc/{process}")).unwrap().ino();
        let marks = super::Marks::new(Pid::this(), Vec::new());
        // As if an earlier process with this ID had been seen.
        marks.elders.borrow_mut().insert((process.as_raw(), inode + 1));
        assert!(marks.may_have(process, inode));
        marks.elders.borrow_mut().insert((process.as_raw(), inode));
        assert!(!marks.may_have(process, inode));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_environment_stands_behind_the_arguments() {
        let area = |count: i32, rest: &str| [&count.to_ne_bytes(), rest.as_bytes()].concat();
        let table = [
            (area(2, "/bin/sh\0\0\0\0sh\0-c\0A=1\0B=\0\0\0"), Some(vec!["A=1", "B="])),
            (area(1, "/a\0a\0"), Some(vec![])),
            (area(1, "/a\0a\0A=1"), Some(vec!["A=1"])),
            (area(9, "/a\0a\0A=1\0"), Some(vec![])),
            (area(-1, "/a\0a\0A=1\0"), None),
            (area(1, "/a"), None),
            (area(1, "/a\0\0"), None),
            (vec![1, 0], None),
        ];
        for (area, expected) in table {
            let found = environment_in(&area);
            let found: Option<Vec<&[u8]>> = found.map(Iterator::collect);
            let expected: Option<Vec<&[u8]>> =
                expected.map(|all| all.into_iter().map(str::as_bytes).collect());
            assert_eq!(found, expected);
        }
        let area = area(2, "/bin/sh\0\0\0\0sh\0-c\0A=1\0B=\0\0\0");
        let words: Option<Vec<&[u8]>> = words_in(&area).map(Iterator::collect);
        assert_eq!(words, Some(vec![&b"sh"[..], b"-c"]));
    }
}
