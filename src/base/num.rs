//! Numbers and their strict text forms, as Redis reads and writes them.

/// An integer's text, at most 20 bytes, made without allocating.
#[derive(Clone, Copy)]
pub struct IntText {
    digits: [u8; 20],
    start: u8,
}

impl IntText {
    /// The decimal text of `n`.
    pub fn new(n: i64) -> IntText {
        let mut text = IntText::unsigned(n.unsigned_abs());
        if n < 0 {
            text.start -= 1;
            text.digits[usize::from(text.start)] = b'-';
        }
        text
    }

    /// The decimal text of `n`.
    pub fn unsigned(mut n: u64) -> IntText {
        let mut digits = [0; 20];
        let mut at = 20;
        while n >= 100 {
            let pair = (n % 100) as usize * 2;
            n /= 100;
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        }
        if n >= 10 {
            at -= 2;
            let pair = n as usize * 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        } else {
            at -= 1;
            digits[at] = b'0' + n as u8;
        }
        IntText {
            digits,
            start: at as u8,
        }
    }

    /// The digits, with their sign.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[usize::from(self.start)..]
    }
}

static PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut i = 0;
    while i < 100 {
        pairs[i * 2] = b'0' + (i / 10) as u8;
        pairs[i * 2 + 1] = b'0' + (i % 10) as u8;
        i += 1;
    }
    pairs
};

/// Reads a signed 64-bit integer in its one canonical form: no sign `+`, no
/// leading zero, no space. `None` for anything else, and out of range.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    if digits[0] == b'0' {
        return (text == b"0").then_some(0);
    }
    let mut n: u64 = 0;
    for &d in digits {
        let d = d.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        n = n * 10 + u64::from(d); // 19 digits fit in 64 bits
    }
    match negative {
        false => i64::try_from(n).ok(),
        true if n <= 1 << 63 => Some((n as i64).wrapping_neg()),
        true => None,
    }
}

/// Reads an unsigned 64-bit integer in decimal digits alone.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a double as Redis does: decimal, exponent, `inf`, `infinity` and hex
/// floats are not needed by its clients, so only what `strtod` and Rust share;
/// no surrounding space, no NaN.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let n: f64 = text.parse().ok()?;
    (!n.is_nan()).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_integer_comes_back_from_its_text(n: i64) {
            prop_assert_eq!(parse_i64(IntText::new(n).as_bytes()), Some(n));
            let (signed, unsigned) = (IntText::new(n), IntText::unsigned(n as u64));
            prop_assert!(signed.as_bytes() == n.to_string().as_bytes());
            prop_assert!(unsigned.as_bytes() == (n as u64).to_string().as_bytes());
        }

        #[test]
        fn only_the_canonical_form_is_an_integer(text in "[-+ 0-9]{0,22}") {
            let canonical = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), canonical);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_read_and_what_lies_beyond_is_refused() {
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_i64(b"9223372036854775808"), None);
        assert_eq!(parse_i64(b"-9223372036854775809"), None);
        assert_eq!(parse_i64(b"-0"), None);
    }
}
