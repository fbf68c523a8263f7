//! The process that was typed: it stands for the command towards whoever started it. It
//! passes on the signals that it is sent, stops and goes on as the command does, and ends as
//! the command has ended.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, raise, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;

use super::channel::{Channel, Message};
use super::signals;
use crate::run::own_server::{close_all_but, exit, silence};

/// Waits for the command of the keeper at the other end.
pub fn wait(keeper: &Channel, keepers: Pid) -> ! {
    let Ok(signals) = SignalFd::with_flags(&signals::passed_on(), SfdFlags::SFD_CLOEXEC) else {
        exit(1)
    };
    // Somebody may wait for the end of a pipe that the command has closed.
    close_all_but(&[keeper.descriptor().as_raw_fd(), signals.as_fd().as_raw_fd()]);
    let mut waiter = Waiter { keepers, command: None, early: Vec::new() };
    loop {
        let mut ends = [
            PollFd::new(keeper.descriptor().as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ends, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => exit(1),
        }
        let [told, signalled] = ends.map(|it| it.any().unwrap_or(true));
        if signalled && let Ok(Some(signal)) = signals.read_signal() {
            waiter.pass_on(&signal);
        }
        if told {
            match keeper.receive() {
                Ok(Some((message, handle))) => waiter.hear(message, handle),
                _ => waiter.go_on_alone(&signals),
            }
        }
    }
}

struct Waiter {
    keepers: Pid,
    command: Option<Command>,
    /// Signals that came before there was a command.
    early: Vec<i32>,
}

struct Command {
    process: Pid,
    handle: OwnedFd,
}

impl Waiter {
    fn hear(&mut self, message: Message, handle: Option<OwnedFd>) {
        match (message, handle) {
            (Message::Command(process), Some(handle)) => {
                // The standard streams are the command's alone from now on.
                let _ = silence();
                for signal in self.early.drain(..) {
                    signals::send(&handle, signal);
                }
                self.command = Some(Command { process: Pid::from_raw(process), handle });
            }
            (Message::Stopped(signal), _) => stop(signal),
            (Message::Ended(status), _) => end(status),
            (Message::Last(status), _) => {
                // Nobody else would reap it where process 1 does not.
                let _ = wait_for(self.keepers, 0);
                end(status)
            }
            _ => {}
        }
    }

    /// Passes on a signal that this process was sent, and the command was not.
    fn pass_on(&mut self, info: &siginfo) {
        let Ok(number) = i32::try_from(info.ssi_signo) else { return };
        let Some(command) = &self.command else {
            if number != libc::SIGCHLD && info.ssi_code != libc::SI_KERNEL {
                self.early.push(number);
            }
            return;
        };
        let is_passed_on = match number {
            libc::SIGCHLD => false,
            // An alarm that was set before this process became rampart.
            libc::SIGALRM | libc::SIGVTALRM | libc::SIGPROF => true,
            // From the terminal, which has sent it to the whole group.
            _ if info.ssi_code == libc::SI_KERNEL => false,
            // One that has gone on was in the group that it was sent to.
            libc::SIGCONT => signals::is_stopped(command.process),
            // From the tree: to its whole group, which the command is in.
            _ => !signals::is_below(info.ssi_pid.cast_signed(), self.keepers),
        };
        if is_passed_on {
            signals::send(&command.handle, number);
        }
    }

    /// The keeper is gone. Was it killed, the command is this process's child by now, for this
    /// one is a subreaper, too.
    fn go_on_alone(&mut self, signals: &SignalFd) -> ! {
        let keeper = wait_for(self.keepers, 0);
        let Some(command) = self.command.as_ref().map(|command| command.process) else {
            end(keeper.ok().flatten().unwrap_or(FAILED))
        };
        loop {
            match wait_for(command, libc::WUNTRACED | libc::WNOHANG) {
                Err(_) => end(FAILED),
                Ok(Some(status)) if libc::WIFSTOPPED(status) => stop(libc::WSTOPSIG(status)),
                Ok(Some(status)) => end(status),
                Ok(None) => {
                    if let Ok(Some(signal)) = signals.read_signal() {
                        self.pass_on(&signal);
                    }
                }
            }
        }
    }
}

fn wait_for(process: Pid, options: i32) -> Result<Option<i32>, Errno> {
    loop {
        let mut status = 0;
        // SAFETY: waitpid(2) writes one number.
        let pid = unsafe { libc::waitpid(process.as_raw(), &raw mut status, options) };
        match Errno::result(pid) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Ok(None),
            waited => return waited.map(|_| Some(status)),
        }
    }
}

/// The status of a process that has exited with 1, as wait(2) gives it.
const FAILED: i32 = 1 << 8;
/// A shell's status of a process that a signal has ended, less the signal's number.
const SIGNALLED: i32 = 128;

/// Stops as the command has stopped, until somebody lets this process go on.
fn stop(number: i32) {
    match Signal::try_from(number) {
        Ok(it @ (Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU)) => die_of(it),
        _ => {
            let _ = raise(Signal::SIGSTOP);
        }
    }
}

/// Ends as the command has ended.
fn end(status: i32) -> ! {
    if libc::WIFEXITED(status) {
        exit(libc::WEXITSTATUS(status));
    }
    let number = libc::WTERMSIG(status);
    // One core is enough.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // A real-time signal is none of these, and ends the process by its number alone.
    match Signal::try_from(number) {
        Ok(it) => die_of(it),
        Err(_) => raise_number(number),
    }
    exit(SIGNALLED + number)
}

fn raise_number(number: i32) {
    // SAFETY: kill(2) takes two numbers; unblocking takes a set that lives until it is done.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, number);
        libc::signal(number, libc::SIG_DFL);
        libc::kill(libc::getpid(), number);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Has a signal do by default what it does.
fn die_of(number: Signal) {
    // SAFETY: the default action is no handler of ours.
    let _ = unsafe { signal(number, SigHandler::SigDfl) };
    let _ = raise(number);
    let mut set = SigSet::empty();
    set.add(number);
    let _ = set.thread_unblock();
    let _ = set.thread_block();
}
