//! What the library knows for the life of the process.

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
    /// What ran unchecked, where that is told.
    pub missed: Missed,
    pub refusal: Refusal,
    /// For a whole check, in milliseconds.
    pub timeout_ms: u32,
    /// How long a person's decision is waited for, in milliseconds; 0: it is not.
    pub ask_ms: u32,
    /// Whether the kernel asks about every program, so that the hooks need not.
    pub is_sealed: bool,
    /// What was put right before this program was started.
    pub repairs: Option<RepairCount>,
    /// The process that read it; its forked and vforked children have another number.
    pub pid: i32,
    /// What descriptor 2 was.
    pub stderr: StandardError,
    /// What a check needs, or why there can be none.
    pub client: Result<ClientConfig, &'static str>,
    /// The functions that the hooks stand in front of.
    pub real: Real,
}

impl State {
    /// Whether this is the process that read it, and not a forked or vforked child of that.
    pub fn is_own(&self) -> bool {
        sys::getpid() == self.pid
    }

    /// What a program goes with whose environment is put right, by the number for it and its
    /// arguments: 0 for a shell that the C library starts, which is none that starts itself anew.
    pub fn repairs_after(&self, program: u64) -> RepairCount {
        RepairCount::after(self.repairs, caller(), program, seconds())
    }

    /// Whether that program's environment was put right often enough.
    pub fn is_reexec_loop(&self, program: u64) -> bool {
        RepairCount::is_loop(self.repairs, caller(), program, seconds())
    }
}

/// Where the server can be reached.
pub type Addresses = [Option<Address>; MAX_URLS];

/// What a check needs.
#[derive(Clone, Copy)]
pub struct ClientConfig {
    /// The addresses to the policy server, in the order in which they are tried; none if its name
    /// could not be resolved.
    pub addresses: &'static Addresses,
    /// What every request begins with.
    pub preamble: Preamble<'static>,
    /// What children must have in their environment.
    pub guard: Guard<'static>,
}

/// This process, or the child of it that runs this.
fn caller() -> u32 {
    sys::getpid().unsigned_abs()
}

/// A moment on the monotonic clock, in seconds.
fn seconds() -> u64 {
    sys::now_us() / 1_000_000
}
