//! Which files System Integrity Protection of macOS covers, by their flags and paths.

/// The bit of `st_flags` that marks a protected file (`SF_RESTRICTED`, `chflags(2)`).
const RESTRICTED: u32 = 0x0008_0000;

/// The number of path components that are compared.
const DEEPEST: usize = 5;

/// Whether a file is protected.
///
/// The system goes by the flag. The path serves for files whose status is not known, for those on
/// the sealed system volume without the flag, and for the cryptexes (`/System/Cryptexes`), which
/// are sealed too.
pub fn is_protected(path: &[u8], flags: u32) -> bool {
    flags & RESTRICTED != 0 || (path.starts_with(b"/") && is_protected_place(path))
}

fn is_protected_place(path: &[u8]) -> bool {
    let components = first_components(path);
    let mut place = components.as_slice();
    // The writable volume by its mount point: `/opt/homebrew` is also
    // `/System/Volumes/Data/opt/homebrew`.
    if let [a, b, c, rest @ ..] = place
        && is(a, b"System")
        && is(b, b"Volumes")
        && is(c, b"Data")
    {
        place = rest;
    }
    match place {
        [top, next, ..] if is(top, b"usr") => !is(next, b"local"),
        [top, ..] => [&b"System"[..], b"bin", b"sbin"].into_iter().any(|it| is(top, it)),
        [] => false,
    }
}

/// The file systems of macOS ignore case by default.
fn is(component: &[u8], name: &[u8]) -> bool {
    component.eq_ignore_ascii_case(name)
}

/// The first components of a path after `.`, `..` and empty ones are resolved; empty if the path
/// has no more.
///
/// The path is read backwards, so that each `..` is met before the component that it cancels.
fn first_components(path: &[u8]) -> [&[u8]; DEEPEST] {
    let mut first: [&[u8]; DEEPEST] = [b""; DEEPEST];
    let mut taken_away = 0usize;
    for component in path.rsplit(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => taken_away = taken_away.saturating_add(1),
            _ if taken_away > 0 => taken_away = taken_away.saturating_sub(1),
            _ => {
                let [a, b, c, d, _] = first;
                first = [component, a, b, c, d];
            }
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_the_flag_says_that_a_program_is_protected() {
        for path in [
            "/bin/sh",
            "/sbin/mount",
            "/usr/bin/env",
            "/usr/libexec/x",
            "//usr//./bin/env",
            "/opt/../bin/sh",
            "/usr/local/../bin/env",
            "/../../bin/sh",
            "/USR/Bin/env",
            "/System/Library/x",
            "/System/Cryptexes/App/x",
            "/System/Volumes/Preboot/x",
            "/System/Volumes/Data/../../../bin/sh",
            "/System/Volumes/Data/usr/bin/x",
        ] {
            assert!(is_protected(path.as_bytes(), 0), "{path}");
        }
        for path in [
            "/usr/local/bin/node",
            "/usr//local/bin/node",
            "/usr/bin/../local/bin/node",
            "/opt/homebrew/bin/node",
            "/Users/a/.nvm/versions/node/v24/bin/node",
            "/Users/a/.pyenv/versions/3.14/bin/python",
            "/Users/a/bin/x",
            "/System/Volumes/Data/opt/homebrew/bin/node",
            "/System/Volumes/Data/usr/local/bin/node",
            "/binary/x",
            "/usrlocal/x",
            "bin/sh",
            "sh",
            "/",
            "",
        ] {
            assert!(!is_protected(path.as_bytes(), 0), "{path}");
            assert!(is_protected(path.as_bytes(), RESTRICTED | 0x20), "{path}");
        }
    }
}
