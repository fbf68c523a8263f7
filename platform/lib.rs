//! The hooks: functions that the dynamic loader calls instead of the C library's functions that
//! start programs.
//!
//! An intercepted call goes through the modules in this order:
//!
//! 1. the table of the operating system (`linux/table.rs`, `macos/table.rs`) maps the function to
//!    its hook, and `exports.rs` beside it exports that;
//! 2. the file of its family (`exec.rs`, `spawn.rs`, `shell.rs`) knows the function's arguments and
//!    how it reports errors;
//! 3. `gate.rs` makes the question (`program.rs`) and asks it (`connection.rs`); `refusal.rs`
//!    reports a refusal;
//! 4. `environment.rs` repairs the child's environment;
//! 5. the real function is called, through the pointer in `originals.rs`.
//!
//! A hook may run in a vfork child that shares its parent's memory, in a forked child of a threaded
//! program, in a signal handler, or on a small stack. So there is no allocation, no lock, no
//! thread-local and no panic, and nothing is held across the call of the real function.
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
mod kept_connection;
mod load;
mod look;
mod missed;
mod once;
mod panic;
mod program;
mod readable;
mod refusal;
mod report;
mod resolver;
mod scratch;
mod shell;
mod spare;
mod spawn;
mod standard_error;
mod state;
mod variadic;

/// Read in the file by the command (`cli/library.rs`).
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".rodata.rampart_mark"))]
static MARK: [u8; rampart_core::library_mark::MARK.len()] = rampart_core::library_mark::MARK;

ctor::declarative::ctor! {
    /// Reads the environment before the program can change it.
    #[ctor(unsafe)]
    fn constructor() {
        // SAFETY: the loader runs a constructor once.
        unsafe { once::at_load() };
    }
}
