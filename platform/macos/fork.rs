//! What happens before a fork.

use super::originals::Real;

/// Has `handler` called before each fork; whether that will be. Not here: what
/// `pthread_atfork(3)` costs was never measured.
pub fn before_each_fork(_real: &Real, _handler: extern "C" fn()) -> bool {
    false
}
