//! The connection to the server that the process which loaded the library keeps between its checks.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::descriptor::Descriptor;
use crate::os::sys;

/// The kept connection is moved above the numbers that programs and shells expect to be theirs.
const LOWEST_DESCRIPTOR: i32 = 64;

/// The kept connection's descriptor, as one word that is taken and put back atomically.
static SLOT: AtomicU64 = AtomicU64::new(EMPTY);
/// The identity of the kept socket. It changes only while the slot is taken.
static IDENTITY: AtomicU64 = AtomicU64::new(0);

const EMPTY: u64 = 0;
const TAKEN: u64 = 1;
/// Stands for descriptor 0; [`FIRST`] + 1 for descriptor 1, and so on.
const FIRST: u64 = 2;

/// The slot of the kept connection while this thread has taken it. Dropping it leaves the slot
/// empty unless a connection was put back.
pub struct Slot {
    found: u64,
    leave: u64,
}

impl Slot {
    /// `None` if another thread has taken it, or this thread before a signal interrupted it.
    pub fn take() -> Option<Self> {
        let found = SLOT.swap(TAKEN, Ordering::Acquire);
        // Lazily: a `Slot` that is dropped releases the slot.
        (found != TAKEN).then(|| Self { found, leave: EMPTY })
    }

    /// The kept connection, if it can be used. It cannot if the program has closed it (the number
    /// may be a file of the program's now), if it belongs to another process with the same process
    /// ID, if the server has closed it, or if bytes have arrived that nobody asked for.
    pub fn connection(&self) -> Option<Descriptor> {
        let number = i32::try_from(self.found.checked_sub(FIRST)?).ok()?;
        let identity = sys::socket_identity(number)?;
        if identity != IDENTITY.load(Ordering::Relaxed) {
            return None;
        }
        let connection = core::mem::ManuallyDrop::new(Descriptor::from_number(number));
        // Not closed: it may be the program's copy of another process's descriptor.
        if !sys::is_owned(&connection) {
            return None;
        }
        let connection = core::mem::ManuallyDrop::into_inner(connection);
        sys::is_idle(&connection).then_some(connection)
    }

    /// Puts back the connection that was found in the slot.
    pub fn put_back(&mut self, connection: Descriptor) {
        connection.into_number();
        self.leave = self.found;
    }

    /// Puts a new connection into the slot, if possible above the program's descriptors; the limit
    /// (`RLIMIT_NOFILE`) may be lower.
    pub fn keep(&mut self, connection: Descriptor, receive_ms: u32) {
        let connection = sys::duplicate(&connection, LOWEST_DESCRIPTOR).unwrap_or(connection);
        if sys::set_owner(&connection)
            .and_then(|()| sys::set_receive_timeout(&connection, receive_ms))
            .is_err()
        {
            return;
        }
        let Some(identity) = sys::mark_identity(&connection) else { return };
        IDENTITY.store(identity, Ordering::Relaxed);
        self.leave = FIRST + u64::from(connection.into_number().unsigned_abs());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        SLOT.store(self.leave, Ordering::Release);
    }
}
