//! Linux: symbols of ours stand in front of the C library's; the originals are found
//! with `RTLD_NEXT`.

pub mod sys;
pub mod table;
mod variadic;

pub use libc::__errno_location as errno_location;
pub use table::{Execveat, Real};

use core::ffi::c_int;

use crate::abi::{MutStrings, Text};
use crate::errno;
use sys::Errno;

/// `execveat(2)` where the C library has no function for it, and programs come by `syscall`.
pub unsafe extern "C" fn execveat(
    directory: c_int,
    path: Text,
    argv: MutStrings,
    envp: MutStrings,
    flags: c_int,
) -> c_int {
    let (directory, flags) = (sys::register(directory), sys::register(flags));
    let arguments = [directory, path as usize, argv as usize, envp as usize, flags, 0];
    // SAFETY: the caller's promise; on success it does not return.
    match unsafe { sys::call(libc::SYS_execveat, arguments) } {
        Ok(_) => 0,
        Err(Errno(errno)) => errno::fail(errno),
    }
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
