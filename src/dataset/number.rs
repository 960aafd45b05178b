//! Numbers in text: a strict decimal grammar, fast.
//!
//! `[+-] digits [. digits] [e [+-] digits]` with at least one digit; nothing else is a number, so no hexadecimal, no
//! underscores, no decimal comma, no digits of other scripts. `nan` and `inf` are recognised to be refused by name.

/// Why a token is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Not the grammar.
    Malformed,
    /// NaN, infinite, or beyond a double.
    NonFinite,
    /// More characters than allowed.
    TooLong,
}

/// 10^0 … 10^22 are exact doubles, so that one multiplication or division rounds correctly (Clinger, PLDI 1990).
const POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];
const EXACT: u64 = 1 << 53;
const DIGITS_SAFE: usize = 19;

/// Reads the number at the start of `text`; its value and its length. `text` must hold a byte that ends a number
/// (blank, line end, `#`); the caller checks which one it is.
#[inline]
pub(super) fn decimal(text: &[u8], length_max: usize) -> Result<(f64, usize), Bad> {
    let mut at = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let negative = text.first() == Some(&b'-');
    let start = at;
    let mut mantissa = 0_u64;
    while let Some(digit) = digit(text, at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    let mut digits = at - start;
    let mut scale = 0_usize;
    if text.get(at) == Some(&b'.') {
        at += 1;
        let point = at;
        while let Some(digit) = digit(text, at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        scale = at - point;
        digits += scale;
    }
    if digits == 0 {
        return Err(word(&text[start..]));
    }
    let plain = !matches!(text.get(at), Some(b'e' | b'E'));
    if plain && digits <= DIGITS_SAFE && mantissa <= EXACT && scale < POWERS.len() {
        if at > length_max {
            return Err(Bad::TooLong);
        }
        let value = mantissa as f64 / POWERS[scale];
        return Ok((if negative { -value } else { value }, at));
    }
    if !plain {
        at = exponent(text, at + 1).ok_or(Bad::Malformed)?;
    }
    if at > length_max {
        return Err(Bad::TooLong);
    }
    // fast-float2 knows no leading plus
    let unsigned = &text[usize::from(text[0] == b'+')..at];
    let value: f64 = fast_float2::parse(unsigned).map_err(|_| Bad::Malformed)?;
    if value.is_finite() { Ok((value, at)) } else { Err(Bad::NonFinite) }
}

#[inline]
fn digit(text: &[u8], at: usize) -> Option<u64> {
    let digit = text.get(at)?.wrapping_sub(b'0');
    (digit < 10).then_some(u64::from(digit))
}

fn exponent(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + usize::from(matches!(text.get(start), Some(b'+' | b'-')));
    let first = at;
    while digit(text, at).is_some() {
        at += 1;
    }
    (at > first).then_some(at)
}

fn word(text: &[u8]) -> Bad {
    let end = text.iter().position(|b| !b.is_ascii_alphabetic()).unwrap_or(text.len());
    let is = |word: &str| text[..end].eq_ignore_ascii_case(word.as_bytes());
    if is("nan") || is("inf") || is("infinity") { Bad::NonFinite } else { Bad::Malformed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_double_nearest_to_its_text() {
        for text in [
            "0",
            "-0",
            "1",
            "+1",
            "0.0338672",
            "-12.5",
            "1.",
            ".5",
            "1e3",
            "1E-3",
            "9007199254740993",
            "123456789012345678901234567890",
            "0.1234567890123456789012345",
            "1.7976931348623157e308",
            "4.9e-324",
            "2.2250738585072011e-308",
            "1e-400",
            "8.92778",
        ] {
            let (value, length) = decimal(format!("{text} ").as_bytes(), 64).expect("a number");
            assert_eq!((value.to_bits(), length), (text.parse::<f64>().expect("std reads it").to_bits(), text.len()), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_says_why() {
        for (text, bad) in [
            ("nan", Bad::NonFinite),
            ("-inf", Bad::NonFinite),
            ("Infinity", Bad::NonFinite),
            ("1e999", Bad::NonFinite),
            ("abc", Bad::Malformed),
            ("", Bad::Malformed),
            (".", Bad::Malformed),
            ("1e", Bad::Malformed),
            ("e5", Bad::Malformed),
            ("--1", Bad::Malformed),
        ] {
            assert_eq!(decimal(format!("{text}\n").as_bytes(), 64), Err(bad), "{text}");
        }
        let long = format!("{}\n", "1".repeat(65));
        assert_eq!(decimal(long.as_bytes(), 64), Err(Bad::TooLong));
    }

    proptest::proptest! {
        #[test]
        fn every_double_reads_back_as_itself(bits in proptest::num::f64::NORMAL) {
            let (value, _) = decimal(format!("{bits}\n").as_bytes(), 400).expect("a number");
            assert_eq!(value, bits);
            let (value, _) = decimal(format!("{bits:e}\n").as_bytes(), 400).expect("a number");
            assert_eq!(value, bits);
        }
    }
}
