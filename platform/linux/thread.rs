//! The thread in which a hook runs.

/// Does work during which the thread must not be cancelled. Raw system calls are no cancellation
/// points (`pthreads(7)`), so there is nothing to do.
pub fn uncancelled<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The thread pointer: different in each thread; a vfork child has that of the thread that made it.
pub fn thread_pointer() -> usize {
    let pointer: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the first word at the thread pointer is the thread pointer itself (x86-64 ABI of ELF
    // TLS); it is only read.
    unsafe {
        core::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: only reads a register.
    unsafe {
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}
