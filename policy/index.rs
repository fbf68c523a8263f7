//! Which conditions a command may meet at all, found in one pass over its text.
//!
//! Whatever a pattern matches contains the pattern's literal pieces. One search for two
//! pieces of every pattern leaves the few patterns that are worth a closer look, so that
//! the cost of a verdict hardly grows with the number of rules.

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};

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
        Self { search, users, always }
    }

    /// The conditions that something in `text` may meet, which is in small letters.
    pub(crate) fn candidates(&self, text: &str) -> Bits {
        let Some(search) = &self.search else {
            return self.always.clone();
        };
        let mut literals = Bits::new(self.users.len());
        for hit in search.find_overlapping_iter(text) {
            literals.set(hit.pattern().as_usize());
        }
        self.needing(&literals)
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

    /// The same for each of the texts that `text` is made of, which end at `ends`, in one pass.
    pub(crate) fn candidates_of_each(&self, text: &str, ends: &[usize]) -> Groups {
        let mut groups = Groups { line: self.always.clone(), of: Vec::new(), each: Vec::new() };
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        let (mut found, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), vec![usize::MAX]);
        // For each literal the text in which it was found last, from 1.
        let mut seen = vec![0; self.users.len()];
        groups.of.reserve(ends.len());
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
            if found != last {
                last.clone_from(&found);
                found.sort_unstable();
                let group = *known.entry(found.clone()).or_insert_with(|| {
                    let mut literals = Bits::new(self.users.len());
                    for literal in &found {
                        literals.set(*literal);
                    }
                    let bits = self.needing(&literals);
                    groups.line.add(&bits);
                    groups.each.push((bits, Vec::new()));
                    groups.each.len() - 1
                });
                groups.of.push(group);
            } else if let Some(group) = groups.of.last() {
                groups.of.push(*group);
            }
            if let Some(group) = groups.of.last() {
                groups.each[*group].1.push(number);
            }
        }
        groups
    }
}

/// Texts that may meet the same conditions, together: of many texts most are alike.
#[derive(Debug)]
pub(crate) struct Groups {
    /// The conditions that any may meet.
    pub(crate) line: Bits,
    /// For each text its group.
    of: Vec<usize>,
    /// For each group its conditions, and its texts in order.
    each: Vec<(Bits, Vec<usize>)>,
}

impl Groups {
    /// The conditions that the text `number` may meet.
    pub(crate) fn of(&self, number: usize) -> &Bits {
        &self.each[self.of[number]].0
    }

    /// The texts that may meet one of the `conditions`, ascending.
    pub(crate) fn meeting(&self, conditions: &Range<usize>) -> Vec<usize> {
        let may = |bits: &Bits| bits.within(conditions.clone()).next().is_some();
        let mut groups = self.each.iter().filter(|(bits, _)| may(bits)).map(|(_, texts)| texts);
        let mut texts = groups.next().cloned().unwrap_or_default();
        let first = texts.len();
        texts.extend(groups.flatten());
        if texts.len() > first {
            texts.sort_unstable();
        }
        texts
    }
}

/// A set of small numbers.
#[derive(Debug, Clone)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn set(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    fn holds(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    fn add(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(own, other)| *own |= other);
    }

    /// The numbers in the set that lie in `range`, ascending.
    pub(crate) fn within(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let mut next = range.start;
        std::iter::from_fn(move || {
            while next < range.end {
                let word = self.0[next / 64] >> (next % 64);
                if word == 0 {
                    next = (next / 64 + 1) * 64;
                    continue;
                }
                let number = next + word.trailing_zeros() as usize;
                next = number + 1;
                return (number < range.end).then_some(number);
            }
            None
        })
    }
}
