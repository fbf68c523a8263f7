//! The state, read once at load, then read-only.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::load::{self, StateMemory};
use crate::os::{self, sys};
use crate::state::{Addresses, State};

/// For URL, token, agent, session, the preload list, and what is made of them.
const MEMORY_BYTES: usize = 14 * 1024;
/// The same in the library's own data, where it shares a page with what else is read-only there.
/// Few need more; those have it in a mapping of its own.
const OWN_MEMORY_BYTES: usize = 1408;

/// The state and what it points to.
#[repr(C)]
struct Block<const BYTES: usize> {
    state: MaybeUninit<State>,
    addresses: MaybeUninit<Addresses>,
    memory: [u8; BYTES],
}

impl<const BYTES: usize> Block<BYTES> {
    fn place(&'static mut self) -> StateMemory {
        let Self { state, addresses, memory } = self;
        StateMemory { state, addresses, memory, is_last: BYTES == MEMORY_BYTES }
    }
}

/// The block of the constructor, and whether the state in it was read.
struct Own {
    block: UnsafeCell<Block<OWN_MEMORY_BYTES>>,
    is_read: AtomicBool,
}

// SAFETY: the constructor alone writes to it, and says when it is done.
unsafe impl Sync for Own {}

#[cfg_attr(target_os = "linux", unsafe(link_section = ".bss.at_load"))]
static OWN: Own = Own {
    block: UnsafeCell::new(Block {
        state: MaybeUninit::uninit(),
        addresses: MaybeUninit::uninit(),
        memory: [0; OWN_MEMORY_BYTES],
    }),
    is_read: AtomicBool::new(false),
};

impl Own {
    /// Reads the state.
    ///
    /// # Safety
    /// To be called once, by the constructor.
    unsafe fn read(&'static self) {
        // SAFETY: the caller's promise; nobody reads it before it is said to be there.
        let block = unsafe { &mut *self.block.get() };
        let is_read = load::read(block.place()).is_some();
        self.is_read.store(is_read, Ordering::Release);
    }

    fn state(&'static self) -> Option<&'static State> {
        // SAFETY: it was written, and is not written to any more.
        self.is_read
            .load(Ordering::Acquire)
            .then(|| unsafe { (*self.block.get()).state.assume_init_ref() })
    }
}

/// The state that was read in another place.
static STATE: AtomicPtr<State> = AtomicPtr::new(core::ptr::null_mut());
/// Whether somebody reads that, or has.
static IS_CLAIMED: AtomicBool = AtomicBool::new(false);

/// Reads the state; for the constructor, which is called once.
///
/// # Safety
/// See [`Own::read`].
pub unsafe fn at_load() {
    if os::HAS_READ_ONLY_DATA {
        // SAFETY: the caller's promise.
        unsafe { OWN.read() };
        os::make_data_read_only();
    }
    // Without a state every hook refuses; there is nobody to tell here.
    let _ = state();
}

/// The state; read now if a hook runs before the constructor. `None` if there is no
/// memory for it, or if another thread, or the one that a signal interrupted, does not
/// come to the end of reading it.
pub fn state() -> Option<&'static State> {
    OWN.state().or_else(elsewhere)
}

/// The state in a mapping of its own.
#[cold]
#[inline(never)]
fn elsewhere() -> Option<&'static State> {
    let state = STATE.load(Ordering::Acquire);
    // SAFETY: what is stored there was written before and is never written again.
    unsafe { state.as_ref() }.or_else(read)
}

fn read() -> Option<&'static State> {
    if IS_CLAIMED.swap(true, Ordering::Acquire) {
        return wait_for_other();
    }
    let state = map();
    match state {
        Some(state) => STATE.store(core::ptr::from_ref(state).cast_mut(), Ordering::Release),
        None => IS_CLAIMED.store(false, Ordering::Release),
    }
    state
}

/// Reads the state to a new mapping; `None` if there is no memory for it.
fn map() -> Option<&'static State> {
    let block = sys::map(size_of::<Block<MEMORY_BYTES>>())?.cast::<Block<MEMORY_BYTES>>();
    // SAFETY: the mapping is large enough, aligned, zeroed, and nobody else's.
    let place = unsafe { &mut *block }.place();
    let state = load::read(place);
    // SAFETY: the mapping consists of whole pages, and this ends all writing.
    unsafe { sys::make_read_only(block.cast(), size_of::<Block<MEMORY_BYTES>>()) };
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
            // SAFETY: as in [`elsewhere`].
            return unsafe { state.as_ref() };
        }
        deadline.pause(1).ok()?;
    }
}
