//! The seal (Linux): the kernel asks about every program that a guarded run starts, also where the
//! library is not loaded or cannot ask: in static programs, after a cleared environment, in a
//! sandbox from which the policy server cannot be reached.
//!
//! 1. [`filter`] is installed in the process that becomes the command, and inherited by all that
//!    it starts;
//! 2. [`keeper`] is the parent of that process, and [`waiter`] represents the command to whoever
//!    started `rampart`; they talk over a [`channel`], and a [`witness`] tells whom signals are for;
//! 3. [`supervisor`] and its [`workers`] receive the notifications, [`tracee`] reads with
//!    [`memory`] what is to be started, [`policy_client`] gets a decision, and [`refusal_message`]
//!    tells the reason of a refusal. [`review`] checks afterwards, with [`aftermath`], that what was
//!    allowed is what started.
//!
//! It is no security boundary: between the answer and the `execve`, another thread or a process that
//! shares memory can change the arguments (`seccomp_unotify(2)`). [`review`] finds most of these
//! cases afterwards.

mod aftermath;
mod channel;
mod filter;
mod judge;
mod keeper;
mod memory;
mod policy_client;
mod refusal_message;
mod review;
mod signals;
mod supervisor;
mod tracee;
mod waiter;
mod witness;
mod workers;

use std::io::{Read as _, Write as _};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{ForkResult, fork, getpid};
use rampart_core::settings::SEALED_CALL;

pub use judge::Judge;
pub use keeper::{Plan, run};
pub use policy_client::{ClientOptions, PolicyClient};
pub use refusal_message::Manner;

use crate::failure::why_not_started;
use crate::run::own_server::exit;
use crate::run::sealing::MARKS;

/// What sealing a run requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing.
    Nothing,
    /// `no_new_privs`, without which this user may not install a filter; set-user-ID programs such
    /// as `sudo` then gain no rights.
    NoNewPrivs,
}

/// Tries in a child whether this process could seal a run.
///
/// # Errors
/// Why it could not, for a person.
pub fn probe() -> Result<Requirement, String> {
    tracee::can_look().map_err(|_| "it needs Linux 5.6 or later".to_owned())?;
    // The keeper reads what `/proc` has of the processes that the kernel names by their IDs here.
    let own = std::fs::read_link("/proc/self").ok();
    if own.is_none_or(|own| own.as_os_str() != getpid().to_string().as_str()) {
        return Err(FOREIGN_PROC.to_owned());
    }
    let pipe = || std::io::pipe().map_err(|error| why_not_started(&error));
    let ((mut reader, mut writer), (mut end, looking)) = (pipe()?, pipe()?);
    // SAFETY: this process has a single thread, so the child may do anything.
    match unsafe { fork() }.map_err(|error| why_not_started(&error.into()))? {
        ForkResult::Child => {
            drop(looking);
            let _ = writer.write_all(&[try_out()]);
            // Stay until the parent has read this process's memory, as the keeper will.
            let _ = end.read(&mut [0]);
            exit(0)
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut found = [0];
            let read = reader.read_exact(&mut found);
            let looked = memory::look_into_fork(child);
            drop(looking);
            let _ = nix::sys::wait::waitpid(child, None);
            match (read, found[0]) {
                (Err(_), _) => Err("the filter killed the process that installed it".to_owned()),
                (Ok(()), FREE | RESTRICTED) if looked.is_err() => Err(UNREADABLE.to_owned()),
                (Ok(()), FREE) => Ok(Requirement::Nothing),
                (Ok(()), RESTRICTED) => Ok(Requirement::NoNewPrivs),
                (Ok(()), errno) => Err(explain(Errno::from_raw(errno.into())).to_owned()),
            }
        }
    }
}

/// Whether this process may read any other, also one that is hidden from its own user
/// (`CAP_SYS_PTRACE`, capabilities(7)).
pub fn may_read_hidden() -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_some_and(|set| set >> CAP_SYS_PTRACE & 1 == 1)
}

const UNREADABLE: &str = "a process may not read its child's memory here \
    (kernel.yama.ptrace_scope, or a filter around this process)";

const FOREIGN_PROC: &str = "/proc is missing or that of another PID namespace (here helps \
    `mount -t proc proc /proc`, or --mount-proc of unshare)";

/// What the child reports: one of these, or an error number.
const FREE: u8 = 0;
const RESTRICTED: u8 = u8::MAX;

fn try_out() -> u8 {
    let program = filter::program(&[getpid().as_raw()], 1);
    let tried = match filter::install(&program) {
        Ok(_) => Ok(FREE),
        Err(Errno::EACCES) => {
            prctl::set_no_new_privs().and_then(|()| filter::install(&program)).map(|_| RESTRICTED)
        }
        Err(error) => Err(error),
    };
    tried.unwrap_or_else(|error| u8::try_from(error as i32).unwrap_or(RESTRICTED - 1))
}

/// Whether another run's filter answers the call by which its library knows it.
pub fn is_in_sealed_run() -> bool {
    // SAFETY: prctl(2) takes numbers for an operation that the kernel does not have.
    let answer = unsafe { libc::prctl(SEALED_CALL.cast_signed(), 0, 0, 0, 0) };
    answer == -1 && u16::try_from(Errno::last_raw()).is_ok_and(|mark| MARKS.contains(&mark))
}

fn explain(error: Errno) -> &'static str {
    match error {
        Errno::EBUSY if is_in_sealed_run() => "this process is already in a sealed run",
        // The kernel has one listener for a process (seccomp(2), `EBUSY`).
        Errno::EBUSY => "a container or sandbox around this process has the kernel ask it already",
        Errno::EINVAL | Errno::ENOSYS => {
            "this kernel, or a filter around this process, does not support it"
        }
        Errno::EPERM | Errno::EACCES => "a filter or container around this process forbids it",
        error => error.desc(),
    }
}
