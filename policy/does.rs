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
    // Most programs do nothing to files, and no option of them does.
    if program.does == Operands::Other && !program.has_signs(b"<>x^@") {
        return Vec::new();
    }
    let mut doing = Doing {
        program,
        name,
        words: arguments,
        pattern_given: false,
        target_given: false,
        creates: false,
        base: None,
        deeds: Vec::new(),
    };
    match doing.options() {
        Some(operands) => doing.operands(operands),
        None => return Vec::new(),
    }
    doing.deeds
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
        _ => (verb, inside(Some(folder), &path)),
    };
    deeds.into_iter().map(below).collect()
}

/// A path as it is named in a folder.
fn inside(folder: Option<&str>, path: &str) -> String {
    match folder {
        Some(folder) if !path.starts_with(['/', '~', '$']) => format!("{folder}/{path}"),
        _ => path.to_string(),
    }
}

/// A command whose deeds are being found.
struct Doing<'w, 'a> {
    program: &'static Program,
    name: &'a str,
    /// The words behind the program.
    words: &'w [&'a str],
    /// Whether an option gives the pattern, so that no operand does.
    pattern_given: bool,
    /// Whether an option says where the operands go.
    target_given: bool,
    /// Whether an archive is written.
    creates: bool,
    /// The folder that an archive's files are in.
    base: Option<&'a str>,
    deeds: Vec<(Verb, String)>,
}

impl<'a> Doing<'_, 'a> {
    fn one(&mut self, verb: Verb, target: impl Into<String>) {
        self.deeds.push((verb, target.into()));
    }

    fn each(&mut self, verb: Verb, targets: &[&str]) {
        self.deeds.extend(targets.iter().map(|target| (verb, (*target).to_string())));
    }

    /// Whether one of the options that are one letter each is this one.
    fn has(&self, letter: char) -> bool {
        self.words.iter().any(|word| is_letters(word) && word.contains(letter))
    }

    /// Adds what the options do, and gives the operands; `None` where the command only tells.
    fn options(&mut self) -> Option<Vec<&'a str>> {
        let (program, words) = (self.program, self.words);
        let archives = program.does == Operands::Archive;
        let mut operands = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let word = words[at];
            if word == "--" {
                operands.extend(&words[at + 1..]);
                break;
            }
            let option = program.option(&words[at..]);
            let Some(option) = option.filter(|_| program.does != Operands::Find) else {
                operands.push(word);
                at += 1;
                continue;
            };
            at += option.words;
            let letters = word[1..].split(' ').next().filter(|_| is_letters(word));
            self.creates |= matches!(option.name, "create" | "append" | "update")
                || letters.is_some_and(|letters| letters.contains(['c', 'r', 'u']));
            if option.sign == Some('?') {
                return None;
            }
            let Some(value) = option.value else { continue };
            match option.sign {
                Some('<') => self.one(Verb::Read, value),
                Some('>') if archives && !self.creates => self.one(Verb::Read, value),
                Some('>') => {
                    self.target_given |= matches!(option.name, "t" | "target-directory");
                    self.one(Verb::Write, value);
                }
                Some('x') => self.one(Verb::Delete, value),
                Some('^') => self.one(Verb::Fetch, value),
                Some('@') => self.deeds.extend(sent(value).map(|file| (Verb::Read, file.into()))),
                Some('%') => self.pattern_given = true,
                _ if archives && matches!(option.name, "C" | "directory") => {
                    self.base = Some(value);
                }
                _ => {}
            }
        }
        operands.retain(|operand| archives || *operand != "-");
        Some(operands)
    }

    /// Adds what is done to the operands.
    fn operands(&mut self, operands: Vec<&'a str>) {
        match self.program.does {
            Operands::Filtered => {
                let short = |letter| {
                    let is = |word: &&str| word.len() < 6 && is_letters(word);
                    self.words.iter().filter(|word| is(word)).any(|word| word.contains(letter))
                };
                let (reads, writes) = (short('p') || short('n'), short('i'));
                if reads {
                    self.each(Verb::Read, &operands);
                }
                if reads && writes {
                    self.each(Verb::Write, &operands);
                }
            }
            Operands::Each(Verb::Delete) if self.name == "git" && operands.is_empty() => {
                self.one(Verb::Delete, ".");
            }
            Operands::Edited => {
                self.each(Verb::Read, &operands);
                self.each(Verb::Write, &operands);
            }
            Operands::Each(Verb::Fetch) => {
                // `xh post URL @FILE`
                for operand in operands {
                    match operand.strip_prefix('@') {
                        Some(file) => self.one(Verb::Read, file),
                        None => self.one(Verb::Fetch, operand),
                    }
                }
            }
            Operands::Each(verb) => self.each(verb, &operands),
            Operands::AfterFirst(verb) => self.all_but_first(verb, &operands),
            Operands::To { gone } => self.copies(gone, &operands),
            Operands::Find if self.words.contains(&"-delete") => {
                self.deeds.extend(found(self.words).into_iter().map(|path| (Verb::Delete, path)));
            }
            Operands::Other | Operands::Find => {}
            Operands::Keys => self.keys(&operands),
            Operands::Transfer => self.transfers(&operands),
            Operands::Archive => self.archives(operands),
        }
    }

    fn all_but_first(&mut self, verb: Verb, operands: &[&str]) {
        // `chmod -x FILE`
        let is_mode = |word: &&str| {
            word.strip_prefix('-').is_some_and(|mode| {
                !mode.is_empty() && mode.chars().all(|letter| "rwxXst".contains(letter))
            })
        };
        let mode_given = self.name.ends_with("chmod") && self.words.iter().any(is_mode);
        let first = usize::from(!self.pattern_given && !mode_given);
        let files = operands.get(first..).unwrap_or_default();
        self.each(verb, files);
        // `zip -m` moves into the archive.
        let moves = |word: &&str| word.starts_with('-') && word.contains('m');
        if self.name == "zip" && self.words.iter().any(moves) {
            self.each(Verb::Delete, files);
        }
        let in_place = |word: &&str| {
            matches!(*word, "--in-place" | "inplace") || word.starts_with("--in-place=")
        };
        let edits =
            ["sed", "awk"].iter().any(|name| self.name.ends_with(name)) || self.name == "yq";
        if edits && (self.has('i') || self.words.iter().any(in_place)) {
            self.each(Verb::Write, files);
        }
    }

    /// Copies, links and moves.
    fn copies(&mut self, gone: bool, operands: &[&str]) {
        let (from, to) = match operands.split_last() {
            Some((last, rest)) if !self.target_given && !rest.is_empty() => (rest, Some(*last)),
            _ => (operands, None),
        };
        self.each(Verb::Read, from);
        if gone {
            self.each(Verb::Delete, from);
        }
        let Some(to) = to else { return };
        self.one(Verb::Write, to);
        // The last may be a folder, and what is written the file of that name in it.
        let folder = to.trim_end_matches('/');
        for name in from.iter().map(|from| base_name(from.trim_end_matches('/'))) {
            if !matches!(name, "" | "." | "..") && !name.contains(['*', '$', '~']) {
                self.one(Verb::Write, format!("{folder}/{name}"));
            }
        }
        // What nothing is copied over is emptied, and what is linked over is gone.
        let forced = self.has('f') || self.words.contains(&"--force");
        if self.name.ends_with("ln") && forced || !gone && from == ["/dev/null"] {
            self.one(Verb::Delete, to);
        }
    }

    /// `dd`
    fn keys(&mut self, operands: &[&str]) {
        let of = |key: &str| operands.iter().find_map(|operand| operand.strip_prefix(key));
        let (from, to) = (of("if="), of("of="));
        self.each(Verb::Read, from.as_slice());
        self.each(Verb::Write, to.as_slice());
        if let (Some("/dev/null" | "/dev/zero"), Some(file)) = (from, to)
            && !file.starts_with("/dev/")
        {
            self.one(Verb::Delete, file);
        }
    }

    fn transfers(&mut self, operands: &[&str]) {
        let Some((last, from)) = operands.split_last() else { return };
        let from: Vec<&str> = from.iter().copied().filter(|from| !is_remote(from)).collect();
        self.each(Verb::Read, &from);
        if is_remote(last) || operands.len() == 1 {
            // A container is no other machine.
            if !self.program.elsewhere {
                self.each(Verb::Send, &from);
            }
            return;
        }
        self.one(Verb::Write, *last);
        // What is not there is not here either.
        if self.words.iter().any(|word| word.starts_with("--delete")) {
            self.one(Verb::Delete, *last);
        }
    }

    fn archives(&mut self, mut operands: Vec<&str>) {
        // `tar czf FILE …`, without a dash.
        let old = operands.first().filter(|first| self.words.first() == Some(first)).copied();
        if let Some(letters) = old {
            self.creates = letters.contains(['c', 'r', 'u']);
            operands.remove(0);
            if letters.contains('f') && !operands.is_empty() {
                let file = operands.remove(0);
                let verb = if self.creates { Verb::Write } else { Verb::Read };
                if file != "-" {
                    self.one(verb, file);
                }
            }
        }
        if !self.creates {
            let base = self.base;
            self.each(Verb::Write, base.as_slice());
            return;
        }
        operands.retain(|operand| *operand != "-");
        let files: Vec<String> =
            operands.iter().map(|operand| inside(self.base, operand)).collect();
        if self.words.contains(&"--remove-files") {
            self.deeds.extend(files.iter().map(|file| (Verb::Delete, file.clone())));
        }
        self.deeds.extend(files.into_iter().map(|file| (Verb::Read, file)));
    }
}

/// Options that are one letter each.
fn is_letters(word: &str) -> bool {
    word.starts_with('-') && !word.starts_with("--")
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
