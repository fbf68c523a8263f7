//! How many programs ran unchecked, which the server is told when it hears from us again.
//!
//! A shell starts a program in a child that it has forked: only in memory that the two share
//! can it know what became of the check.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::os::sys;

/// A count that a process shares with all that are forked from it.
pub struct Missed(Option<&'static AtomicU32>);

impl Missed {
    /// Where nobody wants to know.
    pub const UNCOUNTED: Self = Self(None);

    /// A new count. Without memory for it, nothing is counted.
    pub fn new() -> Self {
        let count = sys::map_shared(size_of::<AtomicU32>());
        // SAFETY: the mapping is large enough, aligned, zeroed, and lives as long as we do.
        Self(count.and_then(|count| unsafe { count.cast::<AtomicU32>().as_ref() }))
    }

    /// What was counted so far, and is no more.
    pub fn take(&self) -> u32 {
        match self.0 {
            // To write to it makes a page of it dirty.
            Some(count) if count.load(Ordering::Relaxed) > 0 => count.swap(0, Ordering::Relaxed),
            _ => 0,
        }
    }

    /// Counts so many.
    pub fn add(&self, number: u32) {
        if let Some(count) = self.0 {
            count.fetch_add(number, Ordering::Relaxed);
        }
    }
}
