//! The file actions of `posix_spawn(3)`, looked at for one thing: whether the child keeps the
//! stderr of this process.
//!
//! They are the C library's own. What glibc makes of them has been the same since there are any,
//! but for kinds that came; it is read without trust, for a wrong guess may cost a line on
//! stderr and no more.

use core::ffi::c_int;

use libc::posix_spawn_file_actions_t;

use super::stderr::STDERR;
use super::sys;

/// As `spawn.h` of glibc declares it; musl's has its list at the same place.
#[repr(C)]
struct Declared {
    allocated: c_int,
    used: c_int,
    list: *const Action,
    padding: [c_int; 16],
}
const _: () = assert!(size_of::<Declared>() == size_of::<posix_spawn_file_actions_t>());

/// One of glibc's (`sysdeps/unix/sysv/linux/spawn_int.h`), as far as it is about numbers.
#[repr(C)]
#[derive(Default)]
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

/// glibc makes room for so many at a time.
const STEP: c_int = 8;
/// With more, what is taken for a number is none.
const MAX_ACTIONS: c_int = 1024;

/// Whether the child's stderr is that of this process; false where that is not known.
pub fn keep_stderr(actions: &posix_spawn_file_actions_t) -> bool {
    // SAFETY: the size is alike, and its owner has initialised it. In musl's the first two
    // numbers are not used; they are read as what they happen to be.
    let Declared { allocated, used, list, .. } =
        unsafe { &*core::ptr::from_ref(actions).cast::<Declared>() };
    if list.is_null() {
        return true;
    }
    let (allocated, used) = (*allocated, *used);
    let is_glibcs = (1..=MAX_ACTIONS).contains(&allocated)
        && allocated % STEP == 0
        && (1..=allocated).contains(&used);
    is_glibcs && (0..used).all(|at| action(*list, at).is_some_and(|it| it.keeps_stderr()))
}

/// A copy of one of them, made by the kernel: what is no memory is no action.
fn action(list: *const Action, at: c_int) -> Option<Action> {
    let mut action = Action::default();
    let from = list.wrapping_offset(isize::try_from(at).ok()?);
    // SAFETY: any bytes are an action.
    unsafe { sys::peek(from, &mut action) }.then_some(action)
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
