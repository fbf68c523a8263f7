//! Which processes are there, and when one is gone.

use std::os::fd::OwnedFd;

use nix::unistd::Pid;

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

/// Most environments are no longer.
#[cfg(target_os = "linux")]
const ENVIRONMENT_BYTES: usize = 16 * 1024;

/// A process other than this one that was started with exactly this entry in its
/// environment.
#[cfg(target_os = "linux")]
pub fn started_with(entry: &[u8]) -> Option<Pid> {
    use std::fs::File;
    use std::io::Read as _;

    let own = std::process::id();
    // Without room to begin with, the standard library reads 32 bytes at a time.
    let mut environment = Vec::with_capacity(ENVIRONMENT_BYTES);
    std::fs::read_dir("/proc")
        .ok()?
        .filter_map(|directory| directory.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .find(|pid| {
            environment.clear();
            File::open(format!("/proc/{pid}/environ"))
                .and_then(|mut file| file.read_to_end(&mut environment))
                .is_ok_and(|_| environment.split(|byte| *byte == 0).any(|each| each == entry))
        })
        .and_then(|pid| i32::try_from(pid).ok())
        .map(Pid::from_raw)
}

/// A descriptor that becomes readable when the process is gone; `None` where the
/// system has no such thing. (A kqueue is one, and is lost in a forked child.)
#[cfg(target_os = "macos")]
pub fn handle(_process: Pid) -> Option<OwnedFd> {
    None
}

/// A process other than this one that was started with exactly this entry in its
/// environment. macOS tells of this user's own, and not of the ones that it protects.
#[cfg(target_os = "macos")]
pub fn started_with(entry: &[u8]) -> Option<Pid> {
    /// `ARG_MAX` (`sys/syslimits.h`)
    const LARGEST_AREA: usize = 1024 * 1024;
    let own = Pid::this().as_raw();
    let mut room = vec![0; LARGEST_AREA];
    let is_one = |pid: &i32| {
        let area = argument_area(*pid, &mut room);
        area.and_then(environment_in).is_some_and(|mut all| all.any(|each| each == entry))
    };
    all().into_iter().filter(|pid| *pid > 0 && *pid != own).find(is_one).map(Pid::from_raw)
}

/// The numbers of all processes.
#[cfg(target_os = "macos")]
fn all() -> Vec<i32> {
    /// As many may come between the two calls.
    const NEWCOMERS: usize = 64;
    // SAFETY: without a buffer it only counts.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let mut pids = vec![0; usize::try_from(count).unwrap_or(0) + NEWCOMERS];
    let bytes = i32::try_from(size_of_val(&pids[..])).unwrap_or(i32::MAX);
    // SAFETY: the buffer has that many bytes.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), bytes) };
    pids.truncate(usize::try_from(count).unwrap_or(0));
    pids
}

/// What the kernel has of the arguments and the environment that a process was started with.
#[cfg(target_os = "macos")]
fn argument_area(pid: i32, room: &mut [u8]) -> Option<&[u8]> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let mut length = room.len();
    let (start, nothing) = (room.as_mut_ptr().cast(), std::ptr::null_mut());
    // SAFETY: the name has three parts, and the room has that many bytes.
    let status = unsafe { libc::sysctl(name.as_mut_ptr(), 3, start, &raw mut length, nothing, 0) };
    room.get(..length).filter(|_| status == 0)
}

/// The environment in such an area: the number of arguments, the program's path, NULs up to
/// a whole word, then the arguments and the environment, with a NUL behind each.
#[cfg(any(test, target_os = "macos"))]
fn environment_in(area: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (count, rest) = area.split_first_chunk()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let (_, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte == 0)?)?;
    let (_, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte != 0)?)?;
    Some(rest.split(|byte| *byte == 0).skip(count).take_while(|entry| !entry.is_empty()))
}

/// Whether a process with this number is there.
pub fn is_there(process: Pid) -> bool {
    nix::sys::signal::kill(process, None) != Err(nix::errno::Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::environment_in;

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
    }
}
