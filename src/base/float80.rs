//! The 80-bit floating point of x86, in software.
//!
//! Redis adds floats as the C compiler's `long double`, which on x86 has a
//! mantissa of 64 bits and an exponent of 15, and shows the sum with 17 digits
//! behind the point. Clients see every bit of that, so it is done here exactly
//! so, on every machine: reading and writing are exact computations rounded
//! once, to nearest, ties to even.
//!
//! ```text
//!   value = ± mantissa × 2^exponent      mantissa: 64 bits, the highest set,
//!                                        unless the exponent is the least
//! ```

use std::fmt;

use super::big::Big;

/// A number of that format; there is no NaN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Float80 {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// Texts of this length and longer are no numbers.
const TEXT_MAX: usize = 5 * 1024;
const EXPONENT_MIN: i32 = -16445;
const EXPONENT_MAX: i32 = 16320;
/// The exponent of what is infinite.
const INFINITE: i32 = i32::MAX;
/// Digits behind the point that are shown.
const DECIMALS: usize = 17;
/// Any number of so many digits fits 64 bits.
const DIGITS_SHORT: usize = 19;
/// Ten to this power fits 60 bits.
const SCALE_SHORT: i64 = 18;

impl Float80 {
    /// Reads decimal and hexadecimal numbers, with or without an exponent, and
    /// `inf`. `None` for all else, which includes NaN, spaces anywhere, texts of
    /// 5 KiB, and numbers too large for the format or so small that only 0 is left.
    pub fn parse(text: &[u8]) -> Option<Float80> {
        if text.len() >= TEXT_MAX {
            return None;
        }
        let (negative, magnitude) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let word = |word: &[u8]| magnitude.eq_ignore_ascii_case(word);
        let number = match magnitude {
            _ if word(b"inf") || word(b"infinity") => Float80 {
                negative: false,
                mantissa: 0,
                exponent: INFINITE,
            },
            [b'0', b'x' | b'X', rest @ ..] => from_hexadecimal(&Numeral::of(rest, 16)?)?,
            _ => from_decimal(&Numeral::of(magnitude, 10)?)?,
        };
        Some(Float80 { negative, ..number })
    }

    /// The sum; `None` where it is infinite or no number.
    pub fn checked_add(self, other: Float80) -> Option<Float80> {
        if self.exponent == INFINITE || other.exponent == INFINITE {
            return None;
        }
        let size = |n: &Float80| (n.exponent, n.mantissa);
        let (large, small) = if size(&self) >= size(&other) {
            (self, other)
        } else {
            (other, self)
        };
        // 63 bits below the mantissa, so that one bit stands for all that the
        // smaller number has further below.
        let distance = large.exponent.abs_diff(small.exponent);
        let wide = u128::from(large.mantissa) << 63;
        let narrow = u128::from(small.mantissa) << 63;
        let aligned = narrow.checked_shr(distance).unwrap_or(0);
        let lost = aligned.checked_shl(distance).unwrap_or(0) != narrow;
        let (negative, sum) = if large.negative == small.negative {
            (large.negative, wide + aligned)
        } else {
            let difference = wide - aligned - u128::from(lost);
            (large.negative && difference != 0, difference)
        };
        let sum = round(sum, large.exponent - 63, lost)?;
        Some(Float80 { negative, ..sum })
    }

    /// Whether it is less than infinity.
    pub fn is_finite(&self) -> bool {
        self.exponent != INFINITE
    }

    /// The product with a whole number, rounded up to one; the least integer for
    /// what is below it, `None` for what is beyond the largest.
    pub fn times_ceil(self, factor: u32) -> Option<i64> {
        let product = match self.exponent {
            INFINITE => self,
            exponent => Float80 {
                negative: self.negative,
                ..round(
                    u128::from(self.mantissa) * u128::from(factor),
                    exponent,
                    false,
                )?
            },
        };
        let mantissa = u128::from(product.mantissa);
        let magnitude = match product.exponent {
            64.. => return product.negative.then_some(i64::MIN),
            n @ 0.. => mantissa << n,
            n => {
                let whole = mantissa.checked_shr(n.unsigned_abs()).unwrap_or(0);
                let is_whole = whole.checked_shl(n.unsigned_abs()).unwrap_or(0) == mantissa;
                whole + u128::from(!product.negative && !is_whole)
            }
        };
        match i64::try_from(magnitude) {
            Ok(n) if product.negative => Some(-n),
            Ok(n) => Some(n),
            Err(_) => product.negative.then_some(i64::MIN),
        }
    }

    /// Whether it is 0.
    fn is_zero(&self) -> bool {
        self.mantissa == 0 && self.exponent != INFINITE
    }
}

impl From<i64> for Float80 {
    fn from(n: i64) -> Float80 {
        let magnitude = u128::from(n.unsigned_abs());
        let number = round(magnitude, 0, false).expect("64 bits fit the mantissa");
        Float80 {
            negative: n < 0,
            ..number
        }
    }
}

/// Fixed-point notation with at most 17 digits behind the point, and no more
/// than it takes.
impl fmt::Display for Float80 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.exponent == INFINITE {
            "inf".to_string()
        } else if self.exponent >= 0 {
            Big::scaled(self.mantissa, self.exponent as usize).to_decimal()
        } else {
            // 64 bits, and 57 for the power of ten.
            let shifted = u128::from(self.mantissa) * 10u128.pow(DECIMALS as u32);
            let units = drop_bits(shifted, self.exponent.unsigned_abs(), false);
            let mut text = format!("{units:0width$}", width = DECIMALS + 1);
            text.insert(text.len() - DECIMALS, '.');
            let end = text.trim_end_matches('0').trim_end_matches('.').len();
            text.truncate(end);
            text
        };
        let sign = if self.negative && text != "0" {
            "-"
        } else {
            ""
        };
        write!(f, "{sign}{text}")
    }
}

/// Divides by two to the power of `n`, to the nearest, ties to even. `sticky`:
/// the true number is a little larger than `bits`.
fn drop_bits(bits: u128, n: u32, sticky: bool) -> u128 {
    if n == 0 {
        return bits;
    }
    let Some(kept) = bits.checked_shr(n) else {
        // Nobody comes with 127 bits or more, so it is less than half.
        return 0;
    };
    let half = 1u128 << (n - 1);
    let rest = bits - (kept << n);
    let up = rest > half || rest == half && (sticky || kept & 1 == 1);
    kept + u128::from(up)
}

/// The positive number next to `bits` times two to the power of `exponent`;
/// `None` where that is beyond the format. `sticky` as in [`drop_bits`].
fn round(bits: u128, exponent: i32, sticky: bool) -> Option<Float80> {
    if bits == 0 {
        return Some(Float80 {
            negative: false,
            mantissa: 0,
            exponent: EXPONENT_MIN,
        });
    }
    let length = 128 - bits.leading_zeros() as i32;
    let drop = (length - 64).max(EXPONENT_MIN - exponent);
    let mut exponent = exponent + drop;
    let mantissa = if drop <= 0 {
        debug_assert!(!sticky, "what was left out is far below the last bit");
        bits << -drop
    } else {
        drop_bits(bits, drop.unsigned_abs(), sticky)
    };
    let mantissa = u64::try_from(mantissa).unwrap_or_else(|_| {
        exponent += 1;
        1 << 63
    });
    (exponent <= EXPONENT_MAX).then_some(Float80 {
        negative: false,
        mantissa,
        exponent,
    })
}

/// The parts of a number's text.
struct Numeral<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Numeral<'a> {
    fn of(text: &'a [u8], base: u32) -> Option<Numeral<'a>> {
        let mark = if base == 16 { b'p' } else { b'e' };
        let end = text
            .iter()
            .position(|b| b.to_ascii_lowercase() == mark)
            .unwrap_or(text.len());
        let (digits, exponent) = text.split_at(end);
        let point = digits.iter().position(|&b| b == b'.');
        let (whole, fraction) = match point {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &[][..]),
        };
        let mut all = whole.iter().chain(fraction);
        let is_digit = |b: &u8| char::from(*b).is_digit(base);
        if (whole.is_empty() && fraction.is_empty()) || !all.all(is_digit) {
            return None;
        }
        Some(Numeral {
            whole,
            fraction,
            exponent: match exponent {
                [] => 0,
                [_, b'-', digits @ ..] => -exponent_of(digits)?,
                [_, b'+', digits @ ..] | [_, digits @ ..] => exponent_of(digits)?,
            },
        })
    }

    /// The digits from the first that is not 0 on.
    fn digits(&self) -> impl Iterator<Item = u8> + Clone {
        let all = self.whole.iter().chain(self.fraction).copied();
        all.skip_while(|&b| b == b'0')
    }
}

/// An exponent's digits; what no text of 5 KiB can make good again stays at 10^9.
fn exponent_of(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0i64, |n, &b| {
        let digit = char::from(b).to_digit(10)?;
        Some((n * 10 + i64::from(digit)).min(1_000_000_000))
    })
}

fn from_hexadecimal(numeral: &Numeral<'_>) -> Option<Float80> {
    // More than the mantissa holds; of the rest only matters whether it is 0.
    const DIGITS: usize = 31;
    let mut bits = 0;
    let mut count = 0;
    let mut sticky = false;
    for b in numeral.digits() {
        let digit = char::from(b).to_digit(16)?;
        if count < DIGITS {
            bits = bits << 4 | u128::from(digit);
        } else {
            sticky |= digit != 0;
        }
        count += 1;
    }
    let left_out = count.saturating_sub(DIGITS) as i64;
    let exponent = numeral.exponent + 4 * (left_out - numeral.fraction.len() as i64);
    let number = round(bits, exponent.clamp(-100_000, 100_000) as i32, sticky)?;
    (bits == 0 || !number.is_zero()).then_some(number)
}

fn from_decimal(numeral: &Numeral<'_>) -> Option<Float80> {
    let count = numeral.digits().count();
    if count == 0 {
        return round(0, 0, false);
    }
    // The value is the digits times ten to the power of `scale`, and so has its
    // first digit at 10^first. The format ends at 1.2e4932 and 3.6e-4951.
    let scale = numeral.exponent - numeral.fraction.len() as i64;
    let first = scale + count as i64 - 1;
    if !(-4955..=4935).contains(&first) {
        return None;
    }
    if count <= DIGITS_SHORT && (-SCALE_SHORT..=SCALE_SHORT).contains(&scale) {
        return from_short(numeral, scale as i32);
    }
    from_long(numeral, scale)
}

/// Where the digits fit 64 bits, and the power of ten 60.
fn from_short(numeral: &Numeral<'_>, scale: i32) -> Option<Float80> {
    let digits = numeral.digits();
    let n = digits.fold(0u64, |n, b| n * 10 + u64::from(b - b'0'));
    let tens = 10u128.pow(scale.unsigned_abs());
    if scale >= 0 {
        return round(u128::from(n) * tens, 0, false);
    }
    // 127 bits by at most 60: the quotient has more than the mantissa.
    let shift = n.leading_zeros() as i32 + 63;
    let above = u128::from(n) << shift;
    round(above / tens, -shift, !above.is_multiple_of(tens))
}

fn from_long(numeral: &Numeral<'_>, scale: i64) -> Option<Float80> {
    let mut above = Big::from_digits(numeral.digits());
    let mut below = Big::scaled(1, 0);
    let tens = scale.unsigned_abs() as usize;
    if scale >= 0 {
        above.multiply_by_ten_to(tens);
    } else {
        below.multiply_by_ten_to(tens);
    }
    let number = round_quotient(above, below)?;
    (!number.is_zero()).then_some(number)
}

/// The number next to `above / below`, neither of which is 0.
fn round_quotient(mut above: Big, mut below: Big) -> Option<Float80> {
    // Shifted so that the quotient has 66 or 67 bits, found one by one.
    const BITS: usize = 66;
    let shift = (BITS + below.bits()) as i32 - above.bits() as i32;
    above.shift_left(usize::try_from(shift).unwrap_or(0));
    below.shift_left(BITS + usize::try_from(-shift).unwrap_or(0));
    let mut quotient = 0;
    for _ in 0..=BITS {
        quotient <<= 1;
        if above >= below {
            above.subtract(&below);
            quotient |= 1;
        }
        above.shift_left(1);
    }
    round(quotient, -shift, !above.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let (a, b) = (Float80::parse(a.as_bytes())?, Float80::parse(b.as_bytes())?);
        Some(a.checked_add(b)?.to_string())
    }

    /// Sums that a C program on x86-64 printed with `%.17Lf`, zeros trimmed.
    #[test]
    fn sums_are_those_of_long_double() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("3.0e3", "200", "3200"),
            ("-5", "5", "0"),
            ("-1e-30", "0", "0"),
            ("17179869185.1", "0.7", "17179869185.79999999888241291"),
            ("1", "-0.99999999999999999", "0.00000000000000001"),
            ("9007199254740993", "0.3", "9007199254740993.2998046875"),
            ("1e20", "1", "100000000000000000000"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("18446744073709551616", "3", "18446744073709551620"),
            ("18446744073709551615", "0.5", "18446744073709551616"),
            ("1e22", "-1e-22", "10000000000000000000000"),
            ("0x1p3", "0x.8", "8.5"),
            ("0X1.FP-2", "+.25", "0.734375"),
            ("1.5e-16", "1.5e-17", "0.00000000000000016"),
            ("1", "3.6e-4951", "1"),
            (
                "-123456789.987654321",
                "1e-9",
                "-123456789.98765432000072906",
            ),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn texts_that_strtold_would_only_read_in_part_are_no_numbers() {
        for text in [
            "", " 1", "1 ", "+", "-", ".", "1e", "1e+", "e5", "0x", "0x.", "0x1p", "0x1p-",
            "1.2.3", "--1", "+-1", "nan", "-nan", "nan(1)", "infinit", "1\0", "0x1g", "1f", "1_0",
            "\t1",
        ] {
            assert_eq!(Float80::parse(text.as_bytes()), None, "{text:?}");
        }
        for text in [
            "0",
            "-0",
            "1.",
            ".5",
            "1.e2",
            "0x1.",
            "0x.1p+1",
            "INF",
            "-Infinity",
        ] {
            assert!(Float80::parse(text.as_bytes()).is_some(), "{text:?}");
        }
    }

    #[test]
    fn seconds_are_milliseconds_rounded_up_as_long_double_rounds() {
        for (seconds, ms) in [
            ("0.1", Some(100)),
            ("1.001", Some(1001)),
            ("0.0011", Some(2)),
            ("1e-4000", Some(1)),
            ("-0.0001", Some(0)),
            ("-0.0011", Some(-1)),
            ("0", Some(0)),
            ("0e20", Some(0)),
            ("9223372036854775.807", Some(i64::MAX)),
            ("9223372036854775.808", None),
            ("1e30", None),
            ("inf", None),
            ("-1e30", Some(i64::MIN)),
            ("-inf", Some(i64::MIN)),
        ] {
            let n = Float80::parse(seconds.as_bytes()).expect("a number");
            assert_eq!(n.times_ceil(1000), ms, "{seconds}");
        }
    }

    #[test]
    fn the_ends_of_the_format_are_found() {
        let digits_of = |text: &str| Float80::parse(text.as_bytes());
        assert!(digits_of("1.18973149535723176502e4932").is_some());
        assert_eq!(digits_of("1.189731495357231766e4932"), None);
        assert_eq!(digits_of("1e4933"), None);
        assert_eq!(digits_of("1e999999999999999999999"), None);
        assert!(digits_of("1.9e-4951").is_some(), "it rounds to the least");
        assert_eq!(digits_of("1.8e-4951"), None, "only 0 is left");
        assert_eq!(digits_of("0x1p-16446"), None, "a tie, and 0 is even");
        assert!(digits_of("0x1.8p-16446").is_some());
        assert!(digits_of("0e999999999999").is_some_and(|n| n.is_zero()));
        let zeros = "0".repeat(5000);
        assert_eq!(digits_of(&format!("0.{zeros}1e5001")), digits_of("1"));
        assert_eq!(digits_of(&format!("1{zeros}e-5000")), digits_of("1"));
        assert_eq!(digits_of(&"1".repeat(5 * 1024)), None, "too long a text");
        let largest = digits_of("0xffffffffffffffffp16320").expect("the largest");
        assert_eq!(largest.checked_add(largest), None);
        assert_eq!(largest.to_string().len(), 4933);
        assert_eq!(digits_of("inf").and_then(|n| n.checked_add(largest)), None);
    }

    proptest! {
        #[test]
        fn whole_numbers_add_up_exactly(a: i64, b: i64) {
            let exact = i128::from(a) + i128::from(b);
            prop_assume!(i64::try_from(exact).is_ok());
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), Some(exact.to_string()));
            let sum = Float80::from(a).checked_add(Float80::from(b)).expect("finite");
            prop_assert_eq!(sum.to_string(), exact.to_string());
        }

        #[test]
        fn short_numbers_are_read_as_long_ones_are(whole in "[0-9]{0,10}", fraction in "[0-9]{0,9}") {
            let text = format!("{whole}.{fraction}");
            if let Some(numeral) = Numeral::of(text.as_bytes(), 10)
                && numeral.digits().next().is_some()
            {
                let scale = -(fraction.len() as i64);
                prop_assert_eq!(from_short(&numeral, scale as i32), from_long(&numeral, scale));
                let scale = whole.len() as i64;
                prop_assert_eq!(from_short(&numeral, scale as i32), from_long(&numeral, scale));
            }
        }

        #[test]
        fn the_order_of_terms_does_not_matter(
            a in "[-+]?[0-9]{1,22}(\\.[0-9]{0,22})?(e[-+]?[0-9]{1,4})?",
            b in "[-+]?[0-9]{1,22}(\\.[0-9]{0,22})?(e[-+]?[0-9]{1,4})?",
        ) {
            prop_assert_eq!(sum(&a, &b), sum(&b, &a));
        }

        #[test]
        fn doubles_are_read_exactly(n in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            let bits = n.to_bits();
            let exponent = (bits >> 52 & 0x7ff) as i32;
            let fraction = bits & ((1 << 52) - 1);
            let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
            let exact = round(mantissa.into(), exponent.max(1) - 1075, false).expect("it fits");
            let exact = Float80 { negative: n < 0.0, ..exact };
            // The shortest text is another number in 80 bits; 800 digits are the number.
            prop_assert_eq!(Float80::parse(format!("{n:.800e}").as_bytes()), Some(exact));
        }

        #[test]
        fn nothing_makes_it_panic(text in "[-+0-9a-fA-FxXpPeE.]{0,40}", other in "[-+0-9eE.]{0,12}") {
            let _ = sum(&text, &other);
        }
    }
}
