//! Counts how many of something are under way at once.

use std::cell::Cell;

/// One of them. The count goes down again on drop.
pub struct InFlight<'p>(&'p Cell<usize>);

impl<'p> InFlight<'p> {
    /// Counts one more, for the lifetime of this value.
    pub fn take(taken: &'p Cell<usize>) -> Self {
        taken.set(taken.get() + 1);
        Self(taken)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
