//! What all tests use: probes, a sandbox, and runs with a deadline. Their server is `tests/server`.

mod disk;
mod probe;
mod run;
mod sandbox;
mod system;

pub use disk::coverage_of;
pub use probe::{Compiler, EMULATOR, library, linked_probe, probe, started};
pub use run::{Finished, Run, assert_guarded, wait_until};
pub use sandbox::{Sandbox, copy_program, installed};
pub use system::{
    System, is_for_linux_alone, is_for_macos_alone, is_left_out, needs_a_mac, needs_a_mac_or_linux,
    needs_linux_beneath, preload_variable,
};
