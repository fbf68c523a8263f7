//! The entries of an environment, one by one.

use core::ffi::{CStr, c_char};

use crate::host::Os;
use crate::repair_count::RepairCount;
use crate::settings::Variable;

/// What an entry is to the guard.
pub enum Entry<'e> {
    Ours(Variable, &'e [u8]),
    Preload(&'e [u8]),
    RepairCount(&'e [u8]),
    Others,
}

/// The entries of an environment.
///
/// # Safety
/// `envp` is NULL or an array that ends with NULL, and is unchanged while the iterator is used.
pub unsafe fn entries(envp: *const *const c_char) -> impl Iterator<Item = *const c_char> {
    let mut next = envp;
    core::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: the array ends with NULL (the caller's promise), and `next` does not pass that. The
        // kernel demands no alignment.
        let entry = unsafe { next.read_unaligned() };
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
pub unsafe fn is_named(entry: *const c_char, name: &CStr) -> bool {
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

/// Whether an entry with this first byte is none of the guard's; then nothing more of it is read.
#[must_use]
pub fn is_others(os: Os, first: u8) -> bool {
    let ours = [Variable::PREFIX, os.preload_variable().to_bytes()];
    ours.iter().all(|name| name.first() != Some(&first))
}

/// What an entry is. Of almost all entries only the first byte is read.
///
/// # Safety
/// `entry` is a string that is unchanged for the lifetime `'e`.
pub unsafe fn classify<'e>(os: Os, entry: *const c_char) -> Entry<'e> {
    let preload = os.preload_variable();
    // SAFETY: a string has at least its NUL.
    if is_others(os, unsafe { entry.cast::<u8>().read() }) {
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
