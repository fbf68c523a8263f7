//! The thread that a hook runs in.

/// Does what must not be broken off by the cancellation of the thread: here system calls are
/// raw, and so no cancellation points (`pthreads(7)`).
pub fn uncancelled<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The thread pointer: one value for each thread, and a vfork child has that of the
/// thread that it was made by.
pub fn thread_pointer() -> usize {
    let pointer: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: glibc and musl keep the thread pointer itself in its first word (the
    // x86-64 ABI of ELF TLS); reading it has no side effect.
    unsafe {
        core::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reading the register has no side effect.
    unsafe {
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}
