//! The normal spelling of a command and of a path, so that two ways to write one thing
//! compare equal. Patterns and commands go through the same functions.

use std::borrow::Cow;

use crate::glob::Glob;
use crate::programs::{self, Operands, base_name};

const WILDCARDS: [char; 3] = ['*', '?', '['];

pub(crate) fn has_wildcard(word: &str) -> bool {
    word.contains(WILDCARDS)
}

/// The paths, of `all`, which are sorted, that a shell may put in place of `word`, which has
/// wildcards.
pub(crate) fn stands_for<'p>(word: &str, all: &'p [String]) -> impl Iterator<Item = &'p str> {
    // Each begins with what stands before the first wildcard.
    let start = word.split(WILDCARDS).next().unwrap_or_default();
    let all = &all[all.partition_point(|path| path.as_str() < start)..];
    let near = &all[..all.partition_point(|path| path.starts_with(start))];
    let compiled = |name| has_wildcard(name).then(|| Glob::new(name).ok()).flatten();
    let names: Vec<(&str, Option<Glob>)> = match near {
        [] => Vec::new(),
        _ => word.split('/').map(|name| (name, compiled(name))).collect(),
    };
    near.iter().map(String::as_str).filter(move |path| {
        let mut path = path.split('/');
        names.iter().all(|(word, glob)| {
            path.next().is_some_and(|name| {
                // A name with a dot in front is matched by nothing but a dot.
                *word == name
                    || (!name.starts_with('.') || word.starts_with('.'))
                        && glob.as_ref().is_some_and(|glob| glob.matches(name))
            })
        }) && path.next().is_none()
    })
}

/// A pattern in normal spelling, where that differs from how it is written. What it says of a
/// path that begins with `./` is about just that.
pub(crate) fn normal_pattern(pattern: &str) -> Option<String> {
    let words: Vec<&str> = pattern.split(' ').filter(|word| !word.is_empty()).collect();
    let (program, arguments) = words.split_first()?;
    let as_meant = |word: &&str| {
        if word.starts_with("./") { (*word).to_string() } else { normal_word(word).into_owned() }
    };
    let mut normal = vec![(*program).to_string()];
    let known = programs::find(base_name(program))
        .filter(|it| it.style.is_some() && it.does != Operands::Find);
    match known {
        Some(program) => {
            let arguments = program.arguments(arguments);
            normal.extend(arguments.options);
            normal.extend(arguments.operands.iter().map(as_meant));
        }
        None => normal.extend(arguments.iter().map(as_meant)),
    }
    let normal = normal.join(" ");
    (normal != pattern).then_some(normal)
}

/// A word with the paths in it in normal spelling: `//`, `.`, `..` and a trailing `/`
/// resolved by name, the home directory as `~`.
pub(crate) fn normal_word(word: &str) -> Cow<'_, str> {
    // Only a slash or the home directory can be spelled in another way.
    if !word.bytes().any(|byte| matches!(byte, b'/' | b'$')) {
        return Cow::Borrowed(word);
    }
    let Some((head, path)) = path_in(word) else {
        return Cow::Borrowed(word);
    };
    let normal = normal_path(path);
    if normal == path { Cow::Borrowed(word) } else { Cow::Owned([head, &normal].concat()) }
}

/// A word with the relative path in it made absolute, where there is one. `is_path` says
/// whether the word is a path; if it is not known, one with a slash or a dot in front is.
pub(crate) fn absolute_word(word: &str, cwd: &str, is_path: Option<bool>) -> Option<String> {
    // Most words are none, and that is seen sooner than what else they are. Nor is it known
    // what `{}` stands for.
    if is_path != Some(true) && !word.bytes().any(|byte| matches!(byte, b'/' | b'.'))
        || word.starts_with("{}")
    {
        return None;
    }
    let (head, path) = path_in(word)?;
    let relative = !path.is_empty() && !path.starts_with(['/', '~', '$', '-', '`']);
    let is_path = is_path.unwrap_or_else(|| path.contains('/') || path.starts_with('.'));
    (relative && is_path).then(|| [head, &*normal_path(&below(cwd, path))].concat())
}

/// A path as it lies in a folder.
fn below(folder: &str, path: &str) -> String {
    [folder, "/", path].concat()
}

/// The path in a word and what stands before it (`of=`, `--file=`, `@`); no path is found
/// in a URL or a sentence.
fn path_in(word: &str) -> Option<(&str, &str)> {
    let bytes = word.as_bytes();
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\n');
    if bytes.iter().any(is_blank) || bytes.windows(3).any(|three| three == b"://") {
        return None;
    }
    let mut at = 0;
    if let Some((name, _)) = word.split_once('=') {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.chars().all(is_name) {
            at = name.len() + 1;
        }
    } else if word.starts_with('-') {
        return None;
    }
    if word[at..].starts_with('@') {
        at += 1;
    }
    Some(word.split_at(at))
}

/// A path without what says nothing.
pub(crate) fn normal_path(path: &str) -> Cow<'_, str> {
    let named = [("$HOME", "~"), ("${HOME}", "~"), ("$PWD", "."), ("${PWD}", "."), ("~+", ".")];
    let is_named = path.starts_with('$') || path.starts_with("~+");
    let place = named
        .iter()
        .filter(|_| is_named)
        .find_map(|(name, place)| Some((path.strip_prefix(name)?, place)));
    let path = match place {
        Some((rest, place)) if rest.is_empty() || rest.starts_with('/') => {
            Cow::Owned([place, rest].concat())
        }
        _ => Cow::Borrowed(path),
    };
    let bytes = path.as_bytes();
    let odd = bytes.windows(3).any(|three| matches!(three, b"/./" | b"/.."))
        || bytes.windows(2).any(|two| two == b"//")
        || bytes.starts_with(b"./")
        || (bytes.len() > 1 && (bytes.ends_with(b"/") || bytes.ends_with(b"/.")));
    if !odd {
        return path;
    }
    let mut kept: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => match kept.last() {
                // What a wildcard or the home stands for is not known by name.
                Some(last)
                    if *last != ".."
                        && !has_wildcard(last)
                        && !last.starts_with(['~', '$', '`']) =>
                {
                    kept.pop();
                }
                None if path.starts_with('/') => {}
                Some(_) | None => kept.push(component),
            },
            plain => kept.push(plain),
        }
    }
    let joined = kept.join("/");
    if path.starts_with('/') {
        Cow::Owned(format!("/{joined}"))
    } else if joined.is_empty() {
        Cow::Borrowed(".")
    } else {
        Cow::Owned(joined)
    }
}

/// Folders of which each folder is somebody's home, and homes elsewhere.
const HOMES: [&str; 2] = ["/home/", "/Users/"];
const ROOT: &str = "/root";

/// An absolute path in normal spelling by the home that it lies in, if it does.
pub(crate) fn by_home(path: &str, home: Option<&str>) -> Option<String> {
    // Every home is below the root, and most words are not.
    if !path.starts_with('/') {
        return None;
    }
    let below =
        |rest: &str| (rest.is_empty() || rest.starts_with('/')).then(|| ["~", rest].concat());
    let own = home
        .filter(|home| home.len() > 1)
        .and_then(|home| path.strip_prefix(home.trim_end_matches('/')));
    own.and_then(below).or_else(|| path.strip_prefix(ROOT).and_then(below)).or_else(|| {
        let rest = HOMES.iter().find_map(|homes| path.strip_prefix(homes))?;
        let is_name = |name: &&str| !name.is_empty() && !has_wildcard(name) && *name != "{}";
        let name = rest.split('/').next().filter(is_name)?;
        below(&rest[name.len()..])
    })
}

/// How a path may be meant, as it lies in `cwd`: absolute, and by the home that it lies in.
pub(crate) fn places(path: &str, cwd: Option<&str>, home: Option<&str>) -> Places {
    let path = normal_path(path);
    let path = match cwd {
        _ if path.starts_with(['/', '~', '$', '`']) => path.into_owned(),
        Some(cwd) => normal_path(&below(cwd, &path)).into_owned(),
        None if path == "." || path.starts_with("..") => return Places(path.into_owned(), None),
        None => return Places(["./", &*path].concat(), Some(path.into_owned())),
    };
    let Some(rest) = path.strip_prefix('~') else {
        let by_home = by_home(&path, home);
        return Places(path, by_home);
    };
    let name = rest.split('/').next().unwrap_or_default();
    match (name.is_empty(), home) {
        (true, Some(home)) => Places(normal_path(&[home, rest].concat()).into_owned(), Some(path)),
        (true, None) => Places(path, None),
        (false, _) => Places(["~", &rest[name.len()..]].concat(), Some(["/home/", rest].concat())),
    }
}

/// The first way in which a path may be meant, and another.
pub(crate) struct Places(pub(crate) String, Option<String>);

impl Places {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.0).chain(&self.1).map(String::as_str)
    }
}
