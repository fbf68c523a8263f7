//! The state that the library reads at load and keeps for the life of the process.

use rampart_core::environ::Guard;
use rampart_core::repair_count::RepairCount;
use rampart_core::request::Preamble;
use rampart_core::settings::{Mode, Notice, Refusal};
use rampart_core::url::MAX_URLS;

use crate::missed::Missed;
use crate::os::Real;
use crate::os::sys::{self, Address};
use crate::standard_error::StandardError;

/// Everything a hook needs.
pub struct State {
    pub mode: Mode,
    pub fail_open: bool,
    pub debug: bool,
    pub notice: Notice,
    /// The count of programs that ran unchecked.
    pub missed: Missed,
    pub refusal: Refusal,
    /// Time limit of a whole check, in milliseconds.
    pub timeout_ms: u32,
    /// How long to wait for a person's decision, in milliseconds; 0: not at all.
    pub ask_ms: u32,
    /// The mark of the sealed run, in which the kernel asks about every program; 0 if it is none.
    pub mark: u64,
    /// The repairs that led to this process.
    pub repairs: Option<RepairCount>,
    /// The process that read the state; a forked or vforked child has another process ID.
    pub pid: i32,
    /// Descriptor 2 as it was at load.
    pub stderr: StandardError,
    /// What a check needs, or why nothing can be checked.
    pub client: Result<ClientConfig, &'static str>,
    /// The functions that the hooks stand in front of.
    pub real: Real,
}

impl State {
    /// Whether this is a sealed run.
    pub const fn is_sealed(&self) -> bool {
        self.mark != 0
    }

    /// Whether the process with this ID read it, and is not a forked or vforked child of that one.
    pub fn is_of(&self, pid: i32) -> bool {
        pid == self.pid
    }

    /// The count for a program whose environment is repaired. `program` is its digest, or 0 for a
    /// shell that the C library starts, which does not re-execute itself.
    pub fn repairs_after(&self, program: u64) -> RepairCount {
        RepairCount::after(self.repairs, caller(), program, seconds())
    }

    /// Whether the program with this digest is in a re-exec loop.
    pub fn is_reexec_loop(&self, program: u64) -> bool {
        RepairCount::is_loop(self.repairs, caller(), program, seconds())
    }
}

/// The addresses of the policy server.
pub type Addresses = [Option<Address>; MAX_URLS];

/// What a check needs.
#[derive(Clone, Copy)]
pub struct ClientConfig {
    /// The addresses in the order in which they are tried; none if the host name could not be
    /// resolved.
    pub addresses: &'static Addresses,
    /// The constant parts of each request.
    pub preamble: Preamble<'static>,
    /// The entries that children must have in their environment.
    pub guard: Guard<'static>,
}

/// The calling process: this one, or a vfork child of it.
fn caller() -> u32 {
    sys::getpid().unsigned_abs()
}

/// The time on the monotonic clock, in seconds.
fn seconds() -> u64 {
    sys::now_us() / 1_000_000
}
