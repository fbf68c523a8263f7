//! The spellings of a simple command: as written, in normal spelling, by its last component,
//! with paths made absolute and by the home that they lie in, for each of its operands.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::invocation::{Inner, Invocation};
use crate::parts::{By, Faith, Kind};
use crate::programs::{Operands, Program, base_name};
use crate::simple::{assigned, is_risky};
use crate::spelling::{absolute_word, by_home, normal_word, places};
use crate::stage::{Command, Redirection};
use crate::visit::{Place, Visitor};

/// How large the options may grow that are repeated for each operand, in bytes.
const MAX_OPTIONS: usize = 16 << 20;

impl Visitor<'_> {
    /// The command with its assignments and redirections.
    #[inline(never)]
    pub(crate) fn clothed(
        &mut self,
        command: &Command<'_>,
        runs: Option<&Inner<'_>>,
        place: Place<'_>,
    ) -> usize {
        let risky = command
            .assignments
            .iter()
            .any(|word| assigned(word).is_none_or(|(name, value)| is_risky(name, value)));
        // What a wrapper reads and writes is what the command does that it runs.
        let hands_on = matches!(runs, Some(Inner::Words(_)));
        let redirects = !command.redirections.is_empty() && !hands_on;
        let kind = if risky || redirects { Kind::Command } else { Kind::Wrapper };
        let part = self.parts.begin(place.parent, kind);
        for (name, _) in command.assignments.iter().filter_map(|word| assigned(word)) {
            self.parts.assigns(part, name);
        }
        if let Some(sent) = place.sent {
            self.parts.spell(Faith::WIDE, &[sent]);
        }
        let faith = if command.guessed { Faith::WIDE } else { Faith::FULL };
        if let Some(typed) = command.typed.as_ref().filter(|_| !risky) {
            self.parts.spell(Faith::TYPED, &[typed.concat()]);
        }
        let faithful = command.redirections.iter().all(|to| normal_word(&to.target) == to.target);
        let as_written = if faithful { faith } else { Faith::WIDE };
        self.parts.spell(as_written, &clothes(command, true, false, None));
        if let Some(Inner::Script(script, _)) = runs.filter(|_| !risky && faithful) {
            let to = command.redirections.iter().flat_map(|to| [to.operator, &to.target]);
            let to: Vec<&str> = to.collect();
            self.parts.spell_command(Faith::TYPED, script, &to);
        }
        // To set what changes nothing about what runs needs no permission.
        if kind == Kind::Command && !risky && !command.assignments.is_empty() {
            self.parts.spell(as_written, &clothes(command, false, false, None));
        }
        let by_name = command.words.first().is_none_or(|word| is_known_by_name(word));
        let faith = if by_name { Faith { permits: false, ..faith } } else { Faith::WIDE };
        self.parts.spell(faith, &clothes(command, true, true, None));
        if self.cwd.is_some() {
            self.parts.spell(faith, &clothes(command, true, true, self.cwd.as_deref()));
        }
        self.spell_redirections(command);
        part
    }

    /// Spells each redirection by itself for the part begun last.
    fn spell_redirections(&mut self, command: &Command<'_>) {
        let alone = command.redirections.len() == 1 && !command.guessed;
        let faith = if alone { Faith::EXCUSES } else { Faith::WIDE };
        for Redirection { operator, target } in &command.redirections {
            let operator = if operator.contains('>') { ">" } else { operator };
            self.parts.spell(faith, &[operator, &normal_word(target)]);
            if operator != "<<<" {
                for place in places(target, self.cwd.as_deref(), self.home).iter() {
                    self.parts.spell(faith, &[operator, place]);
                }
            }
        }
    }

    /// The command by its words alone.
    #[inline(never)]
    pub(crate) fn bare(
        &mut self,
        invocation: Invocation<'_, '_>,
        guessed: Guessed<'_>,
        kind: Kind,
        place: Place<'_>,
    ) -> usize {
        let Invocation { words, name, .. } = invocation;
        if self.is_too_large(words.len(), 0) {
            return self.parts.begin(place.parent, kind);
        }
        let styled = |program: &&Program| program.style.is_some() && !invocation.is_subcommand();
        let Some(program) = invocation.program.filter(styled) else {
            let part = self.parts.begin(place.parent, kind);
            self.spell(words, &normal_words(words), guessed, None, place.sent);
            if let Some((short, risky)) = invocation.without_globals() {
                let guessed = guessed.or(risky.then_some(""));
                self.spell(&short, &normal_words(&short), guessed, None, None);
            }
            return part;
        };
        let arguments = program.arguments(&words[1..]);
        let deeds = program.each(&arguments.operands);
        let options: usize = arguments.written.iter().map(|word| word.len() + 1).sum();
        if self.is_too_large(deeds.len(), options) {
            return self.parts.begin(place.parent, kind);
        }
        if let [only] = deeds.as_slice() {
            let part = self.parts.begin(place.parent, kind);
            let normal = normal_arguments(program, &arguments.options, only, true);
            self.spell(words, &normal, guessed, Some(program), place.sent);
            self.as_written(name, program, &arguments.options, only, guessed);
            return part;
        }
        let part = self.parts.begin(place.parent, Kind::Whole);
        if let Some(sent) = place.sent {
            self.parts.spell(Faith::WIDE, &[sent]);
        }
        self.parts.spell(Faith::WIDE, words);
        let all = normal_arguments(program, &arguments.options, &arguments.operands, true);
        self.parts.spell_command(Faith::WIDE, name, &all);
        // What is done twice is done.
        let mut known = BTreeSet::new();
        for deed in deeds.into_iter().filter(|deed| known.insert(deed.clone())) {
            self.parts.begin(Some(part), kind);
            let (mut plain, rest) = (vec![words[0]], [&arguments.written, &deed]);
            let first = usize::from(program.does == Operands::Find);
            plain.extend(rest[first].iter().chain(rest[1 - first]));
            let normal = normal_arguments(program, &arguments.options, &deed, true);
            self.spell(&plain, &normal, guessed, Some(program), None);
            self.as_written(name, program, &arguments.options, &deed, guessed);
        }
        part
    }

    /// Spells the part begun last with its options in normal spelling: with its operands as they
    /// were written, where that differs, for a pattern may be about `./…`; and without the options
    /// of which nothing is known, which make it nothing else.
    fn as_written(
        &mut self,
        name: &str,
        program: &Program,
        options: &[String],
        operands: &[&str],
        guessed: Guessed<'_>,
    ) {
        if operands.iter().any(|operand| operand.starts_with("./")) {
            let faith = if guessed.is_some() { Faith::WIDE } else { Faith::EXCUSES };
            let words = normal_arguments(program, options, operands, false);
            self.parts.spell_command(faith, name, &words);
        }
        self.without_unknown(name, program, options, operands);
    }

    /// Spells the part begun last with the options alone that its normal spelling knows.
    #[inline(never)]
    pub(crate) fn without_unknown(
        &mut self,
        name: &str,
        program: &Program,
        options: &[String],
        operands: &[&str],
    ) {
        if options.is_empty() {
            return;
        }
        let style = program.style.as_deref().unwrap_or_default();
        let is_known = |letter: char| style.iter().any(|(_, same)| *same == Some(letter));
        let is_long = |option: &str| option.starts_with("--");
        // Where no letter has a normal spelling, none is another's.
        let any_letter = style.iter().any(|(_, same)| same.is_some());
        let says_more = |option: &String| {
            is_long(option) || any_letter && option[1..].contains(|letter| !is_known(letter))
        };
        if program.does == Operands::Find || !options.iter().any(says_more) {
            return;
        }
        let short = options.iter().filter(|option| !is_long(option));
        let known: Vec<String> = if any_letter {
            let letters: BTreeSet<char> = short
                .flat_map(|option| option.chars())
                .filter(|letter| is_known(*letter))
                .collect();
            let cluster = std::iter::once('-').chain(letters).collect::<String>();
            Some(cluster).filter(|cluster| cluster.len() > 1).into_iter().collect()
        } else {
            short.cloned().collect()
        };
        let words = normal_arguments(program, &known, operands, true);
        self.parts.spell_command(Faith::WIDE, name, &words);
    }

    /// Whether so many spellings would be too large, each longer by `bytes` and the
    /// working directory.
    fn is_too_large(&mut self, count: usize, bytes: usize) -> bool {
        let cwd = self.cwd.as_ref().map_or(0, |cwd| cwd.len());
        self.overflow |= count.saturating_mul(bytes) > MAX_OPTIONS.min(self.most)
            || count.saturating_mul(cwd) > self.most;
        self.overflow
    }

    /// Spells the part begun last: `plain` is all its words, `normal` those behind the
    /// program in normal spelling.
    fn spell(
        &mut self,
        plain: &[&str],
        normal: &[Cow<'_, str>],
        guessed: Guessed<'_>,
        program: Option<&Program>,
        sent: Option<&str>,
    ) {
        let written = plain[0];
        let name = base_name(written);
        let faith = if guessed.is_some() { Faith::WIDE } else { Faith::FULL };
        let excuses = Faith { permits: false, ..faith };
        let by_name = if is_known_by_name(written) { excuses } else { Faith::WIDE };
        // What stands here may be written so.
        let resolved = normal.iter().enumerate().all(|(index, word)| {
            let plain = plain.get(index + 1).and_then(|word| word.strip_prefix("./"));
            matches!(word, Cow::Borrowed(_))
                || plain.is_some_and(|plain| plain == *word && !plain.starts_with(".."))
        });
        // A program's name with a blank in it reads like a program and an argument.
        let as_written = if resolved && !written.contains(' ') { faith } else { Faith::WIDE };
        if let Some(sent) = sent {
            // A blank behind it is no argument.
            self.parts.spell(as_written, &[sent.trim_end_matches([' ', '\t'])]);
        }
        self.parts.spell(as_written, plain);
        if let Some(typed) = guessed.filter(|typed| !typed.is_empty()) {
            self.parts.spell(Faith::TYPED, &[typed]);
        }
        let same = plain[1..].iter().copied().eq(normal.iter().map(AsRef::as_ref));
        if !same || name.len() != written.len() {
            let faith = if written.contains(' ') { excuses } else { faith };
            self.parts.spell_command(faith, written, normal);
            self.parts.spell_command(by_name, name, normal);
        }
        if name.len() != written.len() {
            self.parts.spell_command(Faith::WIDE, name, &plain[1..]);
        }
        self.spell_places(name, normal, program, by_name);
    }

    /// Spells the part begun last with its relative paths made absolute, and with those at home by
    /// that.
    fn spell_places(
        &mut self,
        name: &str,
        normal: &[Cow<'_, str>],
        program: Option<&Program>,
        faith: Faith,
    ) {
        let is_path = |index| program.map(|program| program.is_path(index, normal.len()));
        let absolute = self.cwd.as_deref().and_then(|cwd| {
            changed(normal, &mut |index, word| absolute_word(word, cwd, is_path(index)))
        });
        let at_home = self.home.and_then(|_| {
            let word_of = |index: usize| &absolute.as_deref().unwrap_or(normal)[index];
            changed(normal, &mut |index, _| by_home(word_of(index), self.home))
        });
        let by = match &absolute {
            Some(words) if self.texts => self.by_place(words),
            _ => By::Itself,
        };
        for words in [&absolute, &at_home].into_iter().flatten() {
            self.parts.spell_command(Faith { by, ..faith }, name, words);
        }
    }

    /// What a spelling owes its paths to of which some were made absolute: what lies where the call
    /// is made, or below, is known by that.
    fn by_place(&self, words: &[Cow<'_, str>]) -> By {
        let began = self.began.map_or("", |began| began.trim_end_matches('/'));
        let is_near = |word: &Cow<'_, str>| {
            let behind = word.split_once(began).map(|(_, behind)| behind);
            !began.is_empty() && behind.is_some_and(|it| it.is_empty() || it.starts_with('/'))
        };
        let mut absolute = words.iter().filter(|word| matches!(word, Cow::Owned(_)));
        if absolute.all(is_near) { By::Call } else { By::Cd }
    }
}

/// The words of a command with its redirections, in normal spelling where it is asked for, and
/// with its assignments.
fn clothes<'w>(
    command: &'w Command<'_>,
    assigned: bool,
    normal: bool,
    cwd: Option<&str>,
) -> Vec<Cow<'w, str>> {
    let spelled = |word: &'w str| if normal { normal_word(word) } else { Cow::Borrowed(word) };
    let assignments = command.assignments.iter().filter(|_| assigned);
    let mut words: Vec<_> = assignments.map(|word| Cow::Borrowed(word.as_ref())).collect();
    words.extend(command.words.iter().enumerate().map(|(index, word)| match index {
        0 if normal => Cow::Borrowed(base_name(word)),
        _ => spelled(word),
    }));
    for Redirection { operator, target } in &command.redirections {
        let writes = normal && operator.contains('>');
        words.push(Cow::Borrowed(if writes { ">" } else { operator }));
        let absolute = cwd.and_then(|cwd| absolute_word(target, cwd, Some(true)));
        words.push(absolute.map_or_else(|| spelled(target), Cow::Owned));
    }
    words
}

/// Nothing where no word of a command is a guess; else what was typed, if that may permit it.
type Guessed<'g> = Option<&'g str>;

/// Whether a program is what its name says: one from where no programs are kept need not be.
fn is_known_by_name(program: &str) -> bool {
    let folder = program[..program.len() - base_name(program).len()].trim_end_matches('/');
    !program.contains('/') || program.starts_with(['/', '~']) && folder.ends_with("bin")
}

/// The words behind the program in normal spelling.
fn normal_words<'a>(words: &[&'a str]) -> Vec<Cow<'a, str>> {
    words[1..].iter().map(|word| normal_word(word)).collect()
}

/// The words with some of them spelled in another way, which are owned; nothing where all stay.
#[inline(never)]
fn changed<'w>(
    words: &'w [Cow<'_, str>],
    other: &mut dyn FnMut(usize, &str) -> Option<String>,
) -> Option<Vec<Cow<'w, str>>> {
    let mut all = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if let Some(other) = other(index, word) {
            if all.is_empty() {
                all.extend(words.iter().map(|word| Cow::Borrowed(word.as_ref())));
            }
            all[index] = Cow::Owned(other);
        }
    }
    (!all.is_empty()).then_some(all)
}

/// The arguments of one deed in normal spelling: options first, as its patterns have them.
pub(crate) fn normal_arguments<'a>(
    program: &Program,
    options: &'a [String],
    operands: &[&'a str],
    normal: bool,
) -> Vec<Cow<'a, str>> {
    let options = options.iter().map(|option| normal_word(option));
    let operands = operands
        .iter()
        .map(|operand| if normal { normal_word(operand) } else { Cow::Borrowed(*operand) });
    if program.does == Operands::Find {
        operands.chain(options).collect()
    } else {
        options.chain(operands).collect()
    }
}
