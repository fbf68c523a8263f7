//! A sink that collects what is written.

use std::convert::Infallible;

use rampart_core::command::Sink;

/// What was sent.
#[derive(Debug, Default)]
pub struct Wire(
    /// All bytes.
    pub Vec<u8>,
);

impl Sink for Wire {
    type Stop = Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
