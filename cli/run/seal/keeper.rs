//! The three processes of a sealed run.
//!
//! The one that was typed waits, in the command's terminal and process group. Its child, the
//! keeper, answers the kernel: in a session of its own, and an ancestor of every process of
//! the tree, because reading a process's memory takes an ancestor's rights (Yama,
//! `ptrace_scope` 1). As a subreaper it stays one of those that leave their parents, too. Its
//! child becomes the command.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal, sigprocmask};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::stat::{Mode as FileMode, umask};
use nix::unistd::{ForkResult, Pid, chdir, fork, getpid, getppid, setsid};

use super::channel::{Channel, Message};
use super::filter;
use super::judge::Judge;
use super::signals;
use super::supervisor::{Start, Supervisor};
use super::waiter;
use crate::failure::Failure;
use crate::processes;
use crate::run::own_server::{close_all_but, exit, silence};
use crate::run::title;

const TITLE: &CStr = c"rampart-keeper";
/// How often the keeper looks whether the process that was typed was stopped: nobody tells.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// For as many questions at once as the supervisor has threads, and the files that they look at.
const DESCRIPTORS: u64 = 4 * 4096;
/// A signal to a group has reached all of it after this.
const SIGNAL_TIME: Duration = Duration::from_millis(20);

/// What a sealed run is made of.
pub struct Plan<'p> {
    /// Called in the keeper.
    pub judge: Box<dyn FnOnce() -> Result<Arc<dyn Judge>, Failure> + 'p>,
    /// Whether the filter can be had only by a process that gains no rights by `exec`.
    pub no_new_privs: bool,
    /// By which the library tells that it is in this run.
    pub mark: u16,
}

/// Starts what `become_command` becomes in a sealed run, and waits for it. Does not return
/// in the process that was typed, unless nothing was started.
///
/// # Errors
/// There is no process to be had.
pub fn run(
    plan: Plan<'_>,
    become_command: impl FnOnce() -> Failure,
) -> Result<std::convert::Infallible, Failure> {
    let cannot = |error: Errno| Failure::new(format!("cannot seal this run: {error}"));
    let (waiters, keepers) = Channel::pair().map_err(cannot)?;
    // From here on signals wait until somebody is there who can pass them on.
    let inherited = Inherited::take().map_err(cannot)?;
    let command = prctl::set_child_subreaper(true);
    // SAFETY: this process has a single thread, so the child may do anything.
    match command.and_then(|()| unsafe { fork() }) {
        Err(error) => {
            inherited.give_back();
            Err(cannot(error))
        }
        Ok(ForkResult::Parent { child }) => {
            drop(keepers);
            waiter::wait(&waiters, child)
        }
        Ok(ForkResult::Child) => {
            drop(waiters);
            keep(plan, &keepers, &inherited, become_command)
        }
    }
}

/// How the process that was typed was started, and the command is to be.
struct Inherited {
    mask: SigSet,
    child_handler: SigHandler,
}

impl Inherited {
    /// Blocks what would interrupt, and sees to it that children leave a status.
    fn take() -> Result<Self, Errno> {
        let mut mask = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals::passed_on()), Some(&mut mask))?;
        // SAFETY: the default action is no handler of ours.
        let child_handler = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
        Ok(Self { mask, child_handler })
    }

    fn give_back(&self) {
        // SAFETY: nothing has installed a handler of its own: it is the default or none.
        let _ = unsafe { signal(Signal::SIGCHLD, self.child_handler) };
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
    }
}

/// The keeper's life. Nothing of what this process owned before is run at its end.
fn keep(
    plan: Plan<'_>,
    waiter: &Channel,
    inherited: &Inherited,
    become_command: impl FnOnce() -> Failure,
) -> ! {
    let typed = getppid();
    let keeper = getpid();
    let pair = prctl::set_child_subreaper(true).and_then(|()| Channel::pair());
    // SAFETY: as above, there is a single thread.
    let forked = pair.and_then(|pair| Ok((pair, unsafe { fork() }?)));
    let ((own, commands), forked) = match forked {
        Ok(forked) => forked,
        Err(error) => fail(&Failure::new(format!("cannot seal this run: {error}"))),
    };
    let command = match forked {
        ForkResult::Child => {
            drop(own);
            start(&commands, keeper, &plan);
            inherited.give_back();
            fail(&become_command())
        }
        ForkResult::Parent { child } => child,
    };
    drop(commands);
    // Without its handle its signals could reach another process by its number.
    let Some(handle) = processes::handle(command) else { exit(1) };
    retire(&[waiter, &own], &handle);
    let Ok(judge) = (plan.judge)() else { exit(1) };
    let told = waiter.send(Message::Command(command.as_raw()), Some(&handle));
    let keeper = Arc::new(Keeper { typed, command, handle, was_stopped: AtomicBool::new(false) });
    let own = Arc::new(own);
    let starting = Starting { command, channel: Mutex::new(Some(Arc::clone(&own))) };
    let workers = Supervisor::prepare(Arc::clone(&judge), Box::new(starting));
    std::thread::scope(|scope| {
        let stand_in = Arc::clone(&keeper);
        scope.spawn(move || stand_in.watch(waiter));
        let is_begun = workers.as_ref().is_ok_and(|workers| {
            told.and_then(|()| tell_threads(&own)).is_ok()
                && match own.receive() {
                    Ok(Some((Message::Listener, Some(listener)))) => {
                        Supervisor::begin(workers, listener);
                        own.send(Message::GoOn, None).is_ok()
                    }
                    // It has said why, and ends.
                    _ => true,
                }
        });
        if !is_begun {
            exit(1);
        }
        drop(own);
        keeper.reap(waiter, || {
            if let Ok(workers) = &workers {
                workers.work().finish();
            }
            judge.finish();
        });
        exit(0)
    })
}

/// Tells the command's process what threads there are, by whose numbers this process can be
/// meant as well, and lets it go on.
fn tell_threads(channel: &Channel) -> Result<(), Errno> {
    let all = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in all.filter_map(|it| it.file_name().to_str()?.parse().ok()) {
        channel.send(Message::Thread(thread), None)?;
    }
    channel.send(Message::GoOn, None)
}

/// Has the kernel ask about what this process will start.
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
        Err(error) => {
            fail(&Failure::new(format!("cannot seal this run: {error}; nothing was run")))
        }
    }
}

fn fail(failure: &Failure) -> ! {
    let _ = failure.report();
    exit(failure.status().into())
}

/// Leaves the terminal, and everything that others may wait for.
fn retire(channels: &[&Channel], handle: &OwnedFd) {
    let _ = setsid();
    let mut kept = vec![handle.as_raw_fd()];
    kept.extend(channels.iter().map(|channel| channel.descriptor().as_raw_fd()));
    close_all_but(&kept);
    let _ = silence();
    let _ = chdir("/");
    umask(FileMode::from_bits_truncate(0o077));
    let _ = SigSet::empty().thread_set_mask();
    // SAFETY: to ignore a signal is no handler of ours.
    let _ = unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) };
    // Others of the same user can neither trace this process nor take its descriptors.
    let _ = prctl::set_dumpable(false);
    // Each question may take a connection of its own.
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft.max(DESCRIPTORS)), hard);
    }
    title::set(TITLE);
    share_heap();
}

/// Has all threads to come use one heap: to set up a further one for each takes longer than most
/// of the threads will ever run, and it grows a page at a time.
fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two numbers; nobody else is in this process yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// The command's process, until it is the command.
struct Starting {
    command: Pid,
    /// Its other end is closed by the `exec`.
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

/// What the keeper does besides answering: it is the command's parent, and the stand-in of
/// the process that was typed.
struct Keeper {
    typed: Pid,
    command: Pid,
    handle: OwnedFd,
    /// The command was stopped because the process that was typed was.
    was_stopped: AtomicBool,
}

impl Keeper {
    /// Reaps everybody who ends, tells what becomes of the command, and is done when nobody is
    /// left: a subreaper's descendants all have it for an ancestor.
    fn reap(&self, waiter: &Channel, finish: impl FnOnce()) {
        let options = libc::WUNTRACED | libc::WCONTINUED | libc::__WALL;
        let mut ended = None;
        loop {
            // Where the tree ends with the command, that is told, too.
            let more = if ended.is_some() { libc::WNOHANG } else { 0 };
            let mut status = 0;
            // SAFETY: waitpid(2) writes one number.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, options | more) };
            match Errno::result(pid) {
                Ok(0) => tell(waiter, ended.take().map(Message::Ended)),
                // By who tells of a refusal.
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
            if getppid() == self.typed {
                let _ = kill(self.typed, Signal::SIGCONT);
            }
        } else if !self.was_stopped.load(Ordering::SeqCst) {
            tell(waiter, Some(Message::Stopped(libc::WSTOPSIG(status))));
        }
    }

    /// Sees to it that the command is stopped and killed as the process that was typed is: it
    /// can pass on all signals but these two.
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
        let stopped = || signals::is_stopped(self.typed);
        if !self.was_stopped.load(Ordering::SeqCst) {
            let differs = || stopped() && !signals::is_stopped(self.command);
            // A signal to both does not reach both at once.
            if differs() && {
                std::thread::sleep(SIGNAL_TIME);
                differs()
            } {
                self.was_stopped.store(true, Ordering::SeqCst);
                signals::send(&self.handle, libc::SIGSTOP);
            }
        } else if !stopped() {
            signals::send(&self.handle, libc::SIGCONT);
        }
    }
}

/// Whether a status tells of a stop that only a tracer sees (ptrace(2), "Attaching and
/// detaching").
fn is_traced(status: i32) -> bool {
    libc::WIFSTOPPED(status) && status >> 16 != 0
}

/// The waiter may be gone; there is nobody to tell then.
fn tell(waiter: &Channel, message: Option<Message>) {
    if let Some(message) = message {
        let _ = waiter.send(message, None);
    }
}
