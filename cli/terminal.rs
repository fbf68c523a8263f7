//! Terminal output: width, colour, and text without control sequences.

use std::io::IsTerminal as _;
use std::time::{SystemTime, UNIX_EPOCH};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The least assumed width. On narrower terminals lines wrap.
const NARROWEST: usize = 30;

/// A colour of the terminal's palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Red,
    Yellow,
    Magenta,
    Dim,
}

/// Where output goes.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// In columns; `None` if lines may be of any length.
    pub width: Option<usize>,
    colours: bool,
}

impl Screen {
    /// The screen of stdout.
    pub fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self { width: None, colours: false };
        }
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Self { width: Some(width.max(NARROWEST)), colours: !set("NO_COLOR") && !dumb }
    }

    /// A screen without colours.
    #[cfg(test)]
    pub fn plain(width: Option<usize>) -> Self {
        Self { width, colours: false }
    }

    /// Whether there are colours.
    pub fn is_coloured(self) -> bool {
        self.colours
    }

    /// The text in its colour, if any.
    pub fn paint_cell(&self, (colour, text): &(Option<Colour>, String)) -> String {
        colour.map_or_else(|| text.clone(), |colour| self.paint(colour, text))
    }

    /// The text in a colour, if there are colours.
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Red => "31",
            Colour::Yellow => "33",
            Colour::Magenta => "35",
            Colour::Dim => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The text with control and invisible characters escaped: a command may contain anything.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if c.is_control() || reorders(c) || c.width() == Some(0) && !is_mark(c) => {
                shown.extend(c.escape_unicode());
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Whether it is a bidirectional control character (Unicode UAX #9).
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether it is a combining mark or variation selector.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}')
}

/// The text in exactly so many columns: padded, or cut and ended with `…`.
pub fn fit(text: &str, columns: usize) -> String {
    let mut shown = cut(text, columns);
    let width = shown.width();
    shown.extend(std::iter::repeat_n(' ', columns.saturating_sub(width)));
    shown
}

/// The text in at most so many columns.
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut width = 0;
    let kept = text.chars().take_while(|c| {
        width += c.width().unwrap_or(0);
        width < columns
    });
    let mut shown: String = kept.collect();
    if columns > 0 {
        shown.push('…');
    }
    shown
}

/// A count of things: `1 file`, `2 files`.
pub fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The width of a text in columns.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A local date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Local {
    year: i32,
    month: i32,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
}

impl Local {
    /// The time in this machine's time zone.
    pub fn of(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let seconds = libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX);
        let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: localtime_r(3) gets two valid pointers.
        unsafe { libc::localtime_r(&raw const seconds, parts.as_mut_ptr()) };
        // SAFETY: if the call failed it is all zeros, which is valid.
        let parts = unsafe { parts.assume_init() };
        Self {
            year: parts.tm_year + 1900,
            month: parts.tm_mon + 1,
            day: parts.tm_mday,
            hour: parts.tm_hour,
            minute: parts.tm_min,
            second: parts.tm_sec,
        }
    }

    /// Whether both are on the same day.
    pub fn is_same_day(self, other: Self) -> bool {
        (self.year, self.month, self.day) == (other.year, other.month, other.day)
    }

    /// `13:04:05`
    pub fn clock(self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    /// `01-02 13:04:05`
    pub fn day_and_clock(self) -> String {
        format!("{:02}-{:02} {}", self.month, self.day, self.clock())
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, fit, harmless, width};

    #[test]
    fn nothing_that_is_shown_does_something_to_the_terminal() {
        for (text, shown) in [
            ("ls -l", "ls -l"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{1b}]0;title\u{7}x", "\\u{1b}]0;title\\u{7}x"),
            ("a\u{202e}b\u{9b}31m", "a\\u{202e}b\\u{9b}31m"),
            ("re\u{301}sume\u{200b}", "re\u{301}sume\\u{200b}"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn text_fits_its_columns_whatever_its_characters_take() {
        for text in ["", "abc", "abcdef", "日本語日本語", "é", "a日b日c"] {
            for columns in 0..9 {
                assert_eq!(width(&fit(text, columns)), columns, "{text} in {columns}");
                assert!(width(&cut(text, columns)) <= columns);
            }
        }
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
