//! How many are at something at once.

use std::cell::Cell;

/// One of a number that is given back.
pub struct InFlight<'p>(&'p Cell<usize>);

impl<'p> InFlight<'p> {
    /// One more, for as long as this value is there.
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
