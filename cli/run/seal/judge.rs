//! The interface between the supervisor and whoever decides about programs.

use nix::errno::Errno;
use nix::unistd::Pid;

use super::refusal_message::RefusalMessage;
use super::tracee::Program;

/// The decision about a program.
pub enum Verdict {
    Allowed,
    /// With the message, if somebody can be told.
    Refused(Option<RefusalMessage>),
}

/// Decides about programs.
pub trait Judge: Send + Sync {
    /// Whether this thread may start this program. Has to call `slow` before anything that may take
    /// long: other questions are then answered on other threads meanwhile.
    fn judge(&self, thread: Pid, program: &Program, slow: &dyn Fn()) -> Verdict;

    /// Whether a program may start whose call cannot be read, for the reason `why`. `slow` as
    /// above.
    fn judge_unreadable(&self, thread: Pid, why: Errno, slow: &dyn Fn()) -> Verdict;

    /// Records that a process started something other than what it was allowed. Returns whether to
    /// kill it.
    fn differs(&self, process: Pid, allowed: &[u8], started: &[u8]) -> bool;

    /// Called after each answer was given, for work that the answer need not wait for.
    fn answered(&self);

    /// Called before this process ends.
    fn finish(&self);
}
