//! The kernel's copy of a process's arguments and environment, as macOS gives it.

/// The strings in such an area, and how many of them are arguments. It holds their number, the
/// program's path, NULs up to a word boundary, then arguments and environment, each NUL-terminated.
fn strings_in(area: &[u8]) -> Option<(usize, impl Iterator<Item = &[u8]>)> {
    let (count, rest) = area.split_first_chunk()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let (_, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte == 0)?)?;
    let (_, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte != 0)?)?;
    Some((count, rest.split(|byte| *byte == 0)))
}

pub fn environment_in(area: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (count, strings) = strings_in(area)?;
    Some(strings.skip(count).take_while(|entry| !entry.is_empty()))
}

pub fn words_in(area: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (count, strings) = strings_in(area)?;
    Some(strings.take(count))
}

#[cfg(test)]
mod tests {
    use super::{environment_in, words_in};

    #[test]
    fn the_environment_stands_behind_the_arguments() {
        let area = |count: i32, rest: &str| [&count.to_ne_bytes(), rest.as_bytes()].concat();
        let table = [
            (area(2, "/bin/sh\0\0\0\0sh\0-c\0A=1\0B=\0\0\0"), Some(vec!["A=1", "B="])),
            (area(1, "/a\0a\0"), Some(vec![])),
            (area(1, "/a\0a\0A=1"), Some(vec!["A=1"])),
            (area(9, "/a\0a\0A=1\0"), Some(vec![])),
            (area(-1, "/a\0a\0A=1\0"), None),
            (area(1, "/a"), None),
            (area(1, "/a\0\0"), None),
            (vec![1, 0], None),
        ];
        for (area, expected) in table {
            let found = environment_in(&area);
            let found: Option<Vec<&[u8]>> = found.map(Iterator::collect);
            let expected: Option<Vec<&[u8]>> =
                expected.map(|all| all.into_iter().map(str::as_bytes).collect());
            assert_eq!(found, expected);
        }
        let area = area(2, "/bin/sh\0\0\0\0sh\0-c\0A=1\0B=\0\0\0");
        let words: Option<Vec<&[u8]>> = words_in(&area).map(Iterator::collect);
        assert_eq!(words, Some(vec![&b"sh"[..], b"-c"]));
    }
}
