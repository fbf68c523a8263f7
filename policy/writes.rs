//! What a command writes to its output, as far as its words say: texts, what it has fetched, what
//! it has decoded.

use crate::does::deeds;
use crate::find::found;
use crate::invocation::Invocation;
use crate::programs::{Operands, Verb, is_option};
use crate::word::unescaped;

/// Whether a command writes out all variables of the environment.
pub(crate) fn tells_all_variables(command: Invocation<'_, '_>) -> bool {
    let rest = &command.words[1..];
    match command.name {
        "env" | "printenv" => rest.iter().all(|word| matches!(*word, "-0" | "--null")),
        "set" => rest.is_empty(),
        "export" | "declare" | "typeset" => matches!(rest, ["-p" | "-x" | "-px" | "-xp"]),
        _ => false,
    }
}

/// Whether a command writes nothing to its output, so that a file it is sent to is emptied.
pub(crate) fn writes_nothing(words: &[&str]) -> bool {
    matches!(words, [] | [":" | "true" | "echo"] | ["cat", "/dev/null"] | ["echo" | "printf", ""])
}

/// What a command surely writes to its standard output, where that can be seen.
pub(crate) fn written(command: Invocation<'_, '_>) -> Option<String> {
    let arguments = &command.words[1..];
    match command.name {
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
        "find" | "gfind" => Some(found(arguments).join("\n")),
        // Another name of the same.
        "which" | "realpath" => Some((*arguments.last()?).to_string()),
        "readlink" if arguments.len() > 1 => Some((*arguments.last()?).to_string()),
        "command" if matches!(arguments, ["-v", _]) => Some(arguments[1].to_string()),
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

/// The URLs whose contents a command writes to its standard output.
pub(crate) fn fetched(command: Invocation<'_, '_>) -> Vec<String> {
    let Invocation { program: Some(program), arguments, .. } = command else { return Vec::new() };
    let Some(unless) = program.fetches else { return Vec::new() };
    let has = |names: &str, value: Option<&str>| {
        program.has(arguments, |option, word| {
            option.is_named(names, word) && value.is_none_or(|value| option.value == Some(value))
        })
    };
    let to_output = |names| has(names, Some("-")) || has(names, Some("/dev/stdout"));
    // wget writes there only where it is told to.
    let shown = match unless.strip_prefix('?') {
        Some(name) => to_output(name) || to_output("output-document"),
        None => !has(unless, None) || to_output("o output"),
    };
    if !shown {
        return Vec::new();
    }
    urls(command)
}

fn urls(command: Invocation<'_, '_>) -> Vec<String> {
    let urls: Vec<String> = match command.program.map(|program| program.does) {
        Some(Operands::Each(Verb::Fetch)) => deeds(command)
            .into_iter()
            .filter(|(verb, _)| *verb == Verb::Fetch)
            .map(|(_, url)| url)
            .collect(),
        _ => vec![format!(
            "tcp://{}",
            command
                .arguments
                .iter()
                .filter(|word| !is_option(word))
                .copied()
                .collect::<Vec<_>>()
                .join(":")
        )],
    };
    if urls.is_empty() { vec!["http://".to_string()] } else { urls }
}

/// The file that a command fetches, with its URL.
pub(crate) fn download(command: Invocation<'_, '_>) -> Option<(String, String)> {
    command.program.filter(|program| program.does == Operands::Each(Verb::Fetch))?;
    let url = urls(command).into_iter().next()?;
    let mut deeds = deeds(command).into_iter();
    let written = deeds.find(|(verb, file)| *verb == Verb::Write && file != "-");
    let last = || {
        url.rsplit('/').next().unwrap_or_default().split('?').next().unwrap_or_default().to_string()
    };
    let folder = (0..command.arguments.len()).find_map(|at| {
        let given = command.program?.option(&command.arguments[at..])?;
        given.value.filter(|_| matches!(given.name, "P" | "directory-prefix" | "output-dir"))
    });
    let file = written.map_or_else(last, |(_, file)| file);
    let file = match folder {
        Some(folder) => format!("{}/{file}", folder.trim_end_matches('/')),
        None => file,
    };
    Some((file, url))
}

/// Whether what a command reads is code in disguise, and its output the code.
pub(crate) fn decodes(command: Invocation<'_, '_>) -> bool {
    let Invocation { program: Some(program), arguments, .. } = command else { return false };
    let Some(with) = program.decodes else { return false };
    program.has(arguments, |option, word| option.is_named(with, word))
}
