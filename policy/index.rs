//! Which conditions a command may meet at all, found in one pass over its text.
//!
//! Whatever a pattern matches contains the pattern's literal pieces. One search for two
//! pieces of every pattern leaves the few patterns that are worth a closer look, so that
//! the cost of a verdict hardly grows with the number of rules.

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};

use crate::bits::Bits;
use crate::parts::Parts;

/// From how many parts on the search is run for each part by itself.
const MANY_PARTS: usize = 16;

/// Up to how many literals the search is built for speed at the cost of memory.
const FAST_LITERALS: usize = 100;

/// From which length on, in bytes, a literal is preferred for being rare alone.
const TELLING_LEN: usize = 3;

/// The conditions of all rules, each with a number, and what finds them.
#[derive(Debug)]
pub(crate) struct Index {
    search: Option<AhoCorasick>,
    /// For each literal the conditions that need it, and another that they need as well, or
    /// the same.
    users: Vec<Vec<(usize, usize)>>,
    /// Conditions that need none.
    always: Bits,
    /// No literal: to copy it is cheaper than to be given as many zeros.
    none: Bits,
}

impl Index {
    /// `conditions` holds for each condition its alternatives, and for each of these the
    /// literals that it needs, all of them, in small letters of ASCII.
    pub(crate) fn new(conditions: &[Vec<Vec<String>>]) -> Self {
        let mut frequency: HashMap<&str, usize> = HashMap::new();
        for literal in conditions.iter().flatten().flatten() {
            *frequency.entry(literal).or_default() += 1;
        }
        let usable = |literal: &&String| !literal.is_empty() && literal.is_ascii();
        let rarity = |literal: &&String| {
            let len = literal.len();
            (len.min(TELLING_LEN), usize::MAX - frequency[literal.as_str()], len)
        };
        let mut ids: HashMap<&str, usize> = HashMap::new();
        let mut literals: Vec<&str> = Vec::new();
        let mut users: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut always = Bits::new(conditions.len());
        for (condition, alternatives) in conditions.iter().enumerate() {
            for needed in alternatives {
                let Some(first) = needed.iter().filter(usable).max_by_key(rarity) else {
                    always.set(condition);
                    continue;
                };
                let telling = |literal: &&String| *literal != first && literal.len() >= TELLING_LEN;
                let second = needed.iter().filter(usable).filter(telling).max_by_key(rarity);
                let mut id = |literal| {
                    *ids.entry(literal).or_insert_with(|| {
                        literals.push(literal);
                        users.push(Vec::new());
                        literals.len() - 1
                    })
                };
                let (first, second) = (id(first), id(second.unwrap_or(first)));
                users[first].push((condition, second));
            }
        }
        let fast = literals.len() <= FAST_LITERALS;
        let kind = if fast { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let mut builder = AhoCorasickBuilder::new();
        // The texts are in small letters. A prefilter finds nothing for so many literals.
        let search = builder.prefilter(false).dense_depth(1).kind(Some(kind)).build(&literals).ok();
        if search.is_none() {
            // Without the search every condition is looked at, which is slow and right.
            (0..conditions.len()).for_each(|condition| always.set(condition));
        }
        let none = Bits::new(users.len());
        Self { search, users, always, none }
    }

    /// The conditions that the spellings of the `parts` may meet, which in small letters are
    /// `lower`.
    pub(crate) fn candidates(&self, lower: &str, parts: &Parts) -> Candidates {
        if parts.len() > MANY_PARTS {
            return self.candidates_of_each(lower, &parts.ends());
        }
        let mut literals = self.none.clone();
        for hit in self.search.iter().flat_map(|it| it.find_overlapping_iter(lower)) {
            literals.set(hit.pattern().as_usize());
        }
        Candidates { line: self.needing(&literals), of: Vec::new(), groups: Vec::new() }
    }

    /// The conditions that need no more than these literals.
    fn needing(&self, literals: &Bits) -> Bits {
        let mut found = self.always.clone();
        for literal in literals.within(0..self.users.len()) {
            for (condition, other) in &self.users[literal] {
                if literals.holds(*other) {
                    found.set(*condition);
                }
            }
        }
        found
    }

    /// Those that each of the texts may meet that `text` is made of, which end at `ends`, in
    /// one pass.
    fn candidates_of_each(&self, text: &str, ends: &[usize]) -> Candidates {
        let of = Vec::with_capacity(ends.len());
        let mut all = Candidates { line: self.always.clone(), of, groups: Vec::new() };
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        let (mut found, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), vec![usize::MAX]);
        // For each literal the text in which it was found last, from 1.
        let mut seen = vec![0; self.users.len()];
        let mut hits = self.search.iter().flat_map(|it| it.find_overlapping_iter(text)).peekable();
        for (number, end) in ends.iter().enumerate() {
            found.clear();
            while let Some(hit) = hits.next_if(|hit| hit.end() <= *end) {
                let literal = hit.pattern().as_usize();
                if seen[literal] <= number {
                    seen[literal] = number + 1;
                    found.push(literal);
                }
            }
            let group = match all.of.last() {
                Some(group) if found == last => *group,
                _ => {
                    last.clone_from(&found);
                    found.sort_unstable();
                    *known.entry(found.clone()).or_insert_with(|| {
                        let mut literals = self.none.clone();
                        for literal in &found {
                            literals.set(*literal);
                        }
                        let bits = self.needing(&literals);
                        all.line.add(&bits);
                        all.groups.push((bits, Vec::new()));
                        all.groups.len() - 1
                    })
                }
            };
            all.of.push(group);
            all.groups[group].1.push(number);
        }
        all
    }
}

/// The conditions that are worth a look.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// Those of all parts together.
    pub(crate) line: Bits,
    /// For each part its group, where there are many: of many parts most are alike.
    of: Vec<usize>,
    /// For each group its conditions, and its parts in order.
    groups: Vec<(Bits, Vec<usize>)>,
}

impl Candidates {
    /// Those of one part, as far as they are known apart.
    pub(crate) fn of(&self, part: usize) -> &Bits {
        self.of.get(part).map_or(&self.line, |group| &self.groups[*group].0)
    }

    /// The parts, of so many, that may meet one of the `conditions`, ascending; all of them
    /// where there are no conditions.
    pub(crate) fn parts(
        &self,
        conditions: &Range<usize>,
        len: usize,
    ) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let (some, all) = if self.of.is_empty() || conditions.is_empty() {
            (Vec::new(), 0..len)
        } else {
            (self.meeting(conditions), 0..0)
        };
        some.into_iter().chain(all)
    }

    fn meeting(&self, conditions: &Range<usize>) -> Vec<usize> {
        let may = |bits: &Bits| bits.within(conditions.clone()).next().is_some();
        let mut groups = self.groups.iter().filter(|(bits, _)| may(bits)).map(|(_, parts)| parts);
        let mut parts = groups.next().cloned().unwrap_or_default();
        let first = parts.len();
        parts.extend(groups.flatten());
        if parts.len() > first {
            parts.sort_unstable();
        }
        parts
    }
}
