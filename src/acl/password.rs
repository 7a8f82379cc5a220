//! Passwords: kept as their SHA-256 alone.

use std::hint::black_box;

use sha2::{Digest, Sha256};

use super::wrong::Wrong;

/// The SHA-256 of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password([u8; 32]);

impl Password {
    /// That of a clear text.
    pub fn of(clear: &[u8]) -> Password {
        Password(Sha256::digest(clear).into())
    }

    /// That of 64 lower-case hexadecimal digits.
    pub fn parse(hex: &[u8]) -> Result<Password, Wrong> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        let (pairs, rest) = hex.as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(Wrong::BadDigest);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let value = digit(*high).zip(digit(*low));
            let (high, low) = value.ok_or(Wrong::BadDigest)?;
            *byte = high << 4 | low;
        }
        Ok(Password(bytes))
    }

    /// The digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Whether one of these it is, in a time that does not tell where it differs from
    /// them, nor from which.
    pub fn is_among(&self, others: &[Password]) -> bool {
        let mut found = false;
        for other in others {
            let pairs = self.0.iter().zip(&other.0);
            let differs = pairs.fold(0, |differs, (a, b)| black_box(differs | (a ^ b)));
            found |= black_box(differs) == 0;
        }
        found
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `secret`, by sha256sum.
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn a_password_is_kept_as_its_digest() {
        let password = Password::of(b"secret");
        assert_eq!(password.to_hex(), SECRET);
        assert_eq!(Password::parse(SECRET.as_bytes()), Ok(password.clone()));
        assert_eq!(format!("{password:?}"), "Password");
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let upper = SECRET.to_uppercase();
        let cases = ["", "2b", &SECRET[1..], &upper, &format!("{SECRET}0")];
        for wrong in cases {
            assert_eq!(Password::parse(wrong.as_bytes()), Err(Wrong::BadDigest));
        }
    }

    #[test]
    fn a_password_is_found_wherever_it_stands() {
        let all = [b"a", b"b", b"c"].map(|clear| Password::of(clear));
        for one in &all {
            assert!(one.is_among(&all));
        }
        assert!(!Password::of(b"d").is_among(&all));
        assert!(!Password::of(b"a").is_among(&[]));
    }
}
