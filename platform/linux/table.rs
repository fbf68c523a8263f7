//! The functions that are intercepted on Linux, one line each.
//!
//! A line names the function, its signature, and its hook. From it come the exported symbol and a
//! check of the signature against the `libc` crate's (`exports.rs`), and the pointer to the
//! original (`originals.rs`).

/// Passes the table to a macro.
#[rustfmt::skip]
macro_rules! table {
    ($macro:ident) => {
        $macro! {
            called {
                fn execve(path: CharPtr, argv: Strings, envp: Strings) -> c_int = exec::execve;
                fn execvpe(file: CharPtr, argv: Strings, envp: Strings) -> c_int = exec::execvpe;
                fn fexecve(fd: c_int, argv: Strings, envp: Strings) -> c_int = exec::fexecve;
                fn execveat(dir: c_int, path: CharPtr, argv: MutStrings, envp: MutStrings, flags: c_int) -> c_int = exec::execveat;
                fn posix_spawn(pid: *mut pid_t, path: CharPtr, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::posix_spawn;
                fn posix_spawnp(pid: *mut pid_t, file: CharPtr, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::posix_spawnp;
                fn system(command: CharPtr) -> c_int = shell::system;
                fn popen(command: CharPtr, mode: CharPtr) -> *mut FILE = shell::popen;
            }
            called, unknown to the libc crate {
                fn pidfd_spawn(pidfd: *mut c_int, path: CharPtr, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::pidfd_spawn;
                fn pidfd_spawnp(pidfd: *mut c_int, file: CharPtr, actions: Actions, attributes: Attributes, argv: MutStrings, envp: MutStrings) -> c_int = spawn::pidfd_spawnp;
                fn wordexp(words: CharPtr, result: *mut WordExp, flags: c_int) -> c_int = shell::wordexp;
            }
            forwarded to one of those {
                fn execv(path: CharPtr, argv: Strings) -> c_int = exec::execv;
                fn execvp(file: CharPtr, argv: Strings) -> c_int = exec::execvp;
            }
            variadic {
                fn execl(path, ...) = exec::execl;
                fn execlp(file, ...) = exec::execlp;
                fn execle(path, ..., envp) = exec::execle;
            }
            variadic, handed on as it is {
                fn syscall(number, ...) = exec::syscall_execve, exec::syscall_execveat;
            }
        }
    };
}

pub(super) use table;
