//! Run or refuse, decided from mode, answer and fail-open.

use crate::settings::Mode;

/// How a check ended (the answer table of `docs/protocol.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 200, and `allowed` is true.
    Allowed,
    /// 200, and `allowed` is false.
    Denied,
    /// No complete answer: refused, reset, timed out, closed early, or a 5xx.
    Unreachable(Unreachable),
    /// A status other than 200 and 5xx.
    Status(u16),
    /// An answer that is not a verdict.
    Garbled(&'static str),
    /// The library could not ask.
    Fault(&'static str),
}

/// Why there was no complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// Nobody listens there, or it is not reachable.
    NoServer,
    /// The check's deadline passed.
    TimedOut,
    /// The connection was closed before the answer was complete.
    Cut,
    /// The server said 5xx.
    ServerError(u16),
}

/// What a hook does with the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The real function is called.
    Run,
    /// The call fails with `EPERM`.
    Refuse,
}

/// The verdict for an outcome.
///
/// In `Disabled` mode nothing is asked, so that there is no outcome; everything runs.
#[must_use]
pub fn verdict(mode: Mode, outcome: Outcome, fail_open: bool) -> Verdict {
    let permitted = match outcome {
        Outcome::Allowed => true,
        Outcome::Unreachable(_) => fail_open,
        Outcome::Denied | Outcome::Status(_) | Outcome::Garbled(_) | Outcome::Fault(_) => false,
    };
    if permitted || mode != Mode::Enforce { Verdict::Run } else { Verdict::Refuse }
}

impl Outcome {
    /// One word for a log.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "status",
            Self::Garbled(_) => "garbled",
            Self::Fault(_) => "fault",
        }
    }

    /// A reason for a person to read; for `Denied` only if the server gave none.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "the policy does not allow it",
            Self::Unreachable(Unreachable::NoServer) => "the policy server cannot be reached",
            Self::Unreachable(Unreachable::TimedOut) => "the policy server did not answer in time",
            Self::Unreachable(Unreachable::Cut) => {
                "the policy server closed the connection before it had answered"
            }
            Self::Unreachable(Unreachable::ServerError(_)) => "the policy server failed",
            Self::Status(401 | 403) => {
                "the policy server does not accept our token (RAMPART_TOKEN)"
            }
            Self::Status(300..=399) => {
                "the policy server redirects, which is never followed (RAMPART_URL)"
            }
            Self::Status(_) => "the policy server does not take the question (RAMPART_URL)",
            Self::Garbled(why) | Self::Fault(why) => why,
        }
    }

    /// The HTTP status that the reason is about.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::Unreachable(Unreachable::ServerError(status)) => {
                Some(status)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_follows_from_outcome_mode_and_fail_open() {
        use Verdict::{Refuse, Run};
        // outcome, enforce with fail-open 1, enforce with fail-open 0
        let table = [
            (Outcome::Allowed, Run, Run),
            (Outcome::Denied, Refuse, Refuse),
            (Outcome::Unreachable(Unreachable::NoServer), Run, Refuse),
            (Outcome::Unreachable(Unreachable::TimedOut), Run, Refuse),
            (Outcome::Unreachable(Unreachable::Cut), Run, Refuse),
            (Outcome::Unreachable(Unreachable::ServerError(503)), Run, Refuse),
            (Outcome::Status(401), Refuse, Refuse),
            (Outcome::Status(302), Refuse, Refuse),
            (Outcome::Garbled("x"), Refuse, Refuse),
            (Outcome::Fault("x"), Refuse, Refuse),
        ];
        for (outcome, open, closed) in table {
            assert_eq!(verdict(Mode::Enforce, outcome, true), open, "{outcome:?}");
            assert_eq!(verdict(Mode::Enforce, outcome, false), closed, "{outcome:?}");
            for mode in [Mode::Monitor, Mode::Disabled] {
                for fail_open in [true, false] {
                    assert_eq!(verdict(mode, outcome, fail_open), Run, "{outcome:?} {mode:?}");
                }
            }
        }
    }

    #[test]
    fn each_outcome_has_a_word_for_the_log_and_perhaps_a_status() {
        let failed = Outcome::Unreachable(Unreachable::ServerError(503));
        for (outcome, kind, status) in [
            (Outcome::Allowed, "allowed", None),
            (Outcome::Denied, "denied", None),
            (Outcome::Unreachable(Unreachable::Cut), "unreachable", None),
            (failed, "unreachable", Some(503)),
            (Outcome::Status(401), "status", Some(401)),
            (Outcome::Garbled("x"), "garbled", None),
            (Outcome::Fault("x"), "fault", None),
        ] {
            assert_eq!((outcome.kind(), outcome.status()), (kind, status), "{outcome:?}");
        }
    }
}
