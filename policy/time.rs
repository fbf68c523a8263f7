//! Times as they are written in a policy file.

use std::time::{Duration, SystemTime};

/// Reads a time as RFC 3339 writes it, or as YAML does: a blank before the hours, fewer digits,
/// a date alone. Where no zone is said it is UTC.
pub(crate) fn read(text: &str) -> Option<SystemTime> {
    let (date, clock) = text.split_once(['T', 't', ' ']).unwrap_or((text, "0:0:0"));
    let (clock, zone) = clock.split_at(clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len()));
    let digits = |text: &str, between: char| {
        let numbers: Vec<String> = text.split(between).map(|it| format!("{it:0>2}")).collect();
        numbers.join(&between.to_string())
    };
    let (date, clock) = (digits(date, '-'), digits(clock.trim(), ':'));
    let time = humantime::parse_rfc3339(&format!("{date}T{clock}Z")).ok()?;
    if matches!(zone, "" | "Z" | "z") {
        return Some(time);
    }
    let (hours, minutes) = zone[1..].split_once(':')?;
    let minutes = hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?;
    let offset = Duration::from_secs(minutes.checked_mul(60).filter(|it| *it < 86_400)?);
    if zone.starts_with('+') { time.checked_sub(offset) } else { time.checked_add(offset) }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_time_is_read_as_it_may_be_written() {
        let same = [
            "2027-01-05T06:07:08Z",
            "2027-01-05t06:07:08z",
            "2027-01-05 06:07:08",
            "2027-1-5 6:7:8",
            "2027-01-05T08:07:08+02:00",
            "2027-01-04T22:37:08.000-07:30",
        ];
        for text in same {
            assert_eq!(read(text), read(same[0]), "{text}");
        }
        assert_eq!(read("2027-01-05"), read("2027-01-05T00:00:00Z"));
        assert!(read("2027-01-05").is_some());
        for text in [
            "",
            "soon",
            "5",
            "2027-13-01",
            "2027-01-05T06:07",
            "2027-01-05T06:07:08+2",
            "2027-01-05T06:07:08+99999999999999999:00",
            "é",
            "2027-01-05T06:07:08é",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
