//! Gives children the environment that keeps them guarded.

use core::ffi::{CStr, c_char};

use rampart_core::arena::Full;
use rampart_core::coverage::Coverage;
use rampart_core::environ::{self, Guard, RepairSize, Survey};
use rampart_core::repair_count::RepairCount;
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
pub enum Envp {
    /// This one.
    Given(Strings),
    /// That of this process, as it is when the program starts.
    Own,
}

impl Envp {
    /// The list. A process's own is asked for only when nothing is waited for any more: another
    /// thread's `setenv(3)` frees the list that was there before.
    pub fn now(self) -> Strings {
        match self {
            Self::Given(list) => list,
            Self::Own => os::environment(),
        }
    }
}

/// There was no memory for it.
pub struct NoMemory;

/// Calls `run` with `envp` if that is what a program of this coverage is to have, else with
/// what it should have been, with what `repairs` gives.
///
/// # Safety
/// `envp` is NULL or an array of strings that ends with NULL.
pub unsafe fn with<R>(
    guard: &Guard<'_>,
    envp: Strings,
    coverage: Option<Coverage>,
    repairs: impl FnOnce() -> RepairCount,
    run: impl FnOnce(Strings) -> R,
) -> Result<R, NoMemory> {
    // SAFETY: the caller's promise.
    match unsafe { guard.survey(envp, coverage) } {
        Survey::Intact => Ok(run(envp)),
        // SAFETY: as above.
        Survey::Broken(room) => unsafe { repaired(guard, envp, coverage, room, repairs, run) },
    }
}

/// In a frame of its own, which most programs need not have.
///
/// # Safety
/// As for [`with`].
#[cold]
#[inline(never)]
unsafe fn repaired<R>(
    guard: &Guard<'_>,
    envp: Strings,
    coverage: Option<Coverage>,
    room: RepairSize,
    repairs: impl FnOnce() -> RepairCount,
    run: impl FnOnce(Strings) -> R,
) -> Result<R, NoMemory> {
    let (mut run, mut result) = (Some(run), Err(NoMemory));
    let mut run = |envp| {
        if let Some(run) = run.take() {
            result = Ok(run(envp));
        }
    };
    let repair = Repair { guard, envp, coverage, repairs: repairs(), run: &mut run };
    // SAFETY: the caller's promise.
    unsafe { repair.begin(room) }?;
    result
}

/// An environment that is put right, once for all hooks: there are many, and each would have a
/// copy of what it takes.
struct Repair<'r> {
    guard: &'r Guard<'r>,
    envp: Strings,
    coverage: Option<Coverage>,
    repairs: RepairCount,
    run: &'r mut dyn FnMut(Strings),
}

impl Repair<'_> {
    /// # Safety
    /// As for [`with`], here and below.
    unsafe fn begin(self, room: RepairSize) -> Result<(), NoMemory> {
        let fits = room.pointers <= POINTERS_ON_STACK && room.text <= TEXT_ON_STACK;
        // SAFETY: the caller's promise.
        unsafe { if fits { self.on_stack() } else { self.in_scratch(room) } }
    }

    #[inline(never)]
    unsafe fn on_stack(self) -> Result<(), NoMemory> {
        let mut pointers = [core::ptr::null(); POINTERS_ON_STACK];
        let mut text = [0; TEXT_ON_STACK];
        // SAFETY: the caller's promise.
        unsafe { self.end(&mut pointers, &mut text) }
    }

    #[inline(never)]
    unsafe fn in_scratch(self, room: RepairSize) -> Result<(), NoMemory> {
        let bytes = room.pointers.saturating_mul(size_of::<*const c_char>());
        let mut scratch = Scratch::claim(bytes.saturating_add(room.text)).ok_or(NoMemory)?;
        let (pointers, text) = scratch.split(room.pointers).ok_or(NoMemory)?;
        // SAFETY: the caller's promise.
        unsafe { self.end(pointers, text) }
    }

    unsafe fn end(self, pointers: &mut [*const c_char], text: &mut [u8]) -> Result<(), NoMemory> {
        let Self { guard, envp, coverage, repairs, run } = self;
        // SAFETY: the caller's promise.
        unsafe { guard.repair(envp, coverage, Some(repairs), pointers, text) }
            .map_err(|Full| NoMemory)?;
        run(pointers.as_ptr());
        Ok(())
    }
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
fn set_all(
    guard: &Guard<'_>,
    coverage: Option<Coverage>,
    room: RepairSize,
) -> Result<(), NoMemory> {
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
fn drop_repeated(guard: &Guard<'_>, room: RepairSize) -> Result<(), NoMemory> {
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
