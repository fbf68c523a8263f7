//! The state, read once at load, then read-only.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use rampart_core::arena::Arena;
use rampart_core::settings::Mode;

use crate::load::{self, Room};
use crate::os::sys;
use crate::state::{State, Ways};
use crate::{errno, report, standard_error};

/// For URL, token, agent, session, the preload list, and what is made of them.
const MEMORY_BYTES: usize = 14 * 1024;

/// The state and the text that it points to.
///
/// It has a mapping of its own because making a part of the library's data read-only
/// would split that in three, which costs 6 µs at each start.
#[repr(C)]
struct Block {
    state: MaybeUninit<State>,
    ways: MaybeUninit<Ways>,
    memory: [u8; MEMORY_BYTES],
}

impl Block {
    /// A new block with what `make` makes; `None` if there is no memory for it.
    fn fill(make: impl FnOnce(Room<'static>) -> State) -> Option<&'static State> {
        let block = sys::map(size_of::<Self>())?.cast::<Self>();
        // SAFETY: the mapping is large enough, aligned, zeroed, and nobody else's.
        let Self { state, ways, memory } = unsafe { &mut *block };
        let state: *const State = state.write(make(Room { arena: Arena::new(memory), ways }));
        // SAFETY: the mapping consists of whole pages, and this ends all writing. The state
        // was written.
        unsafe {
            sys::make_read_only(block.cast(), size_of::<Self>());
            state.as_ref()
        }
    }
}

/// The state of a process that is not guarded. There is nothing in it to protect, so it has no
/// mapping of its own: that costs 10 µs at each start.
static DISABLED: Unprotected = Unprotected(UnsafeCell::new(MaybeUninit::uninit()));

struct Unprotected(UnsafeCell<MaybeUninit<State>>);

// SAFETY: it is written once, before anybody is told of it.
unsafe impl Sync for Unprotected {}

impl Unprotected {
    /// Writes it; only for who has claimed the reading.
    fn fill(&'static self, state: State) -> &'static State {
        // SAFETY: who has claimed the reading is alone, and gives it up for good by this.
        unsafe { (*self.0.get()).write(state) }
    }
}

/// The state, once it was read.
static STATE: AtomicPtr<State> = AtomicPtr::new(core::ptr::null_mut());
/// Whether somebody reads it, or has.
static IS_CLAIMED: AtomicBool = AtomicBool::new(false);

/// The state; read now if a hook runs before the constructor. `None` if there is no
/// memory for it, or if another thread, or the one that a signal interrupted, does not
/// come to the end of reading it.
pub fn state() -> Option<&'static State> {
    let state = STATE.load(Ordering::Acquire);
    // SAFETY: what is stored there was written before and is never written again.
    unsafe { state.as_ref() }.or_else(read)
}

#[cold]
#[inline(never)]
fn read() -> Option<&'static State> {
    if IS_CLAIMED.swap(true, Ordering::Acquire) {
        return wait_for_other();
    }
    standard_error::remember();
    let errno = errno::Saved::new();
    let state = load::settings(|settings, found| {
        let state = match settings.mode {
            Mode::Disabled => DISABLED.fill(load::state(settings, found, None)),
            Mode::Enforce | Mode::Monitor => {
                Block::fill(|room| load::state(settings, found, Some(room)))?
            }
        };
        report::load(state, settings);
        Some(state)
    });
    errno.restore();
    match state {
        Some(state) => STATE.store(core::ptr::from_ref(state).cast_mut(), Ordering::Release),
        None => IS_CLAIMED.store(false, Ordering::Release),
    }
    state
}

/// Another thread is reading, which takes microseconds; or a signal handler of this
/// one interrupted it, and waiting would be for ever.
fn wait_for_other() -> Option<&'static State> {
    const LONGEST_WAIT_MS: u32 = 200;
    let mut deadline = sys::Deadline::new(LONGEST_WAIT_MS);
    loop {
        let state = STATE.load(Ordering::Acquire);
        if !state.is_null() {
            // SAFETY: as in [`state`].
            return unsafe { state.as_ref() };
        }
        deadline.pause(1).ok()?;
    }
}
