//! A set of small numbers: where in a pattern a text may stand, which literals it holds, which
//! conditions it may meet.

use std::ops::Range;

/// A set of numbers below a length. Up to 64 of them take no memory of their own.
#[derive(Debug, Clone)]
pub(crate) struct Bits {
    first: u64,
    others: Vec<u64>,
}

impl Bits {
    pub(crate) fn new(len: usize) -> Self {
        Self { first: 0, others: vec![0; len.div_ceil(64).saturating_sub(1)] }
    }

    fn word(&self, at: usize) -> u64 {
        if at == 0 { self.first } else { self.others[at - 1] }
    }

    pub(crate) fn set(&mut self, number: usize) {
        let word = match number / 64 {
            0 => &mut self.first,
            at => &mut self.others[at - 1],
        };
        *word |= 1 << (number % 64);
    }

    pub(crate) fn holds(&self, number: usize) -> bool {
        self.word(number / 64) >> (number % 64) & 1 == 1
    }

    pub(crate) fn add(&mut self, others: &Self) {
        self.first |= others.first;
        self.others.iter_mut().zip(&others.others).for_each(|(own, other)| *own |= other);
    }

    pub(crate) fn clear(&mut self) {
        self.first = 0;
        self.others.fill(0);
    }

    /// The numbers in the set that lie in `range`, ascending.
    pub(crate) fn within(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let mut next = range.start;
        std::iter::from_fn(move || {
            while next < range.end {
                let word = self.word(next / 64) >> (next % 64);
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
