//! What happens before a fork.

use super::originals::Real;

/// Has `handler` called in this process before each fork(2); whether that will be. It is
/// `pthread_atfork(3)`, which glibc has under this name alone; musl's allocates.
pub fn before_each_fork(real: &Real, handler: extern "C" fn()) -> bool {
    // SAFETY: the handler may be called for as long as the process lives, as the library is
    // never unloaded.
    real.register_atfork().is_some_and(|register| unsafe {
        register(Some(handler), None, None, core::ptr::null()) == 0
    })
}
