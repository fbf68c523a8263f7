//! Whether the process at the other end acts for a person: it has to be an unguarded process of
//! this user, by what the system says about it. The token proves nothing here, because guarded
//! processes have it too.

use nix::unistd::{Pid, geteuid};

use super::stream::Peer;
use crate::processes;

/// How many ancestors are checked.
const DEEPEST: usize = 128;

const BY_SOCKET: &str =
    "this can only be decided over the server's Unix socket, which shows who decides";
const OF_ANOTHER: &str = "only the user who started the server may decide this";
const UNKNOWN: &str = "the system does not tell enough about the process that wants to decide";
const GUARDED: &str =
    "only the person who started the agent may decide this, not a guarded process";

/// Why this process may not decide; `None` if it may. `has_asked` tells whether a process has asked
/// this server anything.
pub fn objection(peer: Peer, has_asked: impl Fn(i32) -> bool) -> Option<&'static str> {
    let Some(user) = peer.user else { return Some(BY_SOCKET) };
    if user != geteuid().as_raw() && user != 0 {
        return Some(OF_ANOTHER);
    }
    let Some(process) = peer.pid else { return Some(UNKNOWN) };
    let is_same = |start| start <= peer.since;
    if !processes::started(Pid::from_raw(process)).is_some_and(is_same) {
        return Some(UNKNOWN);
    }
    if user != 0 && processes::environment(process).is_none() {
        return Some(UNKNOWN);
    }
    // A keeper is an ancestor of all that it guards.
    let own = Pid::this().as_raw();
    let is_guarded = |each: i32| each == own || has_asked(each) || processes::has_library(each);
    let line = std::iter::successors(Some(process), |each| processes::parent(*each));
    let mut line = line.take_while(|each| *each > 0).take(DEEPEST);
    line.any(is_guarded).then_some(GUARDED)
}

#[cfg(test)]
mod tests {
    use nix::unistd::geteuid;

    use super::{BY_SOCKET, GUARDED, OF_ANOTHER, Peer, UNKNOWN, objection};
    use crate::processes;

    #[test]
    fn only_a_known_process_of_this_user_that_no_guard_is_in_may_decide() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).ok();
        let user = Some(geteuid().as_raw());
        let now = processes::now();
        let peer = Peer { pid, user, since: now };
        let own = std::process::id();
        // This process is the server, and the child's parent.
        assert_eq!(objection(peer, |_| false), Some(GUARDED));
        let outer = i32::try_from(std::os::unix::process::parent_id()).ok();
        let person = Peer { pid: outer, ..peer };
        assert_eq!(objection(person, |_| false), None, "{own}");
        assert_eq!(objection(person, |each| Some(each) == outer), Some(GUARDED));
        assert_eq!(objection(Peer { user: Some(77_777), ..person }, |_| false), Some(OF_ANOTHER));
        assert_eq!(objection(Peer { pid: None, ..person }, |_| false), Some(UNKNOWN));
        assert_eq!(objection(Peer { since: 0, ..person }, |_| false), Some(UNKNOWN));
        assert_eq!(objection(Peer::UNKNOWN, |_| false), Some(BY_SOCKET));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(objection(peer, |_| false), Some(UNKNOWN));
    }
}
