//! The options that SET, GETEX, MSETEX, HSETEX and HGETEX share, in any order.

use std::mem::discriminant;

use crate::base::num;
use crate::exec::spec::{Arg, ArgKind};
use crate::protocol::error::Error;

// How COMMAND DOCS shows them.
pub(super) const SECONDS: Arg = Arg::new("seconds", ArgKind::Integer);
pub(super) const MILLIS: Arg = Arg::new("milliseconds", ArgKind::Integer);
pub(super) const EX: Arg = SECONDS.token("EX");
pub(super) const PX: Arg = MILLIS.token("PX");
pub(super) const EXAT: Arg = Arg::new("unix-time-seconds", ArgKind::UnixTime).token("EXAT");
pub(super) const PXAT: Arg = Arg::new("unix-time-milliseconds", ArgKind::UnixTime).token("PXAT");
pub(super) const KEEPTTL: Arg = Arg::word("keepttl", "KEEPTTL");
pub(super) const PERSIST: Arg = Arg::word("persist", "PERSIST");
pub(super) const NX: Arg = Arg::word("nx", "NX");
pub(super) const XX: Arg = Arg::word("xx", "XX");

/// Which command's options are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    /// NX, XX, IFEQ, GET, KEEPTTL and times.
    Set,
    /// PERSIST and times.
    GetEx,
    /// NX, XX, KEEPTTL and times.
    MsetEx,
    /// NX, XX, FNX, FXX, KEEPTTL and times.
    HsetEx,
    /// PERSIST and times.
    HgetEx,
}

/// On what a write depends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Condition<'a> {
    /// On nothing.
    #[default]
    Always,
    /// NX: there is no such key.
    Absent,
    /// XX: there is one.
    Present,
    /// IFEQ: there is one with this value.
    Equal(&'a [u8]),
}

/// On which fields of a hash a write depends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Fields {
    /// On none.
    #[default]
    Any,
    /// FNX: none of those named is there.
    Absent,
    /// FXX: all of them are there.
    Present,
}

/// What a time is counted in, and from where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// EX: seconds from now.
    Seconds,
    /// PX: milliseconds from now.
    Millis,
    /// EXAT: Unix seconds.
    UnixSeconds,
    /// PXAT: Unix milliseconds.
    UnixMillis,
}

/// What becomes of a key's deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Expiry<'a> {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// A time, not read yet.
    At(Unit, &'a [u8]),
}

/// Options as they were said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Options<'a> {
    pub condition: Condition<'a>,
    pub fields: Fields,
    /// GET: the old value is the reply.
    pub get: bool,
    pub expiry: Expiry<'a>,
}

impl<'a> Options<'a> {
    /// Reads all of `words`; a syntax error where one is unknown, or contradicts
    /// another. The same one may come again; of times, the last counts.
    pub fn parse(takes: Takes, words: &[&'a [u8]]) -> Result<Options<'a>, Error> {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            let mut value = || words.next().copied().ok_or(Error::SYNTAX);
            let reads = matches!(takes, Takes::GetEx | Takes::HgetEx);
            if is(b"EX") {
                options.expire(Expiry::At(Unit::Seconds, value()?))?;
            } else if is(b"PX") {
                options.expire(Expiry::At(Unit::Millis, value()?))?;
            } else if is(b"NX") && !reads {
                options.only_if(Condition::Absent)?;
            } else if is(b"XX") && !reads {
                options.only_if(Condition::Present)?;
            } else if is(b"FNX") && takes == Takes::HsetEx {
                options.only_if_fields(Fields::Absent)?;
            } else if is(b"FXX") && takes == Takes::HsetEx {
                options.only_if_fields(Fields::Present)?;
            } else if is(b"GET") && takes == Takes::Set {
                options.get = true;
            } else if is(b"KEEPTTL") && !reads {
                options.expire(Expiry::Keep)?;
            } else if is(b"PERSIST") && reads {
                options.expire(Expiry::Persist)?;
            } else if is(b"EXAT") {
                options.expire(Expiry::At(Unit::UnixSeconds, value()?))?;
            } else if is(b"PXAT") {
                options.expire(Expiry::At(Unit::UnixMillis, value()?))?;
            } else if is(b"IFEQ") && takes == Takes::Set {
                options.only_if(Condition::Equal(value()?))?;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }

    fn only_if(&mut self, condition: Condition<'a>) -> Result<(), Error> {
        let again = self.condition == condition && !matches!(condition, Condition::Equal(_));
        if self.condition != Condition::Always && !again {
            return Err(Error::SYNTAX);
        }
        self.condition = condition;
        Ok(())
    }

    fn only_if_fields(&mut self, fields: Fields) -> Result<(), Error> {
        if self.fields != Fields::Any && self.fields != fields {
            return Err(Error::SYNTAX);
        }
        self.fields = fields;
        Ok(())
    }

    fn expire(&mut self, expiry: Expiry<'a>) -> Result<(), Error> {
        let again = match (self.expiry, expiry) {
            (Expiry::At(before, _), Expiry::At(unit, _)) => before == unit,
            (before, now) => discriminant(&before) == discriminant(&now),
        };
        if self.expiry != Expiry::Unsaid && !again {
            return Err(Error::SYNTAX);
        }
        self.expiry = expiry;
        Ok(())
    }
}

impl Expiry<'_> {
    /// The deadline in Unix milliseconds, where a time was given to `command`,
    /// which must be `least` or more in its unit.
    #[inline]
    pub fn deadline(self, command: &str, now_ms: u64, least: i64) -> Result<Option<u64>, Error> {
        match self {
            Expiry::At(unit, text) => unit.deadline(text, command, now_ms, least).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether the time is one that means the same at any time and in any unit.
    pub fn is_definite(self) -> bool {
        matches!(self, Expiry::At(Unit::UnixMillis, _))
    }
}

impl Unit {
    /// As [`Expiry::deadline`]. What lies before the start of Unix time is as past
    /// as that.
    pub fn deadline(
        self,
        text: &[u8],
        command: &str,
        now_ms: u64,
        least: i64,
    ) -> Result<u64, Error> {
        let time = num::parse_i64(text).ok_or(Error::NOT_INTEGER)?;
        let in_ms = match self {
            Unit::Seconds | Unit::UnixSeconds => time.checked_mul(1000),
            Unit::Millis | Unit::UnixMillis => Some(time),
        };
        let from = match self {
            Unit::Seconds | Unit::Millis => now_ms,
            Unit::UnixSeconds | Unit::UnixMillis => 0,
        };
        in_ms
            .filter(|_| time >= least)
            .and_then(|ms| ms.checked_add_unsigned(from))
            .map(|ms| ms.max(0) as u64)
            .ok_or_else(|| Error::expire_time(command))
    }

    /// A deadline as clients are told of it, in this unit.
    pub fn tell(self, at_ms: u64, now_ms: u64) -> i64 {
        let ms = match self {
            Unit::Seconds | Unit::Millis => at_ms.saturating_sub(now_ms),
            Unit::UnixSeconds | Unit::UnixMillis => at_ms,
        };
        let told = match self {
            Unit::Seconds | Unit::UnixSeconds => ms.saturating_add(500) / 1000,
            Unit::Millis | Unit::UnixMillis => ms,
        };
        told as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse<'a>(takes: Takes, line: &'a str) -> Result<Options<'a>, Error> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        Options::parse(takes, &words)
    }

    /// What Valkey's flags allow, one word after the other.
    fn model(words: &[&str]) -> bool {
        let mut seen: Vec<&str> = Vec::new();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let clashes: &[&str] = match word {
                "NX" => &["XX", "IFEQ"],
                "XX" => &["NX", "IFEQ"],
                "IFEQ" => &["NX", "XX", "IFEQ"],
                "GET" => &[],
                "KEEPTTL" => &["EX", "PX", "EXAT", "PXAT"],
                "EX" => &["KEEPTTL", "PX", "EXAT", "PXAT"],
                "PX" => &["KEEPTTL", "EX", "EXAT", "PXAT"],
                "EXAT" => &["KEEPTTL", "EX", "PX", "PXAT"],
                "PXAT" => &["KEEPTTL", "EX", "PX", "EXAT"],
                _ => return false,
            };
            if clashes.iter().any(|c| seen.contains(c)) {
                return false;
            }
            let takes_value = matches!(word, "EX" | "PX" | "EXAT" | "PXAT" | "IFEQ");
            if takes_value && words.next().is_none() {
                return false;
            }
            seen.push(word);
        }
        true
    }

    proptest! {
        #[test]
        fn options_clash_as_they_do_in_valkey(
            words in proptest::collection::vec(
                proptest::sample::select(&[
                    "NX", "XX", "IFEQ", "GET", "KEEPTTL", "EX", "PX", "EXAT", "PXAT", "PERSIST", "10",
                ][..]),
                0..6,
            ),
        ) {
            let line = words.join(" ");
            prop_assert_eq!(parse(Takes::Set, &line).is_ok(), model(&words), "{}", line);
            prop_assert_eq!(parse(Takes::Set, &line.to_lowercase()).is_ok(), model(&words));
        }
    }

    #[test]
    fn each_command_takes_its_own_options_only() {
        assert!(parse(Takes::GetEx, "persist PERSIST").is_ok());
        for line in [
            "NX",
            "XX",
            "GET",
            "KEEPTTL",
            "IFEQ a",
            "PERSIST EX 1",
            "EX 1 PERSIST",
        ] {
            assert_eq!(parse(Takes::GetEx, line), Err(Error::SYNTAX), "{line}");
        }
        assert!(parse(Takes::MsetEx, "KEEPTTL NX").is_ok());
        for line in ["PERSIST", "GET", "IFEQ a", "KEEPTTL PX 1"] {
            assert_eq!(parse(Takes::MsetEx, line), Err(Error::SYNTAX), "{line}");
        }
    }

    #[test]
    fn of_times_in_one_unit_the_last_counts() {
        let options = parse(Takes::Set, "EX 1 ex 2").expect("options");
        assert_eq!(options.expiry.deadline("set", 7, 1), Ok(Some(2007)));
    }

    #[test]
    fn a_time_is_read_in_its_unit_and_refused_beyond_its_range() {
        let deadline = |line| {
            parse(Takes::Set, line)?
                .expiry
                .deadline("set", 1_000_000, 1)
        };
        assert_eq!(deadline("KEEPTTL"), Ok(None));
        assert_eq!(deadline("EX 5"), Ok(Some(1_005_000)));
        assert_eq!(deadline("PX 5"), Ok(Some(1_000_005)));
        assert_eq!(deadline("EXAT 5"), Ok(Some(5000)));
        assert_eq!(deadline("PXAT 5"), Ok(Some(5)));
        assert_eq!(
            deadline("PXAT 9223372036854775807"),
            Ok(Some(i64::MAX as u64))
        );
        assert_eq!(deadline("EX ten"), Err(Error::NOT_INTEGER));
        for line in [
            "EX 0",
            "PX -1",
            "PXAT 0",
            "EXAT -5",
            "EX 9223372036854775",
            "EX 9223372036854776",
            "PX 9223372036854775807",
            "EXAT 9223372036854776",
        ] {
            assert_eq!(deadline(line), Err(Error::expire_time("set")), "{line}");
        }
    }
}
