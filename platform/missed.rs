//! How many programs ran unchecked, which the server is told when it hears from us again.
//!
//! A shell starts a program in a child that it has forked: only in memory that the two share
//! can it know what became of the check. That costs 16 µs to make, so it is made by who forks,
//! and most programs never do.

use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::os::{self, Real, sys};

/// The count of a process, and of its vforked children, until it forks.
static OWN: AtomicU32 = AtomicU32::new(0);
/// The count that a process shares with all that are forked from it; NULL before the first is.
static SHARED: AtomicPtr<AtomicU32> = AtomicPtr::new(core::ptr::null_mut());

/// Whether anybody wants to know.
pub struct Missed(bool);

impl Missed {
    /// Where nobody does.
    pub const UNCOUNTED: Self = Self(false);

    /// A new count.
    pub fn new(real: &Real) -> Self {
        if !os::before_each_fork(real, share) {
            share();
        }
        Self(true)
    }

    /// What was counted so far, and is no more.
    pub fn take(&self) -> u32 {
        // To write to a page makes a copy of it in a forked child.
        let take = |count: &AtomicU32| match count.load(Ordering::Relaxed) {
            0 => 0,
            _ => count.swap(0, Ordering::Relaxed),
        };
        if self.0 { take(&OWN).saturating_add(shared().map_or(0, take)) } else { 0 }
    }

    /// Counts so many.
    pub fn add(&self, number: u32) {
        if self.0 {
            shared().unwrap_or(&OWN).fetch_add(number, Ordering::Relaxed);
        }
    }
}

fn shared() -> Option<&'static AtomicU32> {
    // SAFETY: what is stored there is zeroed memory of ours, and stays for good.
    unsafe { SHARED.load(Ordering::Acquire).as_ref() }
}

/// Makes the count one that forked children share. Without memory for it each has its own.
extern "C" fn share() {
    if shared().is_some() {
        return;
    }
    let Some(new) = sys::map_shared(size_of::<AtomicU32>()) else { return };
    let new = new.cast();
    // Of two threads that fork for the first time at once, one leaves a page behind.
    let order = (Ordering::AcqRel, Ordering::Relaxed);
    let _ = SHARED.compare_exchange(core::ptr::null_mut(), new, order.0, order.1);
    if let Some(shared) = shared() {
        shared.fetch_add(OWN.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}
