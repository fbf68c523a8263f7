//! Passes children an environment in which they are guarded too.

use core::ffi::{CStr, c_char};

use rampart_core::arena::Full;
use rampart_core::coverage::Coverage;
use rampart_core::environ::{self, Guard, RepairSize, Survey};
use rampart_core::repair_count::RepairCount;
use rampart_core::settings::Variable;

use crate::abi::Strings;
use crate::os::sys;
use crate::readable::Pages;
use crate::scratch::Scratch;
use crate::{errno, os, spare};

/// Environments of up to this many pointers are repaired on the stack.
const POINTERS_ON_STACK: usize = 128;
/// Room on the stack for the text of a repair, in bytes.
const TEXT_ON_STACK: usize = 512;

/// The `envp` of a program.
#[derive(Clone, Copy)]
pub enum Envp {
    /// The argument of the function.
    Given(Strings),
    /// That of this process, at the time when the program starts.
    Own,
}

impl Envp {
    /// The array. A process's own is to be read after the check, not before: meanwhile another
    /// thread's `setenv(3)` may free the array.
    pub fn now(self) -> Strings {
        match self {
            Self::Given(list) => list,
            Self::Own => os::environment(),
        }
    }
}

/// There was not enough memory.
pub struct NoMemory;

/// Calls `run` with `envp` if a program with this coverage needs no other environment, else with a
/// repaired one that holds the count `repairs`. Not inlined, so that its frame is not on the stack
/// during the check.
///
/// # Safety
/// `envp` is NULL or an array of strings that ends with NULL.
#[inline(never)]
pub unsafe fn with<R>(
    guard: &Guard<'_>,
    envp: Strings,
    coverage: Option<Coverage>,
    repairs: impl FnOnce() -> RepairCount,
    run: impl FnOnce(Strings) -> R,
) -> Result<R, NoMemory> {
    let (mut both, mut result) = (Some((repairs, run)), Err(NoMemory));
    let mut start = |guard: &Guard<'_>| {
        if let Some((repairs, run)) = both.take() {
            // SAFETY: the caller's promise.
            result = unsafe { with_this(guard, envp, coverage, repairs, run) };
        }
    };
    match spare::needed(guard) {
        None => start(guard),
        Some(spare) => spare::with(guard, spare, &mut start),
    }
    result
}

/// The state of an environment. One that cannot be read is passed on as it is: the kernel reports
/// that. Not inlined, so that the frame of the look at its pages is gone before a repair.
///
/// # Safety
/// What can be read of `envp` is NULL or an array of strings that ends with NULL.
#[inline(never)]
pub unsafe fn survey(guard: &Guard<'_>, envp: Strings, coverage: Option<Coverage>) -> Survey {
    let mut pages = Pages::new();
    let can_be_read = pages.have_array(envp, |pages, entry| {
        pages.has(entry as usize)
            // SAFETY: the first byte can be read.
            && (environ::is_others(guard.os, unsafe { *entry.cast::<u8>() }) || pages.have_string(entry))
    });
    // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
    if can_be_read { unsafe { guard.survey(envp, coverage) } } else { Survey::Intact }
}

/// The same by this guard.
///
/// # Safety
/// As for [`with`].
unsafe fn with_this<R>(
    guard: &Guard<'_>,
    envp: Strings,
    coverage: Option<Coverage>,
    repairs: impl FnOnce() -> RepairCount,
    run: impl FnOnce(Strings) -> R,
) -> Result<R, NoMemory> {
    // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
    match unsafe { survey(guard, envp, coverage) } {
        Survey::Intact => Ok(run(envp)),
        // SAFETY: as above.
        Survey::Broken(room) => unsafe { repaired(guard, envp, coverage, room, repairs, run) },
    }
}

/// Not inlined: an intact environment does not need this frame.
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
    // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
    unsafe { repair.begin(room) }?;
    result
}

/// A repair. It takes `run` as a trait object, so that the code is not copied for each hook.
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
        // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
        unsafe { if fits { self.on_stack() } else { self.in_scratch(room) } }
    }

    #[inline(never)]
    unsafe fn on_stack(self) -> Result<(), NoMemory> {
        let mut pointers = [core::ptr::null(); POINTERS_ON_STACK];
        let mut text = [0; TEXT_ON_STACK];
        // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
        unsafe { self.end(&mut pointers, &mut text) }
    }

    #[inline(never)]
    unsafe fn in_scratch(self, room: RepairSize) -> Result<(), NoMemory> {
        let bytes = room.pointers.saturating_mul(size_of::<*const c_char>());
        let mut scratch = Scratch::claim(bytes.saturating_add(room.text)).ok_or(NoMemory)?;
        let (pointers, text) = scratch.split(room.pointers).ok_or(NoMemory)?;
        // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
        unsafe { self.end(pointers, text) }
    }

    unsafe fn end(self, pointers: &mut [*const c_char], text: &mut [u8]) -> Result<(), NoMemory> {
        let Self { guard, envp, coverage, repairs, run } = self;
        // SAFETY: `envp` is NULL or an array of strings that ends with NULL (the caller's promise).
        unsafe { guard.repair(envp, coverage, Some(repairs), pointers, text) }
            .map_err(|Full| NoMemory)?;
        run(pointers.as_ptr());
        Ok(())
    }
}

/// Repairs the environment of this process itself for a program with this coverage, for the
/// functions that take no `envp`: `system`, `popen`, `wordexp`.
///
/// The repair is made by `setenv(3)` and is permanent. Undoing it after the call would change the
/// environment under another thread's `getenv(3)`, and two such calls at once would undo each
/// other's repair.
pub fn repair_own(guard: &Guard<'_>, coverage: Option<Coverage>) -> Result<(), NoMemory> {
    let Some(spare) = spare::needed(guard) else { return repair_own_by(guard, coverage) };
    let mut result = Err(NoMemory);
    spare::with(guard, spare, &mut |guard| result = repair_own_by(guard, coverage));
    result
}

/// The same by this guard.
fn repair_own_by(guard: &Guard<'_>, coverage: Option<Coverage>) -> Result<(), NoMemory> {
    // SAFETY: `environ` is NULL or an array of strings that ends with NULL (environ(7)).
    let survey = || unsafe { survey(guard, os::environment(), coverage) };
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
            // SAFETY: the name is a string. It is no error if the variable is unset.
            unsafe { libc::unsetenv(name.as_ptr()) };
            return Ok(());
        };
        // SAFETY: the entry is a string that begins with the name and `=`, and it is copied.
        let status = unsafe { libc::setenv(name.as_ptr(), entry.add(name.count_bytes() + 1), 1) };
        if status == 0 { Ok(()) } else { Err(NoMemory) }
    };
    let mut scratch = Scratch::claim(room.text).ok_or(NoMemory)?;
    let (_, text) = scratch.split(0).ok_or(NoMemory)?;
    // SAFETY: as in `repair_own`. `preload_entry` copies the list before the variable is changed.
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

/// Makes the process use another array without repeated entries; the first of each is right by now.
/// `unsetenv(3)` would remove that one as well, and for a moment the variable would be missing.
fn drop_repeated(guard: &Guard<'_>, room: RepairSize) -> Result<(), NoMemory> {
    let bytes = room.pointers.checked_mul(size_of::<*const c_char>()).ok_or(NoMemory)?;
    let start = sys::map(bytes).ok_or(NoMemory)?.cast();
    // SAFETY: the mapping is large enough, aligned, zeroed, and never unmapped. The program may
    // change entries, but does not free an array that it did not allocate. `environ` is as in
    // `repair_own`.
    unsafe {
        let pointers = core::slice::from_raw_parts_mut(start, room.pointers);
        environ::write_once(guard.os, os::environment(), pointers).map_err(|Full| NoMemory)?;
        os::set_environment(start);
    }
    Ok(())
}
