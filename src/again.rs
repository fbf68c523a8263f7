//! A program that starts itself anew until its environment is clean would never come to an end
//! if the library put itself back each time. What was put back, and how often, goes along in the
//! environment; at a limit the library keeps off.

use core::ffi::CStr;

use crate::arena::{Decimal, Full, Text};

/// How often in a row a program's environment was put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// The process in which that began.
    pid: u32,
    /// The program and its arguments, by a number.
    program: u64,
    /// How often it was.
    count: u64,
    /// How often another one's was since.
    others: u64,
    /// When it was for the first time: seconds of the monotonic clock.
    since: u64,
}

impl Again {
    /// The variable that it stands in.
    pub const NAME: &'static CStr = c"RAMPART_AGAIN";
    /// The longest entry, its NUL included: a number of 32 bits and four of 64, each after a sign.
    pub const LONGEST: usize = Self::NAME.count_bytes() + 11 + 4 * 21 + 1;

    /// So often the environment of one program is put right in one process.
    pub const MOST: u64 = 4;
    /// So often in a chain of processes that each start the next one.
    pub const MOST_NESTED: u64 = 24;
    /// Whoever takes longer is no loop: a server that starts itself anew when it is told to.
    const SPAN_SECONDS: u64 = 20;
    /// A loop that leads over more programs than this is not known as one.
    const MOST_OTHERS: u64 = 8;

    /// What a value of the variable says; `None` if it is not ours.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut numbers = value.split(|byte| *byte == b':').map(Decimal::parse);
        let mut next = || numbers.next().flatten();
        Some(Self {
            pid: next()?.try_into().ok()?,
            program: next()?,
            count: next()?,
            others: next()?,
            since: next()?,
        })
    }

    /// Whether it may be enough for a program, which is told without a look at any.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.count >= Self::MOST
    }

    /// Whether the environment of `program`, started by the process `pid` at the second `now`, is
    /// not to be put right any more, `last` being what this process was started with.
    #[must_use]
    pub fn is_enough(last: Option<Self>, pid: u32, program: u64, now: u64) -> bool {
        last.is_some_and(|last| {
            let most = if last.pid == pid { Self::MOST } else { Self::MOST_NESTED };
            last.program == program && last.is_recent(now) && last.count >= most
        })
    }

    /// What that program is to be started with if it is put right.
    #[must_use]
    pub fn after(last: Option<Self>, pid: u32, program: u64, now: u64) -> Self {
        match last.filter(|last| last.is_recent(now)) {
            Some(last) if last.program == program => {
                Self { count: last.count.saturating_add(1), others: 0, ..last }
            }
            Some(last) if last.others < Self::MOST_OTHERS => {
                Self { others: last.others.saturating_add(1), ..last }
            }
            _ => Self { pid, program, count: 1, others: 0, since: now },
        }
    }

    fn is_recent(&self, now: u64) -> bool {
        now.checked_sub(self.since).is_some_and(|age| age <= Self::SPAN_SECONDS)
    }

    /// Writes the whole entry, `NAME=value`, with a final NUL.
    ///
    /// # Errors
    /// [`Full`] if there is less room than [`Self::LONGEST`] bytes.
    pub fn write(&self, text: &mut Text<'_>) -> Result<(), Full> {
        text.push(Self::NAME.to_bytes())?;
        let numbers = [u64::from(self.pid), self.program, self.count, self.others, self.since];
        let mut separator: &[u8] = b"=";
        for number in numbers {
            text.push(core::mem::replace(&mut separator, b":"))?;
            text.push(Decimal::new(number).as_bytes())?;
        }
        text.push(b"\0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many starts of `programs` in turn it is enough, each by the process `pid` makes
    /// of the number of the start, and `seconds` after the one before.
    fn limit(programs: &[u64], pid: impl Fn(u32) -> u32, seconds: u64) -> Option<u32> {
        let mut last = None;
        let mut programs = programs.iter().cycle();
        (1u32..100).find(|start| {
            let (program, now) = (*programs.next().expect("a cycle"), u64::from(*start) * seconds);
            let is_enough = Again::is_enough(last, pid(*start), program, now);
            assert!(!is_enough || last.is_some_and(|last| last.is_near()));
            last = Some(Again::after(last, pid(*start), program, now));
            is_enough
        })
    }

    #[test]
    fn a_loop_is_known_and_two_or_three_in_a_row_are_none() {
        let same = |_| 7;
        assert_eq!(limit(&[1], same, 0), Some(5));
        assert_eq!(limit(&[1, 2], same, 0), Some(9));
        assert_eq!(limit(&[1, 2, 3], same, 1), Some(13));
        // The others are counted anew each time that it comes round.
        assert_eq!(limit(&[1, 2, 3, 4, 5, 6], same, 0), Some(25));
        // Each start by a child of the one before.
        assert_eq!(limit(&[1], |start| start, 0), Some(25));
        assert_eq!(limit(&[1, 2], |start| start, 0), Some(49));
        assert!(
            !Again::after(None, 1, 2, 3).is_near(),
            "an argument list is looked through for it"
        );
        // A server that is told to start anew.
        assert_eq!(limit(&[1], same, 6), None);
        let different: Vec<u64> = (1..100).collect();
        assert_eq!(limit(&different, same, 0), None);
    }

    #[test]
    fn a_loop_is_found_behind_what_came_before_it() {
        let mut programs: Vec<u64> = vec![100, 101, 102];
        programs.extend([1; 20]);
        assert_eq!(limit(&programs, |_| 7, 0), Some(14));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let largest = Again {
            pid: u32::MAX,
            program: u64::MAX,
            count: u64::MAX,
            others: u64::MAX,
            since: u64::MAX,
        };
        for again in [largest, Again::after(None, 5, 6, 7)] {
            let mut room = [0; Again::LONGEST];
            let mut text = Text::new(&mut room);
            again.write(&mut text).expect("room enough");
            assert!(again != largest || text.as_bytes().len() == Again::LONGEST);
            let entry = CStr::from_bytes_with_nul(text.as_bytes()).expect("one NUL").to_bytes();
            let value = entry.strip_prefix(b"RAMPART_AGAIN=").expect("the name");
            assert_eq!(Again::read(value), Some(again));
        }
        for foreign in ["", "1", "1:2:3:4", "a:2:3:4:5", "4294967296:2:3:4:5", "1:2:3:4:"] {
            assert_eq!(Again::read(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_begins_anew() {
        let last = Some(Again { pid: 7, program: 1, count: 9, others: 0, since: 100 });
        assert!(Again::is_enough(last, 7, 1, 100));
        assert!(!Again::is_enough(last, 7, 1, 99));
        assert_eq!(Again::after(last, 7, 1, 99), Again::after(None, 7, 1, 99));
    }
}
