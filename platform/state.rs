//! What the library knows for the life of the process: read once at load, then
//! read-only.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};

use rampart_core::arena::Arena;
use rampart_core::environ::Guard;
use rampart_core::request::Preamble;
use rampart_core::settings::Mode;

use crate::os::Real;
use crate::os::sys::{self, Address};
use crate::{errno, load};

/// Everything a hook needs.
pub struct State {
    pub mode: Mode,
    pub fail_open: bool,
    pub debug: bool,
    pub notice: bool,
    /// For a whole check, in milliseconds.
    pub timeout_ms: u32,
    /// The process that read it; its forked and vforked children have another number.
    pub pid: i32,
    /// What a check needs, or why there can be none. Never used in disabled mode.
    pub equipment: Result<Equipment, &'static str>,
    /// The functions that the hooks stand in front of.
    pub real: Real,
}

/// What a check needs.
#[derive(Clone, Copy)]
pub struct Equipment {
    /// Where the policy server listens; `None` if its name could not be resolved.
    pub server: Option<Address>,
    /// What every request begins with.
    pub preamble: Preamble<'static>,
    /// What children must have in their environment.
    pub guard: Guard<'static>,
}

/// For URL, token, agent, session, the preload list, and what is made of them.
const MEMORY_BYTES: usize = 14 * 1024;

/// The state and the text that it points to, on pages of their own.
#[repr(C, align(4096))]
struct Block {
    state: UnsafeCell<MaybeUninit<State>>,
    memory: UnsafeCell<[u8; MEMORY_BYTES]>,
}

// SAFETY: written only by the one who moved STATUS from UNREAD to READING, read only
// after READY.
unsafe impl Sync for Block {}

static BLOCK: Block = Block {
    state: UnsafeCell::new(MaybeUninit::uninit()),
    memory: UnsafeCell::new([0; MEMORY_BYTES]),
};

static STATUS: AtomicU32 = AtomicU32::new(UNREAD);
const UNREAD: u32 = 0;
const READING: u32 = 1;
const READY: u32 = 2;

/// The state; read now if a hook runs before the constructor. `None` if another
/// thread, or the one that a signal interrupted, does not come to the end of that.
pub fn get() -> Option<&'static State> {
    if STATUS.load(Ordering::Acquire) != READY {
        make_ready()?;
    }
    // SAFETY: READY was stored after the state had been written, and nothing writes
    // to it any more.
    Some(unsafe { (*BLOCK.state.get()).assume_init_ref() })
}

#[cold]
#[inline(never)]
fn make_ready() -> Option<()> {
    match STATUS.compare_exchange(UNREAD, READING, Ordering::Acquire, Ordering::Acquire) {
        Ok(_) => {
            let errno = errno::Saved::new();
            // SAFETY: whoever moved the status is alone with the block until READY.
            let memory = unsafe { &mut *BLOCK.memory.get() };
            let state = load::read(&mut Arena::new(memory));
            // SAFETY: as above.
            unsafe { (*BLOCK.state.get()).write(state) };
            // SAFETY: the block has its pages to itself, and READY ends all writing.
            unsafe { sys::make_read_only((&raw const BLOCK).cast(), size_of::<Block>()) };
            STATUS.store(READY, Ordering::Release);
            errno.restore();
            Some(())
        }
        Err(READY) => Some(()),
        Err(_) => wait_until_ready(),
    }
}

/// Another thread is reading, which takes microseconds; or a signal handler of this
/// one interrupted it, and waiting would be for ever.
fn wait_until_ready() -> Option<()> {
    const LONGEST_WAIT_MS: u32 = 200;
    let mut patience = sys::Patience::new(LONGEST_WAIT_MS);
    while STATUS.load(Ordering::Acquire) != READY {
        patience.pause(1).ok()?;
    }
    Some(())
}
