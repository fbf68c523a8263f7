//! The panic handler, which no code can reach.
//!
//! A test links the library with the feature `panic-gate`: then the handler calls a function that
//! is not defined anywhere, so that the linker fails if any panic path is left.

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "panic-gate")]
    {
        unsafe extern "C" {
            fn rampart_a_panic_is_reachable();
        }
        // SAFETY: never executed: a library with this call does not link.
        unsafe { rampart_a_panic_is_reachable() };
    }
    if let Some(state) = crate::once::state() {
        let line = b"rampart: internal error; the process ends\n";
        crate::os::stderr::write_line(&state.stderr, line);
    }
    crate::os::sys::exit(126)
}
