//! Handlers for fork(2).

use super::originals::Real;

/// Registers a handler that is called before each fork(2); whether that was possible. glibc's
/// `pthread_atfork(3)` is a static wrapper of this function; musl's is not used, as it allocates.
pub fn before_each_fork(real: &Real, handler: extern "C" fn()) -> bool {
    // SAFETY: the pointer has glibc's type for `__register_atfork`. The handler stays valid: the
    // loader never unloads a preloaded library.
    real.register_atfork().is_some_and(|register| unsafe {
        register(Some(handler), None, None, core::ptr::null()) == 0
    })
}
