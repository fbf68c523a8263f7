//! Linux: the library's symbols take precedence over the C library's of the same name, which are
//! the originals.

mod actions;
mod coverage;
mod environ;
pub mod exec;
mod exports;
mod fork;
mod loaded;
mod originals;
mod read_only;
mod shell;
pub mod stderr;
pub mod sys;
mod table;
mod thread;
mod variadic;

pub use actions::keep_stderr;
pub use coverage::coverage_of;
pub use environ::{environment, set_environment};
pub use fork::before_each_fork;
pub use libc::__errno_location as errno_location;
pub use loaded::{library_file, listing_variable};
pub use originals::{Real, WordExp};
pub use read_only::{HAS_READ_ONLY_DATA, make_data_read_only};
pub use shell::{SHELL_COVERAGE, WRDE_CMDSUB, in_own_environment};
pub use thread::{thread_pointer, uncancelled};
