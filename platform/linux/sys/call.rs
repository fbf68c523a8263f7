//! The system call itself.

use core::ffi::{c_int, c_long};

use crate::errno::Errno;

/// Makes a system call.
///
/// # Safety
/// The arguments must be valid for that call, above all pointers.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: c_long;
    // SAFETY: syscall(2), "Architecture calling conventions": these registers hold the
    // arguments, and the kernel changes rax, rcx and r11 only.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first, in("rsi") second, in("rdx") third,
            in("r10") fourth, in("r8") fifth, in("r9") sixth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack, preserves_flags)
        );
    }
    checked(result)
}

/// Makes a system call.
///
/// # Safety
/// The arguments must be valid for that call, above all pointers.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: c_long;
    // SAFETY: syscall(2), "Architecture calling conventions": these registers hold the
    // arguments, and the kernel changes x0 only.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first => result,
            in("x1") second, in("x2") third, in("x3") fourth, in("x4") fifth, in("x5") sixth,
            options(nostack, preserves_flags)
        );
    }
    checked(result)
}

/// The kernel returns an error as the negated error number (`MAX_ERRNO`, `linux/err.h`).
pub const LARGEST_ERRNO: c_long = 4095;

fn checked(result: c_long) -> Result<usize, Errno> {
    if (-LARGEST_ERRNO..0).contains(&result) {
        Err(Errno(c_int::try_from(result.wrapping_neg()).unwrap_or(libc::EIO)))
    } else {
        Ok(usize::try_from(result.cast_unsigned()).unwrap_or(0))
    }
}

/// A descriptor or another `int`, sign-extended to a register.
pub fn register(number: c_int) -> usize {
    (number as isize).cast_unsigned()
}

/// Closes a descriptor of the library's. An error cannot be reported to anybody.
pub fn close(number: c_int) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(libc::SYS_close, [register(number), 0, 0, 0, 0, 0]) };
}
