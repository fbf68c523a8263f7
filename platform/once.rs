//! The state: read once at load, read-only afterwards.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::load::{self, StateMemory};
use crate::os::{self, sys};
use crate::state::{Addresses, State};

/// Room for URL, token, agent, session, preload list and the strings made from them.
const MEMORY_BYTES: usize = 14 * 1024;
/// The room in the library's data, where it shares a page with other read-only data. The few
/// processes that need more use a mapping with [`MEMORY_BYTES`].
const OWN_MEMORY_BYTES: usize = 1408;

/// The state and what it points to.
#[repr(C)]
struct Block<const BYTES: usize> {
    state: MaybeUninit<State>,
    addresses: MaybeUninit<Addresses>,
    memory: [u8; BYTES],
}

impl<const BYTES: usize> Block<BYTES> {
    fn memory(&'static mut self) -> StateMemory {
        let Self { state, addresses, memory } = self;
        StateMemory { state, addresses, memory, is_last: BYTES == MEMORY_BYTES }
    }
}

/// The block in the library's data, and whether it holds the state.
struct Own {
    block: UnsafeCell<Block<OWN_MEMORY_BYTES>>,
    is_read: AtomicBool,
}

// SAFETY: only the constructor writes to the block, and others read it only after `is_read` was set
// with release ordering.
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
    /// Reads the state into the block.
    ///
    /// # Safety
    /// Must be called once, by the constructor.
    unsafe fn read(&'static self) {
        // SAFETY: this is the only writer (the caller's promise), and nobody reads the block before
        // `is_read` is set.
        let block = unsafe { &mut *self.block.get() };
        let is_read = load::read(block.memory()).is_some();
        self.is_read.store(is_read, Ordering::Release);
    }

    fn state(&'static self) -> Option<&'static State> {
        // SAFETY: `is_read` says that the state was written; it is never written again.
        self.is_read
            .load(Ordering::Acquire)
            .then(|| unsafe { (*self.block.get()).state.assume_init_ref() })
    }
}

/// The state in a mapping, if it is not in the library's data.
static STATE: AtomicPtr<State> = AtomicPtr::new(core::ptr::null_mut());
/// Whether a thread is reading that state, or has read it.
static IS_CLAIMED: AtomicBool = AtomicBool::new(false);

/// Reads the state; called by the constructor.
///
/// # Safety
/// See [`Own::read`].
pub unsafe fn at_load() {
    if os::HAS_READ_ONLY_DATA {
        // SAFETY: called once, by the constructor (the caller's promise).
        unsafe { OWN.read() };
        os::make_data_read_only();
    }
    // Without a state every hook refuses; a constructor has nobody to report that to.
    let _ = state();
}

/// The state, which is read now if a hook runs before the constructor. `None` if there is no memory
/// for it, or if reading it takes too long in another thread or was interrupted by a signal whose
/// handler calls this.
pub fn state() -> Option<&'static State> {
    OWN.state().or_else(elsewhere)
}

/// The state in a mapping of its own.
#[cold]
#[inline(never)]
fn elsewhere() -> Option<&'static State> {
    let state = STATE.load(Ordering::Acquire);
    // SAFETY: NULL, or a state that was written before the pointer was stored and is never changed
    // or unmapped.
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

/// Reads the state into a new mapping; `None` if there is no memory.
fn map() -> Option<&'static State> {
    let block = sys::map(size_of::<Block<MEMORY_BYTES>>())?.cast::<Block<MEMORY_BYTES>>();
    // SAFETY: the mapping is new, large enough and aligned, and zeroed bytes are a valid block: its
    // parts are bytes and `MaybeUninit`.
    let memory = unsafe { &mut *block }.memory();
    let state = load::read(memory);
    // SAFETY: a mapping is whole pages, and nothing writes to this one any more.
    unsafe { sys::make_read_only(block.cast(), size_of::<Block<MEMORY_BYTES>>()) };
    state
}

/// Waits for the thread that reads the state, which takes microseconds. The wait is limited: if
/// this is a signal handler that interrupted the reading, it would never end.
fn wait_for_other() -> Option<&'static State> {
    const LONGEST_WAIT_MS: u32 = 200;
    let mut deadline = sys::Deadline::new(LONGEST_WAIT_MS);
    loop {
        let state = STATE.load(Ordering::Acquire);
        if !state.is_null() {
            // SAFETY: as in `elsewhere`.
            return unsafe { state.as_ref() };
        }
        deadline.pause(1).ok()?;
    }
}
