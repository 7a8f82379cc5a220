//! Whole numbers without bound, as far as exact conversions between decimal and
//! binary need them.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// A whole number, not negative. Its limbs come lowest first, and the highest is
/// not 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Big(SmallVec<[u32; 16]>);

/// The largest power of ten in a limb, and its exponent.
const TENS: (u32, usize) = (1_000_000_000, 9);

impl Big {
    /// The number that these decimal digits write.
    pub fn from_digits(digits: impl Iterator<Item = u8>) -> Big {
        let mut big = Big::default();
        let (mut chunk, mut power) = (0, 1);
        for digit in digits {
            chunk = chunk * 10 + u32::from(digit - b'0');
            power *= 10;
            if power == TENS.0 {
                big.multiply_add(power, chunk);
                (chunk, power) = (0, 1);
            }
        }
        big.multiply_add(power, chunk);
        big
    }

    /// `mantissa` times two to the power of `exponent`.
    pub fn scaled(mantissa: u64, exponent: usize) -> Big {
        let mut big = Big(SmallVec::from_slice(&[
            mantissa as u32,
            (mantissa >> 32) as u32,
        ]));
        big.trim();
        big.shift_left(exponent);
        big
    }

    /// Multiplies by ten to the power of `n`.
    pub fn multiply_by_ten_to(&mut self, n: usize) {
        for _ in 0..n / TENS.1 {
            self.multiply_add(TENS.0, 0);
        }
        self.multiply_add(10u32.pow((n % TENS.1) as u32), 0);
    }

    /// Multiplies by `factor`, then adds `term`.
    fn multiply_add(&mut self, factor: u32, term: u32) {
        let mut carry = u64::from(term);
        for limb in &mut self.0 {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    /// Multiplies by two to the power of `n`.
    pub fn shift_left(&mut self, n: usize) {
        if self.is_zero() {
            return;
        }
        if !n.is_multiple_of(32) {
            self.multiply_add(1 << (n % 32), 0);
        }
        self.0.insert_many(0, std::iter::repeat_n(0, n / 32));
    }

    /// Subtracts a number that is not larger.
    pub fn subtract(&mut self, other: &Big) {
        let mut borrow = false;
        for (i, limb) in self.0.iter_mut().enumerate() {
            let term = other.0.get(i).copied().unwrap_or(0);
            let (difference, first) = limb.overflowing_sub(term);
            let (difference, second) = difference.overflowing_sub(borrow.into());
            *limb = difference;
            borrow = first | second;
        }
        debug_assert!(!borrow, "the smaller number is subtracted");
        self.trim();
    }

    /// Number of binary digits; 0 for 0.
    pub fn bits(&self) -> usize {
        let top = self.0.last().map_or(0, |limb| limb.leading_zeros());
        self.0.len() * 32 - top as usize
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The decimal digits.
    pub fn to_decimal(&self) -> String {
        let mut rest = self.clone();
        let mut chunks = Vec::new();
        while !rest.is_zero() {
            let mut remainder = 0;
            for limb in rest.0.iter_mut().rev() {
                let part = remainder << 32 | u64::from(*limb);
                *limb = (part / u64::from(TENS.0)) as u32;
                remainder = part % u64::from(TENS.0);
            }
            rest.trim();
            chunks.push(remainder);
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:09}"));
        }
        text
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

impl Ord for Big {
    fn cmp(&self, other: &Big) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Big {
    fn partial_cmp(&self, other: &Big) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn big(n: u128) -> Big {
        Big::from_digits(n.to_string().bytes())
    }

    proptest! {
        #[test]
        fn arithmetic_agrees_with_the_machines(a in 0u128..1 << 100, b: u64, n in 0usize..60) {
            let (low, high) = (u128::from(b).min(a), u128::from(b).max(a));
            prop_assert_eq!(big(a).to_decimal(), a.to_string());
            prop_assert_eq!(big(a).bits() as u32, 128 - a.leading_zeros());
            prop_assert_eq!(big(a).cmp(&big(b.into())), a.cmp(&b.into()));
            prop_assert_eq!(Big::scaled(b, n), big(u128::from(b) << n));
            let mut difference = big(high);
            difference.subtract(&big(low));
            prop_assert_eq!(difference, big(high - low));
            let mut product = big(b.into());
            product.multiply_by_ten_to(n % 19);
            prop_assert_eq!(product, big(u128::from(b) * 10u128.pow(n as u32 % 19)));
        }
    }

    #[test]
    fn a_number_of_thousands_of_digits_comes_back() {
        let digits: String = (0..4000)
            .map(|i| char::from(b'1' + (i % 9) as u8))
            .collect();
        assert_eq!(Big::from_digits(digits.bytes()).to_decimal(), digits);
        assert_eq!(Big::from_digits("0000".bytes()).to_decimal(), "0");
    }
}
