//! The hooks: what the dynamic loader puts in place of the C library's functions
//! that start programs.
//!
//! An intercepted call goes through the modules in this order:
//!
//! 1. the table of the operating system (`linux/table.rs`, `macos/table.rs`) names the function
//!    and its hook, and `exports.rs` beside it puts the one in the place of the other;
//! 2. the family's file (`exec.rs`, `spawn.rs`, `shell.rs`) knows what this function is
//!    given and how it fails;
//! 3. `gate.rs` makes the question (`program.rs`), and asks over `connection.rs`; what becomes
//!    of a refusal is told by `refusal.rs`;
//! 4. `environment.rs` puts the child's environment right;
//! 5. the real function is called, by the pointer that `originals.rs` has of it.
//!
//! The code runs in places where almost nothing is allowed: a vfork child that shares
//! its parent's memory, a forked child of a threaded program, a signal handler, a
//! small stack. So there is no allocation, no lock, no thread-local, no panic, and
//! nothing is held across the call of the real function.
//!
//! With `panic = "abort"` (profile `preload`) this is a `no_std` library.
#![cfg_attr(panic = "abort", no_std)]

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        #[path = "linux/mod.rs"]
        mod os;
    } else if #[cfg(target_os = "macos")] {
        #[path = "macos/mod.rs"]
        mod os;
    } else {
        compile_error!("no hooks for this operating system");
    }
}

mod abi;
mod connection;
mod descriptor;
mod environment;
mod errno;
mod exec;
mod gate;
mod load;
mod look;
mod missed;
mod once;
mod panic;
mod program;
mod refusal;
mod report;
mod resolver;
mod scratch;
mod shell;
mod spawn;
mod standard_error;
mod state;
mod variadic;

ctor::declarative::ctor! {
    /// Reads the environment before the program can change it.
    #[ctor(unsafe)]
    fn constructor() {
        // SAFETY: the loader calls a constructor once.
        unsafe { once::at_load() };
    }
}
