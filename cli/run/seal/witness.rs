//! Tells a signal that was sent to the whole process group, and so to the command as well, from one
//! that was sent to this process alone. A signal itself does not say (sigaction(2)), so a second
//! process of the group receives what the group is sent, and does nothing else.

use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use super::signals;
use crate::run::own_server::exit;
use crate::run::title;

/// How long to wait for an answer, which comes at once.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// The other process, which ends when this is dropped or its owner ends.
pub struct Witness {
    process: Pid,
    channel: UnixStream,
    /// What the group was sent and this process has not asked for, one bit for each signal.
    received: u64,
}

impl Witness {
    /// Starts the process, in which the signals of [`signals::passed_on`] stay blocked. `None` if
    /// it cannot be started.
    pub fn start() -> Option<Self> {
        let (channel, other) = UnixStream::pair().ok()?;
        channel.set_read_timeout(Some(ANSWER_TIME)).ok()?;
        // SAFETY: this process has a single thread, so the child may do anything.
        match unsafe { fork() }.ok()? {
            ForkResult::Parent { child } => Some(Self { process: child, channel, received: 0 }),
            ForkResult::Child => testify(other),
        }
    }

    /// Whether a signal that this process has just received was sent to the group. `None` if the
    /// witness does not answer.
    pub fn was_for_group(&mut self, number: i32) -> Option<bool> {
        // It may have been stopped with the group, and not continued.
        kill(self.process, Signal::SIGCONT).ok()?;
        let mut received = [0; 8];
        self.channel.write_all(&[0]).ok()?;
        self.channel.read_exact(&mut received).ok()?;
        self.received |= u64::from_ne_bytes(received);
        let bit = bit(number);
        let was = self.received & bit != 0;
        self.received &= !bit;
        Some(was)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = kill(self.process, Signal::SIGKILL);
        let _ = waitpid(self.process, None);
    }
}

/// The bit of a signal; none for a number that no signal has.
fn bit(number: i32) -> u64 {
    u32::try_from(number - 1).ok().and_then(|index| 1u64.checked_shl(index)).unwrap_or(0)
}

/// What the other process does: tells, for each byte that it is sent, what it has received.
fn testify(mut channel: UnixStream) -> ! {
    title::set(c"rampart-signals");
    close_others(channel.as_raw_fd());
    while channel.read_exact(&mut [0]).is_ok() {
        let mut received = 0;
        while let Some(number) = take_pending() {
            received |= bit(number);
        }
        if channel.write_all(&received.to_ne_bytes()).is_err() {
            break;
        }
    }
    exit(0)
}

/// Takes a pending signal.
fn take_pending() -> Option<i32> {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let set = signals::passed_on();
    // SAFETY: the set and the time are read, and nothing is written for NULL.
    let number = unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), &raw const now) };
    (number > 0).then_some(number)
}

/// Closes all descriptors but one: somebody may wait for the end of a pipe, or of this process's
/// channel to the keeper.
fn close_others(kept: i32) {
    for (from, to) in [(0, kept - 1), (kept + 1, i32::MAX)] {
        if from <= to {
            // Before Linux 5.9 they stay open for as long as this process.
            // SAFETY: close_range(2) takes numbers; nothing here uses the descriptors again.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    }
}
