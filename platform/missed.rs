//! The number of programs that ran unchecked, which goes to the server with the next question.
//!
//! A shell forks a child for each program, and the check fails in the child. So the count is in
//! memory that both share. That costs 16 µs to make, so it is made before the first fork only; most
//! programs never fork.

use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::os::{self, Real, sys};

/// The count of a process and its vfork children, until the first fork.
static OWN: AtomicU32 = AtomicU32::new(0);
/// The count that a process shares with its forked children; NULL before the first fork.
static SHARED: AtomicPtr<AtomicU32> = AtomicPtr::new(core::ptr::null_mut());

/// Whether missed checks are counted.
pub struct Missed(bool);

impl Missed {
    /// Nothing is counted.
    pub const UNCOUNTED: Self = Self(false);

    /// Begins to count.
    pub fn new(real: &Real) -> Self {
        if !os::before_each_fork(real, share) {
            share();
        }
        Self(true)
    }

    /// Returns the count and sets it to zero.
    pub fn take(&self) -> u32 {
        // Not always a swap: writing would copy the page in a forked child.
        let take = |count: &AtomicU32| match count.load(Ordering::Relaxed) {
            0 => 0,
            _ => count.swap(0, Ordering::Relaxed),
        };
        if self.0 { take(&OWN).saturating_add(shared().map_or(0, take)) } else { 0 }
    }

    /// Adds to the count.
    pub fn add(&self, number: u32) {
        if self.0 {
            shared().unwrap_or(&OWN).fetch_add(number, Ordering::Relaxed);
        }
    }
}

fn shared() -> Option<&'static AtomicU32> {
    // SAFETY: the pointer is NULL or to zeroed, aligned memory that is never unmapped.
    unsafe { SHARED.load(Ordering::Acquire).as_ref() }
}

/// Makes the count shared with forked children. Without memory for it each process has its own.
extern "C" fn share() {
    if shared().is_some() {
        return;
    }
    let Some(new) = sys::map_shared(size_of::<AtomicU32>()) else { return };
    let new = new.cast();
    // If two threads do this at once, the mapping of one remains unused.
    let order = (Ordering::AcqRel, Ordering::Relaxed);
    let _ = SHARED.compare_exchange(core::ptr::null_mut(), new, order.0, order.1);
    if let Some(shared) = shared() {
        shared.fetch_add(OWN.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}
