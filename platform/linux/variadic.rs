//! `syscall(2)`, which stable Rust cannot define otherwise than as a naked function.

use core::ffi::c_long;

/// Defines `syscall(number, …)`: `execve` and `execveat` go to the hooks, any other number
/// to the original with all registers and the stack as they are. Like the kernel it looks
/// at the lower half of the number only.
macro_rules! pass_through {
    (fn $name:ident($number:ident, ...) = $execve:path, $execveat:path;) => {
        // SAFETY: the symbol has the C library's name and calling convention.
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
                "jmp qword ptr [rip + {original}]",
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
                ".cfi_endproc",
                number_execve = const libc::SYS_execve,
                number_execveat = const libc::SYS_execveat,
                original = sym $crate::os::variadic::ORIGINAL_SYSCALL,
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
                "adrp x16, {original}",
                "ldr x16, [x16, :lo12:{original}]",
                "br x16",
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
                ".cfi_endproc",
                number_execve = const libc::SYS_execve,
                number_execveat = const libc::SYS_execveat,
                original = sym $crate::os::variadic::ORIGINAL_SYSCALL,
                execve = sym $execve,
                execveat = sym $execveat,
            )
        }
    };
}

pub(super) use pass_through;

/// What `syscall` calls on to: the C library's, once it has been looked up.
pub static ORIGINAL_SYSCALL: OriginalSyscall = OriginalSyscall::new(look_up_and_call);

type Syscall = unsafe extern "C" fn();

/// A function pointer that the naked `syscall` reads as a plain word.
#[repr(transparent)]
pub struct OriginalSyscall(core::sync::atomic::AtomicPtr<()>);

impl OriginalSyscall {
    const fn new(first: Syscall) -> Self {
        Self(core::sync::atomic::AtomicPtr::new(first as *mut ()))
    }
}

/// Stands in for the original until the first call.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn look_up_and_call() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rdi",
        "push rsi",
        "push rdx",
        "push rcx",
        "push r8",
        "push r9",
        "sub rsp, 8",
        ".cfi_def_cfa_offset 64",
        "call {look_up}",
        "add rsp, 8",
        "pop r9",
        "pop r8",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        ".cfi_def_cfa_offset 8",
        "jmp rax",
        ".cfi_endproc",
        look_up = sym look_up,
    )
}

/// Stands in for the original until the first call.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn look_up_and_call() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "sub sp, sp, #80",
        ".cfi_def_cfa_offset 80",
        "stp x29, x30, [sp]",
        ".cfi_offset x29, -80",
        ".cfi_offset x30, -72",
        "stp x0, x1, [sp, #16]",
        "stp x2, x3, [sp, #32]",
        "stp x4, x5, [sp, #48]",
        "stp x6, x7, [sp, #64]",
        "bl {look_up}",
        "mov x16, x0",
        "ldp x0, x1, [sp, #16]",
        "ldp x2, x3, [sp, #32]",
        "ldp x4, x5, [sp, #48]",
        "ldp x6, x7, [sp, #64]",
        "ldp x29, x30, [sp]",
        "add sp, sp, #80",
        ".cfi_def_cfa_offset 0",
        "br x16",
        ".cfi_endproc",
        look_up = sym look_up,
    )
}

extern "C" fn look_up() -> Syscall {
    // SAFETY: called through the naked functions only, which know its convention.
    let original = unsafe { super::table::next::<Syscall>("syscall\0") };
    let original = original.unwrap_or(unavailable_syscall());
    ORIGINAL_SYSCALL.0.store(original as *mut (), core::sync::atomic::Ordering::Relaxed);
    original
}

/// For a C library without `syscall`, which none is.
fn unavailable_syscall() -> Syscall {
    extern "C" fn unavailable() -> c_long {
        c_long::from(crate::errno::fail(libc::ENOSYS))
    }
    // SAFETY: the result register is read by the caller alone, who knows its type.
    unsafe { core::mem::transmute::<extern "C" fn() -> c_long, Syscall>(unavailable) }
}
