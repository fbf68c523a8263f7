//! The repair of a child's environment.
//!
//! An input holds texts with NULs between them: the preload list at load, then the
//! entries of an environment.
#![no_main]

use std::ffi::{CStr, CString, c_char};

use libfuzzer_sys::fuzz_target;
use rampart_core::arena::TextBuffer;
use rampart_core::environ::{self, Guard, Survey, value_of, write_preload};
use rampart_core::host::Os;
use rampart_core::repair_count::RepairCount;
use rampart_core::settings::Variable;

fuzz_target!(|input: &[u8]| check(input));

const OS: Os = Os::HERE;
const PRELOAD: &CStr = OS.preload_variable();
const LIBRARY: &[u8] = b"/opt/r/librampart.so";
const AS_GIVEN: &[u8] = b"./librampart.so";
/// The variables that a child must have; it must have no others of ours.
const WANTED: [(Variable, &CStr); 4] = [
    (Variable::Url, c"RAMPART_URL=unix:///s"),
    (Variable::Mode, c"RAMPART_MODE=enforce"),
    (Variable::FailOpen, c"RAMPART_FAIL_OPEN=0"),
    (Variable::Session, c"RAMPART_SESSION=preload-1"),
];

/// A child is guarded like its parent, and all else is as the caller left it.
fn check(input: &[u8]) {
    let mut texts = input.split(|byte| *byte == 0);
    let at_load = texts.next().unwrap_or_default();
    let owned: Vec<CString> = texts.map(|it| CString::new(it).expect("no NUL")).collect();
    let mut given: Vec<*const c_char> = owned.iter().map(|entry| entry.as_ptr()).collect();
    given.push(std::ptr::null());

    let preload = preload_of(at_load);
    let mut variables = [None; Variable::ALL.len()];
    for (variable, entry) in WANTED {
        variables[variable as usize] = Some(entry);
    }
    let guard = Guard {
        os: OS,
        variables,
        preload: &preload,
        library: LIBRARY,
        library_as_given: AS_GIVEN,
        spare: None,
        listing: None,
    };

    // SAFETY: an array of strings that ends with NULL.
    let Survey::Broken(room) = (unsafe { guard.survey(given.as_ptr(), None) }) else {
        check_guarded(&bytes_of(&given));
        return;
    };
    let mut pointers = vec![std::ptr::dangling(); room.pointers];
    let mut text = vec![b'?'; room.text];
    // SAFETY: as above.
    let repaired = unsafe { guard.repair(given.as_ptr(), None, None, &mut pointers, &mut text) };
    repaired.expect("the room that was asked for is enough");
    let end = pointers.iter().position(|entry| entry.is_null()).expect("a NULL at the end");
    pointers.truncate(end + 1);
    // SAFETY: a repair writes an array of strings that ends with NULL.
    assert_eq!(unsafe { guard.survey(pointers.as_ptr(), None) }, Survey::Intact);
    check_guarded(&bytes_of(&pointers));
    check_read(&pointers);
    check_foreign(&given, &pointers);
    check_preload(&bytes_of(&given), &bytes_of(&pointers));
}

/// The preload list at load, made as the library makes it.
fn preload_of(list: &[u8]) -> CString {
    let mut memory = vec![0; list.len() + 64];
    let mut text = TextBuffer::new(&mut memory);
    write_preload(OS, list, LIBRARY, AS_GIVEN, &mut text).expect("room enough");
    CStr::from_bytes_with_nul(text.as_bytes()).expect("one NUL at the end").to_owned()
}

fn bytes_of(entries: &[*const c_char]) -> Vec<&[u8]> {
    let strings = entries.iter().take_while(|entry| !entry.is_null());
    // SAFETY: the caller keeps these strings alive.
    strings.map(|entry| unsafe { CStr::from_ptr(*entry) }.to_bytes()).collect()
}

/// Each of our variables is there once with the right value, and the library is preloaded.
fn check_guarded(environment: &[&[u8]]) {
    for variable in Variable::ALL {
        let found = environment.iter().filter(|it| value_of(it, variable.name()).is_some());
        let wanted = WANTED.iter().filter(|(wanted, _)| *wanted == variable);
        assert!(found.copied().eq(wanted.map(|(_, entry)| entry.to_bytes())));
    }
    let lists: Vec<_> = environment.iter().filter_map(|entry| value_of(entry, PRELOAD)).collect();
    assert!(matches!(lists[..], [list] if OS.libraries(list).next() == Some(LIBRARY)));
}

/// Reads the environment as the library in the child will.
fn check_read(entries: &[*const c_char]) {
    // SAFETY: an array of strings that ends with NULL.
    let found = unsafe { environ::read(OS, entries.as_ptr()) };
    for variable in Variable::ALL {
        let wanted = WANTED.iter().find(|(wanted, _)| *wanted == variable);
        let wanted = wanted.and_then(|(_, entry)| value_of(entry.to_bytes(), variable.name()));
        assert_eq!(found.variable(variable), wanted);
    }
}

/// The other entries are the caller's own strings, in order.
fn check_foreign(given: &[*const c_char], repaired: &[*const c_char]) {
    let foreign = |entries: &[*const c_char]| -> Vec<*const c_char> {
        let bytes = bytes_of(entries);
        let ours = |entry: &[u8]| {
            value_of(entry, PRELOAD).is_some()
                || value_of(entry, RepairCount::NAME).is_some()
                || Variable::ALL.iter().any(|it| value_of(entry, it.name()).is_some())
        };
        let all = entries.iter().zip(bytes);
        all.filter(|(_, text)| !ours(text)).map(|(entry, _)| *entry).collect()
    };
    assert_eq!(foreign(given), foreign(repaired));
}

/// The caller's preload list is unchanged except for the library, which is first and there once.
fn check_preload(given: &[&[u8]], repaired: &[&[u8]]) {
    let list = |entries: &[&[u8]]| -> Option<Vec<u8>> {
        let first = entries.iter().find_map(|entry| value_of(entry, PRELOAD));
        first.filter(|list| !list.is_empty()).map(<[u8]>::to_vec)
    };
    let Some(before) = list(given) else { return };
    let after = list(repaired).expect("a list");
    let mut libraries = OS.libraries(&before);
    if libraries.next() == Some(LIBRARY)
        && libraries.all(|library| ![LIBRARY, AS_GIVEN].contains(&library))
    {
        assert_eq!(before, after, "a list that begins with the library stays as it is");
        return;
    }
    let others = |list: &[u8]| -> Vec<Vec<u8>> {
        let others = OS.libraries(list).filter(|it| ![LIBRARY, AS_GIVEN].contains(it));
        others.map(<[u8]>::to_vec).collect()
    };
    assert_eq!(others(&before), others(&after));
    assert_eq!(OS.libraries(&after).filter(|it| *it == LIBRARY).count(), 1);
}
