//! What would happen in a panic, which no code here can reach.
//!
//! That is shown by linking the library once with the feature `panic-gate`: its
//! handler calls a function that exists nowhere, so that the linker fails if any
//! panic path is left.

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "panic-gate")]
    {
        unsafe extern "C" {
            fn rampart_a_panic_is_reachable();
        }
        // SAFETY: a library with this call never links.
        unsafe { rampart_a_panic_is_reachable() };
    }
    if let Some(state) = crate::once::state() {
        let line = b"rampart: internal error; the process ends\n";
        crate::os::stderr::write_line(&state.stderr, line);
    }
    crate::os::sys::exit(126)
}
