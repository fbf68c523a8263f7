//! Reads IP addresses. (The linker cannot tell that the standard library's parser never panics;
//! it is the oracle of the tests.)

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::arena::Decimal;

/// Groups of an IPv6 address.
const GROUPS: usize = 8;

/// Reads `127.0.0.1`: four decimal numbers without leading zeros.
#[must_use]
pub fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split(|byte| *byte == b'.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.len() > 1 && part.starts_with(b"0") {
            return None;
        }
        *octet = Decimal::parse(part).and_then(|number| u8::try_from(number).ok())?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Reads `2001:db8::1`. The last two groups may be an IPv4 address (RFC 4291, section 2.2).
#[must_use]
pub fn parse_v6(text: &[u8]) -> Option<Ipv6Addr> {
    let gap = text.windows(2).position(|pair| pair == b"::");
    let mut groups = [0u16; GROUPS];
    match gap {
        None => {
            if read_groups(text, LastPart::MayBeV4, &mut groups)? != GROUPS {
                return None;
            }
        }
        Some(gap) => {
            let (head, tail) = (text.get(..gap)?, text.get(gap.checked_add(2)?..)?);
            let mut behind = [0u16; GROUPS];
            let before = read_groups(head, LastPart::IsAGroup, &mut groups)?;
            let after = read_groups(tail, LastPart::MayBeV4, &mut behind)?;
            // `::` stands for at least one group of zeros.
            let start = GROUPS.checked_sub(after).filter(|start| *start > before)?;
            for (to, from) in groups.get_mut(start..)?.iter_mut().zip(behind) {
                *to = from;
            }
        }
    }
    Some(Ipv6Addr::from(groups))
}

/// What the last part of a run of groups may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastPart {
    MayBeV4,
    IsAGroup,
}

/// Reads groups of digits and returns how many there were.
fn read_groups(text: &[u8], last: LastPart, groups: &mut [u16; GROUPS]) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    let mut count = 0usize;
    let mut slots = groups.iter_mut();
    let mut parts = text.split(|byte| *byte == b':').peekable();
    while let Some(part) = parts.next() {
        let slot = slots.next()?;
        count = count.checked_add(1)?;
        if last == LastPart::MayBeV4 && part.contains(&b'.') && parts.peek().is_none() {
            let [a, b, c, d] = parse_v4(part)?.octets();
            *slot = u16::from_be_bytes([a, b]);
            *slots.next()? = u16::from_be_bytes([c, d]);
            return count.checked_add(1);
        }
        *slot = parse_group(part)?;
    }
    Some(count)
}

fn parse_group(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    text.iter().try_fold(0u16, |sum, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(sum << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_standard_library_reads_them() {
        let pieces = ["", ":", "::", "1", "0", "01", "ffff", "10000", "g", ".", "1.2.3.4", "255"];
        let mut texts: Vec<String> = vec![String::new()];
        for _ in 0..4 {
            let longer = texts.iter().flat_map(|text| pieces.map(|piece| format!("{text}{piece}")));
            texts = longer.collect();
        }
        texts.extend(
            [
                "1:2:3:4:5:6:7:8",
                "1:2:3:4:5:6:7::",
                "::2:3:4:5:6:7:8",
                "1:2:3:4::5:6:7:8",
                "1:2:3:4:5:6:7:8:9",
                "::ffff:10.0.0.1",
                "1:2:3:4:5:6:1.2.3.4",
                "1:2:3:4:5:6:7:1.2.3.4",
                "1.2.3.4::",
                "::1.2.3.4:5",
                "1::2::3",
                ":::",
                "fe80::1%eth0",
                "256.1.1.1",
                "1.2.3",
                "1.2.3.4.5",
                " 1.2.3.4",
                "+1.2.3.4",
            ]
            .map(String::from),
        );
        for text in texts {
            assert_eq!(parse_v4(text.as_bytes()), text.parse().ok(), "{text}");
            assert_eq!(parse_v6(text.as_bytes()), text.parse().ok(), "{text}");
        }
    }
}
