//! Signal masks.

use core::ffi::c_int;

/// The highest signal (`NSIG` - 1, `sys/signal.h`).
const SIGNALS: c_int = 31;

/// A signal mask.
#[derive(Debug, Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// Every signal that can be blocked.
    pub const ALL: Self = Self(libc::sigset_t::MAX);

    /// Blocks these signals in the calling thread; returns the mask that was in force.
    pub fn block(self) -> Self {
        self.change(libc::SIG_BLOCK)
    }

    /// Makes this the mask of the calling thread.
    pub fn restore(self) {
        self.change(libc::SIG_SETMASK);
    }

    /// This mask and all signals that have a handler.
    pub fn with_handled(self) -> Self {
        let handled = (1..=SIGNALS).filter(|number| is_handled(*number));
        Self(handled.fold(self.0, |mask, number| mask | 1 << (number - 1)))
    }

    fn change(self, how: c_int) -> Self {
        let mut old = Self(0);
        // SAFETY: both pointers are to masks. With a valid `how` the call does not fail, and it
        // does not set `errno`.
        unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut old.0) };
        old
    }
}

/// Whether a signal has a handler.
fn is_handled(number: c_int) -> bool {
    let mut action = core::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action nothing is changed, and the pointer is to one structure. Only an
    // invalid signal would set `errno`.
    let known = unsafe { libc::sigaction(number, core::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: the structure consists of integers, which are zero where the kernel wrote nothing.
    let action = unsafe { action.assume_init() };
    known == 0 && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
}
