//! Numbers and their strict text forms, as Redis reads and writes them.

use super::grisu;

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

/// A double's text, made without allocating: an integer where it is one of up to
/// 62 bits, else few digits that mean the same number, with an exponent where
/// there would be many zeros.
#[derive(Clone, Copy)]
pub struct FloatText {
    text: [u8; Self::BYTES_MAX],
    len: u8,
}

impl FloatText {
    const BYTES_MAX: usize = 32;

    /// The text of `n`, as Redis and Valkey write it.
    pub fn new(n: f64) -> FloatText {
        let mut text = FloatText {
            text: [0; Self::BYTES_MAX],
            len: 0,
        };
        match exact_i64(n) {
            Some(0) if n.is_sign_negative() => text.push(b"-0"),
            Some(int) => text.push(IntText::new(int).as_bytes()),
            None if n.is_nan() => text.push(b"nan"),
            None => {
                if n.is_sign_negative() {
                    text.push(b"-");
                }
                match n.is_infinite() {
                    true => text.push(b"inf"),
                    false => text.push_finite(n.abs()),
                }
            }
        }
        text
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }

    fn push(&mut self, bytes: &[u8]) {
        let at = usize::from(self.len);
        self.text[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }

    fn push_zeros(&mut self, n: usize) {
        (0..n).for_each(|_| self.push(b"0"));
    }

    fn push_finite(&mut self, n: f64) {
        let found = grisu::digits(n);
        let digits = found.as_bytes();
        let (count, power) = (digits.len(), found.power);
        // Of the first digit.
        let exponent = power + count as i32 - 1;
        let magnitude = exponent.unsigned_abs() as usize;
        if power >= 0 && magnitude < count + 7 {
            self.push(digits);
            self.push_zeros(power as usize);
        } else if power < 0 && (power > -7 || magnitude < 4) {
            let whole = usize::try_from(exponent + 1).unwrap_or(0);
            if whole == 0 {
                self.push(b"0.");
                self.push_zeros(power.unsigned_abs() as usize - count);
                self.push(digits);
            } else {
                self.push(&digits[..whole]);
                self.push(b".");
                self.push(&digits[whole..]);
            }
        } else {
            self.push(&digits[..1]);
            if count > 1 {
                self.push(b".");
                self.push(&digits[1..]);
            }
            self.push(if exponent < 0 { b"e-" } else { b"e+" });
            self.push(IntText::unsigned(magnitude as u64).as_bytes());
        }
    }
}

/// A double's text as C's `%.17g` makes it: 17 digits, without zeros at the end,
/// and with an exponent where they would not do.
pub fn text_17g(n: f64) -> String {
    const DIGITS: i64 = 17;
    if n.is_infinite() {
        return String::from_utf8_lossy(FloatText::new(n).as_bytes()).into_owned();
    }
    // As most are: a whole number of no more digits.
    if n.trunc() == n && n.abs() < 1e15 && !(n == 0.0 && n.is_sign_negative()) {
        return (n as i64).to_string();
    }
    let bare = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    let scientific = format!("{n:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent = parse_i64(exponent.as_bytes()).unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let places = (DIGITS - 1 - exponent) as usize;
        bare(&format!("{n:.places$}"))
    } else {
        format!("{}e{exponent:+03}", bare(mantissa))
    }
}

/// The integer that a double is, if it is one of up to 62 bits.
pub fn exact_i64(n: f64) -> Option<i64> {
    const LIMIT: f64 = (i64::MAX / 2) as f64;
    let int = n as i64;
    (n.abs() <= LIMIT && int as f64 == n).then_some(int)
}

/// Reads a double as Redis does: decimal, with an exponent if so wished, or
/// infinite; no surrounding space, no NaN, and nothing that is beyond the range
/// or too small to be told from 0.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let n = parse_f64_saturating(text)?;
    let said = |b: &u8| !matches!(b, b'+' | b'-');
    let is_word = text
        .iter()
        .find(|b| said(b))
        .is_some_and(u8::is_ascii_alphabetic);
    if n.is_infinite() && !is_word {
        return None;
    }
    let mantissa = text.split(|b| matches!(b, b'e' | b'E')).next()?;
    let is_zero = !mantissa.iter().any(|b| matches!(b, b'1'..=b'9'));
    (n != 0.0 || is_zero).then_some(n)
}

/// As [`parse_f64`], but what is beyond the range is infinite, and what is too
/// small is 0.
pub fn parse_f64_saturating(text: &[u8]) -> Option<f64> {
    let n: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
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
    fn a_double_is_written_as_valkey_writes_it() {
        for (n, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-17.0, "-17"),
            (3.1, "3.1"),
            (-0.1, "-0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-5, "0.00001"),
            (0.000_001_5, "1.5e-6"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (1e17, "100000000000000000"),
            (1e18, "1000000000000000000"),
            (1e19, "1e+19"),
            (1.25e20, "1.25e+20"),
            (12_345_678_901_234_567_890.0, "12345678901234567000"),
            (1.5e300, "1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (1234567.891, "1234567.891"),
            (0.000123, "0.000123"),
        ] {
            let written = FloatText::new(n);
            assert_eq!(String::from_utf8_lossy(written.as_bytes()), text);
        }
    }

    #[test]
    fn a_double_is_written_as_c_writes_it() {
        for (n, text) in [
            (0.1, "0.10000000000000001"),
            (-2.5, "-2.5"),
            (-0.0, "-0"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text_17g(n), text);
        }
    }

    proptest! {
        #[test]
        fn a_double_comes_back_from_its_text(bits: u64) {
            let n = f64::from_bits(bits);
            prop_assume!(!n.is_nan());
            let text = FloatText::new(n);
            prop_assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Some(bits));
        }
    }

    #[test]
    fn a_double_is_read_strictly() {
        for (text, n) in [
            ("1", Some(1.0)),
            ("+1.5e3", Some(1500.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("0e-500", Some(0.0)),
            ("1e400", None),
            ("1e-400", None),
            ("nan", None),
            ("", None),
            (" 1", None),
            ("1 ", None),
            ("0x10", None),
            ("1e", None),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), n, "{text:?}");
        }
        assert_eq!(parse_f64_saturating(b"-1e400"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_f64_saturating(b"1e-400"), Some(0.0));
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
