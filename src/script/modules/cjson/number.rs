//! Numbers as C's `printf` writes them and as its `strtod` reads them, in the C locale.

use crate::base::num::IntText;
use std::io::{Cursor, Write};

/// A double's text as C's `%.*g` makes it: so many digits, at most 14, without zeros at
/// the end, and with an exponent where they would not do.
pub(super) fn append(out: &mut Vec<u8>, n: f64, precision: i32) {
    // As most are: a whole number of no more digits.
    if n.trunc() == n && n.abs() < 10f64.powi(precision) && !(n == 0.0 && n.is_sign_negative()) {
        out.extend_from_slice(IntText::new(n as i64).as_bytes());
        return;
    }
    if n.is_nan() {
        out.extend_from_slice(if n.is_sign_negative() {
            b"-nan"
        } else {
            b"nan"
        });
        return;
    }
    if n.is_sign_negative() {
        out.push(b'-');
    }
    if n.is_infinite() {
        out.extend_from_slice(b"inf");
        return;
    }
    let mut scientific = Cursor::new([0; 32]);
    let places = (precision - 1) as usize;
    // It fits: a digit, a point, 13 digits, and an exponent of at most five characters.
    let _ = write!(scientific, "{:.places$e}", n.abs());
    let written = &scientific.get_ref()[..scientific.position() as usize];
    let at = written.iter().position(|&byte| byte == b'e');
    let (mantissa, exponent) = written.split_at(at.unwrap_or(written.len()));
    let exponent = std::str::from_utf8(&exponent[1..]).map_or(0, |text| text.parse().unwrap_or(0));
    let digits: Vec<u8> = mantissa
        .iter()
        .copied()
        .filter(|&byte| byte != b'.')
        .collect();
    let last = digits.iter().rposition(|&digit| digit != b'0').unwrap_or(0);
    let digits = &digits[..=last];

    if !(-4..precision).contains(&exponent) {
        out.push(digits[0]);
        append_fraction(out, &digits[1..]);
        let sign = if exponent < 0 { '-' } else { '+' };
        // A Vec takes whatever is written.
        let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(
            b'0',
            exponent.unsigned_abs() as usize - 1,
        ));
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        let zeros = whole.saturating_sub(digits.len());
        out.extend_from_slice(&digits[..whole.min(digits.len())]);
        out.extend(std::iter::repeat_n(b'0', zeros));
        append_fraction(out, digits.get(whole..).unwrap_or_default());
    }
}

fn append_fraction(out: &mut Vec<u8>, digits: &[u8]) {
    if !digits.is_empty() {
        out.push(b'.');
        out.extend_from_slice(digits);
    }
}

/// The number that a text begins with, and how many bytes of it are the number's: none
/// where there is no number.
pub(super) fn read(text: &[u8]) -> (f64, usize) {
    let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let (n, bytes) = match &text[signed..] {
        [b'0', b'x' | b'X', rest @ ..] => match read_hexadecimal(rest) {
            Some((n, bytes)) => (n, bytes + 2),
            // Only the zero.
            None => (0.0, 1),
        },
        [b'i' | b'I' | b'n' | b'N', ..] => read_word(&text[signed..]),
        rest => read_decimal(rest),
    };
    match bytes {
        0 => (0.0, 0),
        _ => (if text[0] == b'-' { -n } else { n }, signed + bytes),
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// How many bytes an exponent after its letter takes, if it is one.
fn exponent_bytes(text: &[u8], letter: u8) -> usize {
    if text.first().map(u8::to_ascii_lowercase) != Some(letter) {
        return 0;
    }
    let signed = usize::from(matches!(text.get(1), Some(b'-' | b'+')));
    match digits(&text[1 + signed..]) {
        0 => 0,
        digits => 1 + signed + digits,
    }
}

fn read_decimal(text: &[u8]) -> (f64, usize) {
    let mut bytes = digits(text);
    let mut any = bytes > 0;
    if text.get(bytes) == Some(&b'.') {
        let fraction = digits(&text[bytes + 1..]);
        any |= fraction > 0;
        bytes += 1 + fraction;
    }
    if !any {
        return (0.0, 0);
    }
    bytes += exponent_bytes(&text[bytes..], b'e');
    let number = std::str::from_utf8(&text[..bytes])
        .ok()
        .and_then(|text| text.parse().ok());
    number.map_or((0.0, 0), |n| (n, bytes))
}

fn read_word(text: &[u8]) -> (f64, usize) {
    let begins =
        |word: &[u8]| text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word);
    if begins(b"infinity") {
        (f64::INFINITY, 8)
    } else if begins(b"inf") {
        (f64::INFINITY, 3)
    } else if begins(b"nan(") {
        // Any word may stand in the brackets.
        let word = text[4..]
            .iter()
            .take_while(|&&byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let end = 4 + word.count();
        (
            f64::NAN,
            if text.get(end) == Some(&b')') {
                end + 1
            } else {
                3
            },
        )
    } else if begins(b"nan") {
        (f64::NAN, 3)
    } else {
        (0.0, 0)
    }
}

/// A hexadecimal number after its `0x`, with or without fraction and power of two.
fn read_hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    // The first digits, as a whole number; of the others only whether there is any.
    let (mut digits, mut sticky) = (0u64, false);
    // The power of two that the digits are to be multiplied with.
    let mut power = 0i64;
    let (mut bytes, mut point, mut any) = (0, false, false);
    while let Some(&byte) = text.get(bytes) {
        if let Some(digit) = char::from(byte).to_digit(16) {
            any = true;
            if digits >> 60 == 0 {
                digits = digits << 4 | u64::from(digit);
                power -= if point { 4 } else { 0 };
            } else {
                sticky |= digit != 0;
                power += if point { 0 } else { 4 };
            }
        } else if byte == b'.' && !point {
            point = true;
        } else {
            break;
        }
        bytes += 1;
    }
    if !any {
        return None;
    }
    let exponent = exponent_bytes(&text[bytes..], b'p');
    if exponent > 0 {
        let written = std::str::from_utf8(&text[bytes + 1..bytes + exponent]).unwrap_or_default();
        let beyond = if written.starts_with('-') {
            -1 << 40
        } else {
            1 << 40
        };
        power = power.saturating_add(written.parse().unwrap_or(beyond));
        bytes += exponent;
    }
    Some((scaled(digits, sticky, power), bytes))
}

/// `digits` × 2^`power`, rounded once, to even where it stands between two doubles;
/// `sticky` says that there is more after the digits, of which there are 61 then.
fn scaled(digits: u64, sticky: bool, power: i64) -> f64 {
    const LOWEST_POWER: i64 = -1074;
    if digits == 0 {
        return 0.0;
    }
    let length = i64::from(64 - digits.leading_zeros());
    let dropped = (length - 53).max(LOWEST_POWER - power);
    if dropped > length {
        return 0.0;
    }
    let (kept, power) = match u32::try_from(dropped) {
        Ok(0) | Err(_) => (digits, power),
        Ok(dropped) => {
            let kept = digits.checked_shr(dropped).unwrap_or(0);
            let rest = digits & (u64::MAX >> (64 - dropped));
            let half = 1 << (dropped - 1);
            let up = rest > half || rest == half && (sticky || kept & 1 == 1);
            (kept + u64::from(up), power + i64::from(dropped))
        }
    };
    if power > 1024 {
        return f64::INFINITY;
    }
    // Exact in two steps: what is kept has no bit below the lowest power.
    let half = (power / 2) as i32;
    kept as f64 * 2f64.powi(half) * 2f64.powi(power as i32 - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(n: f64, precision: i32) -> String {
        let mut out = Vec::new();
        append(&mut out, n, precision);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn a_number_has_14_digits_and_an_exponent_where_they_would_not_do() {
        for (n, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333333333333"),
            (100.5, "100.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (99999999999999.0, "99999999999999"),
            (123456789012345.0, "1.2345678901234e+14"),
            (99999999999999.9, "1e+14"),
            (-1e100, "-1e+100"),
            (5e-324, "4.9406564584125e-324"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(written(n, 14), text);
        }
    }

    #[test]
    fn fewer_digits_are_rounded_to_even() {
        assert_eq!(written(2.5, 1), "2");
        assert_eq!(written(3.5, 1), "4");
        assert_eq!(written(0.125, 2), "0.12");
        assert_eq!(written(12.0, 1), "1e+01");
        assert_eq!(written(1234.0, 3), "1.23e+03");
    }

    #[test]
    fn a_number_is_read_as_far_as_it_goes() {
        for (text, n, bytes) in [
            ("12", 12.0, 2),
            ("-0.5e1,", -5.0, 6),
            ("1.x", 1.0, 2),
            ("-.5", -0.5, 3),
            ("1e", 1.0, 1),
            ("1e+", 1.0, 1),
            ("1e999", f64::INFINITY, 5),
            ("1e-999", 0.0, 6),
            ("+7", 7.0, 2),
            ("0x1F", 31.0, 4),
            ("0x", 0.0, 1),
            ("0x.8p1", 1.0, 6),
            ("0x1p", 1.0, 3),
            ("-0x1p-1074", -5e-324, 10),
            ("0x1p-1075", 0.0, 9),
            ("0x1.8p-1075", 5e-324, 11),
            ("0x1fffffffffffff.8", 9007199254740992.0, 18),
            ("0x1p1024", f64::INFINITY, 8),
            ("0x1p-99999999999999999999", 0.0, 25),
            ("infinite", f64::INFINITY, 3),
            ("-Infinity", f64::NEG_INFINITY, 9),
            ("-", 0.0, 0),
            (".", 0.0, 0),
            ("- 1", 0.0, 0),
            ("in", 0.0, 0),
        ] {
            assert_eq!(read(text.as_bytes()), (n, bytes), "{text}");
        }
        assert!(read(b"nan").0.is_nan());
        assert_eq!(read(b"nan(a_1)").1, 8);
        assert_eq!(read(b"nan(a-1)").1, 3);
    }
}
