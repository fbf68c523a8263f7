//! Linux: symbols of ours stand in front of the C library's; the originals are the next of
//! that name.

mod actions;
pub mod exec;
mod loaded;
pub mod stderr;
pub mod sys;
mod table;
mod variadic;

pub use actions::keep_stderr;
pub use libc::__errno_location as errno_location;
pub use loaded::{library_file, listing_variable};
pub use table::{Execveat, Real, WordExp};

use core::ffi::{c_int, c_void};

use rampart_core::coverage::Coverage;
use rampart_core::environ::Guard;

use crate::abi::{MutStrings, Strings, Text};
use crate::descriptor::Errno;
use crate::environment::{NoMemory, repair_own};
use crate::errno;
use crate::look::look;
use crate::program::Program;
use loaded::{Name, behind_this};

/// There was a command although they are not to be run (wordexp(3); the same number in glibc
/// and musl).
pub const WRDE_CMDSUB: c_int = 4;

/// The environment of this process, as it is now.
pub fn environment() -> Strings {
    unsafe extern "C" {
        static environ: Strings;
    }
    // SAFETY: the C library's variable, which programs write to; it is read once.
    unsafe { (&raw const environ).read_volatile() }
}

/// Makes another array the environment of this process.
///
/// # Safety
/// It is an array of strings that ends with NULL, and stays.
pub unsafe fn set_environment(list: Strings) {
    unsafe extern "C" {
        static mut environ: Strings;
    }
    // SAFETY: the C library's variable, which programs write to as well; it is written at once.
    unsafe { (&raw mut environ).write_volatile(list) }
}

/// What can be followed of the shell that `system(3)` and its kin start: it is not looked at.
pub const SHELL_COVERAGE: Option<Coverage> = None;

/// What can be followed of a program, or why its file cannot be opened. One that may not be
/// what its path says is not looked at, nor is one that stands anywhere in PATH.
pub fn coverage_of(program: &Program<'_>, is_own: bool) -> Result<Option<Coverage>, Errno> {
    if program.is_certain { look(program.path, is_own) } else { Ok(None) }
}

/// Has `handler` called in this process before each fork(2); whether that will be. It is
/// `pthread_atfork(3)`, which glibc has under this name alone; musl's allocates.
pub fn before_each_fork(handler: extern "C" fn()) -> bool {
    type Handler = Option<extern "C" fn()>;
    type Register = unsafe extern "C" fn(Handler, Handler, Handler, *const c_void) -> c_int;
    let [register] = behind_this(const { &[Name::new("__register_atfork\0")] });
    // SAFETY: glibc's function of that name has this type.
    let register: Option<Register> = unsafe { table::function(register) };
    // SAFETY: the handler may be called for as long as the process lives, as the library is
    // never unloaded.
    register.is_some_and(|register| unsafe {
        register(Some(handler), None, None, core::ptr::null()) == 0
    })
}

/// Calls `run`, which starts a shell in this process's own environment, after putting that
/// right.
pub fn in_own_environment<R>(
    guard: &Guard<'_>,
    coverage: Option<Coverage>,
    run: impl FnOnce() -> R,
) -> Result<R, NoMemory> {
    repair_own(guard, coverage)?;
    Ok(run())
}

/// Does what must not be broken off by the cancellation of the thread: here system calls are
/// raw, and so no cancellation points (`pthreads(7)`).
pub fn uncancelled<R>(work: impl FnOnce() -> R) -> R {
    work()
}

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
