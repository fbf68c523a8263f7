//! What a child's environment must hold so that the child is guarded like its parent
//! (`docs/environment.md`).
//!
//! An intact environment is passed on unchanged. Any other is repaired in a new pointer array,
//! which mixes the caller's strings with the library's; no string of the caller's is copied or
//! changed.

mod entries;
#[cfg(test)]
mod tests;

use core::ffi::{CStr, c_char};

use crate::arena::{Full, TextBuffer};
use crate::coverage::Coverage;
use crate::host::Os;
use crate::repair_count::RepairCount;
use crate::settings::Variable;

use entries::{Entry, classify, entries, is_named};
pub use entries::{is_others, value_of};

/// The entries that a child must have.
#[derive(Debug, Clone, Copy)]
pub struct Guard<'m> {
    /// The system, whose loader reads the preload list.
    pub os: Os,
    /// For each of [`Variable::ALL`] the entry `NAME=value`; `None`: a child must not have it.
    pub variables: [Option<&'m CStr>; Variable::ALL.len()],
    /// The entry of the preload list, as it was at load.
    pub preload: &'m CStr,
    /// The library, by its absolute path.
    pub library: &'m [u8],
    /// The library as the preload list named it, perhaps by a relative path.
    pub library_as_given: &'m [u8],
    /// The run's copy of the library, if it has one (`run_files`).
    pub spare: Option<&'m CStr>,
    /// The variable, if the loader has one, that makes it list what it would load and exit
    /// (`ldd(1)`). Packaging tools read that list; the library does not belong in it.
    pub listing: Option<&'m CStr>,
}

/// What the library reads of its own environment.
#[derive(Debug, Default)]
pub struct Found<'e> {
    variables: [Option<&'e [u8]>; Variable::ALL.len()],
    /// The preload list.
    pub preload: Option<&'e [u8]>,
    /// The repairs that led to this process.
    pub repairs: Option<RepairCount>,
}

impl<'e> Found<'e> {
    /// The value of a variable; the first one of several, as for `getenv(3)`.
    #[must_use]
    pub fn variable(&self, variable: Variable) -> Option<&'e [u8]> {
        self.variables.get(variable as usize).copied().flatten()
    }
}

/// Reads an environment.
///
/// # Safety
/// `envp` is NULL or an array of strings that ends with NULL; array and strings are unchanged for
/// the lifetime `'e`.
#[must_use]
pub unsafe fn read<'e>(os: Os, envp: *const *const c_char) -> Found<'e> {
    let mut found = Found::default();
    // SAFETY: the caller promises an array of strings that ends with NULL.
    for entry in unsafe { entries(envp) } {
        // SAFETY: an entry of the array is a string.
        match unsafe { classify(os, entry) } {
            Entry::Ours(variable, value) => {
                if let Some(slot) = found.variables.get_mut(variable as usize) {
                    slot.get_or_insert(value);
                }
            }
            Entry::Preload(value) => {
                found.preload.get_or_insert(value);
            }
            Entry::RepairCount(value) => {
                found.repairs = found.repairs.or_else(|| RepairCount::read(value));
            }
            Entry::Others => {}
        }
    }
    found
}

/// The value of a variable in an environment; the first one of several, as for `getenv(3)`.
///
/// # Safety
/// As for [`read`].
#[must_use]
pub unsafe fn value_in<'e>(envp: *const *const c_char, name: &CStr) -> Option<&'e [u8]> {
    // SAFETY: the caller promises an array of strings that ends with NULL.
    let mut texts = unsafe { entries(envp) }.map(|entry| unsafe { CStr::from_ptr(entry) });
    texts.find_map(|text| value_of(text.to_bytes(), name))
}

/// Writes the entries of an environment to `pointers`, without repetitions of the library's
/// variables and the preload list.
///
/// # Errors
/// [`Full`] if they do not fit; see [`Guard::survey`].
///
/// # Safety
/// As for [`read`].
pub unsafe fn write_once(
    os: Os,
    envp: *const *const c_char,
    pointers: &mut [*const c_char],
) -> Result<(), Full> {
    let mut seen = Seen::default();
    let mut out = pointers.iter_mut();
    let mut put = |entry: *const c_char| out.next().map(|slot| *slot = entry).ok_or(Full);
    // SAFETY: the caller promises an array of strings that ends with NULL.
    for entry in unsafe { entries(envp) } {
        // SAFETY: an entry of the array is a string.
        let is_first = match unsafe { classify(os, entry) } {
            Entry::Others | Entry::RepairCount(_) => true,
            Entry::Ours(variable, _) => seen.first(variable),
            Entry::Preload(_) => !core::mem::replace(&mut seen.preload, true),
        };
        if is_first {
            put(entry)?;
        }
    }
    put(core::ptr::null())
}

/// The state of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survey {
    /// It holds what a child needs.
    Intact,
    /// Something is missing or changed; a repair needs this room.
    Broken(RepairSize),
}

/// The most that a repair writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairSize {
    /// Pointers, the final NULL included.
    pub pointers: usize,
    /// Bytes of text.
    pub text: usize,
}

/// The library's variables that were seen in an environment.
#[derive(Default)]
struct Seen {
    variables: u16,
    preload: bool,
}

impl Seen {
    /// Notes a variable; whether it is seen for the first time.
    fn first(&mut self, variable: Variable) -> bool {
        let bit = 1u16 << variable as u16;
        let first = self.variables & bit == 0;
        self.variables |= bit;
        first
    }
}

impl Guard<'_> {
    /// Whether `envp` holds what a child with this coverage needs.
    ///
    /// # Safety
    /// `envp` is NULL or an array of strings that ends with NULL, as for `execve(2)`.
    #[must_use]
    pub unsafe fn survey(&self, envp: *const *const c_char, coverage: Option<Coverage>) -> Survey {
        // SAFETY: the caller promises an array of strings that ends with NULL.
        let wants_library = unsafe { self.wants_library(envp, coverage) };
        let mut seen = Seen::default();
        let mut intact = true;
        let mut pointers = 0usize;
        let mut longest_preload = 0usize;
        // SAFETY: the caller promises an array of strings that ends with NULL.
        for entry in unsafe { entries(envp) } {
            pointers = pointers.saturating_add(1);
            // SAFETY: an entry of the array is a string.
            match unsafe { classify(self.os, entry) } {
                Entry::Others => {}
                // By itself no reason for a repair.
                Entry::RepairCount(_) => intact &= !is_unguarded(coverage),
                Entry::Ours(variable, _) => {
                    let first = seen.first(variable);
                    // SAFETY: as above.
                    let text = unsafe { CStr::from_ptr(entry) };
                    intact &= first && self.wanted(variable, coverage) == Some(text);
                }
                Entry::Preload(value) => {
                    let fits = self.suits(value, wants_library);
                    intact &= !core::mem::replace(&mut seen.preload, true) && fits;
                    longest_preload = longest_preload.max(value.len());
                }
            }
        }
        let complete = Variable::ALL.into_iter().all(|variable| {
            // A variable that is seen and not wanted has made `intact` false already.
            self.wanted(variable, coverage).is_none() || !seen.first(variable)
        });
        if intact && complete && (seen.preload || !wants_library) {
            return Survey::Intact;
        }
        Survey::Broken(RepairSize {
            pointers: pointers.saturating_add(Variable::ALL.len()).saturating_add(3),
            text: (self.os.preload_variable().count_bytes())
                .saturating_add(self.library.len())
                .saturating_add(longest_preload)
                .saturating_add(3)
                .saturating_add(RepairCount::LONGEST),
        })
    }

    /// Writes the environment that a child needs to `pointers`: the library's entries corrected in
    /// place or added at the end, all others unchanged and in order. `repairs` is added.
    ///
    /// # Errors
    /// [`Full`] if it does not fit; see [`Guard::survey`].
    ///
    /// # Safety
    /// As for [`Guard::survey`]. The pointers written are to strings of `envp`, of the guard, and
    /// to `text`.
    pub unsafe fn repair(
        &self,
        envp: *const *const c_char,
        coverage: Option<Coverage>,
        repairs: Option<RepairCount>,
        pointers: &mut [*const c_char],
        text: &mut [u8],
    ) -> Result<(), Full> {
        // SAFETY: the caller promises an array of strings that ends with NULL.
        let wants_library = unsafe { self.wants_library(envp, coverage) };
        let (for_count, text) = text.split_at_mut_checked(RepairCount::LONGEST).ok_or(Full)?;
        let mut seen = Seen::default();
        let mut out = pointers.iter_mut();
        let mut put = |entry: *const c_char| out.next().map(|slot| *slot = entry).ok_or(Full);
        let mut text = Some(text);
        // SAFETY: the caller promises an array of strings that ends with NULL.
        for entry in unsafe { entries(envp) } {
            // SAFETY: an entry of the array is a string.
            match unsafe { classify(self.os, entry) } {
                Entry::Others => put(entry)?,
                Entry::RepairCount(_) => {}
                Entry::Ours(variable, _) => {
                    let wanted = self.wanted(variable, coverage);
                    if let (true, Some(wanted)) = (seen.first(variable), wanted) {
                        put(wanted.as_ptr())?;
                    }
                }
                Entry::Preload(value) => {
                    let first = !core::mem::replace(&mut seen.preload, true);
                    let text = text.take().unwrap_or_default();
                    if first && self.suits(value, wants_library) {
                        put(entry)?;
                    } else if first
                        && let Some(entry) = self.preload_entry(value, wants_library, text)?
                    {
                        put(entry)?;
                    }
                }
            }
        }
        for variable in Variable::ALL {
            let wanted = self.wanted(variable, coverage);
            if let Some(wanted) = wanted.filter(|_| seen.first(variable)) {
                put(wanted.as_ptr())?;
            }
        }
        if let Some(repairs) = repairs.filter(|_| !is_unguarded(coverage)) {
            let start = for_count.as_ptr().cast();
            repairs.write(&mut TextBuffer::new(for_count))?;
            put(start)?;
        }
        if !seen.preload && wants_library {
            put(self.preload.as_ptr())?;
        }
        put(core::ptr::null())
    }

    /// The entry that a child with this preload list needs instead: the list with the library, or
    /// the list at load if it is empty. If the library is not wanted: the list without it, or
    /// `None` if nothing is left. A new entry is written to `memory`.
    ///
    /// # Errors
    /// [`Full`] if it does not fit; see [`Guard::survey`].
    pub fn preload_entry(
        &self,
        list: &[u8],
        wants_library: bool,
        memory: &mut [u8],
    ) -> Result<Option<*const c_char>, Full> {
        let start = memory.as_ptr().cast();
        let mut text = TextBuffer::new(memory);
        if !wants_library {
            let others = self.os.libraries(list).filter(|name| !self.is_ours(name));
            return Ok(write_entry(self.os, others, &mut text)?.then_some(start));
        }
        if list.is_empty() {
            return Ok(Some(self.preload.as_ptr()));
        }
        write_preload(self.os, list, self.library, self.library_as_given, &mut text)?;
        Ok(Some(start))
    }

    /// Whether the preload list of a child with this environment and coverage is to name the
    /// library.
    ///
    /// # Safety
    /// As for [`Guard::survey`].
    #[must_use]
    pub unsafe fn wants_library(
        &self,
        envp: *const *const c_char,
        coverage: Option<Coverage>,
    ) -> bool {
        let is_listed = self.listing.is_some_and(|name| {
            // SAFETY: the caller promises an array of strings that ends with NULL.
            unsafe { entries(envp) }.any(|entry| unsafe { is_named(entry, name) })
        });
        !is_listed && coverage.is_none_or(|coverage| !coverage.withholds_library(self.os))
    }

    /// The entry that a child with this coverage needs for a variable, if any.
    fn wanted(&self, variable: Variable, coverage: Option<Coverage>) -> Option<&CStr> {
        let wanted = self.variables.get(variable as usize).copied().flatten();
        wanted.filter(|_| !is_unguarded(coverage))
    }

    /// Whether a preload list is right as it is. The library must come first: one before it that
    /// calls the C library's functions by handle (`dlopen(3)`) would bypass the hooks.
    fn suits(&self, list: &[u8], wants_library: bool) -> bool {
        let mut libraries = self.os.libraries(list);
        if wants_library {
            libraries.next() == Some(self.library) && !libraries.any(|name| self.is_ours(name))
        } else {
            !libraries.any(|name| self.is_ours(name))
        }
    }

    fn is_ours(&self, name: &[u8]) -> bool {
        name == self.library
            || name == self.library_as_given
            || self.spare.is_some_and(|spare| name == spare.to_bytes())
    }
}

/// Whether the environment of such a program must hold none of the library's entries.
fn is_unguarded(coverage: Option<Coverage>) -> bool {
    coverage == Some(Coverage::Reexec)
}

/// Writes the entry of a preload list that begins with `library`, followed by the others of `list`
/// in their order; with a final NUL.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn write_preload(
    os: Os,
    list: &[u8],
    library: &[u8],
    as_given: &[u8],
    text: &mut TextBuffer<'_>,
) -> Result<(), Full> {
    let others = os.libraries(list).filter(|name| *name != library && *name != as_given);
    write_entry(os, core::iter::once(library).chain(others), text)?;
    Ok(())
}

/// Writes the entry of a preload list, with a final NUL; whether it names any library.
fn write_entry<'l>(
    os: Os,
    libraries: impl Iterator<Item = &'l [u8]>,
    text: &mut TextBuffer<'_>,
) -> Result<bool, Full> {
    text.push(os.preload_variable().to_bytes())?;
    let mut separator: &[u8] = b"=";
    for name in libraries {
        text.push(core::mem::replace(&mut separator, b":"))?;
        text.push(name)?;
    }
    text.push(b"\0")?;
    Ok(separator != b"=")
}
