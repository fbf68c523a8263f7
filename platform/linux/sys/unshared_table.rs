//! Work that is to take none of this process's descriptor numbers.
//!
//! A number that is free below 3 is a standard stream that the program has closed, and what it
//! opens next is to get that number, in whatever thread. The kernel gives the lowest free number
//! to whatever is opened, and there is no call that opens a socket or a file above a number.

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

/// Does `work`, which makes raw system calls only, in a child that has a copy of the descriptors
/// and shares all memory, while this thread waits (clone(2), `CLONE_VFORK`); in this process if
/// there can be no child. It is not done to the end if the child is killed at it.
#[inline(never)]
pub fn with_unshared_table<W: FnOnce()>(work: W) {
    let mut work = Some(work);
    let task: *mut Option<W> = &raw mut work;
    // The child is to run no handler of the program's: that would be in this process's memory.
    let mask = SignalMask::ALL.block();
    if shares_namespace_with_children() {
        // SAFETY: the task is of the type that the function takes.
        let child = unsafe { clone(perform::<W>, task.cast()) };
        if let Some(child) = child {
            reap(child);
        }
    }
    // SAFETY: as above; if there was a child, it has taken the work and is gone.
    unsafe { perform::<W>(task.cast()) };
    mask.restore();
}

/// # Safety
/// `task` points to an `Option<W>` that is nobody else's meanwhile.
unsafe extern "C" fn perform<W: FnOnce()>(task: *mut c_void) {
    // SAFETY: the caller's promise.
    if let Some(work) = unsafe { &mut *task.cast::<Option<W>>() }.take() {
        work();
    }
}

/// Whether a child would be in the pid namespace of this process. The first child in a new one is
/// its init, with which it ends (`pid_namespaces(7)`).
fn shares_namespace_with_children() -> bool {
    let of_children = status_at(c"/proc/self/ns/pid_for_children");
    let own = status_at(c"/proc/self/ns/pid");
    let identity = |status: Result<FileStatus, _>| Some(status.ok()?.identity);
    identity(own).is_some_and(|own| identity(of_children) == Some(own))
}

/// A child that calls `perform` with `task` on the stack below this frame, as after vfork(2), and
/// ends; the thread that made it goes on then. `None` if there is none to be had.
///
/// # Safety
/// `perform` may be called with `task`.
unsafe fn clone(perform: unsafe extern "C" fn(*mut c_void), task: *mut c_void) -> Option<c_int> {
    // No signal tells of its end: the program knows nothing of it.
    let flags = c_long::from(libc::CLONE_VM | libc::CLONE_VFORK);
    let result: c_long;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: syscall(2), "Architecture calling conventions". The child never leaves this block, so
    // that it writes below the stack pointer only, where nothing of the waiting parent is: the
    // block may use the stack, and finds it aligned for a call.
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

/// Waits for a child, which is done. Somebody else may have waited for it.
fn reap(child: c_int) {
    let arguments = [register(child), 0, register(libc::__WALL), 0, 0, 0];
    loop {
        // SAFETY: nobody wants the status, so that there is no pointer.
        match unsafe { call(libc::SYS_wait4, arguments) } {
            Err(Errno(libc::EINTR)) => {}
            _ => return,
        }
    }
}
