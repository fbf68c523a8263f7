//! What one command of a pipeline hands to the next, and who runs what it is handed.

use crate::command::Command;
use crate::spelling::base_name;
use crate::word::unescaped;
use crate::wrappers::{self, Inner};

/// A command of a pipeline in short: a shell that reads its script is `sh -s`, whatever
/// it is called, started by, or given as options.
pub(crate) fn stage_spelling(command: &Command<'_>) -> Vec<String> {
    let words: Vec<&str> = command.words.iter().map(AsRef::as_ref).collect();
    let Some((program, rest)) = words.split_first() else {
        return Vec::new();
    };
    if reads_script(&words) {
        return vec!["sh".to_string(), "-s".to_string()];
    }
    std::iter::once(base_name(program)).chain(rest.iter().copied()).map(str::to_string).collect()
}

/// Whether the command is, in the end, a shell that reads its script.
fn reads_script(words: &[&str]) -> bool {
    let mut words = words.to_vec();
    loop {
        match wrappers::unwrap(&words).into_iter().next() {
            Some(Inner::Input) => return true,
            Some(Inner::Words(inner)) if inner.len() < words.len() => words = inner,
            Some(_) => return false,
            None => {
                return is_interpreter(base_name(words[0])) && matches!(words[1..], [] | ["-"]);
            }
        }
    }
}

/// What a command of a pipeline surely hands to the next.
pub(crate) fn output(command: &Command<'_>) -> Option<String> {
    let words: Vec<&str> = command.words.iter().map(AsRef::as_ref).collect();
    match base_name(words.first()?) {
        "cat" | "tee" if words.len() == 1 || words[1..] == ["-"] => command.input.clone(),
        _ => written(&words),
    }
}

/// Whether `name`, a last path component, runs what it reads in a language of its own.
fn is_interpreter(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    matches!(
        name,
        "python" | "perl" | "ruby" | "node" | "nodejs" | "php" | "lua" | "deno" | "bun" | "tclsh"
    )
}

/// What a command surely writes to its standard output, where that can be seen.
fn written(words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    match base_name(program) {
        "echo" => {
            let flag = |word: &&&str| {
                word.len() > 1
                    && word.starts_with('-')
                    && word[1..].chars().all(|c| "neE".contains(c))
            };
            let flags = arguments.iter().take_while(flag).count();
            Some(unescaped(&arguments[flags..].join(" ")))
        }
        "printf" => {
            let arguments =
                if arguments.first() == Some(&"--") { &arguments[1..] } else { arguments };
            let (format, values) = arguments.split_first()?;
            Some(formatted(&unescaped(format), values))
        }
        _ => None,
    }
}

/// The format of `printf` with its values put in; what is left over follows.
fn formatted(format: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let mut out = String::new();
    let mut pieces = format.split('%');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let width =
            piece.len() - piece.trim_start_matches(|c: char| "-+ #.0123456789".contains(c)).len();
        let mut rest = piece[width..].chars();
        if rest.next().is_some() {
            out.push_str(&values.next().map(|value| unescaped(value)).unwrap_or_default());
        } else {
            out.push('%');
        }
        out.push_str(rest.as_str());
    }
    for value in values {
        out.push('\n');
        out.push_str(value);
    }
    out
}
