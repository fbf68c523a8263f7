//! Work that must not use this process's descriptor numbers.
//!
//! If a standard stream is closed, the program may rely on getting its number for the file that it
//! opens next, in any thread. The kernel uses the lowest free number, and no system call opens a
//! file or socket above a given number.

use core::ffi::{c_int, c_long, c_void};

use super::call::{call, register};
use super::file::status_at;
use super::numbers::is_open;
use super::signal::SignalMask;
use crate::descriptor::FileStatus;
use crate::errno::Errno;

/// Whether a standard stream is closed.
pub fn has_closed_stream() -> bool {
    !(is_open(0) && is_open(1) && is_open(2))
}

/// Does `work`, which may make raw system calls only, in a child that has a copy of the descriptor
/// table and shares the memory, while this thread waits (clone(2), `CLONE_VFORK`). Without a child
/// it is done in this process. If the child is killed, the work remains unfinished.
#[inline(never)]
pub fn with_unshared_table<W: FnOnce()>(work: W) {
    let mut work = Some(work);
    let task: *mut Option<W> = &raw mut work;
    // A signal handler in the child would run in this process's memory.
    let mask = SignalMask::ALL.block();
    if shares_namespace_with_children() {
        // SAFETY: `task` points to an `Option<W>` on this frame, which outlives the child, and this
        // thread does not use it meanwhile.
        let child = unsafe { clone(perform::<W>, task.cast()) };
        if let Some(child) = child {
            reap(child);
        }
    }
    // SAFETY: as above. A child has exited by now, having taken the work.
    unsafe { perform::<W>(task.cast()) };
    mask.restore();
}

/// # Safety
/// `task` points to an `Option<W>` that nobody else uses meanwhile.
unsafe extern "C" fn perform<W: FnOnce()>(task: *mut c_void) {
    // SAFETY: the pointer is valid and not aliased (the caller's promise).
    if let Some(work) = unsafe { &mut *task.cast::<Option<W>>() }.take() {
        work();
    }
}

/// Whether a child would be in the PID namespace of this process. After `unshare(2)` the first
/// child becomes the init of a new namespace, which ends with it (`pid_namespaces(7)`).
fn shares_namespace_with_children() -> bool {
    let of_children = status_at(c"/proc/self/ns/pid_for_children");
    let own = status_at(c"/proc/self/ns/pid");
    let identity = |status: Result<FileStatus, _>| Some(status.ok()?.identity);
    identity(own).is_some_and(|own| identity(of_children) == Some(own))
}

/// Makes a child that calls `perform` with `task` on the stack below this frame, as after vfork(2),
/// and exits; then this thread continues. `None` if there can be no child.
///
/// # Safety
/// `perform` may be called with `task`.
unsafe fn clone(perform: unsafe extern "C" fn(*mut c_void), task: *mut c_void) -> Option<c_int> {
    // Without a termination signal: the program knows nothing of this child.
    let flags = c_long::from(libc::CLONE_VM | libc::CLONE_VFORK);
    let result: c_long;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the registers are those of syscall(2), "Architecture calling conventions". The child
    // never leaves this block, so that it writes only below the stack pointer, where the waiting
    // parent has nothing: without `nostack` the compiler keeps nothing there and aligns the stack
    // for a call.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, {task}",
            "call {perform}",
            "xor edi, edi",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone => result,
            in("rdi") flags, in("rsi") 0, in("rdx") 0, in("r10") 0, in("r8") 0,
            task = in(reg) task, perform = in(reg) perform,
            exit = const libc::SYS_exit,
            out("rcx") _, out("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x0, {task}",
            "blr {perform}",
            "mov x0, 0",
            "mov x8, {exit}",
            "svc 0",
            "brk 1",
            "2:",
            inlateout("x0") flags => result,
            in("x1") 0, in("x2") 0, in("x3") 0, in("x4") 0,
            in("x8") libc::SYS_clone,
            task = in(reg) task, perform = in(reg) perform,
            exit = const libc::SYS_exit,
        );
    }
    c_int::try_from(result).ok().filter(|child| *child > 0)
}

/// Waits for a child that has exited. The program may have waited for it already.
fn reap(child: c_int) {
    let arguments = [register(child), 0, register(libc::__WALL), 0, 0, 0];
    loop {
        // SAFETY: the pointers for status and usage are NULL.
        match unsafe { call(libc::SYS_wait4, arguments) } {
            Err(Errno(libc::EINTR)) => {}
            _ => return,
        }
    }
}
