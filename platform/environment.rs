//! Gives children the environment that keeps them guarded.

use core::ffi::{CStr, c_char};

use rampart_core::again::Again;
use rampart_core::arena::Full;
use rampart_core::coverage::Coverage;
use rampart_core::environ::{self, Guard, Room, Survey};
use rampart_core::settings::Variable;

use crate::abi::Strings;
use crate::os::sys;
use crate::scratch::Scratch;
use crate::{errno, os};

/// An environment of so many pointers is put right on the stack.
const POINTERS_ON_STACK: usize = 128;
/// A preload list of so many bytes is.
const TEXT_ON_STACK: usize = 512;

/// The environment that a function was given for the program.
#[derive(Clone, Copy)]
pub enum Given {
    /// This one.
    List(Strings),
    /// That of this process, as it is when the program starts.
    Own,
}

impl Given {
    /// The list. A process's own is asked for only when nothing is waited for any more: another
    /// thread's `setenv(3)` frees the list that was there before.
    pub fn now(self) -> Strings {
        match self {
            Self::List(list) => list,
            Self::Own => os::environment(),
        }
    }
}

/// There was no memory for it.
pub struct NoMemory;

/// Calls `run` with `envp` if that is what a program of this coverage is to have, else with
/// what it should have been, with what `again` gives.
///
/// # Safety
/// `envp` is NULL or an array of strings that ends with NULL.
pub unsafe fn with<R>(
    guard: &Guard<'_>,
    envp: Strings,
    coverage: Option<Coverage>,
    again: impl FnOnce() -> Again,
    run: impl FnOnce(Strings) -> R,
) -> Result<R, NoMemory> {
    // SAFETY: the caller's promise.
    match unsafe { guard.survey(envp, coverage) } {
        Survey::Intact => Ok(run(envp)),
        Survey::Broken(room) if fits_stack(room) => {
            // SAFETY: the caller's promise.
            unsafe { with_stack(guard, envp, coverage, again, run) }
        }
        Survey::Broken(room) => {
            // SAFETY: the caller's promise.
            unsafe { with_scratch(guard, envp, coverage, again, room, run) }
        }
    }
}

fn fits_stack(room: Room) -> bool {
    room.pointers <= POINTERS_ON_STACK && room.text <= TEXT_ON_STACK
}

/// # Safety
/// As for [`with`].
#[inline(never)]
unsafe fn with_stack<R>(
    guard: &Guard<'_>,
    envp: Strings,
    coverage: Option<Coverage>,
    again: impl FnOnce() -> Again,
    run: impl FnOnce(Strings) -> R,
) -> Result<R, NoMemory> {
    let mut pointers = [core::ptr::null(); POINTERS_ON_STACK];
    let mut text = [0; TEXT_ON_STACK];
    // SAFETY: the caller's promise.
    unsafe { guard.repair(envp, coverage, Some(again()), &mut pointers, &mut text) }
        .map_err(|Full| NoMemory)?;
    Ok(run(pointers.as_ptr()))
}

/// # Safety
/// As for [`with`].
#[inline(never)]
unsafe fn with_scratch<R>(
    guard: &Guard<'_>,
    envp: Strings,
    coverage: Option<Coverage>,
    again: impl FnOnce() -> Again,
    room: Room,
    run: impl FnOnce(Strings) -> R,
) -> Result<R, NoMemory> {
    let bytes = room.pointers.saturating_mul(size_of::<*const c_char>());
    let mut scratch = Scratch::claim(bytes.saturating_add(room.text)).ok_or(NoMemory)?;
    let (pointers, text) = scratch.split(room.pointers).ok_or(NoMemory)?;
    // SAFETY: the caller's promise.
    unsafe { guard.repair(envp, coverage, Some(again()), pointers, text) }
        .map_err(|Full| NoMemory)?;
    Ok(run(pointers.as_ptr()))
}

/// Puts the environment of this process itself right for a program of this coverage, for
/// the functions that take none: `system`, `popen`, `wordexp`.
///
/// It is done by the C library's own `setenv(3)` and for good. A change for the time of
/// the call only would pull the environment away under another thread's `getenv(3)`, and
/// two such calls at once would undo each other.
pub fn repair_own(guard: &Guard<'_>, coverage: Option<Coverage>) -> Result<(), NoMemory> {
    // SAFETY: `environ` is NULL or an array of strings that ends with NULL (environ(7)).
    let survey = || unsafe { guard.survey(os::environment(), coverage) };
    let Survey::Broken(room) = survey() else { return Ok(()) };
    let errno = errno::Saved::new();
    let result = set_all(guard, coverage, room).and_then(|()| match survey() {
        Survey::Intact => Ok(()),
        Survey::Broken(room) => drop_repeated(guard, room),
    });
    errno.restore();
    result
}

/// Sets what is missing or changed.
fn set_all(guard: &Guard<'_>, coverage: Option<Coverage>, room: Room) -> Result<(), NoMemory> {
    let set = |name: &CStr, entry: Option<*const c_char>| {
        let Some(entry) = entry else {
            // SAFETY: a string. That there is no such variable is fine.
            unsafe { libc::unsetenv(name.as_ptr()) };
            return Ok(());
        };
        // SAFETY: the entry is a string that begins with the name and `=`, and it is copied.
        let status = unsafe { libc::setenv(name.as_ptr(), entry.add(name.count_bytes() + 1), 1) };
        if status == 0 { Ok(()) } else { Err(NoMemory) }
    };
    let mut scratch = Scratch::claim(room.text).ok_or(NoMemory)?;
    let (_, text) = scratch.split(0).ok_or(NoMemory)?;
    // SAFETY: as in `repair_own`; the list is copied before the variable is changed.
    let (list, wants_library) = unsafe {
        let envp = os::environment();
        (environ::read(guard.os, envp).preload, guard.wants_library(envp, coverage))
    };
    let preload = guard.preload_entry(list.unwrap_or_default(), wants_library, text);
    set(guard.os.preload_variable(), preload.map_err(|Full| NoMemory)?)?;
    Variable::ALL
        .into_iter()
        .zip(guard.variables)
        .try_for_each(|(variable, wanted)| set(variable.name(), wanted.map(CStr::as_ptr)))
}

/// Has the process use another array, without what is there twice: it is right where it stands
/// first, by now. `unsetenv(3)` would take that one as well, and leave a moment without it.
fn drop_repeated(guard: &Guard<'_>, room: Room) -> Result<(), NoMemory> {
    let bytes = room.pointers.checked_mul(size_of::<*const c_char>()).ok_or(NoMemory)?;
    let start = sys::map(bytes).ok_or(NoMemory)?.cast();
    // SAFETY: the mapping is large enough, aligned and zeroed, and stays for good: the program may
    // change entries of its environment, but frees no array that it has not made. `environ` is as
    // in `repair_own`.
    unsafe {
        let pointers = core::slice::from_raw_parts_mut(start, room.pointers);
        environ::write_once(guard.os, os::environment(), pointers).map_err(|Full| NoMemory)?;
        os::set_environment(start);
    }
    Ok(())
}
