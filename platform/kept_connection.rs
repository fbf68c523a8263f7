//! The connection to the server that the process which loaded the library keeps between its checks.

use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::descriptor::Descriptor;
use crate::os::sys;

/// The kept connection is moved above the numbers that programs and shells expect to be theirs.
const LOWEST_DESCRIPTOR: i32 = 64;

/// The frame of the check that uses the connection.
static USER: AtomicUsize = AtomicUsize::new(NOBODY);
/// The number of the connection's descriptor, plus one. It changes only while the connection is
/// used, as does its identity.
static DESCRIPTOR: AtomicUsize = AtomicUsize::new(NONE);
static IDENTITY: AtomicU64 = AtomicU64::new(0);

const NOBODY: usize = 0;
const NONE: usize = 0;

/// The kept connection, or the place of one, while a check uses it. Dropping it leaves none unless
/// one was kept.
pub struct Slot {
    /// As in [`DESCRIPTOR`].
    noted: usize,
    is_kept: bool,
}

impl Slot {
    /// `None` if another thread uses it, or this thread before a signal interrupted it. `frames` are
    /// addresses on the stack in frames that belong to this check.
    ///
    /// A signal handler may never return to a check (`siglongjmp(3)`), and a thread may be cancelled
    /// in one. The answer is still to come, so that nobody may ask over that connection. It is
    /// closed by the next check whose frames lie where those were, which shows that they are gone.
    pub fn take(frames: &RangeInclusive<usize>) -> Option<Self> {
        let user = USER.load(Ordering::Relaxed);
        let was_left = frames.contains(&user);
        if user != NOBODY && !was_left {
            return None;
        }
        let order = (Ordering::Acquire, Ordering::Relaxed);
        USER.compare_exchange(user, *frames.start(), order.0, order.1).ok()?;
        let mut slot = Self { noted: DESCRIPTOR.load(Ordering::Relaxed), is_kept: false };
        if was_left {
            drop(slot.known());
            slot.noted = NONE;
        }
        Some(slot)
    }

    /// The kept connection, if it can be used. It cannot if the program has closed it (the number
    /// may be a file of the program's now), if it belongs to another process with the same process
    /// ID, if the server has closed it, or if bytes have arrived that nobody asked for.
    pub fn connection(&self) -> Option<Descriptor> {
        let connection = core::mem::ManuallyDrop::new(self.known()?);
        // Not closed: it may be the program's copy of another process's descriptor.
        if !sys::is_owned(&connection) {
            return None;
        }
        let connection = core::mem::ManuallyDrop::into_inner(connection);
        sys::is_idle(&connection).then_some(connection)
    }

    /// Puts back the kept connection.
    pub fn put_back(&mut self, connection: Descriptor) {
        connection.into_number();
        self.is_kept = true;
    }

    /// Notes a new connection, before it is used.
    pub fn note(&mut self, connection: &Descriptor) {
        let identity = sys::mark_identity(connection);
        IDENTITY.store(identity.unwrap_or_default(), Ordering::Relaxed);
        self.note_number(identity.and(Some(connection)));
    }

    /// Keeps the connection that was noted, if possible above the program's descriptors; the limit
    /// (`RLIMIT_NOFILE`) may be lower.
    pub fn keep(&mut self, connection: Descriptor, receive_ms: u32) {
        if self.noted == NONE {
            return;
        }
        let connection = sys::duplicate(&connection, LOWEST_DESCRIPTOR).unwrap_or(connection);
        self.note_number(Some(&connection));
        self.is_kept = sys::set_owner(&connection)
            .and_then(|()| sys::set_receive_timeout(&connection, receive_ms))
            .is_ok();
        if self.is_kept {
            connection.into_number();
        }
    }

    fn note_number(&mut self, connection: Option<&Descriptor>) {
        let number = connection.and_then(|connection| usize::try_from(connection.number()).ok());
        self.noted = number.map_or(NONE, |number| number.saturating_add(1));
        DESCRIPTOR.store(self.noted, Ordering::Relaxed);
    }

    /// The connection that was noted, if its number is still that of the same socket.
    fn known(&self) -> Option<Descriptor> {
        let number = i32::try_from(self.noted.checked_sub(1)?).ok()?;
        let identity = sys::socket_identity(number)?;
        (identity == IDENTITY.load(Ordering::Relaxed)).then(|| Descriptor::from_number(number))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.is_kept {
            DESCRIPTOR.store(NONE, Ordering::Relaxed);
        }
        USER.store(NOBODY, Ordering::Release);
    }
}
