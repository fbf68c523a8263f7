//! macOS: dyld redirects calls of the C library's functions to the hooks, in every image but this
//! one.

mod actions;
mod coverage;
mod environ;
pub mod exec;
mod exports;
mod fork;
mod inner;
mod loaded;
mod originals;
mod read_only;
mod search;
mod shell;
mod spawn;
pub mod stderr;
pub mod sys;
mod table;
mod text_range;
mod thread;

pub use actions::keep_stderr;
pub use coverage::coverage_of;
pub use environ::{environment, set_environment};
pub use fork::before_each_fork;
pub use libc::__error as errno_location;
pub use loaded::{library_file, listing_variable};
pub use originals::Real;
pub use read_only::{HAS_READ_ONLY_DATA, make_data_read_only};
pub use shell::{SHELL_COVERAGE, WRDE_CMDSUB, in_own_environment};
pub use table::WordExp;
pub use thread::{thread_pointer, uncancelled};
