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
/// system has no such thing.
#[cfg(not(target_os = "linux"))]
pub fn handle(_process: Pid) -> Option<OwnedFd> {
    None
}

/// A process other than this one that was started with exactly this entry in its
/// environment; not known on this system.
#[cfg(not(target_os = "linux"))]
pub fn started_with(_entry: &[u8]) -> Option<Pid> {
    None
}

/// Whether a process with this number is there.
pub fn is_there(process: Pid) -> bool {
    nix::sys::signal::kill(process, None) != Err(nix::errno::Errno::ESRCH)
}
