//! The three processes of a sealed run.
//!
//! The process that the user started, the waiter, stays in the terminal and process group and
//! stands for the command. Its child, the keeper, answers the kernel, in a session of its own. It
//! has to be an ancestor of every process of the tree, because only an ancestor may read a
//! process's memory (Yama, `ptrace_scope` 1), and as a subreaper it stays the ancestor of orphans.
//! Its child becomes the command.

use std::cell::Cell;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, scope};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal, sigprocmask};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::stat::{Mode as FileMode, umask};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, fork, getpid, getppid, setsid};

use super::channel::{Channel, Message};
use super::filter;
use super::judge::Judge;
use super::signals;
use super::supervisor::{Start, Supervisor};
use super::waiter;
use super::workers::Workers;
use crate::failure::{Failure, why_not_started};
use crate::processes;
use crate::run::memory_shortage::outlive_others;
use crate::run::own_server::{close_inherited, exit, silence};
use crate::run::title;
use crate::server::outlast;

const TITLE: &CStr = c"rampart-keeper";
/// How often the keeper checks whether the waiter was stopped: there is no notice of that.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// The wanted limit of descriptors: four for each of the supervisor's threads.
const DESCRIPTORS: u64 = 4 * 4096;
/// After this, a signal to a process group has reached all of it.
const SIGNAL_TIME: Duration = Duration::from_millis(20);

/// What a sealed run is made of.
pub struct Plan<'p> {
    /// Called in the keeper.
    pub judge: Box<dyn FnOnce() -> Result<Arc<dyn Judge>, Failure> + 'p>,
    /// Whether the filter can be had only by a process that gains no rights by `exec`.
    pub no_new_privs: bool,
    /// By which the library recognises this run.
    pub mark: u16,
}

/// Runs `become_command` in a new process of a sealed run, and waits for it. Returns in this
/// process only if nothing was started.
///
/// # Errors
/// The processes cannot be started.
pub fn run(
    plan: Plan<'_>,
    become_command: impl FnOnce() -> Failure,
) -> Result<std::convert::Infallible, Failure> {
    let cannot = |error: Errno| cannot_seal(&error.into());
    let (waiter_end, keeper_end) = Channel::pair().map_err(cannot)?;
    // From here on signals are blocked, until the waiter can pass them on.
    let inherited = Inherited::take().map_err(cannot)?;
    let command = prctl::set_child_subreaper(true);
    // SAFETY: this process has a single thread, so the child may do anything.
    match command.and_then(|()| unsafe { fork() }) {
        Err(error) => {
            inherited.give_back();
            Err(cannot(error))
        }
        Ok(ForkResult::Parent { child }) => {
            drop(keeper_end);
            waiter::wait(&waiter_end, child)
        }
        Ok(ForkResult::Child) => {
            drop(waiter_end);
            keep(plan, &keeper_end, &inherited, become_command)
        }
    }
}

/// What this process was started with, to be restored for the command.
struct Inherited {
    mask: SigSet,
    child_handler: SigHandler,
}

impl Inherited {
    /// Blocks signals, and resets `SIGCHLD`: while it is ignored, children leave no status.
    fn take() -> Result<Self, Errno> {
        let mut mask = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals::passed_on()), Some(&mut mask))?;
        // SAFETY: the default action installs no handler.
        let child_handler = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
        Ok(Self { mask, child_handler })
    }

    fn give_back(&self) {
        // SAFETY: `execve` has reset all handlers: this restores the default or "ignore".
        let _ = unsafe { signal(Signal::SIGCHLD, self.child_handler) };
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
    }
}

/// What the keeper does. It ends by `_exit`, without exit handlers.
fn keep(
    plan: Plan<'_>,
    waiter: &Channel,
    inherited: &Inherited,
    become_command: impl FnOnce() -> Failure,
) -> ! {
    let waiter_pid = getppid();
    let keeper = getpid();
    let pair = prctl::set_child_subreaper(true).and_then(|()| Channel::pair());
    // SAFETY: as above, there is a single thread.
    let forked = pair.and_then(|pair| Ok((pair, unsafe { fork() }?)));
    let ((own, command_end), forked) = match forked {
        Ok(forked) => forked,
        Err(error) => fail(&cannot_seal(&error.into())),
    };
    let command = match forked {
        ForkResult::Child => {
            drop(own);
            start(&command_end, keeper, &plan);
            inherited.give_back();
            fail(&become_command())
        }
        ForkResult::Parent { child } => child,
    };
    drop(command_end);
    // Without a pidfd, signals could reach another process that reuses the ID.
    let Some(handle) = processes::handle(command) else {
        fail(&cannot_seal(&Errno::last().into()))
    };
    // Until the command starts, what is in the way can be reported.
    let stderr = Cell::new(io::stderr().as_fd().try_clone_to_owned().ok());
    let give_up = |failure: &Failure| -> ! {
        let _ = stderr.take().map(dup2_stderr);
        fail(failure)
    };
    retire();
    let judge = (plan.judge)().unwrap_or_else(|failure| give_up(&failure.and("nothing was run")));
    let told = waiter.send(Message::Command(command.as_raw()), Some(&handle));
    let keeper = Arc::new(Keeper {
        waiter_pid,
        command,
        handle,
        was_stopped: AtomicBool::new(false),
        told_to_stop: AtomicBool::new(false),
    });
    let own = Arc::new(own);
    let starting = Starting { command, channel: Mutex::new(Some(Arc::clone(&own))) };
    let workers = Supervisor::prepare(Arc::clone(&judge), Box::new(starting));
    scope(|scope| {
        let stand_in = Arc::clone(&keeper);
        let watching = Builder::new().spawn_scoped(scope, move || stand_in.watch(waiter));
        let begun =
            watching.as_ref().and(workers.as_ref()).map_err(cannot_seal).and_then(|workers| {
                let begun = told.and_then(|()| begin(workers, &own));
                begun.map_err(|error| cannot_seal(&error.into()))
            });
        if let Err(failure) = begun {
            give_up(&failure);
        }
        drop((own, stderr.take()));
        keeper.reap(waiter, || {
            if let Ok(workers) = &workers {
                workers.work().finish();
            }
            judge.finish();
        });
        exit(0)
    })
}

/// Lets the command's process install the filter and start the command. If it cannot, it reports why.
fn begin(workers: &Arc<Workers<Supervisor>>, command: &Channel) -> Result<(), Errno> {
    tell_threads(command)?;
    let Ok(Some((Message::Listener, Some(listener)))) = command.receive() else { return Ok(()) };
    Supervisor::begin(workers, listener);
    command.send(Message::GoOn, None)
}

/// Sends the command's process the IDs of this process's threads, for the filter, and lets it go
/// on.
fn tell_threads(channel: &Channel) -> Result<(), Errno> {
    let all = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in all.filter_map(|it| it.file_name().to_str()?.parse().ok()) {
        channel.send(Message::Thread(thread), None)?;
    }
    channel.send(Message::GoOn, None)
}

/// Installs the filter in the process that becomes the command.
fn start(channel: &Channel, keeper: Pid, plan: &Plan<'_>) {
    let mut threads = vec![keeper.as_raw()];
    loop {
        match channel.receive() {
            Ok(Some((Message::Thread(thread), _))) if !threads.contains(&thread) => {
                threads.push(thread);
            }
            Ok(Some((Message::Thread(_), _))) => {}
            Ok(Some((Message::GoOn, _))) => break,
            _ => exit(1),
        }
    }
    let program = filter::program(&threads, plan.mark);
    let sealed = if plan.no_new_privs { prctl::set_no_new_privs() } else { Ok(()) }
        .and_then(|()| filter::install(&program))
        .and_then(|listener| channel.send(Message::Listener, Some(&listener)))
        .and_then(|()| channel.receive());
    match sealed {
        Ok(Some((Message::GoOn, _))) => {}
        Ok(_) => exit(1),
        Err(error) => fail(&cannot_seal(&error.into())),
    }
}

fn cannot_seal(error: &io::Error) -> Failure {
    Failure::new(format!("cannot seal this run: {}; nothing was run", why_not_started(error)))
}

fn fail(failure: &Failure) -> ! {
    let _ = failure.report();
    exit(failure.status().into())
}

/// Leaves the terminal, and closes what others may wait for.
fn retire() {
    let _ = setsid();
    close_inherited();
    let _ = silence();
    let _ = chdir("/");
    umask(FileMode::from_bits_truncate(0o077));
    let _ = SigSet::empty().thread_set_mask();
    // SAFETY: ignoring a signal installs no handler.
    let _ = unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) };
    // Processes of the same user can now neither trace this one nor take its descriptors.
    let _ = prctl::set_dumpable(false);
    outlast();
    outlive_others();
    // Each question may take a connection of its own.
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft.max(DESCRIPTORS)), hard);
    }
    title::set(TITLE);
    share_heap();
}

/// Makes all threads share one heap: setting up an arena for each would take longer than most of
/// the threads ever run.
fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two numbers; there is no other thread yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// The command's process, until it is the command.
struct Starting {
    command: Pid,
    /// `execve` closes its other end.
    channel: Mutex<Option<Arc<Channel>>>,
}

impl Start for Starting {
    fn is_starting(&self, thread: Pid) -> bool {
        if thread != self.command {
            return false;
        }
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &*channel else { return false };
        let nothing = recv(open.descriptor().as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT);
        let is_starting = nothing == Err(Errno::EAGAIN);
        if !is_starting {
            *channel = None;
        }
        is_starting
    }
}

/// What the keeper does besides answering: it reaps, as the command's parent, and keeps the waiter
/// and the command in step.
struct Keeper {
    waiter_pid: Pid,
    command: Pid,
    handle: OwnedFd,
    /// The command was stopped because the waiter was.
    was_stopped: AtomicBool,
    /// The waiter was told to stop as the command did, and was not seen running with it since.
    told_to_stop: AtomicBool,
}

impl Keeper {
    /// Reaps all descendants and tells the waiter about the command. Returns when no child is left:
    /// orphans become children of the subreaper.
    fn reap(&self, waiter: &Channel, finish: impl FnOnce()) {
        let options = libc::WUNTRACED | libc::WCONTINUED | libc::__WALL;
        let mut ended = None;
        loop {
            // Once the command has ended, first see whether it was the last process.
            let more = if ended.is_some() { libc::WNOHANG } else { 0 };
            let mut status = 0;
            // SAFETY: waitpid(2) writes one number.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, options | more) };
            match Errno::result(pid) {
                Ok(0) => tell(waiter, ended.take().map(Message::Ended)),
                // A ptrace stop, of a process that is being refused.
                Ok(_) if is_traced(status) => {}
                Ok(pid) if pid == self.command.as_raw() => {
                    if libc::WIFSTOPPED(status) || libc::WIFCONTINUED(status) {
                        self.pass_on(status, waiter);
                    } else {
                        ended = Some(status);
                    }
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => {
                    finish();
                    return tell(waiter, ended.map(Message::Last));
                }
            }
        }
    }

    fn pass_on(&self, status: i32, waiter: &Channel) {
        if libc::WIFCONTINUED(status) {
            self.was_stopped.store(false, Ordering::SeqCst);
            if getppid() == self.waiter_pid {
                let _ = kill(self.waiter_pid, Signal::SIGCONT);
            }
        } else if !self.was_stopped.load(Ordering::SeqCst) {
            self.told_to_stop.store(true, Ordering::SeqCst);
            tell(waiter, Some(Message::Stopped(libc::WSTOPSIG(status))));
        }
    }

    /// Stops or kills the command when the waiter is: `SIGSTOP` and `SIGKILL` are the two signals
    /// that the waiter cannot catch and pass on.
    fn watch(&self, waiter: &Channel) {
        let pause = PollTimeout::try_from(LOOK_PAUSE).unwrap_or(PollTimeout::NONE);
        loop {
            let mut ends = [PollFd::new(waiter.descriptor().as_fd(), PollFlags::POLLIN)];
            match poll(&mut ends, pause) {
                Ok(0) => self.follow_stop(),
                Err(Errno::EINTR) => {}
                _ => break,
            }
        }
        signals::send(&self.handle, libc::SIGKILL);
    }

    fn follow_stop(&self) {
        let stopped = || signals::is_stopped(self.waiter_pid);
        if self.was_stopped.load(Ordering::SeqCst) {
            if !stopped() {
                signals::send(&self.handle, libc::SIGCONT);
            }
            return;
        }
        let goes_on = || !signals::is_stopped(self.command);
        let differs = || stopped() && goes_on();
        // A signal to the whole group may have reached only one of them so far.
        if differs() && {
            std::thread::sleep(SIGNAL_TIME);
            differs()
        } {
            if self.told_to_stop.swap(false, Ordering::SeqCst) {
                // It heard so when the command went on already.
                let _ = kill(self.waiter_pid, Signal::SIGCONT);
            } else {
                self.was_stopped.store(true, Ordering::SeqCst);
                signals::send(&self.handle, libc::SIGSTOP);
            }
        } else if self.told_to_stop.load(Ordering::SeqCst) && goes_on() && !stopped() {
            self.told_to_stop.store(false, Ordering::SeqCst);
        }
    }
}

/// Whether this is the status of a ptrace stop (ptrace(2), "Attaching and detaching").
fn is_traced(status: i32) -> bool {
    libc::WIFSTOPPED(status) && status >> 16 != 0
}

/// Sends a message to the waiter, which may be gone.
fn tell(waiter: &Channel, message: Option<Message>) {
    if let Some(message) = message {
        let _ = waiter.send(message, None);
    }
}
