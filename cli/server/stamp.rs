//! The time, as the audit has it.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-01-02T03:04:05.678Z`.
const LENGTH: usize = 24;
const MILLISECONDS: std::ops::Range<usize> = 20..23;

/// A time in text. Within one second only the milliseconds are written anew.
#[derive(Default)]
pub struct Stamp {
    second: Option<u64>,
    text: [u8; LENGTH],
}

impl Stamp {
    /// The time in UTC, to the millisecond.
    pub fn now(&mut self) -> &[u8] {
        self.at(SystemTime::now())
    }

    fn at(&mut self, time: SystemTime) -> &[u8] {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs();
        if self.second.replace(second) != Some(second) {
            let whole = UNIX_EPOCH + Duration::from_secs(second);
            // All times before the year 10000 have the same length.
            let _ = write!(&mut self.text[..], "{}", humantime::format_rfc3339_millis(whole));
        }
        let mut rest = since.subsec_millis();
        for digit in self.text[MILLISECONDS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Stamp;

    #[test]
    fn a_time_is_the_same_text_whatever_was_asked_before() {
        let mut stamp = Stamp::default();
        for millis in [0, 1, 999, 1_000, 1_767_323_045_678, 1_767_323_045_007, 1_767_323_046_000] {
            let time = UNIX_EPOCH + Duration::from_millis(millis);
            let expected = humantime::format_rfc3339_millis(time).to_string();
            assert_eq!(stamp.at(time), expected.as_bytes());
        }
    }
}
