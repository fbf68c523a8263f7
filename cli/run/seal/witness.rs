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

/// How long to wait for an answer, which comes at once unless the machine is very busy.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The other process, which ends when this is dropped or its owner ends.
pub struct Witness {
    process: Pid,
    channel: UnixStream,
}

impl Witness {
    /// Starts the process, in which the signals of [`signals::passed_on`] stay blocked, and so
    /// pending until they are asked about. `None` if it cannot be started.
    pub fn start() -> Option<Self> {
        let (channel, other) = UnixStream::pair().ok()?;
        channel.set_read_timeout(Some(ANSWER_TIME)).ok()?;
        // SAFETY: this process has a single thread, so the child may do anything.
        match unsafe { fork() }.ok()? {
            ForkResult::Parent { child } => Some(Self { process: child, channel }),
            ForkResult::Child => testify(other),
        }
    }

    /// Whether a signal that this process has just received was sent to the group. `None` if the
    /// witness does not answer.
    pub fn was_for_group(&mut self, number: i32) -> Option<bool> {
        // It may have been stopped with the group, and not continued. That it goes on takes its
        // pending stop signals away, and with them what it is asked about.
        if signals::is_stopped(self.process) {
            kill(self.process, Signal::SIGCONT).ok()?;
        }
        self.channel.write_all(&number.to_ne_bytes()).ok()?;
        let mut answer = [0];
        self.channel.read_exact(&mut answer).ok()?;
        Some(answer == [1])
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = kill(self.process, Signal::SIGKILL);
        let _ = waitpid(self.process, None);
    }
}

/// What the other process does: tells, for each signal that it is asked about, whether it has
/// received it since.
fn testify(mut channel: UnixStream) -> ! {
    title::set(c"rampart-signals");
    close_others(channel.as_raw_fd());
    let mut number = [0; size_of::<i32>()];
    while channel.read_exact(&mut number).is_ok() {
        let was_received = take(i32::from_ne_bytes(number));
        if channel.write_all(&[u8::from(was_received)]).is_err() {
            break;
        }
    }
    exit(0)
}

/// Takes a pending signal. One that stops takes one that continues away, and the other way round
/// (signal(7)), so whoever has received the one has been sent the other as well.
fn take(number: i32) -> bool {
    signals::take_pending(number)
        || match number {
            libc::SIGCONT => {
                signals::STOPS.into_iter().any(|stop| signals::is_pending(stop as i32))
            }
            _ if signals::stop(number).is_some() => signals::is_pending(libc::SIGCONT),
            _ => false,
        }
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
