//! What the supervisor asks about, and is told.

use nix::errno::Errno;
use nix::unistd::Pid;

use super::refusal_message::RefusalMessage;
use super::tracee::Program;

/// What was decided about a program.
pub enum Verdict {
    Allowed,
    /// With what is told of it, where somebody can be told.
    Refused(Option<RefusalMessage>),
}

/// Decides about programs.
pub trait Judge: Send + Sync {
    /// Whether this thread may start this program. It may take its time once it has called
    /// `slow`: other questions are decided meanwhile, on other threads.
    fn judge(&self, thread: Pid, program: &Program, slow: &dyn Fn()) -> Verdict;

    /// Whether a program may start that cannot be read, for this reason. `slow` as above.
    fn judge_unreadable(&self, thread: Pid, why: Errno, slow: &dyn Fn()) -> Verdict;

    /// Notes that a process has started something else than what it was allowed; whether it is
    /// to be ended.
    fn differs(&self, process: Pid, allowed: &[u8], started: &[u8]) -> bool;

    /// Has done what an answer need not wait for, now that it is given.
    fn answered(&self);

    /// Does all that has to be done before this process ends.
    fn finish(&self);
}
