//! Shows a process under a name of its own.
//!
//! A server that was forked from `rampart preload -- agent` would be listed with
//! the agent's name, and whoever ends the agent by name would end its guard.

/// Puts these words in place of the process's arguments.
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
    // The last byte stays NUL, or the kernel reads on in the environment.
    let length = words.len().min(room.saturating_sub(1));
    let area = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: by the kernel's word this is where the strings of argv are, writable
    // memory of this process. Nothing in this process reads its arguments any more.
    unsafe {
        area.write_bytes(0, room);
        area.copy_from_nonoverlapping(words.as_ptr(), length);
    }
}

/// Puts these words in place of the process's arguments; not done on this system.
#[cfg(not(target_os = "linux"))]
pub fn set(_words: &std::ffi::CStr) {}

/// Where the process's arguments begin and end.
#[cfg(target_os = "linux")]
fn arguments() -> Option<(usize, usize)> {
    /// Fields 48 and 49, counted from the one after the name, which is the third.
    const START: usize = 45;
    let status = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = status.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(START).map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}
