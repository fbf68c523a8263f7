//! `find`: where it begins, what it finds, deletes and runs.

use crate::invocation::{Inner, starting_points};
use crate::programs::{self, base_name, is_option};

/// Options of `find` that leave nothing out.
#[rustfmt::skip]
const NO_TESTS: &[&str] = &[
    "-delete", "-depth", "-d", "-mindepth", "-maxdepth", "-xdev", "-mount", "-print", "-print0",
    "-type", "-ls", "-noleaf", "-follow", "-H", "-L", "-P", "-o", "-or", "-a", "-and",
    "-ignore_readdir_race",
];

/// Options of `find` behind which a command stands.
const RUNS: &[&str] = &["-exec", "-execdir", "-ok", "-okdir"];

/// What `find` with these arguments finds: its starting points, and all that is below them,
/// if it leaves nothing out; else something below them.
pub(crate) fn found(arguments: &[&str]) -> Vec<String> {
    let (paths, tests) = arguments.split_at(starting_points(arguments));
    let (mut run, mut negated, mut before) = (false, 0_u8, "");
    // What leaves out a few finds all but these, and `-name '*'` is no test.
    let all = tests.iter().all(|word| {
        run = (run || RUNS.contains(word)) && !matches!(*word, ";" | "+");
        let named = matches!(before, "-name" | "-iname" | "-path" | "-wholename");
        let matches_all = named && word.bytes().all(|byte| byte == b'*') && !word.is_empty();
        // The `!`, the test and its value.
        negated = if matches!(*word, "!" | "-not") { 3 } else { negated.saturating_sub(1) };
        let leaves_out = run || negated > 0 || matches_all || !named && !is_option(word);
        before = word;
        leaves_out || NO_TESTS.contains(word) || matches!(*word, "-name" | "-path")
    });
    let paths = paths_of_find(paths);
    let below = |path: &&str| {
        if all { (*path).to_string() } else { format!("{}/{{}}", path.trim_end_matches('/')) }
    };
    paths.iter().map(below).collect()
}

/// What a `find` with these arguments deletes by itself; empty where it does not.
pub(crate) fn swept(arguments: &[&str]) -> Vec<String> {
    if arguments.contains(&"-delete") { found(arguments) } else { Vec::new() }
}

/// The starting points of a `find` that deletes, by itself or by `rm -rf {}`; empty where it
/// does not.
pub(crate) fn swept_from<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let removes = |inner: &Inner<'_>| matches!(inner, Inner::Words(words) if removes(words));
    if arguments.contains(&"-delete") || runs(arguments).iter().any(removes) {
        paths_of_find(&arguments[..starting_points(arguments)])
    } else {
        Vec::new()
    }
}

/// Whether a command removes what was found, and all that is below it.
fn removes(words: &[&str]) -> bool {
    let at = words.iter().position(|word| base_name(word) == "rm");
    let Some((at, rm)) = at.zip(programs::find("rm")) else { return false };
    let arguments = rm.arguments(&words[at + 1..]);
    // The letters stand first.
    let letters = arguments.options.first().filter(|letters| !letters.starts_with("--"));
    letters.is_some_and(|letters| letters.contains('r') && letters.contains('f'))
        && words.contains(&"{}")
}

/// The paths among the starting points of `find`.
fn paths_of_find<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut debugs = false;
    let is_path = |word: &&str| {
        let value = std::mem::replace(&mut debugs, *word == "-D");
        !value && !is_option(word) && !matches!(*word, "(" | ")")
    };
    let paths: Vec<&str> = words.iter().copied().filter(is_path).collect();
    if paths.is_empty() { vec!["."] } else { paths }
}

/// What `find` runs; `{}` stays.
pub(crate) fn runs<'a>(arguments: &[&'a str]) -> Vec<Inner<'a>> {
    let mut commands = Vec::new();
    let mut rest = arguments;
    while let Some(at) = rest.iter().position(|word| RUNS.contains(word)) {
        rest = &rest[at + 1..];
        let end = rest.iter().position(|word| matches!(*word, ";" | "+")).unwrap_or(rest.len());
        commands.push(Inner::Words(rest[..end].to_vec()));
        rest = &rest[end..];
    }
    commands
}
