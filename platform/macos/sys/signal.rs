//! Signal masks.

use core::ffi::c_int;

/// A signal mask as the kernel has it.
#[derive(Debug, Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// Every signal that can be blocked.
    pub const ALL: Self = Self(libc::sigset_t::MAX);

    /// Blocks these signals in the calling thread; the mask that was in force.
    pub fn block(self) -> Self {
        self.change(libc::SIG_BLOCK)
    }

    /// Makes this the mask of the calling thread.
    pub fn restore(self) {
        self.change(libc::SIG_SETMASK);
    }

    fn change(self, how: c_int) -> Self {
        let mut old = Self(0);
        // SAFETY: both pointers are to masks. It cannot fail then, and sets no errno.
        unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut old.0) };
        old
    }
}
