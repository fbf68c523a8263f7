//! What a command line was taken apart into: a tree of parts, each with its spellings.

use crate::glob::collapse_blanks;
use crate::programs::{Verb, Verbs};
use crate::scope::Rare;

/// How large the spellings of one line may grow, in bytes.
pub(crate) const MAX_TEXT: usize = 64 << 20;

/// From how many on the spellings of one part are looked up and not gone through.
const MANY_SPELLINGS: usize = 16;

/// How a spelling may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faith {
    /// It is what will run, paths resolved: an exclusion may excuse by it.
    pub(crate) excuses: bool,
    /// It names the program as it was named: an allow may permit by it.
    pub(crate) permits: bool,
    pub(crate) by: By,
}

/// What a spelling owes its paths to. The later it stands, the less is known of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// To what was written.
    Itself,
    /// To a directory that the line has changed to.
    Cd,
    /// To the directory that the call is made in, or one below.
    Call,
}

impl Faith {
    /// For restricting rules only.
    pub(crate) const WIDE: Self = Self { excuses: false, permits: false, by: By::Itself };
    /// For permissions alone: it is what was typed, of which something else comes.
    pub(crate) const TYPED: Self = Self { excuses: false, permits: true, by: By::Itself };
    /// For exclusions as well.
    pub(crate) const EXCUSES: Self = Self { excuses: true, permits: false, by: By::Itself };
    /// For every use.
    pub(crate) const FULL: Self = Self { excuses: true, permits: true, by: By::Itself };
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A line, a pipeline or a list of operands: made of other parts.
    Whole,
    /// What runs: a simple command, or what it does to one of its operands.
    Command,
    /// A command that only runs others, which are parts of their own.
    Wrapper,
    /// A piece of a text in a command, which runs only if something else runs the text.
    Text,
    /// A piece of a line as a shell of another system reads it: for patterns alone.
    Foreign,
    /// What a command does to a file or with a URL, spelled by that alone.
    Deed(Verb),
}

/// What a part has to do with the part around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is a piece of that, or run by it.
    Piece,
    /// It is that, without its assignments and redirections.
    Same,
    /// The shell runs it to make words of that.
    Substituted,
    /// It is a package's program, which that runs: who permits that permits it.
    Packaged,
    /// It runs where other files are than this machine's: who permits what runs it permits it, and
    /// all that it runs there.
    Elsewhere,
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) parent: Option<usize>,
    pub(crate) kind: Kind,
    /// What it has to do with the part around it, where that is not simply run by it.
    pub(crate) role: Role,
    /// Its spellings, in [`Parts::spellings`].
    first: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy)]
struct Spelling {
    start: usize,
    end: usize,
    faith: Faith,
}

/// The parts of one command line. A part comes before those it is made of.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// All spellings, one after the other, with a NUL before and behind each.
    text: String,
    spellings: Vec<Spelling>,
    tree: Vec<Part>,
    /// What commands do.
    deeds: Verbs,
    /// Where in the last part each of its spellings is, if these are many.
    many: Rare<Box<str>, usize>,
    /// Names of the variables that a part assigns for its command.
    assigned: Vec<(usize, String)>,
    /// Why the line, or something in it, could not be taken apart.
    pub(crate) unparsed: Option<String>,
}

impl Parts {
    pub(crate) fn with_capacity(line: usize) -> Self {
        let mut text = String::with_capacity(line * 4 + 64);
        text.push('\0');
        Self {
            text,
            spellings: Vec::with_capacity(8),
            tree: Vec::with_capacity(4),
            deeds: Verbs::default(),
            many: Rare::default(),
            assigned: Vec::new(),
            unparsed: None,
        }
    }

    /// Adds a part; the spellings that follow are its own.
    pub(crate) fn begin(&mut self, parent: Option<usize>, kind: Kind) -> usize {
        let first = self.spellings.len();
        if let Kind::Deed(verb) = kind {
            self.deeds.add(verb);
        }
        self.tree.push(Part { parent, kind, role: Role::Piece, first, end: first });
        self.tree.len() - 1
    }

    /// Adds a spelling of the part begun last: `words` with a blank between each.
    pub(crate) fn spell(&mut self, faith: Faith, words: &[impl AsRef<str>]) {
        self.spell_all(faith, None, words);
    }

    /// Adds a spelling of the part begun last: a program's name and its arguments.
    pub(crate) fn spell_command(&mut self, faith: Faith, name: &str, rest: &[impl AsRef<str>]) {
        self.spell_all(faith, Some(name), rest);
    }

    /// The same for both, out of line, for spellings are added in many places.
    #[inline(never)]
    fn spell_all(&mut self, faith: Faith, first: Option<&str>, rest: &[impl AsRef<str>]) {
        let start = self.text.len();
        for word in first.into_iter().chain(rest.iter().map(AsRef::as_ref)) {
            self.text.push_str(word);
            self.text.push(' ');
        }
        self.spelled(start, faith);
    }

    /// All that the text ends with, from `start` on, and a blank too many.
    #[inline(never)]
    fn spelled(&mut self, start: usize, faith: Faith) {
        self.text.truncate(self.text.len().saturating_sub(1).max(start));
        collapse_blanks(&mut self.text, start);
        self.added(start, faith);
    }

    /// Adds a spelling in which each blank counts.
    pub(crate) fn spell_as_sent(&mut self, faith: Faith, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.added(start, faith);
    }

    fn added(&mut self, start: usize, faith: Faith) {
        let Some(part) = self.tree.last_mut() else {
            return;
        };
        let new = &self.text[start..];
        let own = &mut self.spellings[part.first..part.end];
        let known = if own.len() < MANY_SPELLINGS {
            own.iter().position(|spelling| &self.text[spelling.start..spelling.end] == new)
        } else {
            if own.len() == MANY_SPELLINGS {
                let each = own.iter().enumerate();
                let named = |(at, spelling): (usize, &Spelling)| {
                    (self.text[spelling.start..spelling.end].into(), at)
                };
                self.many = each.map(named).collect();
            }
            let known = self.many.get(new).copied();
            if known.is_none() {
                self.many.insert(new.into(), own.len());
            }
            known
        };
        if let Some(known) = known {
            let known = &mut own[known];
            known.faith.excuses |= faith.excuses;
            known.faith.permits |= faith.permits;
            known.faith.by = known.faith.by.min(faith.by);
            self.text.truncate(start);
            return;
        }
        self.spellings.push(Spelling { start, end: self.text.len(), faith });
        self.text.push('\0');
        part.end = self.spellings.len();
    }

    /// What commands do, of which each is there or is not.
    pub(crate) fn deeds(&self) -> Verbs {
        self.deeds
    }

    /// Notes what a part has to do with the part around it.
    pub(crate) fn is(&mut self, part: usize, role: Role) {
        if let Some(part) = self.tree.get_mut(part) {
            part.role = role;
        }
    }

    /// Notes that a part assigns a variable.
    pub(crate) fn assigns(&mut self, part: usize, name: &str) {
        self.assigned.push((part, name.to_string()));
    }

    /// Names of the variables that a part assigns.
    pub(crate) fn assigned(&self, part: usize) -> impl Iterator<Item = &str> {
        // A part's are noted before those of the next.
        let first = self.assigned.partition_point(|(of, _)| *of < part);
        let own = self.assigned[first..].iter().take_while(move |(of, _)| *of == part);
        own.map(|(_, name)| name.as_str())
    }

    /// The same text in small letters, in which every spelling has the same place.
    pub(crate) fn lower(&self) -> String {
        self.text.to_ascii_lowercase()
    }

    /// The spellings of a part in `lower`, which is that of these parts.
    pub(crate) fn lower_of<'l>(
        &self,
        lower: &'l str,
        part: usize,
    ) -> impl Iterator<Item = (&'l str, &str, Faith)> {
        let Part { first, end, .. } = self.tree[part];
        self.spellings[first..end].iter().map(|spelling| {
            let range = spelling.start..spelling.end;
            (&lower[range.clone()], &self.text[range], spelling.faith)
        })
    }

    /// All spellings in one text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where the spellings of each part end in [`text`](Self::text), with the NUL behind them.
    pub(crate) fn ends(&self) -> Vec<usize> {
        let end =
            |part: &Part| part.end.checked_sub(1).map_or(1, |last| self.spellings[last].end + 1);
        self.tree.iter().map(end).collect()
    }

    /// What two commands have in common of which each rule says the same: their spellings and
    /// those of the commands around them, their roles, and what these are parts of.
    pub(crate) fn like(&self, part: usize) -> (Option<usize>, String) {
        let (mut around, mut spelled) = (Some(part), String::new());
        while let Some(at) = around
            && let Part { parent, kind: kind @ (Kind::Command | Kind::Wrapper), role, first, end } =
                self.tree[at]
        {
            spelled.push(if kind == Kind::Command { '\u{1}' } else { '\u{2}' });
            spelled.push(match role {
                Role::Piece => '\u{1}',
                Role::Same => '\u{2}',
                Role::Substituted => '\u{3}',
                Role::Packaged => '\u{4}',
                Role::Elsewhere => '\u{5}',
            });
            if let [one, ..] = &self.spellings[first..end] {
                spelled.push_str(&self.text[one.start..self.spellings[end - 1].end]);
            }
            around = parent;
        }
        (around, spelled)
    }

    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(crate) fn part(&self, part: usize) -> &Part {
        &self.tree[part]
    }
}
