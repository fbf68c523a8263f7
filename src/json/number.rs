//! The grammar of a number (RFC 8259, section 6).

use super::fault::{Fault, NOT_JSON};

#[derive(Debug, Clone, Copy)]
pub enum NumberState {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// The state after `byte`; `None` if the number had ended before it.
pub fn step_number(number: NumberState, byte: u8) -> Result<Option<NumberState>, Fault> {
    let next = match (number, byte) {
        (NumberState::Minus, b'0') => NumberState::Zero,
        (NumberState::Minus, b'1'..=b'9') | (NumberState::Integer, b'0'..=b'9') => {
            NumberState::Integer
        }
        (NumberState::Zero | NumberState::Integer, b'.') => NumberState::Point,
        (NumberState::Point | NumberState::Fraction, b'0'..=b'9') => NumberState::Fraction,
        (NumberState::Zero | NumberState::Integer | NumberState::Fraction, b'e' | b'E') => {
            NumberState::Exponent
        }
        (NumberState::Exponent, b'+' | b'-') => NumberState::ExponentSign,
        (
            NumberState::Exponent | NumberState::ExponentSign | NumberState::ExponentDigits,
            b'0'..=b'9',
        ) => NumberState::ExponentDigits,
        (
            NumberState::Zero
            | NumberState::Integer
            | NumberState::Fraction
            | NumberState::ExponentDigits,
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}',
        ) => return Ok(None),
        _ => return Err(NOT_JSON),
    };
    Ok(Some(next))
}
