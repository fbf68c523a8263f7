//! Some programs re-execute themselves until their environment is clean. If the library put its
//! entries back each time, they would loop for ever. So the environment carries a count of the
//! repairs in a row; at a limit the library leaves the environment as it is.

use core::ffi::CStr;

use crate::arena::{Decimal, Full, TextBuffer};

/// How often in a row a program's environment was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairCount {
    /// The process that made the first repair.
    pid: u32,
    /// A hash of the program and its arguments.
    program: u64,
    /// Repairs of that program's environment.
    count: u64,
    /// Repairs of other programs' environments since the last of them.
    others: u64,
    /// Time of the first repair, in seconds of the monotonic clock.
    since: u64,
}

impl RepairCount {
    /// The variable that holds it.
    pub const NAME: &'static CStr = c"RAMPART_AGAIN";
    /// The longest entry with its NUL, in bytes: a 32-bit number and four 64-bit ones, each after
    /// a separator.
    pub const LONGEST: usize = Self::NAME.count_bytes() + 11 + 4 * 21 + 1;

    /// Repairs for one program that keeps replacing itself in one process.
    pub const MAX_PER_PROCESS: u64 = 4;
    /// Repairs for one program in a chain of processes that each start the next.
    pub const MAX_NESTED: u64 = 24;
    /// Repairs over a longer time are no loop: a server may re-execute itself on a signal.
    const WINDOW_SECONDS: u64 = 20;
    /// A loop over more programs than this is not detected.
    const MAX_OTHERS: u64 = 8;

    /// Reads a value of the variable; `None` if this library did not write it.
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

    /// Whether [`Self::is_loop`] may hold for some program. It is cheap: nothing need be hashed.
    #[must_use]
    pub fn may_be_loop(&self) -> bool {
        self.count >= Self::MAX_PER_PROCESS
    }

    /// Whether `program` is in a loop, so that its environment is not to be repaired. `pid` is the
    /// process that starts it, `now` the time in seconds, and `last` the count that this process
    /// was started with.
    #[must_use]
    pub fn is_loop(last: Option<Self>, pid: u32, program: u64, now: u64) -> bool {
        last.is_some_and(|last| {
            let most = if last.pid == pid { Self::MAX_PER_PROCESS } else { Self::MAX_NESTED };
            last.program == program && last.is_recent(now) && last.count >= most
        })
    }

    /// The count that `program` is started with if its environment is repaired.
    #[must_use]
    pub fn after(last: Option<Self>, pid: u32, program: u64, now: u64) -> Self {
        match last.filter(|last| last.is_recent(now)) {
            Some(last) if last.program == program => {
                Self { count: last.count.saturating_add(1), others: 0, ..last }
            }
            Some(last) if last.others < Self::MAX_OTHERS => {
                Self { others: last.others.saturating_add(1), ..last }
            }
            _ => Self { pid, program, count: 1, others: 0, since: now },
        }
    }

    fn is_recent(&self, now: u64) -> bool {
        now.checked_sub(self.since).is_some_and(|age| age <= Self::WINDOW_SECONDS)
    }

    /// Writes the entry, `NAME=value`, with a final NUL.
    ///
    /// # Errors
    /// [`Full`] if there is less room than [`Self::LONGEST`] bytes.
    pub fn write(&self, text: &mut TextBuffer<'_>) -> Result<(), Full> {
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

    /// The first start that is found to be in a loop. `programs` are started in turn, `seconds`
    /// apart; `pid` gives the process of a start by the start's number.
    fn limit(programs: &[u64], pid: impl Fn(u32) -> u32, seconds: u64) -> Option<u32> {
        let mut last = None;
        let mut programs = programs.iter().cycle();
        (1u32..100).find(|start| {
            let (program, now) = (*programs.next().expect("a cycle"), u64::from(*start) * seconds);
            let is_loop = RepairCount::is_loop(last, pid(*start), program, now);
            assert!(!is_loop || last.is_some_and(|last| last.may_be_loop()));
            last = Some(RepairCount::after(last, pid(*start), program, now));
            is_loop
        })
    }

    #[test]
    fn a_loop_is_detected_and_a_few_repairs_in_a_row_are_none() {
        let same = |_| 7;
        assert_eq!(limit(&[1], same, 0), Some(5));
        assert_eq!(limit(&[1, 2], same, 0), Some(9));
        assert_eq!(limit(&[1, 2, 3], same, 1), Some(13));
        // The count of other programs begins again with each round.
        assert_eq!(limit(&[1, 2, 3, 4, 5, 6], same, 0), Some(25));
        // Each started by a child of the one before.
        assert_eq!(limit(&[1], |start| start, 0), Some(25));
        assert_eq!(limit(&[1, 2], |start| start, 0), Some(49));
        assert!(
            !RepairCount::after(None, 1, 2, 3).may_be_loop(),
            "no argument list need be hashed after the first repair"
        );
        // A server that re-executes itself now and then.
        assert_eq!(limit(&[1], same, 6), None);
        let different: Vec<u64> = (1..100).collect();
        assert_eq!(limit(&different, same, 0), None);
    }

    #[test]
    fn a_loop_is_detected_after_other_programs() {
        let mut programs: Vec<u64> = vec![100, 101, 102];
        programs.extend([1; 20]);
        assert_eq!(limit(&programs, |_| 7, 0), Some(14));
    }

    #[test]
    fn a_count_that_was_written_is_read_back() {
        let largest = RepairCount {
            pid: u32::MAX,
            program: u64::MAX,
            count: u64::MAX,
            others: u64::MAX,
            since: u64::MAX,
        };
        for again in [largest, RepairCount::after(None, 5, 6, 7)] {
            let mut room = [0; RepairCount::LONGEST];
            let mut text = TextBuffer::new(&mut room);
            again.write(&mut text).expect("room enough");
            assert!(again != largest || text.as_bytes().len() == RepairCount::LONGEST);
            let entry = CStr::from_bytes_with_nul(text.as_bytes()).expect("one NUL").to_bytes();
            let value = entry.strip_prefix(b"RAMPART_AGAIN=").expect("the name");
            assert_eq!(RepairCount::read(value), Some(again));
        }
        for foreign in ["", "1", "1:2:3:4", "a:2:3:4:5", "4294967296:2:3:4:5", "1:2:3:4:"] {
            assert_eq!(RepairCount::read(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn a_count_from_the_future_is_ignored() {
        let last = Some(RepairCount { pid: 7, program: 1, count: 9, others: 0, since: 100 });
        assert!(RepairCount::is_loop(last, 7, 1, 100));
        assert!(!RepairCount::is_loop(last, 7, 1, 99));
        assert_eq!(RepairCount::after(last, 7, 1, 99), RepairCount::after(None, 7, 1, 99));
    }
}
