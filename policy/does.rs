//! What a command does to files and with URLs, as far as its words say, by its line of the table.

use crate::find::found;
use crate::invocation::Invocation;
use crate::programs::{Operands, Program, Verb, base_name};

/// What a command does to files and with URLs, as far as its words say.
pub(crate) fn deeds(command: Invocation<'_, '_>) -> Vec<(Verb, String)> {
    if let Some((short, _)) = command.without_globals() {
        let globals = &command.words[1..=command.words.len() - short.len()];
        return elsewhere(globals, Invocation::of(&short).map(deeds).unwrap_or_default());
    }
    let Invocation { program: Some(program), arguments, name, .. } = command else {
        return Vec::new();
    };
    let mut deeds = Vec::new();
    let mut operands: Vec<&str> = Vec::new();
    let (mut pattern_given, mut target_given, mut creates) = (false, false, false);
    let mut base = None;
    let mut at = 0;
    while at < arguments.len() {
        let word = arguments[at];
        if word == "--" {
            operands.extend(&arguments[at + 1..]);
            break;
        }
        let Some(option) =
            program.option(&arguments[at..]).filter(|_| program.does != Operands::Find)
        else {
            operands.push(word);
            at += 1;
            continue;
        };
        at += option.words;
        creates |= matches!(option.name, "create" | "append" | "update")
            || !word.starts_with("--")
                && word[1..].split(' ').next().is_some_and(|flags| flags.contains(['c', 'r', 'u']));
        // It tells, and does nothing.
        if option.sign == Some('?') {
            return Vec::new();
        }
        let Some(value) = option.value else { continue };
        match option.sign {
            Some('<') => deeds.push((Verb::Read, value.to_string())),
            Some('>') if program.does == Operands::Archive && !creates => {
                deeds.push((Verb::Read, value.to_string()));
            }
            Some('>') => {
                target_given |= matches!(option.name, "t" | "target-directory");
                deeds.push((Verb::Write, value.to_string()));
            }
            Some('x') => deeds.push((Verb::Delete, value.to_string())),
            Some('^') => deeds.push((Verb::Fetch, value.to_string())),
            Some('@') => deeds.extend(sent(value).map(|file| (Verb::Read, file.to_string()))),
            Some('%') => pattern_given = true,
            _ if program.does == Operands::Archive && matches!(option.name, "C" | "directory") => {
                base = Some(value);
            }
            _ => {}
        }
    }
    if program.does != Operands::Archive {
        operands.retain(|operand| *operand != "-");
    }
    let given = Options { words: arguments, pattern_given, target_given, creates, base };
    of_operands(program, name, operands, &given, &mut deeds);
    deeds
}

/// Deeds where the global options `-C DIR` and `--work-tree=DIR` say.
fn elsewhere(globals: &[&str], deeds: Vec<(Verb, String)>) -> Vec<(Verb, String)> {
    let mut folder = None;
    for (at, word) in globals.iter().enumerate() {
        match word.split_once('=') {
            Some(("--work-tree", value)) => folder = Some(value),
            _ if matches!(*word, "-C" | "--work-tree") => folder = globals.get(at + 1).copied(),
            _ => {}
        }
    }
    let Some(folder) = folder else { return deeds };
    let below = |(verb, path): (Verb, String)| match &*path {
        "." => (verb, folder.to_string()),
        _ if path.starts_with(['/', '~', '$']) => (verb, path),
        _ => (verb, format!("{folder}/{path}")),
    };
    deeds.into_iter().map(below).collect()
}

/// What the options of a command say of its operands.
struct Options<'a> {
    words: &'a [&'a str],
    pattern_given: bool,
    target_given: bool,
    creates: bool,
    base: Option<&'a str>,
}

/// Adds what a command does to its operands.
fn of_operands(
    program: &Program,
    name: &str,
    operands: Vec<&str>,
    given: &Options<'_>,
    deeds: &mut Vec<(Verb, String)>,
) {
    let mut each = |verb: Verb, operands: &[&str]| {
        deeds.extend(operands.iter().map(|operand| (verb, (*operand).to_string())));
    };
    match program.does {
        // `perl -pi -e … FILE`
        Operands::Other if matches!(name, "perl" | "ruby") => {
            let flags = |letter: char| {
                given.words.iter().any(|word| {
                    word.starts_with('-')
                        && !word.starts_with("--")
                        && word.len() < 6
                        && word.contains(letter)
                })
            };
            if flags('p') || flags('n') {
                each(Verb::Read, &operands);
                if flags('i') {
                    each(Verb::Write, &operands);
                }
            }
        }
        Operands::Other => {}
        Operands::Each(Verb::Delete) if name == "git" && operands.is_empty() => {
            each(Verb::Delete, &["."]);
        }
        Operands::Edited => {
            each(Verb::Read, &operands);
            each(Verb::Write, &operands);
        }
        Operands::Each(Verb::Fetch) => {
            // `xh post URL @FILE`
            for operand in operands {
                match operand.strip_prefix('@') {
                    Some(file) => each(Verb::Read, &[file]),
                    None => each(Verb::Fetch, &[operand]),
                }
            }
        }
        Operands::Each(verb) => each(verb, &operands),
        Operands::AfterFirst(verb) => of_all_but_first(verb, name, &operands, given, deeds),
        Operands::To { gone } => of_copies(gone, name, &operands, given, deeds),
        Operands::Find => {
            if given.words.contains(&"-delete") {
                deeds.extend(found(given.words).into_iter().map(|path| (Verb::Delete, path)));
            }
        }
        Operands::Keys => of_keys(&operands, deeds),
        Operands::Transfer => {
            let Some((last, from)) = operands.split_last() else { return };
            let local = |operand: &&str| !is_remote(operand);
            each(Verb::Read, &from.iter().copied().filter(local).collect::<Vec<_>>());
            if local(last) && !from.is_empty() {
                each(Verb::Write, &[last]);
                // What is not there is not here either.
                if given.words.iter().any(|word| word.starts_with("--delete")) {
                    each(Verb::Delete, &[last]);
                }
            } else {
                each(Verb::Send, &from.iter().copied().filter(local).collect::<Vec<_>>());
            }
        }
        Operands::Archive => of_archive(operands, given, deeds),
    }
}

/// Adds what a command does to its operands behind the first.
fn of_all_but_first(
    verb: Verb,
    name: &str,
    operands: &[&str],
    given: &Options<'_>,
    deeds: &mut Vec<(Verb, String)>,
) {
    // `chmod -x FILE`
    let is_mode = |word: &&str| {
        word.strip_prefix('-').is_some_and(|mode| {
            !mode.is_empty() && mode.chars().all(|letter| "rwxXst".contains(letter))
        })
    };
    let mode_given = name.ends_with("chmod") && given.words.iter().any(is_mode);
    let files = operands.get(usize::from(!given.pattern_given && !mode_given)..);
    let files = files.unwrap_or_default();
    let mut each = |verb: Verb| deeds.extend(files.iter().map(|file| (verb, (*file).to_string())));
    each(verb);
    // `zip -m` moves into the archive.
    if name == "zip" && given.words.iter().any(|word| word.starts_with('-') && word.contains('m')) {
        each(Verb::Delete);
    }
    if (name.ends_with("sed") || name.ends_with("awk") || name == "yq")
        && given.words.iter().any(|word| is_in_place(word))
    {
        each(Verb::Write);
    }
}

/// Adds what a command does that copies, links or moves.
fn of_copies(
    gone: bool,
    name: &str,
    operands: &[&str],
    given: &Options<'_>,
    deeds: &mut Vec<(Verb, String)>,
) {
    let (from, to) = match operands.split_last() {
        Some((last, rest)) if !given.target_given && !rest.is_empty() => (rest, Some(*last)),
        _ => (operands, None),
    };
    let each = |verb: Verb| from.iter().map(move |from| (verb, (*from).to_string()));
    deeds.extend(each(Verb::Read));
    if gone {
        deeds.extend(each(Verb::Delete));
    }
    let Some(to) = to else { return };
    deeds.push((Verb::Write, to.to_string()));
    // The last may be a folder, and what is written the file of that name in it.
    let names = from.iter().map(|from| base_name(from.trim_end_matches('/')));
    let is_name =
        |name: &&str| !matches!(*name, "" | "." | "..") && !name.contains(['*', '$', '~']);
    let folder = to.trim_end_matches('/');
    let into = names.filter(is_name).map(|name| (Verb::Write, format!("{folder}/{name}")));
    deeds.extend(into);
    // What nothing is copied over is emptied, and what is linked over is gone.
    let links = name.ends_with("ln") && given.words.iter().any(|word| is_forced(word));
    if links || !gone && from == ["/dev/null"] {
        deeds.push((Verb::Delete, to.to_string()));
    }
}

/// Adds what `dd` does.
fn of_keys(operands: &[&str], deeds: &mut Vec<(Verb, String)>) {
    let of = |key: &str| operands.iter().find_map(|operand| operand.strip_prefix(key));
    let (from, to) = (of("if="), of("of="));
    deeds.extend(from.map(|file| (Verb::Read, file.to_string())));
    deeds.extend(to.map(|file| (Verb::Write, file.to_string())));
    if let (Some("/dev/null" | "/dev/zero"), Some(file)) = (from, to)
        && !file.starts_with("/dev/")
    {
        deeds.push((Verb::Delete, file.to_string()));
    }
}

/// Adds what an archiver does to its operands.
fn of_archive(mut operands: Vec<&str>, given: &Options<'_>, deeds: &mut Vec<(Verb, String)>) {
    let mut creates = given.creates;
    // `tar czf FILE …`, without a dash.
    let old = operands.first().filter(|first| given.words.first() == Some(first)).copied();
    if let Some(letters) = old {
        creates = letters.contains(['c', 'r', 'u']);
        operands.remove(0);
        if letters.contains('f') && !operands.is_empty() {
            let file = operands.remove(0);
            let verb = if creates { Verb::Write } else { Verb::Read };
            deeds.extend((file != "-").then(|| (verb, file.to_string())));
        }
    }
    if let Some(base) = given.base.filter(|_| !creates) {
        deeds.push((Verb::Write, base.to_string()));
    }
    if creates {
        let below = |operand: &str| match given.base {
            Some(base) if !operand.starts_with(['/', '~', '$']) => format!("{base}/{operand}"),
            _ => operand.to_string(),
        };
        let files: Vec<String> = operands
            .iter()
            .filter(|operand| **operand != "-")
            .map(|operand| below(operand))
            .collect();
        if given.words.contains(&"--remove-files") {
            deeds.extend(files.iter().map(|file| (Verb::Delete, file.clone())));
        }
        deeds.extend(files.into_iter().map(|file| (Verb::Read, file)));
    }
}

/// An option that lets a link take the place of what is there.
fn is_forced(word: &str) -> bool {
    word == "--force" || word.starts_with('-') && !word.starts_with("--") && word.contains('f')
}

fn is_in_place(word: &str) -> bool {
    matches!(word, "--in-place" | "inplace")
        || word.starts_with("--in-place=")
        || (word.starts_with('-') && !word.starts_with("--") && word.contains('i'))
}

/// The file whose contents the value of an option such as `-d` and `-F` sends.
fn sent(value: &str) -> Option<&str> {
    let file = value.strip_prefix('@').or_else(|| {
        let (_, value) = value.split_once('=')?;
        value.strip_prefix(['@', '<'])
    });
    file.or_else(|| {
        value
            .split_once('@')
            .filter(|(name, _)| !name.is_empty() && !name.contains(['{', ' ', '/', '"', ':', '.']))
            .map(|(_, file)| file)
    })
    .map(|file| file.split(';').next().unwrap_or(file))
    .filter(|file| !file.is_empty() && *file != "-")
}

/// `host:file`, `user@host:file` or a URL.
fn is_remote(operand: &str) -> bool {
    operand.split('/').next().is_some_and(|start| start.contains(':'))
        || operand.starts_with("rsync://")
}
