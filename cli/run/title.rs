//! Changes the title of a process.
//!
//! A server forked from `rampart preload -- agent` would be listed with the agent's name, and
//! whoever killed the agent by name would kill its guard.

/// Overwrites the process's arguments with this title.
#[cfg(target_os = "linux")]
pub fn set(words: &std::ffi::CStr) {
    let _ = nix::sys::prctl::set_name(words);
    let Some((start, end)) = arguments() else {
        return;
    };
    let Some(room) = end.checked_sub(start).filter(|_| start != 0) else {
        return;
    };
    let words = words.to_bytes();
    // The last byte stays NUL, or the kernel would read on into the environment
    // (`proc_pid_cmdline(5)`).
    let length = words.len().min(room.saturating_sub(1));
    let area = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: `/proc/self/stat` gives this range as the strings of argv, which are writable memory
    // of this process. Nothing in this process reads its arguments any more.
    unsafe {
        area.write_bytes(0, room);
        area.copy_from_nonoverlapping(words.as_ptr(), length);
    }
}

/// Does nothing: not implemented on this system.
#[cfg(not(target_os = "linux"))]
pub fn set(_words: &std::ffi::CStr) {}

/// Where the process's arguments begin and end.
#[cfg(target_os = "linux")]
fn arguments() -> Option<(usize, usize)> {
    /// `arg_start`, field 48 of `proc_pid_stat(5)`, counted from field 3, the first after the name.
    const START: usize = 45;
    let status = crate::processes::status(nix::unistd::getpid().as_raw()).ok()?;
    let (_, fields) = status.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(START).map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}
