//! Who may decide in a person's place: a process of this user's that no guard is in, by what the
//! system says of it. What it shows counts for nothing: a guarded process has the token, too.

use nix::unistd::{Pid, geteuid};

use super::asker::Peer;
use crate::run::processes;

/// So many processes may stand above one that decides.
const DEEPEST: usize = 128;

const BY_SOCKET: &str =
    "this is decided over the server's Unix socket only, which tells who decides";
const OF_ANOTHER: &str = "this is for the user who started the server to decide";
const UNKNOWN: &str = "the system does not tell enough of the process that wants to decide";
const GUARDED: &str =
    "this is for the person to decide who started the agent, and not for a guarded process";

/// Why this process may not decide, if it may not. `has_asked` tells of those who have asked the
/// server something.
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
    // A keeper is above all that it guards.
    let own = Pid::this().as_raw();
    let is_guarded = |each: i32| each == own || has_asked(each) || processes::has_library(each);
    let line = std::iter::successors(Some(process), |each| processes::parent(*each));
    let mut line = line.take_while(|each| *each > 0).take(DEEPEST);
    line.any(is_guarded).then_some(GUARDED)
}
