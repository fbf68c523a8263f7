//! What a child's environment must hold so that the child is guarded like its parent
//! (`docs/environment.md`).
//!
//! An intact environment is passed on unchanged. Any other is repaired in a new pointer array,
//! which mixes the caller's strings with the library's; no string of the caller's is copied or
//! changed.

use core::ffi::{CStr, c_char};

use crate::arena::{Full, TextBuffer};
use crate::coverage::Coverage;
use crate::host::Os;
use crate::repair_count::RepairCount;
use crate::settings::Variable;

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

/// What an entry is to the guard.
enum Entry<'e> {
    Ours(Variable, &'e [u8]),
    Preload(&'e [u8]),
    RepairCount(&'e [u8]),
    Others,
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
        name == self.library || name == self.library_as_given
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

/// The entries of an environment.
///
/// # Safety
/// `envp` is NULL or an array that ends with NULL, and is unchanged while the iterator is used.
unsafe fn entries(envp: *const *const c_char) -> impl Iterator<Item = *const c_char> {
    let mut next = envp;
    core::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: the array ends with NULL (the caller's promise), and `next` does not pass that.
        let entry = unsafe { *next };
        if entry.is_null() {
            return None;
        }
        // SAFETY: this entry is not the final NULL, so another follows.
        next = unsafe { next.add(1) };
        Some(entry)
    })
}

/// Whether an entry is `name=…`; reads no more of it than needed.
///
/// # Safety
/// `entry` is a string.
unsafe fn is_named(entry: *const c_char, name: &CStr) -> bool {
    let mut at = entry.cast::<u8>();
    name.to_bytes().iter().chain(b"=").all(|byte| {
        // SAFETY: `name` holds no NUL, so the comparison ends at the NUL of the string at the
        // latest.
        unsafe {
            let is_same = *at == *byte;
            at = at.add(usize::from(is_same));
            is_same
        }
    })
}

/// What an entry is. Of almost all entries only the first byte is read.
///
/// # Safety
/// `entry` is a string that is unchanged for the lifetime `'e`.
unsafe fn classify<'e>(os: Os, entry: *const c_char) -> Entry<'e> {
    let preload = os.preload_variable();
    let initials = (Variable::PREFIX.first(), preload.to_bytes().first());
    // SAFETY: a string has at least its NUL.
    let first = unsafe { entry.cast::<u8>().read() };
    if Some(&first) != initials.0 && Some(&first) != initials.1 {
        return Entry::Others;
    }
    // SAFETY: the caller promises a string.
    let text = unsafe { CStr::from_ptr(entry) }.to_bytes();
    if let Some(value) = value_of(text, preload) {
        return Entry::Preload(value);
    }
    if !text.starts_with(Variable::PREFIX) {
        return Entry::Others;
    }
    if let Some(value) = value_of(text, RepairCount::NAME) {
        return Entry::RepairCount(value);
    }
    let mut ours = Variable::ALL.into_iter();
    ours.find_map(|it| Some(Entry::Ours(it, value_of(text, it.name())?))).unwrap_or(Entry::Others)
}

/// The value, if `entry` is `name=value`.
#[must_use]
pub fn value_of<'e>(entry: &'e [u8], name: &CStr) -> Option<&'e [u8]> {
    entry.strip_prefix(name.to_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    const LIBRARY: &str = "/opt/r/librampart.so";

    fn guard() -> Guard<'static> {
        let mut variables = [None; Variable::ALL.len()];
        variables[Variable::Mode as usize] = Some(c"RAMPART_MODE=enforce");
        variables[Variable::Url as usize] = Some(c"RAMPART_URL=unix:///s");
        Guard {
            os: Os::Linux,
            variables,
            preload: c"LD_PRELOAD=/opt/r/librampart.so:libz.so",
            library: LIBRARY.as_bytes(),
            library_as_given: b"./librampart.so",
            listing: Some(c"LD_TRACE_LOADED_OBJECTS"),
        }
    }

    /// A repaired environment; `None` if it is intact.
    fn repaired(environment: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
        repaired_for(None, environment)
    }

    fn repaired_for(coverage: Option<Coverage>, environment: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
        repaired_with(coverage, None, environment)
    }

    fn repaired_with(
        coverage: Option<Coverage>,
        repairs: Option<RepairCount>,
        environment: &[&[u8]],
    ) -> Option<Vec<Vec<u8>>> {
        let owned: Vec<CString> =
            environment.iter().map(|entry| CString::new(*entry).expect("no NUL")).collect();
        let mut envp: Vec<*const c_char> = owned.iter().map(|entry| entry.as_ptr()).collect();
        envp.push(core::ptr::null());
        // SAFETY: an array of strings that ends with NULL.
        let Survey::Broken(room) = (unsafe { guard().survey(envp.as_ptr(), coverage) }) else {
            return None;
        };
        let mut pointers = vec![core::ptr::dangling(); room.pointers];
        let mut text = vec![b'?'; room.text];
        // SAFETY: as above.
        unsafe { guard().repair(envp.as_ptr(), coverage, repairs, &mut pointers, &mut text) }
            .expect("room enough");
        let copy = |entry: *const c_char| {
            // SAFETY: a repair writes pointers to strings.
            unsafe { CStr::from_ptr(entry) }.to_bytes().to_vec()
        };
        Some(pointers.into_iter().take_while(|entry| !entry.is_null()).map(copy).collect())
    }

    #[test]
    fn an_intact_environment_is_passed_on_unchanged() {
        let intact: [&[&[u8]]; 3] = [
            &[
                b"RAMPART_MODE=enforce",
                b"RAMPART_URL=unix:///s",
                b"LD_PRELOAD=/opt/r/librampart.so",
            ],
            &[
                b"LD_PRELOAD=/opt/r/librampart.so:a.so b.so",
                b"no equals sign",
                b"A=1",
                b"A=2",
                b"\xff=\xfe",
                b"RAMPART_URL=unix:///s",
                b"RAMPART_MODE=enforce",
                b"RAMPART_HOME=/x",
                b"RAMPART_MODE",
                b"LD_PRELOADED=1",
            ],
            &[
                b"RAMPART_URL=unix:///s",
                b"RAMPART_MODE=enforce",
                b"LD_PRELOAD=/opt/r/librampart.so",
                b"",
            ],
        ];
        for environment in intact {
            assert_eq!(repaired(environment), None);
        }
    }

    #[test]
    fn missing_and_changed_entries_are_repaired_and_the_others_kept_in_order() {
        let url = "RAMPART_URL=unix:///s";
        let mode = "RAMPART_MODE=enforce";
        let at_load = "LD_PRELOAD=/opt/r/librampart.so:libz.so";
        let table: [(&[&[u8]], &[&str]); 9] = [
            (&[], &[url, mode, at_load]),
            (&[b"A=1", b"A=2", b"x"], &["A=1", "A=2", "x", url, mode, at_load]),
            (&[b"RAMPART_MODE=disabled", b"A=1"], &[mode, "A=1", url, at_load]),
            (&[b"LD_PRELOAD=", b"A=1"], &[at_load, "A=1", url, mode]),
            (
                &[b"LD_PRELOAD=a.so:b.so c.so", b"A=1"],
                &["LD_PRELOAD=/opt/r/librampart.so:a.so:b.so:c.so", "A=1", url, mode],
            ),
            (
                &[b"LD_PRELOAD=a.so:./librampart.so:b.so"],
                &["LD_PRELOAD=/opt/r/librampart.so:a.so:b.so", url, mode],
            ),
            (
                &[
                    b"RAMPART_MODE=enforce",
                    b"RAMPART_MODE=disabled",
                    b"LD_PRELOAD=",
                    b"LD_PRELOAD=x",
                ],
                &[mode, at_load, url],
            ),
            (&[b"RAMPART_TOKEN=stolen", b"RAMPART_URL=unix:///s"], &[url, mode, at_load]),
            (
                &[b"LD_PRELOAD=/opt/r/librampart.so.old", b"RAMPART_URL="],
                &["LD_PRELOAD=/opt/r/librampart.so:/opt/r/librampart.so.old", url, mode],
            ),
        ];
        for (environment, expected) in table {
            let expected: Vec<Vec<u8>> = expected.iter().map(|it| it.as_bytes().to_vec()).collect();
            assert_eq!(repaired(environment), Some(expected));
        }
    }

    #[test]
    fn a_program_that_cannot_load_the_library_gets_no_preload_entry_for_it() {
        let url = "RAMPART_URL=unix:///s";
        let mode = "RAMPART_MODE=enforce";
        let table: [(&[&[u8]], &[&str]); 4] = [
            (&[b"LD_PRELOAD=/opt/r/librampart.so", b"A=1"], &["A=1", url, mode]),
            (
                &[b"LD_PRELOAD=a.so:/opt/r/librampart.so b.so", b"A=1"],
                &["LD_PRELOAD=a.so:b.so", "A=1", url, mode],
            ),
            (&[b"LD_PRELOAD=./librampart.so"], &[url, mode]),
            (&[b"RAMPART_MODE=disabled", b"LD_PRELOAD=a.so"], &[mode, "LD_PRELOAD=a.so", url]),
        ];
        for (environment, expected) in table {
            let expected: Vec<Vec<u8>> = expected.iter().map(|it| it.as_bytes().to_vec()).collect();
            let repaired = repaired_for(Some(Coverage::OtherArchitecture), environment);
            assert_eq!(repaired, Some(expected));
        }
        let intact: [&[u8]; 2] = [url.as_bytes(), mode.as_bytes()];
        assert_eq!(repaired_for(Some(Coverage::OtherArchitecture), &intact), None);
    }

    #[test]
    fn the_repair_count_is_added_and_is_no_reason_for_a_repair() {
        let repairs = RepairCount::after(None, 1, 2, 3);
        let (url, mode) = ("RAMPART_URL=unix:///s", "RAMPART_MODE=enforce");
        let at_load = "LD_PRELOAD=/opt/r/librampart.so:libz.so";
        let said = "RAMPART_AGAIN=1:2:1:0:3";
        let repaired = repaired_with(None, Some(repairs), &[b"RAMPART_AGAIN=old", b"A=1"]);
        let expected = ["A=1", url, mode, said, at_load].map(|it| it.as_bytes().to_vec());
        assert_eq!(repaired, Some(expected.to_vec()));
        let intact = [url, mode, at_load, said].map(str::as_bytes);
        assert_eq!(repaired_with(None, Some(repairs), &intact), None);
    }

    #[test]
    fn a_program_in_a_reexec_loop_gets_none_of_the_librarys_entries() {
        let off = Some(Coverage::Reexec);
        let repairs = Some(RepairCount::after(None, 1, 2, 3));
        assert_eq!(repaired_with(off, repairs, &[b"A=1", b"LD_PRELOAD=a.so"]), None);
        let left: [&[u8]; 5] = [
            b"RAMPART_URL=unix:///s",
            b"A=1",
            b"LD_PRELOAD=/opt/r/librampart.so:a.so",
            b"RAMPART_AGAIN=1:2:3:4:5",
            b"RAMPART_HOME=/x",
        ];
        let expected = ["A=1", "LD_PRELOAD=a.so", "RAMPART_HOME=/x"];
        let expected = expected.map(|it| it.as_bytes().to_vec()).to_vec();
        assert_eq!(repaired_with(off, repairs, &left), Some(expected));
        assert_eq!(repaired_with(off, None, &[b"RAMPART_AGAIN=1"]), Some(vec![]));
    }

    #[test]
    fn a_loader_that_only_lists_libraries_is_not_told_to_load_this_one() {
        let (url, mode): (&[u8], &[u8]) = (b"RAMPART_URL=unix:///s", b"RAMPART_MODE=enforce");
        let listing: &[u8] = b"LD_TRACE_LOADED_OBJECTS=";
        for list in [&b"LD_PRELOAD=/opt/r/librampart.so"[..], b"LD_PRELOAD=./librampart.so"] {
            let expected = Some(vec![listing.to_vec(), url.to_vec(), mode.to_vec()]);
            assert_eq!(repaired(&[list, listing, url, mode]), expected);
        }
        assert_eq!(repaired(&[url, mode, b"LD_PRELOAD=a.so", listing]), None);
        for other in [&b"LD_TRACE_LOADED_OBJECTS"[..], b"LD_TRACE_LOADED_OBJECTSX=1", b"LD_TRACE=1"]
        {
            let expected = [other, url, mode, b"LD_PRELOAD=/opt/r/librampart.so:libz.so"];
            assert_eq!(repaired(&[other, url, mode]), Some(expected.map(<[u8]>::to_vec).to_vec()));
        }
    }

    #[test]
    fn on_macos_the_list_is_dylds_and_spaces_do_not_separate() {
        let guard = Guard {
            os: Os::MacOs,
            preload: c"DYLD_INSERT_LIBRARIES=/opt/r/librampart.so",
            variables: [None; Variable::ALL.len()],
            ..guard()
        };
        let table: [(Option<Coverage>, &CStr, &[&CStr]); 5] = [
            (None, c"LD_PRELOAD=x", &[c"LD_PRELOAD=x", guard.preload]),
            (Some(Coverage::Full), c"DYLD_INSERT_LIBRARIES=", &[guard.preload]),
            (
                None,
                c"DYLD_INSERT_LIBRARIES=/a b:/opt/r/librampart.so.",
                &[c"DYLD_INSERT_LIBRARIES=/opt/r/librampart.so:/a b:/opt/r/librampart.so."],
            ),
            (
                Some(Coverage::Sip),
                c"DYLD_INSERT_LIBRARIES=/a b:./librampart.so",
                &[c"DYLD_INSERT_LIBRARIES=/a b"],
            ),
            (Some(Coverage::Arm64e), guard.preload, &[]),
        ];
        for (coverage, given, expected) in table {
            let envp = [given.as_ptr(), core::ptr::null()];
            // The repaired list points into the text.
            let (mut pointers, mut text) = ([core::ptr::dangling(); 32], [0; 512]);
            // SAFETY: an array of strings that ends with NULL.
            let survey = unsafe { guard.survey(envp.as_ptr(), coverage) };
            assert!(matches!(survey, Survey::Broken(_)), "{given:?}");
            // SAFETY: as above.
            unsafe { guard.repair(envp.as_ptr(), coverage, None, &mut pointers, &mut text) }
                .expect("room enough");
            let repaired = pointers.iter().take_while(|entry| !entry.is_null());
            // SAFETY: a repair writes pointers to strings.
            let repaired: Vec<&CStr> =
                repaired.map(|entry| unsafe { CStr::from_ptr(*entry) }).collect();
            assert_eq!(repaired, expected, "{given:?}");
            // SAFETY: as above.
            let survey = unsafe { guard.survey(pointers.as_ptr(), coverage) };
            assert_eq!(survey, Survey::Intact, "{given:?}");
        }
    }

    #[test]
    fn the_first_of_several_values_counts() {
        let envp = [
            c"RAMPART_MODE=monitor".as_ptr(),
            c"RAMPART_MODE=disabled".as_ptr(),
            c"LD_PRELOAD=a".as_ptr(),
            c"RAMPART_".as_ptr(),
            core::ptr::null(),
        ];
        // SAFETY: an array of strings that ends with NULL.
        let found = unsafe { read(Os::Linux, envp.as_ptr()) };
        assert_eq!(found.variable(Variable::Mode), Some(&b"monitor"[..]));
        assert_eq!(found.variable(Variable::Url), None);
        assert_eq!(found.preload, Some(&b"a"[..]));
    }

    #[test]
    fn repeated_entries_are_left_out() {
        let given =
            [c"A=1", c"LD_PRELOAD=a", c"A=2", c"RAMPART_URL=u", c"LD_PRELOAD=b", c"RAMPART_URL=v"];
        let mut envp: Vec<*const c_char> = given.iter().map(|entry| entry.as_ptr()).collect();
        envp.push(core::ptr::null());
        let mut pointers = [core::ptr::dangling(); 5];
        // SAFETY: an array of strings that ends with NULL.
        assert_eq!(unsafe { write_once(Os::Linux, envp.as_ptr(), &mut pointers) }, Ok(()));
        assert_eq!(pointers[..4], envp[..4]);
        assert!(pointers[4].is_null());
        // SAFETY: as above.
        let done = unsafe { write_once(Os::Linux, envp.as_ptr(), &mut pointers[..4]) };
        assert_eq!(done, Err(Full));
    }

    #[test]
    fn a_null_environment_counts_as_an_empty_one() {
        // SAFETY: NULL is permitted.
        let survey = unsafe { guard().survey(core::ptr::null(), None) };
        assert!(matches!(survey, Survey::Broken(_)));
        let (mut pointers, mut text) = ([core::ptr::dangling(); 16], [0; RepairCount::LONGEST]);
        // SAFETY: NULL is permitted.
        let done =
            unsafe { guard().repair(core::ptr::null(), None, None, &mut pointers, &mut text) };
        assert_eq!(done, Ok(()));
        assert!(pointers[3].is_null());
    }

    #[test]
    fn too_little_room_is_an_error() {
        let owned = [c"A=1".as_ptr(), c"LD_PRELOAD=x".as_ptr(), core::ptr::null()];
        for size in 0..5 {
            let mut pointers = vec![core::ptr::dangling(); size];
            // SAFETY: an array of strings that ends with NULL.
            let done =
                unsafe { guard().repair(owned.as_ptr(), None, None, &mut pointers, &mut [0; 256]) };
            assert_eq!(done, Err(Full));
        }
        let mut room = [0; RepairCount::LONGEST + 9];
        // SAFETY: as above.
        let done = unsafe {
            guard().repair(owned.as_ptr(), None, None, &mut [core::ptr::null(); 9], &mut room)
        };
        assert_eq!(done, Err(Full));
    }
}
