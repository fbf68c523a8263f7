//! The process that the user started. It represents the command: it passes on signals, stops and
//! continues as the command does, and ends as the command ended.

use std::os::fd::{AsFd as _, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, killpg, raise, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::{Pid, getpgid, getpgrp, getpid};

use super::channel::{Channel, Message};
use super::signals;
use super::witness::Witness;
use crate::run::own_server::{close_inherited, exit, silence};

/// How long a shell takes at most for what was typed.
const TYPING_TIME: Duration = Duration::from_millis(100);
/// The pause between two looks meanwhile.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Waits until the command has ended, and ends as it did. `keeper_pid` is the keeper's process ID.
pub fn wait(keeper: &Channel, keeper_pid: Pid) -> ! {
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let Ok(signals) = SignalFd::with_flags(&signals::passed_on(), flags) else { exit(1) };
    // Somebody may wait for the end of a pipe that only the command is to hold.
    close_inherited();
    let witness = Witness::start();
    let from_terminal = None;
    let mut waiter =
        Waiter { keeper_pid, command: None, early: Vec::new(), witness, from_terminal };
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
        let is_told = ends[0].any().unwrap_or(true);
        waiter.pass_on_all(&signals);
        if is_told {
            match keeper.receive() {
                Ok(Some((message, handle))) => waiter.hear(message, handle),
                _ => waiter.go_on_alone(&signals),
            }
        }
    }
}

struct Waiter {
    keeper_pid: Pid,
    command: Option<Command>,
    /// Signals received before there was a command.
    early: Vec<i32>,
    /// Without it, what the group is sent reaches the command twice.
    witness: Option<Witness>,
    /// The terminal's last signal to who reads or writes it in the background.
    from_terminal: Option<i32>,
}

struct Command {
    process: Pid,
    handle: OwnedFd,
}

impl Waiter {
    fn hear(&mut self, message: Message, handle: Option<OwnedFd>) {
        match (message, handle) {
            (Message::Command(process), Some(handle)) => {
                // From now on only the command holds the standard streams.
                let _ = silence();
                for signal in self.early.drain(..) {
                    signals::send(&handle, signal);
                }
                self.command = Some(Command { process: Pid::from_raw(process), handle });
            }
            (Message::Stopped(signal), _) => self.stop(signal),
            (Message::Ended(status), _) => self.end(status),
            (Message::Last(status), _) => {
                // Reap the keeper: process 1 may not, in a container.
                let _ = wait_for(self.keeper_pid, 0);
                self.end(status)
            }
            _ => {}
        }
    }

    /// Whether the command was sent this signal as well. `None` if nobody can tell.
    fn was_for_group(&mut self, number: i32) -> Option<bool> {
        if number == libc::SIGCHLD {
            return Some(false);
        }
        let was = self.witness.as_mut().and_then(|witness| witness.was_for_group(number));
        if was.is_none() {
            self.witness = None;
        }
        was
    }

    /// Stops as the command has, until this process is continued. It learns of that late: the command
    /// may go on by now, or the shell, to which the job still runs, may be putting it in front.
    fn stop(&mut self, number: i32) {
        let Some(command) = &self.command else { return };
        let goes_on = || !signals::is_stopped(command.process);
        let is_from_terminal = self.from_terminal.take() == Some(number);
        // What is typed for the shell makes a job in the background read, too.
        let until = Instant::now() + TYPING_TIME;
        while is_from_terminal && !goes_on() && Instant::now() < until {
            if signals::is_in_front() {
                // As the shell would, had it known of the stop.
                let _ = killpg(getpgrp(), Signal::SIGCONT);
                return;
            }
            sleep(LOOK_PAUSE);
        }
        if goes_on() {
            return;
        }
        let Some(number) = signals::stop(number) else {
            let _ = raise(Signal::SIGSTOP);
            return;
        };
        // It is blocked, so it waits, and a SIGCONT that comes from now on takes it away (signal(7)).
        raise_by_default(number);
        if goes_on() {
            signals::take_pending(number as i32);
        } else {
            let_through(number);
        }
    }

    /// Whether the command has left this group, which it could not as who was typed: that would be
    /// the group's leader.
    fn has_left(&self) -> bool {
        let group = getpgrp();
        let is_elsewhere =
            |command: &Command| getpgid(Some(command.process)).is_ok_and(|its| its != group);
        group == getpid() && self.command.as_ref().is_some_and(is_elsewhere)
    }

    fn pass_on_all(&mut self, signals: &SignalFd) {
        while let Ok(Some(signal)) = signals.read_signal() {
            self.pass_on(&signal);
        }
    }

    /// Passes on a signal that was sent to this process but not to the command.
    fn pass_on(&mut self, info: &siginfo) {
        let Ok(number) = i32::try_from(info.ssi_signo) else { return };
        let is_from_terminal = info.ssi_code == libc::SI_KERNEL;
        if is_from_terminal && matches!(number, libc::SIGTTIN | libc::SIGTTOU) {
            self.from_terminal = Some(number);
        }
        let was_for_group = self.was_for_group(number);
        let has_left = self.has_left();
        let Some(command) = &self.command else {
            let is_for_itself = number == libc::SIGCHLD || is_from_terminal;
            if !is_for_itself && was_for_group != Some(true) {
                self.early.push(number);
            }
            return;
        };
        let is_passed_on = match number {
            libc::SIGCHLD => false,
            // From a timer set before this process became `rampart`.
            libc::SIGALRM | libc::SIGVTALRM | libc::SIGPROF => true,
            // By it this process goes on as the command does.
            _ if info.ssi_pid.cast_signed() == self.keeper_pid.as_raw() => false,
            _ if has_left => true,
            // From the terminal, which signals the whole group.
            _ if is_from_terminal => false,
            // What has been continued since is not to stop.
            _ if signals::stop(number).is_some() && signals::is_pending(libc::SIGCONT) => false,
            _ if was_for_group.is_some() => was_for_group == Some(false),
            // If the command runs, it was in the group that was sent the signal.
            libc::SIGCONT => signals::is_stopped(command.process),
            // From a process of the tree: it signals the whole group, which includes the command.
            _ => !signals::is_below(info.ssi_pid.cast_signed(), self.keeper_pid),
        };
        if is_passed_on {
            signals::send(&command.handle, number);
        }
    }

    fn end(&mut self, status: i32) -> ! {
        // It is reaped here, because process 1 may not do it.
        self.witness = None;
        end(status)
    }

    /// The keeper is gone. If it was killed, the command is now a child of this process, which is a
    /// subreaper too.
    fn go_on_alone(&mut self, signals: &SignalFd) -> ! {
        let keeper = wait_for(self.keeper_pid, 0);
        let Some(command) = self.command.as_ref().map(|command| command.process) else {
            self.end(keeper.ok().flatten().unwrap_or(FAILED))
        };
        loop {
            match wait_for(command, libc::WUNTRACED | libc::WNOHANG) {
                Err(_) => self.end(FAILED),
                Ok(Some(status)) if libc::WIFSTOPPED(status) => self.stop(libc::WSTOPSIG(status)),
                Ok(Some(status)) => self.end(status),
                Ok(None) => {
                    let _ = poll(
                        &mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)],
                        PollTimeout::NONE,
                    );
                    self.pass_on_all(signals);
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

/// The wait(2) status of a process that exited with 1.
const FAILED: i32 = 1 << 8;
/// Shells report death by signal N as status 128 + N.
const SIGNALLED: i32 = 128;

/// Ends as the command ended.
fn end(status: i32) -> ! {
    if libc::WIFEXITED(status) {
        exit(libc::WEXITSTATUS(status));
    }
    let number = libc::WTERMSIG(status);
    // One core is enough.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // `Signal` has no real-time signals.
    match Signal::try_from(number) {
        Ok(it) => {
            raise_by_default(it);
            let_through(it);
        }
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

/// Resets a signal to its default action, and raises it.
fn raise_by_default(number: Signal) {
    // SAFETY: the default action is no handler of ours.
    let _ = unsafe { signal(number, SigHandler::SigDfl) };
    let _ = raise(number);
}

fn let_through(number: Signal) {
    let mut set = SigSet::empty();
    set.add(number);
    let _ = set.thread_unblock();
    let _ = set.thread_block();
}
