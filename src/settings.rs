//! The `RAMPART_*` variables (`docs/environment.md`).

#[cfg(test)]
mod tests;

use core::ffi::CStr;

use crate::arena::Decimal;

/// What the library does with the server's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A refused command does not run.
    Enforce,
    /// The server is asked and logs its answer; the command runs.
    Monitor,
    /// Nothing is asked.
    Disabled,
}

impl Mode {
    /// The word for it in `RAMPART_MODE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
            Self::Disabled => "disabled",
        }
    }
}

/// What the library reports on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Nothing.
    Nothing,
    /// Refusals. An unreachable server is not reported: nobody said that there is one.
    Refusals,
    /// Refusals, and programs that run unchecked because the server cannot be reached.
    Everything,
}

impl Notice {
    /// The value of `RAMPART_NOTICE` for it; `None`: the variable is unset.
    #[must_use]
    pub fn value(self) -> Option<&'static [u8]> {
        match self {
            Self::Nothing => Some(b"0"),
            Self::Refusals => None,
            Self::Everything => Some(b"1"),
        }
    }

    fn read(value: Option<&[u8]>) -> Self {
        match value {
            Some(b"0") => Self::Nothing,
            None => Self::Refusals,
            Some(_) => Self::Everything,
        }
    }
}

/// How a refusal looks to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The function fails with `EPERM`.
    Errno,
    /// The caller gets a child that writes the reason to its stderr and exits with 126.
    Message,
    /// [`Self::Message`] for a shell with a command line, [`Self::Errno`] for anything else.
    Shell,
}

impl Refusal {
    /// The word for it in `RAMPART_REFUSAL`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errno => "errno",
            Self::Message => "message",
            Self::Shell => "shell",
        }
    }
}

/// A variable that the library reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `RAMPART_URL`
    Url,
    /// `RAMPART_TOKEN`
    Token,
    /// `RAMPART_MODE`
    Mode,
    /// `RAMPART_FAIL_OPEN`
    FailOpen,
    /// `RAMPART_AGENT`
    Agent,
    /// `RAMPART_SESSION`
    Session,
    /// `RAMPART_DEBUG`
    Debug,
    /// `RAMPART_NOTICE`
    Notice,
    /// `RAMPART_TIMEOUT_MS`
    TimeoutMs,
    /// `RAMPART_ADDRESS`
    Address,
    /// `RAMPART_SEALED`
    Sealed,
    /// `RAMPART_REFUSAL`
    Refusal,
    /// `RAMPART_ASK_MS`
    AskMs,
}

impl Variable {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 13] = [
        Self::Url,
        Self::Token,
        Self::Mode,
        Self::FailOpen,
        Self::Agent,
        Self::Session,
        Self::Debug,
        Self::Notice,
        Self::TimeoutMs,
        Self::Address,
        Self::Sealed,
        Self::Refusal,
        Self::AskMs,
    ];

    /// What every name begins with.
    pub const PREFIX: &'static [u8] = b"RAMPART_";

    /// The name in the environment.
    #[must_use]
    pub fn name(self) -> &'static CStr {
        match self {
            Self::Url => c"RAMPART_URL",
            Self::Token => c"RAMPART_TOKEN",
            Self::Mode => c"RAMPART_MODE",
            Self::FailOpen => c"RAMPART_FAIL_OPEN",
            Self::Agent => c"RAMPART_AGENT",
            Self::Session => c"RAMPART_SESSION",
            Self::Debug => c"RAMPART_DEBUG",
            Self::Notice => c"RAMPART_NOTICE",
            Self::TimeoutMs => c"RAMPART_TIMEOUT_MS",
            Self::Address => c"RAMPART_ADDRESS",
            Self::Sealed => c"RAMPART_SEALED",
            Self::Refusal => c"RAMPART_REFUSAL",
            Self::AskMs => c"RAMPART_ASK_MS",
        }
    }
}

/// A `prctl(2)` operation that no kernel has. The seccomp filter of a sealed run answers it with
/// the run's mark as the error number, any other kernel with `EINVAL`. So a process can tell
/// whether it is in the run that its environment names.
pub const SEALED_CALL: u32 = u32::from_be_bytes(*b"ramp");

/// The value of `RAMPART_SEALED` in a run that is not sealed, as whoever started it knows.
pub const KNOWN_OPEN: &str = "off";

/// Whether the keeper of the sealed run with this mark may read every process, also one that is
/// hidden (`PR_SET_DUMPABLE` in prctl(2)): the lowest bit of the mark says so.
#[must_use]
pub const fn reads_hidden(mark: u64) -> bool {
    mark & 1 == 1
}

/// A value that is not valid, and what counts instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Complaint {
    /// The variable.
    pub variable: Variable,
    /// What counts instead, and which values are valid.
    pub instead: &'static str,
}

/// The settings, borrowed from the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings<'e> {
    /// The policy server; not yet parsed.
    pub url: &'e [u8],
    /// Bearer token.
    pub token: Option<&'e [u8]>,
    /// What is done with answers.
    pub mode: Mode,
    /// Whether a command runs if the server cannot be reached.
    pub fail_open: bool,
    /// Name of the agent in the audit.
    pub agent: &'e [u8],
    /// Session in the audit; `None`: the library makes one up from the process ID.
    pub session: Option<&'e [u8]>,
    /// Whether checks are logged on stderr.
    pub debug: bool,
    /// What is reported on stderr.
    pub notice: Notice,
    /// Time limit of a whole check, connecting included, in milliseconds.
    pub timeout_ms: u32,
    /// The server's socket address, resolved by the first process of the tree.
    pub address: Option<&'e [u8]>,
    /// The mark of a sealed run, in which the kernel asks; see [`SEALED_CALL`].
    pub sealed: Option<&'e [u8]>,
    /// How a refusal looks.
    pub refusal: Refusal,
    /// How long to wait for a person's decision, in milliseconds; `None`: not at all.
    pub ask_ms: Option<u32>,
    /// Invalid values of `RAMPART_MODE`, `RAMPART_FAIL_OPEN`, `RAMPART_TIMEOUT_MS`,
    /// `RAMPART_REFUSAL`, `RAMPART_ASK_MS`, in this order.
    pub complaints: [Option<Complaint>; 5],
}

impl<'e> Settings<'e> {
    /// The policy server if `RAMPART_URL` is unset.
    pub const DEFAULT_URL: &'static str = "http://127.0.0.1:19090";
    /// The agent if `RAMPART_AGENT` is unset.
    pub const DEFAULT_AGENT: &'static str = "preload";
    /// Time limit of a whole check if `RAMPART_TIMEOUT_MS` is unset.
    pub const DEFAULT_TIMEOUT_MS: u32 = 2000;
    /// Ten minutes: a longer limit is taken for a mistake.
    pub const LONGEST_TIMEOUT_MS: u32 = 600_000;
    /// A day: a longer wait is taken for a mistake.
    pub const LONGEST_ASK_MS: u32 = 86_400_000;

    /// Reads the settings; `lookup` returns the value of a variable that is set. An empty value
    /// counts as unset.
    pub fn read(lookup: impl Fn(Variable) -> Option<&'e [u8]>) -> Self {
        let get = |variable| lookup(variable).filter(|value| !value.is_empty());
        let (mode, mode_complaint) = read_mode(get(Variable::Mode));
        let (fail_open, fail_open_complaint) = read_fail_open(get(Variable::FailOpen));
        let (timeout_ms, timeout_complaint) = read_timeout(get(Variable::TimeoutMs));
        let (refusal, refusal_complaint) = read_refusal(get(Variable::Refusal));
        let (ask_ms, ask_complaint) = read_ask(get(Variable::AskMs));
        Self {
            url: get(Variable::Url).unwrap_or(Self::DEFAULT_URL.as_bytes()),
            token: get(Variable::Token),
            mode,
            fail_open,
            agent: get(Variable::Agent).unwrap_or(Self::DEFAULT_AGENT.as_bytes()),
            session: get(Variable::Session),
            debug: get(Variable::Debug).is_some_and(|value| value != b"0"),
            notice: Notice::read(get(Variable::Notice)),
            timeout_ms,
            address: get(Variable::Address),
            sealed: get(Variable::Sealed),
            refusal,
            ask_ms,
            complaints: [
                mode_complaint,
                fail_open_complaint,
                timeout_complaint,
                refusal_complaint,
                ask_complaint,
            ],
        }
    }
}

fn read_mode(value: Option<&[u8]>) -> (Mode, Option<Complaint>) {
    match value {
        None | Some(b"enforce") => (Mode::Enforce, None),
        Some(b"monitor") => (Mode::Monitor, None),
        Some(b"disabled") => (Mode::Disabled, None),
        Some(_) => (
            Mode::Enforce,
            Some(Complaint {
                variable: Variable::Mode,
                instead: "counts as enforce (known: enforce, monitor, disabled)",
            }),
        ),
    }
}

fn read_fail_open(value: Option<&[u8]>) -> (bool, Option<Complaint>) {
    match value {
        None | Some(b"1") => (true, None),
        Some(b"0") => (false, None),
        Some(_) => (
            false,
            Some(Complaint { variable: Variable::FailOpen, instead: "counts as 0 (known: 0, 1)" }),
        ),
    }
}

fn read_timeout(value: Option<&[u8]>) -> (u32, Option<Complaint>) {
    let Some(text) = value else { return (Settings::DEFAULT_TIMEOUT_MS, None) };
    match milliseconds(text) {
        Some(ms @ 1..=Settings::LONGEST_TIMEOUT_MS) => (ms, None),
        _ => (
            Settings::DEFAULT_TIMEOUT_MS,
            Some(Complaint {
                variable: Variable::TimeoutMs,
                instead: "counts as 2000 (known: 1 to 600000 milliseconds)",
            }),
        ),
    }
}

fn read_ask(value: Option<&[u8]>) -> (Option<u32>, Option<Complaint>) {
    let Some(text) = value else { return (None, None) };
    match milliseconds(text) {
        Some(0) => (None, None),
        Some(ms @ 1..=Settings::LONGEST_ASK_MS) => (Some(ms), None),
        _ => (
            None,
            Some(Complaint {
                variable: Variable::AskMs,
                instead: "counts as 0, nobody is asked (known: 0 to 86400000 milliseconds)",
            }),
        ),
    }
}

fn milliseconds(text: &[u8]) -> Option<u32> {
    Decimal::parse(text).and_then(|number| u32::try_from(number).ok())
}

fn read_refusal(value: Option<&[u8]>) -> (Refusal, Option<Complaint>) {
    match value {
        None | Some(b"errno") => (Refusal::Errno, None),
        Some(b"message") => (Refusal::Message, None),
        Some(b"shell") => (Refusal::Shell, None),
        Some(_) => (
            Refusal::Errno,
            Some(Complaint {
                variable: Variable::Refusal,
                instead: "counts as errno (known: errno, shell, message)",
            }),
        ),
    }
}
