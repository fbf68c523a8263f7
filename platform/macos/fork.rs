//! Handlers for fork(2).

use super::originals::Real;

/// Registers a handler that is called before each fork; whether that was possible. It is not done
/// on macOS: the cost of `pthread_atfork(3)` there was never measured.
pub fn before_each_fork(_real: &Real, _handler: extern "C" fn()) -> bool {
    false
}
