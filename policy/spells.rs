//! The spellings of one simple command.

use std::borrow::Cow;

use crate::command::{Command, MAX_TEXT, Place, Redirection, Taker};
use crate::parts::{Faith, Kind};
use crate::spelling::{self, Operands, Tool, absolute_word, base_name, normal_word};

/// How large the options may grow that are repeated for each operand, in bytes.
const MAX_OPTIONS: usize = 16 << 20;

impl Taker<'_> {
    /// The command with its assignments and redirections.
    pub(crate) fn clothed(&mut self, command: &Command<'_>, place: Place<'_>) -> usize {
        let part = self.parts.begin(place.parent, Kind::Command);
        if let Some(sent) = place.sent {
            self.parts.spell(Faith::WIDE, [sent]);
        }
        let faith = if command.guessed { Faith::WIDE } else { Faith::FULL };
        let clothes = |normal: bool, cwd: Option<&str>| {
            let read = |word: &str| match cwd.and_then(|cwd| absolute_word(word, cwd, Some(true))) {
                Some(absolute) => absolute,
                None if normal => normal_word(word).into_owned(),
                None => word.to_string(),
            };
            let mut words: Vec<String> =
                command.assignments.iter().map(ToString::to_string).collect();
            words.extend(command.words.iter().enumerate().map(|(index, word)| match index {
                0 if normal => base_name(word).to_string(),
                0 => word.to_string(),
                _ if normal => normal_word(word).into_owned(),
                _ => word.to_string(),
            }));
            for Redirection { operator, target } in &command.redirections {
                let writes = normal && operator.contains('>');
                words.push(if writes { ">" } else { operator }.to_string());
                words.push(read(target));
            }
            words
        };
        let plain = clothes(false, None);
        let normal = clothes(true, None);
        let faithful = command.redirections.iter().all(|to| normal_word(&to.target) == to.target);
        self.parts
            .spell(if faithful { faith } else { Faith::WIDE }, plain.iter().map(String::as_str));
        self.parts.spell(Faith { permits: false, ..faith }, normal.iter().map(String::as_str));
        if let Some(cwd) = self.cwd.as_deref() {
            let absolute = clothes(true, Some(cwd));
            self.parts
                .spell(Faith { permits: false, ..faith }, absolute.iter().map(String::as_str));
        }
        let alone = command.redirections.len() == 1 && !command.guessed;
        let faith = if alone { Faith::EXCUSES } else { Faith::WIDE };
        for Redirection { operator, target } in &command.redirections {
            let operator = if operator.contains('>') { ">" } else { operator };
            self.parts.spell(faith, [operator, &normal_word(target)]);
            if let Some(absolute) =
                self.cwd.as_deref().and_then(|cwd| absolute_word(target, cwd, Some(true)))
            {
                self.parts.spell(faith, [operator, &absolute]);
            }
        }
        part
    }

    /// The command by its words alone.
    pub(crate) fn bare(&mut self, words: &[&str], guessed: bool, place: Place<'_>) -> usize {
        let name = base_name(words[0]);
        if self.is_too_large(words.len(), 0) {
            return self.parts.begin(place.parent, Kind::Command);
        }
        let Some(tool) = spelling::tool(name) else {
            let part = self.parts.begin(place.parent, Kind::Command);
            let normal: Vec<Cow<'_, str>> =
                words[1..].iter().map(|word| normal_word(word)).collect();
            self.spell(words, &normal, guessed, None, place.sent);
            return part;
        };
        let arguments = tool.arguments(&words[1..]);
        let deeds = deeds(tool, &arguments.operands);
        let options: usize = arguments.written.iter().map(|word| word.len() + 1).sum();
        if self.is_too_large(deeds.len(), options) {
            return self.parts.begin(place.parent, Kind::Command);
        }
        if let [only] = deeds.as_slice() {
            let part = self.parts.begin(place.parent, Kind::Command);
            let normal = normal_arguments(tool, &arguments.options, only);
            self.spell(words, &normal, guessed, Some(tool), place.sent);
            return part;
        }
        let part = self.parts.begin(place.parent, Kind::Whole);
        if let Some(sent) = place.sent {
            self.parts.spell(Faith::WIDE, [sent]);
        }
        self.parts.spell(Faith::WIDE, words.iter().copied());
        let all = normal_arguments(tool, &arguments.options, &arguments.operands);
        self.parts.spell(Faith::WIDE, std::iter::once(name).chain(all.iter().map(AsRef::as_ref)));
        for deed in deeds {
            self.parts.begin(Some(part), Kind::Command);
            let mut plain = vec![words[0]];
            let before = tool.operands == Operands::EachBeforeOptions;
            if before {
                plain.extend(&deed);
            }
            plain.extend(&arguments.written);
            if !before {
                plain.extend(&deed);
            }
            let normal = normal_arguments(tool, &arguments.options, &deed);
            self.spell(&plain, &normal, guessed, Some(tool), None);
        }
        part
    }

    /// Whether so many spellings would be too large, each longer by `bytes` and the
    /// working directory.
    fn is_too_large(&mut self, count: usize, bytes: usize) -> bool {
        let cwd = self.cwd.as_ref().map_or(0, |cwd| cwd.len());
        self.overflow |=
            count.saturating_mul(bytes) > MAX_OPTIONS || count.saturating_mul(cwd) > MAX_TEXT;
        self.overflow
    }

    /// Spells the part begun last: `plain` is all its words, `normal` those behind the
    /// program in normal spelling.
    fn spell(
        &mut self,
        plain: &[&str],
        normal: &[Cow<'_, str>],
        guessed: bool,
        tool: Option<&Tool>,
        sent: Option<&str>,
    ) {
        let program = plain[0];
        let name = base_name(program);
        let faith = if guessed { Faith::WIDE } else { Faith::FULL };
        let excuses = Faith { permits: false, ..faith };
        let resolved = plain[1..].iter().all(|word| matches!(normal_word(word), Cow::Borrowed(_)));
        // A program's name with a blank in it reads like a program and an argument.
        let as_written = if resolved && !program.contains(' ') { faith } else { Faith::WIDE };
        if let Some(sent) = sent {
            self.parts.spell(as_written, [sent]);
        }
        self.parts.spell(as_written, plain.iter().copied());
        let same = plain[1..].iter().copied().eq(normal.iter().map(AsRef::as_ref));
        if !same || name.len() != program.len() {
            let words = |first| std::iter::once(first).chain(normal.iter().map(AsRef::as_ref));
            self.parts.spell(if program.contains(' ') { excuses } else { faith }, words(program));
            self.parts.spell(excuses, words(name));
        }
        if name.len() != program.len() {
            self.parts.spell(Faith::WIDE, std::iter::once(name).chain(plain[1..].iter().copied()));
        }
        let Some(cwd) = self.cwd.as_deref() else {
            return;
        };
        let is_path = |index| tool.map(|tool| tool.is_path(index, normal.len()));
        let made_absolute =
            |(index, word): (usize, &Cow<'_, str>)| absolute_word(word, cwd, is_path(index));
        let absolute: Vec<Option<String>> = normal.iter().enumerate().map(made_absolute).collect();
        if absolute.iter().any(Option::is_some) {
            let words = absolute.iter().zip(normal).map(|(absolute, normal)| match absolute {
                Some(absolute) => absolute.as_str(),
                None => normal.as_ref(),
            });
            self.parts.spell(excuses, std::iter::once(name).chain(words));
        }
    }
}

/// The operands of each thing that the command does.
fn deeds<'a>(tool: &Tool, operands: &[&'a str]) -> Vec<Vec<&'a str>> {
    match (tool.operands, operands) {
        (Operands::Each | Operands::EachBeforeOptions, [_, _, ..]) => {
            operands.iter().map(|operand| vec![*operand]).collect()
        }
        (Operands::EachAfterFirst, [first, rest @ ..]) if rest.len() > 1 => {
            rest.iter().map(|operand| vec![*first, *operand]).collect()
        }
        (Operands::EachBeforeLast, [rest @ .., last]) if rest.len() > 1 => {
            rest.iter().map(|operand| vec![*operand, *last]).collect()
        }
        _ => vec![operands.to_vec()],
    }
}

fn normal_arguments<'a>(
    tool: &Tool,
    options: &'a [String],
    operands: &[&'a str],
) -> Vec<Cow<'a, str>> {
    let options = options.iter().map(|option| normal_word(option));
    let operands = operands.iter().map(|operand| normal_word(operand));
    if tool.operands == Operands::EachBeforeOptions {
        operands.chain(options).collect()
    } else {
        options.chain(operands).collect()
    }
}
