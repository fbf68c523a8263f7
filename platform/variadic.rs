//! `execl`, `execlp` and `execle`: variadic functions, which stable Rust can only define as naked
//! functions.
//!
//! The caller has put all but the first few arguments on the stack, in order. Pushing those that
//! came in registers below them makes one `argv` in place, whatever their number. On x86-64 the
//! return address lies between, and is moved for the duration of the call. Apple's arm64 passes
//! only the named arguments in registers: the path and `arg0`.

/// Defines functions `(path, arg0, …, NULL)` that call `hook(path, argv)`.
macro_rules! collect {
    ($(
        $(#[$attribute:meta])*
        fn $name:ident($path:ident, ... $(, $envp:ident)?) = $hook:path;
    )*) => {$(
        $(#[$attribute])*
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "pop rax",
                ".cfi_def_cfa_offset 0",
                ".cfi_register rip, rax",
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                ".cfi_def_cfa_offset 40",
                "mov rsi, rsp",
                "push rax",
                ".cfi_def_cfa_offset 48",
                ".cfi_offset rip, -48",
                "call {hook}",
                "pop rcx",
                ".cfi_def_cfa_offset 40",
                ".cfi_register rip, rcx",
                "add rsp, 40",
                ".cfi_def_cfa_offset 0",
                "push rcx",
                ".cfi_def_cfa_offset 8",
                ".cfi_offset rip, -8",
                "ret",
                ".cfi_endproc",
                hook = sym $hook,
            )
        }

        $(#[$attribute])*
        #[cfg(all(target_arch = "aarch64", not(target_vendor = "apple")))]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "sub sp, sp, #80",
                ".cfi_def_cfa_offset 80",
                "stp x29, x30, [sp]",
                ".cfi_offset x29, -80",
                ".cfi_offset x30, -72",
                "mov x29, sp",
                "str x1, [sp, #24]",
                "stp x2, x3, [sp, #32]",
                "stp x4, x5, [sp, #48]",
                "stp x6, x7, [sp, #64]",
                "add x1, sp, #24",
                "bl {hook}",
                "ldp x29, x30, [sp]",
                "add sp, sp, #80",
                ".cfi_def_cfa_offset 0",
                "ret",
                ".cfi_endproc",
                hook = sym $hook,
            )
        }

        $(#[$attribute])*
        #[cfg(all(target_arch = "aarch64", target_vendor = "apple"))]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "sub sp, sp, #32",
                ".cfi_def_cfa_offset 32",
                "stp x29, x30, [sp]",
                ".cfi_offset x29, -32",
                ".cfi_offset x30, -24",
                "mov x29, sp",
                "str x1, [sp, #24]",
                "add x1, sp, #24",
                "bl {hook}",
                "ldp x29, x30, [sp]",
                "add sp, sp, #32",
                ".cfi_def_cfa_offset 0",
                "ret",
                ".cfi_endproc",
                hook = sym $hook,
            )
        }
    )*};
}

pub(crate) use collect;
