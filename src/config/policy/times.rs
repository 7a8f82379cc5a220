//! Times as policies write them: a whole number and a unit.

use crate::base::num;

const UNITS: &[(&str, u64)] = &[
    ("d", 24 * 3600 * 1000),
    ("h", 3600 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// Milliseconds of `500ms`, `30s`, `10m`, `2h`, `1d`; a bare number is seconds.
pub fn read_ms(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        b"" => 1000,
        _ => {
            let found = UNITS
                .iter()
                .find(|(name, _)| unit.eq_ignore_ascii_case(name.as_bytes()));
            found?.1
        }
    };
    num::parse_u64(number)?.checked_mul(unit_ms)
}

/// The same in the largest unit that loses nothing.
pub fn show_ms(ms: u64) -> String {
    match UNITS.iter().find(|(_, unit)| ms.is_multiple_of(*unit)) {
        _ if ms == 0 => "0".into(),
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_shown() {
        for (text, ms) in [
            ("0", 0),
            ("1500ms", 1_500),
            ("90s", 90_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(read_ms(text.as_bytes()), Some(ms));
            assert_eq!(show_ms(ms), text);
        }
        assert_eq!(read_ms(b"30"), Some(30_000));
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1w",
            "99999999999999999999s",
            "9999999999999999d",
        ] {
            assert_eq!(read_ms(text.as_bytes()), None, "{text}");
        }
    }
}
