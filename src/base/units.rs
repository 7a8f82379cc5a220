//! Memory sizes as people write them in a config file.

use super::num;

const KIB: u64 = 1024;

/// The units that a size may carry, and the bytes each stands for.
const UNITS: [(&[u8], u64); 8] = [
    (b"", 1),
    (b"b", 1),
    (b"k", 1000),
    (b"kb", KIB),
    (b"m", 1000 * 1000),
    (b"mb", KIB * KIB),
    (b"g", 1000 * 1000 * 1000),
    (b"gb", KIB * KIB * KIB),
];

/// Reads a size in bytes: decimal digits, then a unit in any case.
///
/// `k`, `m` and `g` are powers of 1000; `kb`, `mb` and `gb` powers of 1024.
/// `None` for a sign, a space, missing digits, an unknown unit, and a size
/// beyond 64 bits (which Valkey lets wrap around).
///
/// Source: the head of Valkey's `valkey.conf`.
pub fn parse_bytes(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let (_, bytes) = UNITS
        .iter()
        .find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    num::parse_u64(number)?.checked_mul(*bytes)
}

/// The shortest exact text of a size: in `gb`, `mb` or `kb` where it is a
/// multiple of one. [`parse_bytes`] reads it back.
pub fn show_bytes(bytes: u64) -> String {
    for (name, unit) in [("gb", KIB * KIB * KIB), ("mb", KIB * KIB), ("kb", KIB)] {
        if bytes != 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_of_1000_and_of_1024_are_told_apart_in_any_case() {
        assert_eq!(parse_bytes(b"1k"), Some(1000));
        assert_eq!(parse_bytes(b"1kb"), Some(1024));
        assert_eq!(parse_bytes(b"5M"), Some(5_000_000));
        assert_eq!(parse_bytes(b"5mB"), Some(5 * 1024 * 1024));
        assert_eq!(parse_bytes(b"2g"), Some(2_000_000_000));
        assert_eq!(parse_bytes(b"2GB"), Some(2 << 30));
        assert_eq!(parse_bytes(b"7b"), Some(7));
        assert_eq!(parse_bytes(b"007"), Some(7));
        assert_eq!(parse_bytes(b"18446744073709551615"), Some(u64::MAX));
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in [
            "",
            "kb",
            "-1",
            "+1",
            "1 kb",
            " 1",
            "1kbb",
            "1.5gb",
            "1t",
            "12x",
            "18446744073709551616",
            "17179869184gb",
        ] {
            assert_eq!(parse_bytes(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_size_comes_back_from_its_text(bytes: u64, shift in 0u32..40) {
            let bytes = bytes >> shift << shift;
            prop_assert_eq!(parse_bytes(show_bytes(bytes).as_bytes()), Some(bytes));
        }
    }
}
