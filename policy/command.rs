//! What one command runs, by its line of the table.

use crate::code;
use crate::find;
use crate::invocation::{Inner, Invocation};
use crate::programs::{self, Operands, Program, Runs, base_name, is_option};
use crate::shell::is_assignment;

/// Settings whose value is a command: of ssh, tar and git, in small letters.
#[rustfmt::skip]
const NAME_A_COMMAND: &[&str] = &[
    "proxycommand", "localcommand", "knownhostscommand", "exec", "core.pager", "core.editor",
    "core.sshcommand", "core.fsmonitor", "core.gitproxy", "sequence.editor", "diff.external",
    "gpg.program", "interactive.difffilter", "uploadpack.packobjectshook",
];
/// Values of these that are none.
const NO_PROGRAMS: &[&str] = &["", "none", "true", "false"];

/// In place of how many `{}` of one command its values are put.
const MAX_MARKS: usize = 64;

/// Whether a program is many, and is the one that it is called; so may be what starts itself.
pub(crate) fn is_multi_call(program: &str) -> bool {
    program == "/proc/self/exe"
        || programs::find(base_name(program)).is_some_and(|program| program.runs == Runs::Multi)
}

/// What a command runs, apart from itself.
pub(crate) fn inner<'a>(command: Invocation<'_, 'a>) -> Vec<Inner<'a>> {
    // Options may stand before a subcommand that runs something.
    if let Some((short, _)) = command.without_globals()
        && let Some(short) = Invocation::of(&short).filter(Invocation::is_subcommand)
    {
        let mut found = inner(short);
        found.extend(command.global.into_iter().flat_map(|all| settings(all, command.arguments)));
        return found;
    }
    let Invocation { program: Some(program), arguments, .. } = command else {
        return Vec::new();
    };
    match program.runs {
        Runs::Shell => vec![shell(program, arguments)],
        Runs::Here => {
            vec![Inner::Here(arguments.strip_prefix(&["--"]).unwrap_or(arguments).join(" "))]
        }
        Runs::Script => {
            let script = arguments.iter().find(|word| !is_option(word));
            script.map(|text| Inner::Script((*text).to_string(), Vec::new())).into_iter().collect()
        }
        Runs::File => {
            let file = arguments.iter().find(|word| **word != "--");
            file.map(|file| Inner::File(file)).into_iter().collect()
        }
        Runs::Awk => {
            let operands = program.arguments(arguments).operands;
            let scripts = operands.first().map(|code| code::handed_to_a_shell(code));
            scripts.into_iter().flatten().map(|text| Inner::Script(text, Vec::new())).collect()
        }
        Runs::Interpreter => interpreter(program, arguments).into_iter().collect(),
        Runs::Input
            if program.has(arguments, |option, _| matches!(option.sign, Some('?' | '<'))) =>
        {
            Vec::new()
        }
        Runs::Input => vec![Inner::Input { shell: true }],
        Runs::Find => find::runs(arguments),
        Runs::Nothing if !program.has_signs(b"$&:") => Vec::new(),
        Runs::Login
        | Runs::After(..)
        | Runs::Nothing
        | Runs::Command(_)
        | Runs::Line(_)
        | Runs::Multi => {
            let found = given(program, arguments);
            // `su` and `sudo -s` are shells, with a script on their standard input.
            let is_shell = program.runs == Runs::Login
                || command.name.starts_with("sudo")
                    && program.runs == Runs::Command(0)
                    && arguments.iter().any(asks_for_a_shell);
            if found.is_empty() && is_shell { vec![Inner::Input { shell: true }] } else { found }
        }
    }
}

fn asks_for_a_shell(word: &&str) -> bool {
    matches!(*word, "--shell" | "--login")
        || is_option(word) && !word.starts_with("--") && word.contains(['s', 'i'])
}

/// What is run by options, and behind them.
fn given<'a>(program: &Program, arguments: &[&'a str]) -> Vec<Inner<'a>> {
    let mut found = operated(program, arguments);
    found.extend(settings(program, arguments));
    found
}

/// The commands that settings name among the arguments.
fn settings<'a>(program: &Program, arguments: &[&'a str]) -> Vec<Inner<'a>> {
    if !program.has_signs(b":") {
        return Vec::new();
    }
    let setting = |at: usize| match program.option(&arguments[at..]) {
        Some(option) => option.value.filter(|_| option.sign == Some(':')),
        // As `vim +!COMMAND`.
        None => arguments[at].strip_prefix('+'),
    };
    let scripts = (0..arguments.len()).filter_map(setting).filter_map(set);
    scripts.map(|script| Inner::Setting(script.to_string())).collect()
}

/// The command that a setting, `NAME=VALUE`, `NAME VALUE` or `!COMMAND`, names.
fn set(setting: &str) -> Option<&str> {
    if let Some(script) = setting.trim_start_matches([':', ' ']).strip_prefix('!') {
        return Some(script);
    }
    let (name, value) = setting.split_once(['=', ' '])?;
    let (name, value) = (name.to_ascii_lowercase(), value.trim());
    let script = value.strip_prefix('!');
    let runs = NAME_A_COMMAND.contains(&name.as_str()) || name.starts_with("pager.");
    script.or(Some(value).filter(|value| runs && !NO_PROGRAMS.contains(value)))
}

/// What a program is given to run directly, by options and behind them.
fn operated<'a>(program: &Program, arguments: &[&'a str]) -> Vec<Inner<'a>> {
    let mut found = Vec::new();
    let mut entry = None;
    let mut operands = match program.runs {
        Runs::Command(operands) | Runs::Line(operands) => operands,
        Runs::Multi => 0,
        _ => usize::MAX,
    };
    let mut at = 0;
    while at < arguments.len() {
        let word = arguments[at];
        // What stands behind is the other program's, whatever it looks like.
        if entry.is_some() && operands == 0 {
            break;
        }
        if let Runs::After(marks, more) = program.runs
            && operands == usize::MAX
            && marks.split('|').any(|mark| mark == word)
        {
            operands = more;
            at += 1;
            if more == 0 {
                break;
            }
            continue;
        }
        if word == "--" {
            at += 1;
            if operands == 0 || operands == usize::MAX {
                break;
            }
            continue;
        }
        if let Some(option) = program.option(&arguments[at..]) {
            match (option.sign, option.value) {
                (Some('?'), _) => return Vec::new(),
                // `env -S` takes words, and lets more follow.
                (Some('$'), Some(script)) if program.assignments => {
                    let rest = arguments.get(at + option.words..).unwrap_or_default();
                    let line = [&["env", script], rest].concat().join(" ");
                    return vec![Inner::Script(line, Vec::new())];
                }
                // What files are carried by is no command beside that.
                (Some('$'), Some(script))
                    if program.does == Operands::Transfer
                        && script.split_whitespace().next() == Some("ssh") => {}
                (Some('$'), Some(script)) => {
                    found.push(Inner::Script(script.to_string(), Vec::new()));
                }
                (Some('&'), Some(_)) => {
                    let behind = at + option.words - usize::from(!word.contains('='));
                    found.push(Inner::Words(arguments[behind..].to_vec()));
                    return found;
                }
                (Some('*'), Some(program)) => entry = Some(program).filter(|it| !it.is_empty()),
                _ => {}
            }
            at += option.words;
        } else if program.assignments && is_assignment(word) {
            at += 1;
        } else if operands > 0 {
            operands -= usize::from(operands != usize::MAX);
            at += 1;
        } else {
            break;
        }
    }
    let rest = arguments.get(at..).unwrap_or_default();
    match entry {
        Some(entry) if operands == 0 => behind(program, &[&[entry], rest].concat(), true, found),
        _ => behind(program, rest, operands == 0, found),
    }
}

/// The same with what stands behind the options, and behind all `operands` that it has of its own.
fn behind<'a>(
    program: &Program,
    rest: &[&'a str],
    operands: bool,
    mut found: Vec<Inner<'a>>,
) -> Vec<Inner<'a>> {
    if let Some(mark) = rest.iter().position(|word| *word == ":::") {
        return vec![Inner::Words(with_values(&rest[..mark], &rest[mark + 1..]))];
    }
    if program.else_input && found.is_empty() && (rest.is_empty() || !operands) {
        return vec![Inner::Input { shell: true }];
    }
    if rest.is_empty() || !operands || (!found.is_empty() && program.runs != Runs::Command(0)) {
        return found;
    }
    match program.runs {
        Runs::Line(_) => found.push(Inner::Script(rest.join(" "), Vec::new())),
        Runs::Multi
            if programs::find(base_name(rest[0])).is_some_and(|it| it.runs == Runs::Multi) => {}
        // No program is called so: a line.
        Runs::Command(0) | Runs::After(..)
            if rest.len() == 1 && !program.transparent && rest[0].contains(' ') =>
        {
            found.push(Inner::Script(rest[0].to_string(), Vec::new()));
        }
        _ => found.push(Inner::Words(rest.to_vec())),
    }
    found
}

/// The words of `parallel` with the values behind its `:::` put in.
fn with_values<'a>(command: &[&'a str], values: &[&'a str]) -> Vec<&'a str> {
    let mut words: Vec<&str> = Vec::new();
    let mut marks = 0;
    for word in command.iter().flat_map(|word| word.split(' ')) {
        marks += usize::from(word == "{}");
        if word == "{}" && marks <= MAX_MARKS {
            words.extend(values);
        } else {
            words.push(word);
        }
    }
    let placed = command.iter().any(|word| word.contains("{}"));
    words.extend(values.iter().filter(|_| !placed));
    words
}

/// What a shell with these arguments runs, where that can be seen.
fn shell<'a>(program: &Program, arguments: &[&'a str]) -> Inner<'a> {
    let (mut script, mut input) = (false, false);
    let mut at = 0;
    while let Some(&word) = arguments.get(at) {
        if matches!(word, "-" | "--") {
            at += 1;
            break;
        }
        if !is_option(word) && (word.len() < 2 || !word.starts_with('+')) {
            break;
        }
        if word.starts_with("--") {
            script |= word == "--command";
            at += program.option(&arguments[at..]).map_or(1, |option| option.words);
            continue;
        }
        script |= word.starts_with('-') && word.contains('c');
        input |= word.contains('s');
        at += 1 + usize::from(word.contains(['o', 'O']));
    }
    let rest = arguments.get(at..).unwrap_or_default();
    match rest.split_first() {
        Some((text, arguments)) if script => Inner::Script((*text).to_string(), arguments.to_vec()),
        // `/dev/stdin` is a script file by name only.
        Some((file, _))
            if !matches!(*file, "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0") && !input =>
        {
            Inner::File(file)
        }
        _ => Inner::Input { shell: true },
    }
}

fn interpreter<'a>(program: &Program, arguments: &[&'a str]) -> Option<Inner<'a>> {
    let mut at = 0;
    while at < arguments.len() {
        match program.option(&arguments[at..]) {
            Some(option) => match (option.name, option.value) {
                // `ruby -r` names a library, which is no code.
                ("c" | "e" | "E" | "eval" | "command" | "r", Some(code))
                    if option.name != "r" || code::is_code(code) =>
                {
                    return Some(Inner::Code(code));
                }
                ("m", _) => return None,
                _ => at += option.words,
            },
            None if matches!(arguments[at], "-" | "/dev/stdin") => break,
            None => return Some(Inner::Code(arguments[at])),
        }
    }
    let asks = arguments.iter().any(|word| matches!(*word, "--version" | "-V" | "--help" | "-v"));
    (!asks).then_some(Inner::Input { shell: false })
}
