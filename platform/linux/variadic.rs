//! `syscall(2)`, a variadic function, which stable Rust can only define as a naked function.

use core::ffi::{c_int, c_long};

use crate::errno;

/// Defines `syscall(number, …)`: `execve` and `execveat` go to the hooks, any other number to the
/// kernel, as in the original. Nothing is put on the stack: the child of a `clone` may return on
/// another one. Like the kernel it uses the lower 32 bits of the number only.
macro_rules! pass_through {
    (fn $name:ident($number:ident, ...) = $execve:path, $execveat:path;) => {
        // SAFETY: the loader resolves the C library's symbol to this one, which has the same
        // calling convention and contract.
        #[cfg(target_arch = "x86_64")]
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "cmp edi, {number_execve}",
                "je 2f",
                "cmp edi, {number_execveat}",
                "je 3f",
                "mov rax, rdi",
                "mov rdi, rsi",
                "mov rsi, rdx",
                "mov rdx, rcx",
                "mov r10, r8",
                "mov r8, r9",
                "mov r9, qword ptr [rsp + 8]",
                "syscall",
                "cmp rax, -{largest_errno}",
                "jae 4f",
                "ret",
                "2:",
                "mov rdi, rsi",
                "mov rsi, rdx",
                "mov rdx, rcx",
                "jmp {execve}",
                "3:",
                "mov rdi, rsi",
                "mov rsi, rdx",
                "mov rdx, rcx",
                "mov rcx, r8",
                "mov r8, r9",
                "jmp {execveat}",
                "4:",
                "neg eax",
                "mov edi, eax",
                "jmp {failed}",
                ".cfi_endproc",
                number_execve = const libc::SYS_execve,
                number_execveat = const libc::SYS_execveat,
                largest_errno = const $crate::os::sys::LARGEST_ERRNO,
                failed = sym $crate::os::variadic::failed,
                execve = sym $execve,
                execveat = sym $execveat,
            )
        }

        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "cmp w0, #{number_execve}",
                "b.eq 2f",
                "cmp w0, #{number_execveat}",
                "b.eq 3f",
                "mov w8, w0",
                "mov x0, x1",
                "mov x1, x2",
                "mov x2, x3",
                "mov x3, x4",
                "mov x4, x5",
                "mov x5, x6",
                "svc 0",
                "cmn x0, #{largest_errno}",
                "b.hs 4f",
                "ret",
                "2:",
                "mov x0, x1",
                "mov x1, x2",
                "mov x2, x3",
                "b {execve}",
                "3:",
                "mov x0, x1",
                "mov x1, x2",
                "mov x2, x3",
                "mov x3, x4",
                "mov x4, x5",
                "b {execveat}",
                "4:",
                "neg w0, w0",
                "b {failed}",
                ".cfi_endproc",
                number_execve = const libc::SYS_execve,
                number_execveat = const libc::SYS_execveat,
                largest_errno = const $crate::os::sys::LARGEST_ERRNO,
                failed = sym $crate::os::variadic::failed,
                execve = sym $execve,
                execveat = sym $execveat,
            )
        }
    };
}

pub(super) use pass_through;

/// Reports an error of the kernel as `syscall(2)` does.
pub extern "C" fn failed(errno: c_int) -> c_long {
    c_long::from(errno::fail(errno))
}
