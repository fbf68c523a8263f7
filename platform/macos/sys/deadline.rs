//! Waiting.

use core::ffi::c_int;

use super::call::call;
use super::process::now_us;
use crate::descriptor::{Descriptor, Event};
use crate::errno::Errno;

/// Time that is left for waiting.
pub struct Deadline {
    /// When it ends, on the clock of [`now_us`].
    end_us: u64,
}

impl Deadline {
    /// So many milliseconds.
    pub fn new(ms: u32) -> Self {
        Self { end_us: now_us().saturating_add(u64::from(ms) * 1000) }
    }

    /// Waits until the event; whether there is something to receive, or
    /// `ETIMEDOUT`.
    pub fn wait(&mut self, descriptor: &Descriptor, event: Event) -> Result<bool, Errno> {
        let (fd, events) = (descriptor.number(), event.bits());
        let mut poll = libc::pollfd { fd, events, revents: 0 };
        loop {
            // SAFETY: the pointer is to one pollfd.
            match call(|| unsafe { libc::poll(&raw mut poll, 1, self.left_ms()) }) {
                Ok(0) | Err(Errno(libc::EINTR)) if self.left_ms() > 0 => {}
                Ok(0) | Err(Errno(libc::EINTR)) => return Err(Errno(libc::ETIMEDOUT)),
                Ok(_) => return Ok(poll.revents & libc::POLLIN != 0),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Lets `ms` milliseconds pass, or what is left.
    pub fn pause(&mut self, ms: u32) -> Result<(), Errno> {
        let nap_ms = c_int::try_from(ms).unwrap_or(c_int::MAX);
        if self.left_ms() <= nap_ms {
            return Err(Errno(libc::ETIMEDOUT));
        }
        // SAFETY: no pollfd is no pollfd. A signal may end the nap before its time.
        let _ = call(|| unsafe { libc::poll(core::ptr::null_mut(), 0, nap_ms) });
        Ok(())
    }

    /// Takes off what was waited elsewhere: the clock has done so already.
    pub fn spend(&mut self, _ms: u32) {}

    /// Rounded up: to wait for no time at all while some is left would be to spin.
    fn left_ms(&self) -> c_int {
        let left_us = self.end_us.saturating_sub(now_us());
        c_int::try_from(left_us.div_ceil(1000)).unwrap_or(c_int::MAX)
    }
}

/// Whether `number` can be written to at once; false also if it is not open. `poll(2)` does
/// not know every device.
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
    // SAFETY: the pointers are to a set, of the size that the kernel knows, and to a time.
    call(|| unsafe { libc::select(count, none, writable, none, &raw mut at_once) }) == Ok(1)
}
