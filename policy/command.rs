//! What one command runs and does, by its line of the table.

use crate::programs::{self, Operands, Program, Runs, Verb, base_name, is_option};
use crate::shell::is_assignment;
use crate::spelling::starting_points;
use crate::word::unescaped;

/// What a command runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inner<'a> {
    /// A program with its arguments.
    Words(Vec<&'a str>),
    /// A shell script, and the arguments that it is given, `$0` first.
    Script(String, Vec<&'a str>),
    /// A shell script that runs in this very shell.
    Here(String),
    /// Code that is not read here: a script in another language, or a file of one.
    Code(&'a str),
    /// A file of a shell script.
    File(&'a str),
    /// The script on its standard input; a shell's if it is one.
    Input { shell: bool },
}

/// A command by its words, looked up in the table once.
#[derive(Clone, Copy)]
pub(crate) struct Invocation<'w, 'a> {
    /// All words, of which there is one at least.
    pub(crate) words: &'w [&'a str],
    /// The last component of the program's path.
    pub(crate) name: &'a str,
    /// The program's line, a subcommand's where there is one.
    pub(crate) program: Option<&'static Program>,
    /// The words behind the name.
    pub(crate) arguments: &'w [&'a str],
    /// The line of the program that options before a subcommand are of.
    global: Option<&'static Program>,
}

impl<'w, 'a> Invocation<'w, 'a> {
    /// Looks the command `words` up; `None` where there are none.
    pub(crate) fn of(words: &'w [&'a str]) -> Option<Self> {
        let (first, rest) = words.split_first()?;
        let name = base_name(first);
        let main = programs::find(name);
        let subcommand = rest
            .first()
            .filter(|second| !is_option(second))
            .and_then(|second| programs::find_subcommand(name, second));
        Some(Self {
            words,
            name,
            program: subcommand.or(main),
            arguments: &rest[usize::from(subcommand.is_some())..],
            global: main.filter(|program| program.global),
        })
    }

    /// The command without the options before its subcommand, and whether one of these
    /// changes what runs; `None` where there are none.
    pub(crate) fn without_globals(&self) -> Option<(Vec<&'a str>, bool)> {
        let (words, program) = (self.words, self.global?);
        let (mut at, mut risky) = (1, false);
        while let Some(given) = program.option(&words[at.min(words.len())..]) {
            risky |= matches!(given.sign, Some('!' | '~'));
            at += given.words;
        }
        let rest = words.get(at..).filter(|rest| at > 1 && !rest.is_empty())?;
        Some((std::iter::once(words[0]).chain(rest.iter().copied()).collect(), risky))
    }

    /// Whether it is a subcommand that is looked up.
    pub(crate) fn is_subcommand(&self) -> bool {
        self.arguments.len() + 2 == self.words.len()
    }
}

/// Whether a program is many, and is the one that it is called.
pub(crate) fn is_multi_call(program: &str) -> bool {
    programs::find(base_name(program)).is_some_and(|program| program.runs == Runs::Multi)
}

/// What a command runs, apart from itself.
pub(crate) fn inner<'a>(command: Invocation<'_, 'a>) -> Vec<Inner<'a>> {
    // Options may stand before a subcommand that runs something.
    if let Some((short, _)) = command.without_globals()
        && let Some(short) = Invocation::of(&short).filter(Invocation::is_subcommand)
    {
        return inner(short);
    }
    let Invocation { program: Some(program), arguments, .. } = command else {
        return Vec::new();
    };
    match program.runs {
        Runs::Shell => vec![shell(program, arguments)],
        Runs::Here => {
            let words = if arguments.first() == Some(&"--") { &arguments[1..] } else { arguments };
            vec![Inner::Here(words.join(" "))]
        }
        Runs::Script => {
            let script = arguments.iter().find(|word| !is_option(word));
            script.map(|text| Inner::Script((*text).to_string(), Vec::new())).into_iter().collect()
        }
        Runs::File => arguments
            .iter()
            .find(|word| **word != "--")
            .map(|file| Inner::File(file))
            .into_iter()
            .collect(),
        Runs::Interpreter => interpreter(program, arguments).into_iter().collect(),
        Runs::Input => {
            let asks = (0..arguments.len()).any(|at| {
                program
                    .option(&arguments[at..])
                    .is_some_and(|option| matches!(option.sign, Some('?' | '<')))
            });
            if asks { Vec::new() } else { vec![Inner::Input { shell: true }] }
        }
        Runs::Find => find(arguments),
        Runs::Login => {
            let found = given(program, arguments);
            if found.is_empty() { vec![Inner::Input { shell: true }] } else { found }
        }
        // `sudo -s` is a shell, with a script on its standard input.
        Runs::Command(0) if command.name.starts_with("sudo") => {
            let found = given(program, arguments);
            let shell = |word: &&str| {
                matches!(*word, "--shell" | "--login")
                    || is_option(word) && !word.starts_with("--") && word.contains(['s', 'i'])
            };
            if found.is_empty() && arguments.iter().any(shell) {
                return vec![Inner::Input { shell: true }];
            }
            found
        }
        Runs::AfterDashes | Runs::Nothing | Runs::Command(_) | Runs::Line(_) | Runs::Multi => {
            given(program, arguments)
        }
    }
}

/// What is run by options, and behind them.
fn given<'a>(program: &Program, arguments: &[&'a str]) -> Vec<Inner<'a>> {
    let mut found = Vec::new();
    let mut operands = match program.runs {
        Runs::Command(operands) | Runs::Line(operands) => operands,
        Runs::Multi => 0,
        _ => usize::MAX,
    };
    let mut at = 0;
    while at < arguments.len() {
        let word = arguments[at];
        if word == "--" {
            at += 1;
            if program.runs == Runs::AfterDashes {
                operands = 0;
            }
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
                    let line: Vec<&str> =
                        std::iter::once(script).chain(rest.iter().copied()).collect();
                    return vec![Inner::Script(format!("env {}", line.join(" ")), Vec::new())];
                }
                (Some('$'), Some(script)) => {
                    found.push(Inner::Script(script.to_string(), Vec::new()));
                }
                (Some('&'), Some(_)) => {
                    let behind = at + option.words - usize::from(!word.contains('='));
                    found.push(Inner::Words(arguments[behind..].to_vec()));
                    return found;
                }
                _ => {}
            }
            at += option.words;
        } else if program.assignments && is_assignment(word) {
            at += 1;
        } else if operands > 0 {
            operands = operands.saturating_sub(usize::from(operands != usize::MAX));
            at += 1;
        } else {
            break;
        }
    }
    let rest = arguments.get(at..).unwrap_or_default();
    if let Some(marker) = rest.iter().position(|word| *word == ":::") {
        let values = &rest[marker + 1..];
        let line = rest[..marker].iter().flat_map(|word| word.split(' '));
        let placed = rest[..marker].iter().any(|word| word.contains("{}"));
        let mut words: Vec<&str> = Vec::new();
        for word in line {
            if word == "{}" { words.extend(values) } else { words.push(word) }
        }
        words.extend(values.iter().filter(|_| !placed));
        return vec![Inner::Words(words)];
    }
    if program.else_input && found.is_empty() && (rest.is_empty() || operands > 0) {
        return vec![Inner::Input { shell: true }];
    }
    if rest.is_empty() || operands > 0 || (!found.is_empty() && program.runs != Runs::Command(0)) {
        return found;
    }
    match program.runs {
        Runs::Line(_) => found.push(Inner::Script(rest.join(" "), Vec::new())),
        Runs::Multi
            if programs::find(base_name(rest[0])).is_some_and(|it| it.runs == Runs::Multi) => {}
        // No program is called so: a line.
        Runs::Command(0) if rest.len() == 1 && !program.transparent && rest[0].contains(' ') => {
            found.push(Inner::Script(rest[0].to_string(), Vec::new()));
        }
        _ => found.push(Inner::Words(rest.to_vec())),
    }
    found
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
                    if option.name != "r" || crate::code::is_code(code) =>
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

/// Options of `find` that leave nothing out.
const NO_TESTS: &[&str] = &[
    "-delete",
    "-depth",
    "-d",
    "-mindepth",
    "-maxdepth",
    "-xdev",
    "-mount",
    "-print",
    "-print0",
    "-type",
    "-ls",
    "-noleaf",
    "-follow",
    "-H",
    "-L",
    "-P",
    "-o",
    "-or",
    "-a",
    "-and",
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

/// What a `find` deletes; empty where it does not.
pub(crate) fn swept(command: Invocation<'_, '_>) -> Vec<String> {
    if deletes(command) { found(command.arguments) } else { Vec::new() }
}

/// The starting points of a `find` that deletes; empty where it does not.
pub(crate) fn swept_from<'a>(command: Invocation<'_, 'a>) -> Vec<&'a str> {
    if !deletes(command) {
        return Vec::new();
    }
    paths_of_find(&command.arguments[..starting_points(command.arguments)])
}

fn deletes(command: Invocation<'_, '_>) -> bool {
    command.program.is_some_and(|program| program.does == Operands::Find)
        && command.words.contains(&"-delete")
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
fn find<'a>(arguments: &[&'a str]) -> Vec<Inner<'a>> {
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
        "which" => Some((*arguments.last()?).to_string()),
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
        (0..arguments.len()).any(|at| {
            program.option(&arguments[at..]).is_some_and(|option| {
                let named = names.split(' ').any(|name| {
                    name == option.name
                        || (name.len() == 1
                            && option.name.len() > 1
                            && option.value.is_none()
                            && option.sign.is_none()
                            && !arguments[at].starts_with("--")
                            && option.name.contains(name))
                });
                named && value.is_none_or(|value| option.value == Some(value))
            })
        })
    };
    // wget writes there only where it is told to.
    let shown = match unless.strip_prefix('?') {
        Some(name) => {
            has(name, Some("-"))
                || has("output-document", Some("-"))
                || has(name, Some("/dev/stdout"))
        }
        None => {
            !has(unless, None) || has("o output", Some("-")) || has("o output", Some("/dev/stdout"))
        }
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
    let file = written.map_or_else(last, |(_, file)| file);
    Some((file, url))
}

/// Whether what a command reads is code in disguise, and its output the code.
pub(crate) fn decodes(command: Invocation<'_, '_>) -> bool {
    let Invocation { program: Some(program), arguments, .. } = command else { return false };
    let Some(with) = program.decodes else { return false };
    (0..arguments.len()).any(|at| {
        program.option(&arguments[at..]).is_some_and(|option| {
            with.split(' ').any(|name| {
                name == option.name
                    || (name.len() == 1
                        && !arguments[at].starts_with("--")
                        && arguments[at].contains(name))
            })
        })
    })
}
