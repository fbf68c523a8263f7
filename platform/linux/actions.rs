//! The file actions of `posix_spawn(3)`: whether they leave the child the stderr of this process.
//!
//! Their layout is private to the C library. glibc has only ever added kinds of actions to it. The
//! content is not trusted: a wrong guess may cost a line on stderr and nothing else.

use core::ffi::c_int;

use libc::posix_spawn_file_actions_t;

use super::stderr::STDERR;
use crate::readable::Pages;

/// `posix_spawn_file_actions_t` of glibc (`spawn.h`); musl has its list at the same offset.
#[repr(C)]
struct Declared {
    allocated: c_int,
    used: c_int,
    list: *const Action,
    padding: [c_int; 16],
}
const _: () = assert!(size_of::<Declared>() == size_of::<posix_spawn_file_actions_t>());

/// An action of glibc (`struct __spawn_action`, `sysdeps/unix/sysv/linux/spawn_int.h`); the union's
/// members all begin with descriptors.
#[repr(C)]
struct Action {
    kind: c_int,
    alignment: c_int,
    first: c_int,
    second: c_int,
    rest: [u64; 2],
}

const CLOSE: c_int = 0;
const DUPLICATE: c_int = 1;
const OPEN: c_int = 2;
const CHANGE_DIRECTORY: c_int = 3;
const CHANGE_TO_OPEN_DIRECTORY: c_int = 4;
const CLOSE_FROM: c_int = 5;
const SET_FOREGROUND: c_int = 6;

/// glibc allocates actions in steps of this size.
const STEP: c_int = 8;
/// With more actions this is not glibc's layout.
const MAX_ACTIONS: c_int = 1024;

/// Whether the child has the stderr of this process; false if that is not known.
pub fn keep_stderr(actions: *const posix_spawn_file_actions_t) -> bool {
    // SAFETY: any bytes are valid integers and pointers. In musl's type the first two numbers are
    // padding.
    let declared = unsafe { Pages::new().copy(actions.cast::<Declared>()) };
    let Some(Declared { allocated, used, list, .. }) = declared else { return false };
    if list.is_null() {
        return true;
    }
    let is_glibcs = (1..=MAX_ACTIONS).contains(&allocated)
        && allocated % STEP == 0
        && (1..=allocated).contains(&used);
    is_glibcs && (0..used).all(|at| action(list, at).is_some_and(|it| it.keeps_stderr()))
}

fn action(list: *const Action, at: c_int) -> Option<Action> {
    let place = list.wrapping_offset(isize::try_from(at).ok()?);
    // SAFETY: an action consists of integers.
    unsafe { Pages::new().copy(place) }
}

impl Action {
    fn keeps_stderr(&self) -> bool {
        match self.kind {
            CLOSE | OPEN => self.first != STDERR,
            DUPLICATE => self.second != STDERR || self.first == STDERR,
            CLOSE_FROM => self.first > STDERR,
            CHANGE_DIRECTORY | CHANGE_TO_OPEN_DIRECTORY | SET_FOREGROUND => true,
            _ => false,
        }
    }
}
