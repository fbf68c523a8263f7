//! macOS: dyld puts the functions of a table in the place of the C library's, in every
//! image but this one.

pub mod exec;
mod inner;
mod search;
mod spawn;
pub mod stderr;
pub mod sys;
mod table;

pub use inner::in_own_environment;
pub use libc::__error as errno_location;
pub use table::{Real, WordExp};

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;

use libc::posix_spawn_file_actions_t;
use rampart_core::coverage::{Coverage, locate};

use crate::abi::Strings;
use crate::descriptor::Errno;
use crate::look::{Opened, look};
use crate::program::Program;
use search::search_path;

/// There was a command although they are not to be run (`wordexp.h`).
pub const WRDE_CMDSUB: c_int = 3;

/// Whether file actions leave the child the stderr of this process, as far as can be seen: their
/// list is the system's own.
pub fn keep_stderr(_: &posix_spawn_file_actions_t) -> bool {
    false
}

/// The environment of this process, as it is now.
pub fn environment() -> Strings {
    // SAFETY: the pointer to the C library's variable is always valid; it is read once.
    unsafe { libc::_NSGetEnviron().cast::<Strings>().read_volatile() }
}

/// Makes another array the environment of this process.
///
/// # Safety
/// It is an array of strings that ends with NULL, and stays.
pub unsafe fn set_environment(list: Strings) {
    // SAFETY: as in `environment`; programs write to it as well, and it is written at once.
    unsafe { libc::_NSGetEnviron().cast::<Strings>().write_volatile(list) }
}

/// The file that the loader took this library from, as it was told.
pub fn library_file() -> Option<&'static CStr> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let here = (library_file as *const ()).cast();
    // SAFETY: the structure is dladdr's to write; all-zero is a valid value of it.
    let info = unsafe { (libc::dladdr(here, info.as_mut_ptr()) != 0).then(|| info.assume_init()) };
    let name = info.map(|info| info.dli_fname).filter(|name| !name.is_null())?;
    // SAFETY: the loader's own string, which lives as long as the library.
    Some(unsafe { CStr::from_ptr(name) })
}

/// Has `handler` called before each fork; whether that will be. Not here: what
/// `pthread_atfork(3)` costs was never measured.
pub fn before_each_fork(_handler: extern "C" fn()) -> bool {
    false
}

/// dyld has no variable that makes it list libraries and end.
pub fn listing_variable() -> Option<&'static CStr> {
    None
}

/// What can be followed of the shell that `system(3)` and its kin start: it is Apple's.
pub const SHELL_COVERAGE: Option<Coverage> = Some(Coverage::Sip);

/// What can be followed of a program, or why its file cannot be opened.
///
/// One that is looked for in PATH is looked for here as well: dyld ends a program that it
/// cannot load the library into, so that not to know is not enough. What is found is not
/// taken for certain otherwise.
#[inline(never)]
pub fn coverage_of(program: &Program<'_>, remembers: bool) -> Result<Option<Coverage>, Errno> {
    if program.is_certain {
        return look(program.path, remembers);
    }
    let name = program.path.to_bytes();
    if name.contains(&b'/') {
        return Ok(None);
    }
    let mut room = [0; LONGEST_PATH];
    let mut files = Opened::default();
    let path = locate(&mut files, search_path(), name, &mut room);
    Ok(path.and_then(|path| look(path, remembers).ok()?))
}

/// A program that was found by a longer path is not looked at.
const LONGEST_PATH: usize = 512;

/// Does what must not be broken off by the cancellation of the thread: nearly every function
/// that makes a system call is a cancellation point, and the descriptor that it was about
/// would stay open. (Those that are none, `…$NOCANCEL`, are private.)
pub fn uncancelled<R>(work: impl FnOnce() -> R) -> R {
    /// `PTHREAD_CANCEL_DISABLE` (`pthread.h`)
    const DISABLE: c_int = 0;
    unsafe extern "C" {
        fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    }
    let mut old = DISABLE;
    // SAFETY: the pointer is to a live int. It cannot fail with such a state.
    unsafe { pthread_setcancelstate(DISABLE, &raw mut old) };
    let result = work();
    // SAFETY: NULL is permitted: nobody wants to know.
    unsafe { pthread_setcancelstate(old, core::ptr::null_mut()) };
    result
}

/// The thread's own number: one value for each thread, and a child has that of the thread
/// that it was made by.
pub fn thread_pointer() -> usize {
    // SAFETY: takes no pointer; it reads a register and cannot fail.
    unsafe { libc::pthread_self() }
}
