//! The time, as the audit has it.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The length of `2026-01-02T03:04:05`.
const SECONDS: usize = 19;

/// A time in text. Within one second only the milliseconds are written anew.
#[derive(Default)]
pub struct Stamp {
    second: Option<u64>,
    text: String,
}

impl Stamp {
    /// The time in UTC, to the millisecond.
    pub fn now(&mut self) -> &str {
        self.at(SystemTime::now())
    }

    fn at(&mut self, time: SystemTime) -> &str {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs();
        if self.second.replace(second) != Some(second) {
            let whole = UNIX_EPOCH + Duration::from_secs(second);
            self.text.clear();
            // There is no text for the year 10000.
            let _ = write!(self.text, "{}", humantime::format_rfc3339_seconds(whole));
        }
        self.text.truncate(SECONDS);
        let digit = |place| char::from_digit(since.subsec_millis() / place % 10, 10).unwrap_or('0');
        self.text.extend(['.', digit(100), digit(10), digit(1), 'Z']);
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
            assert_eq!(stamp.at(time), expected);
        }
    }
}
