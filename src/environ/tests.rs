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
        spare: Some(c"/run/r/spare/librampart.so"),
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
        &[b"RAMPART_MODE=enforce", b"RAMPART_URL=unix:///s", b"LD_PRELOAD=/opt/r/librampart.so"],
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
            &[b"RAMPART_MODE=enforce", b"RAMPART_MODE=disabled", b"LD_PRELOAD=", b"LD_PRELOAD=x"],
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
fn a_program_in_a_reexec_loop_gets_none_of_our_entries() {
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
    for other in [&b"LD_TRACE_LOADED_OBJECTS"[..], b"LD_TRACE_LOADED_OBJECTSX=1", b"LD_TRACE=1"] {
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
    let done = unsafe { guard().repair(core::ptr::null(), None, None, &mut pointers, &mut text) };
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
