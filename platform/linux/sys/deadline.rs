//! Waiting.

use core::ffi::c_int;

use super::call::call;
use crate::descriptor::{Descriptor, Event};
use crate::errno::Errno;

/// The time left for waiting.
///
/// The kernel subtracts the time that it waited, also if a signal interrupts it (ppoll(2), "C
/// library/kernel differences"), so that no clock need be read.
pub struct Deadline(libc::timespec);

impl Deadline {
    /// A deadline in `ms` milliseconds.
    pub fn new(ms: u32) -> Self {
        Self(libc::timespec {
            tv_sec: libc::time_t::from(ms / 1000),
            tv_nsec: libc::c_long::from(ms % 1000) * 1_000_000,
        })
    }

    /// Waits for the event; returns whether bytes have arrived, or `ETIMEDOUT`.
    pub fn wait(&mut self, descriptor: &Descriptor, event: Event) -> Result<bool, Errno> {
        let (fd, events) = (descriptor.number(), event.bits());
        let mut poll = libc::pollfd { fd, events, revents: 0 };
        match self.poll(Some(&mut poll))? {
            0 => Err(Errno(libc::ETIMEDOUT)),
            _ => Ok(poll.revents & libc::POLLIN != 0),
        }
    }

    /// Sleeps for `ms` milliseconds; `ETIMEDOUT` at once if less time is left.
    pub fn pause(&mut self, ms: u32) -> Result<(), Errno> {
        let mut nap = Self::new(ms);
        let before = (self.0.tv_sec, self.0.tv_nsec);
        if before <= (nap.0.tv_sec, nap.0.tv_nsec) {
            return Err(Errno(libc::ETIMEDOUT));
        }
        nap.poll(None)?;
        self.spend(ms);
        Ok(())
    }

    /// Subtracts `ms` milliseconds that were waited elsewhere.
    pub fn spend(&mut self, ms: u32) {
        self.spend_us(u64::from(ms) * 1000);
    }

    /// The same in microseconds.
    pub(super) fn spend_us(&mut self, us: u64) {
        self.0.tv_sec -= libc::time_t::try_from(us / 1_000_000).unwrap_or(libc::time_t::MAX);
        self.0.tv_nsec -= libc::c_long::try_from(us % 1_000_000).unwrap_or(0) * 1000;
        if self.0.tv_nsec < 0 {
            self.0.tv_sec -= 1;
            self.0.tv_nsec += 1_000_000_000;
        }
        if self.0.tv_sec < 0 {
            *self = Self::new(0);
        }
    }

    /// The time left, for a socket's timeout option; `None` if no time is left: zero would mean no
    /// timeout (socket(7), `SO_RCVTIMEO`).
    pub(super) fn left(&self) -> Option<libc::timeval> {
        let left = libc::timeval { tv_sec: self.0.tv_sec, tv_usec: self.0.tv_nsec / 1000 };
        (left.tv_sec > 0 || left.tv_usec > 0).then_some(left)
    }

    fn poll(&mut self, descriptor: Option<&mut libc::pollfd>) -> Result<usize, Errno> {
        let count = usize::from(descriptor.is_some());
        let pointer = descriptor.map_or(0, |poll| core::ptr::from_mut(poll) as usize);
        loop {
            let arguments = [pointer, count, &raw mut self.0 as usize, 0, 0, 0];
            // SAFETY: `pointer` is to `count` `pollfd`, 0 or 1, and the kernel may write to the
            // timespec, which is borrowed mutably.
            match unsafe { call(libc::SYS_ppoll, arguments) } {
                Err(Errno(libc::EINTR)) => {}
                result => return result,
            }
        }
    }
}

/// Whether a write to descriptor `number` would not block; false also if it is not open.
pub fn is_writable(number: c_int) -> bool {
    let mut poll = libc::pollfd { fd: number, events: libc::POLLOUT, revents: 0 };
    let ready = Deadline::new(0).poll(Some(&mut poll));
    ready == Ok(1) && poll.revents == libc::POLLOUT
}
