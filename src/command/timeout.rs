//! How long a command that waits is ready to wait.

use crate::base::float80::Float80;
use crate::base::num;
use crate::protocol::error::Error;

/// The time at which a wait of so many seconds (decimals allowed) is over, in
/// Unix milliseconds; `None` where it never is: after 0 seconds.
pub fn in_seconds(text: &[u8], now_ms: u64) -> Result<Option<u64>, Error> {
    let seconds = Float80::parse(text).ok_or(Error::TIMEOUT_NOT_FLOAT)?;
    let ms = seconds.times_ceil(1000).ok_or(Error::TIMEOUT_RANGE)?;
    deadline(ms, now_ms)
}

/// The time at which a wait of so many milliseconds is over; see [`in_seconds`].
pub fn in_milliseconds(text: &[u8], now_ms: u64) -> Result<Option<u64>, Error> {
    let ms = num::parse_i64(text).ok_or(Error::TIMEOUT_NOT_INTEGER)?;
    deadline(ms, now_ms)
}

fn deadline(ms: i64, now_ms: u64) -> Result<Option<u64>, Error> {
    let ms = u64::try_from(ms).map_err(|_| Error::TIMEOUT_NEGATIVE)?;
    match ms {
        0 => Ok(None),
        ms if ms > i64::MAX as u64 - now_ms => Err(Error::TIMEOUT_RANGE),
        ms => Ok(Some(now_ms + ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_time_or_none_and_says_what_is_wrong_with_it() {
        assert_eq!(in_seconds(b"0", 5), Ok(None));
        assert_eq!(in_seconds(b"1.5", 5), Ok(Some(1505)));
        assert_eq!(in_seconds(b"0.0001", 5), Ok(Some(6)));
        assert_eq!(in_seconds(b"x", 5), Err(Error::TIMEOUT_NOT_FLOAT));
        assert_eq!(in_seconds(b"-1", 5), Err(Error::TIMEOUT_NEGATIVE));
        assert_eq!(in_seconds(b"inf", 5), Err(Error::TIMEOUT_RANGE));
        assert_eq!(
            in_seconds(b"9223372036854775.807", 5),
            Err(Error::TIMEOUT_RANGE)
        );
        assert_eq!(in_milliseconds(b"70", 5), Ok(Some(75)));
        assert_eq!(in_milliseconds(b"1.5", 5), Err(Error::TIMEOUT_NOT_INTEGER));
    }
}
