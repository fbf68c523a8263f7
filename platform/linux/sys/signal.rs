//! Signal masks.

use core::ffi::c_int;

use super::call::{call, register};

/// A signal mask in the kernel's format.
#[derive(Debug, Clone, Copy)]
pub struct SignalMask(u64);

impl SignalMask {
    /// Every signal that can be blocked, but for SIGSYS: if a filter of the program's own sends that
    /// for a system call (`SECCOMP_RET_TRAP`, seccomp(2)), its handler says what becomes of the call,
    /// and while it is blocked the kernel ends the process.
    pub const ALL: Self = Self(!(1 << (libc::SIGSYS - 1)));
    /// Those that a failed write sends: SIGPIPE and SIGXFSZ (write(2), `EPIPE` and `EFBIG`).
    pub const OF_WRITES: Self = Self(1 << (libc::SIGPIPE - 1) | 1 << (libc::SIGXFSZ - 1));

    /// The pending signals.
    pub fn pending() -> Self {
        let mut pending = Self(0);
        let arguments = [&raw mut pending.0 as usize, size_of::<u64>(), 0, 0, 0, 0];
        // SAFETY: the pointer is to a mask of the size given.
        let _ = unsafe { call(libc::SYS_rt_sigpending, arguments) };
        pending
    }

    /// This mask without the signals of `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Blocks these signals in the calling thread; returns the mask that was in force.
    pub fn block(self) -> Self {
        self.change(libc::SIG_BLOCK)
    }

    /// Makes this the mask of the calling thread.
    pub fn restore(self) {
        self.change(libc::SIG_SETMASK);
    }

    fn change(self, how: c_int) -> Self {
        let mut old = Self(0);
        let arguments = [
            register(how),
            &raw const self.0 as usize,
            &raw mut old.0 as usize,
            size_of::<u64>(),
            0,
            0,
        ];
        // SAFETY: both pointers are to masks of the size given. With valid arguments the call does
        // not fail.
        let _ = unsafe { call(libc::SYS_rt_sigprocmask, arguments) };
        old
    }

    /// This mask and all signals that have a handler.
    pub fn with_handled(self) -> Self {
        let handled = (1..=u64::BITS).filter(|number| is_handled(*number));
        let handled = handled.fold(0, |mask, number| mask | 1 << (number - 1));
        Self(self.0 | handled & Self::ALL.0)
    }

    /// Discards one of these signals if it is pending.
    pub fn discard_pending(self) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let arguments =
            [&raw const self.0 as usize, 0, &raw const at_once as usize, size_of::<u64>(), 0, 0];
        // SAFETY: the pointers are to a mask and a timespec. If no signal is pending the call
        // fails, which does not matter.
        let _ = unsafe { call(libc::SYS_rt_sigtimedwait, arguments) };
    }
}

/// Whether a signal has a handler.
fn is_handled(number: u32) -> bool {
    // The kernel's `struct sigaction` on each machine: the handler, and at most three more words
    // (rt_sigaction(2)).
    let mut action = [0_usize; 4];
    let number = usize::try_from(number).unwrap_or(0);
    let arguments = [number, 0, action.as_mut_ptr() as usize, size_of::<u64>(), 0, 0];
    // SAFETY: without a new action nothing is changed, and the kernel writes at most four words.
    let known = unsafe { call(libc::SYS_rt_sigaction, arguments) };
    known.is_ok() && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action[0])
}
