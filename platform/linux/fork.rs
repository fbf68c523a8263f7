//! What happens before a fork.

use core::ffi::{c_int, c_void};

use super::loaded::{Name, behind_this, function};

/// Has `handler` called in this process before each fork(2); whether that will be. It is
/// `pthread_atfork(3)`, which glibc has under this name alone; musl's allocates.
pub fn before_each_fork(handler: extern "C" fn()) -> bool {
    type Handler = Option<extern "C" fn()>;
    type Register = unsafe extern "C" fn(Handler, Handler, Handler, *const c_void) -> c_int;
    let [register] = behind_this(const { &[Name::new("__register_atfork\0")] });
    // SAFETY: glibc's function of that name has this type.
    let register: Option<Register> = unsafe { function(register) };
    // SAFETY: the handler may be called for as long as the process lives, as the library is
    // never unloaded.
    register.is_some_and(|register| unsafe {
        register(Some(handler), None, None, core::ptr::null()) == 0
    })
}
