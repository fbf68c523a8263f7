//! Waiting.

use core::ffi::c_int;

use super::call::call;
use super::process::now_us;
use crate::descriptor::{Descriptor, Event};
use crate::errno::Errno;

/// The time left for waiting.
pub struct Deadline {
    /// The end, on the clock of [`now_us`].
    end_us: u64,
}

impl Deadline {
    /// A deadline in `ms` milliseconds.
    pub fn new(ms: u32) -> Self {
        Self { end_us: now_us().saturating_add(u64::from(ms) * 1000) }
    }

    /// Waits for the event; returns whether bytes have arrived, or `ETIMEDOUT`.
    pub fn wait(&mut self, descriptor: &Descriptor, event: Event) -> Result<bool, Errno> {
        let (fd, events) = (descriptor.number(), event.bits());
        let mut poll = libc::pollfd { fd, events, revents: 0 };
        loop {
            // SAFETY: the pointer is to one `pollfd`.
            match call(|| unsafe { libc::poll(&raw mut poll, 1, self.left_ms()) }) {
                Ok(0) | Err(Errno(libc::EINTR)) if self.left_ms() > 0 => {}
                Ok(0) | Err(Errno(libc::EINTR)) => return Err(Errno(libc::ETIMEDOUT)),
                Ok(_) => return Ok(poll.revents & libc::POLLIN != 0),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Sleeps for `ms` milliseconds; `ETIMEDOUT` at once if less time is left.
    pub fn pause(&mut self, ms: u32) -> Result<(), Errno> {
        let nap_ms = c_int::try_from(ms).unwrap_or(c_int::MAX);
        if self.left_ms() <= nap_ms {
            return Err(Errno(libc::ETIMEDOUT));
        }
        // SAFETY: there are no `pollfd`, so NULL is permitted. A signal may end the sleep early.
        let _ = call(|| unsafe { libc::poll(core::ptr::null_mut(), 0, nap_ms) });
        Ok(())
    }

    /// Subtracts time that was waited elsewhere: the clock has done so already.
    pub fn spend(&mut self, _ms: u32) {}

    /// Rounded up, as a timeout of zero would not wait at all.
    fn left_ms(&self) -> c_int {
        let left_us = self.end_us.saturating_sub(now_us());
        c_int::try_from(left_us.div_ceil(1000)).unwrap_or(c_int::MAX)
    }
}

/// Whether a write to descriptor `number` would not block; false also if it is not open. `poll(2)`
/// does not support every device (its man page, "BUGS").
pub fn is_writable(number: c_int) -> bool {
    const WORD_BITS: c_int = 32;
    const { assert!(size_of::<libc::fd_set>() == size_of::<[u32; 32]>()) };
    let mut set = [0u32; 32];
    let Some(word) = usize::try_from(number / WORD_BITS).ok().and_then(|it| set.get_mut(it)) else {
        return false;
    };
    *word = 1 << (number % WORD_BITS);
    let (writable, none) = ((&raw mut set).cast(), core::ptr::null_mut());
    let mut at_once = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let count = number.saturating_add(1);
    // SAFETY: the pointers are to a set of the size of `fd_set` and to a `timeval`.
    call(|| unsafe { libc::select(count, none, writable, none, &raw mut at_once) }) == Ok(1)
}
