//! The kinds of parameters: how each is read, shown and written to a file.
//!
//! A kind is the only place that knows a parameter's text form. Whatever reads a
//! value (file, command line, CONFIG SET, the table's own defaults) goes through
//! [`Kind::read`], so that all of them accept the same.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, ffi::OsStr, fs, io};

use super::check::Check;
use super::grammar;
use super::rates::{self, RateLimit};
use super::structured::{self, OomScores, OutputLimits, Primary, SavePoint};
use crate::base::{num, units};

/// Why a value is refused, in the words that clients of Valkey see.
pub(super) type Reason = Cow<'static, str>;

/// The names of an enumeration or of the bits of a set, with their values.
pub(super) type Names = &'static [(&'static str, u64)];

/// A value of some kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A flag (0 or 1), number, choice or set of bits. Wide enough for all of
    /// Valkey's integer types; a percentage of maxmemory is negative.
    Number(i128),
    Text(Arc<[u8]>),
    Addresses(Vec<Arc<[u8]>>),
    Save(Vec<SavePoint>),
    OutputLimits(OutputLimits),
    OomScores(OomScores),
    Primary(Option<Primary>),
    Percentiles(Vec<f64>),
    RateLimits(Vec<RateLimit>),
}

/// How a parameter's text is understood.
pub(super) enum Kind {
    /// `yes` or `no`.
    Flag,
    Number(Number),
    /// One of some names. Two names may share a value; the first is shown.
    Choice(Names),
    /// Any of some names; two of the bits may exclude each other.
    Bits {
        names: Names,
        exclusive: (u64, &'static str),
    },
    /// Letters of `notify-keyspace-events`.
    Events,
    Text(Check),
    /// A folder that exists, kept as an absolute path.
    Folder,
    Addresses,
    Save,
    OutputLimits,
    OomScores,
    Primary,
    Percentiles,
    RateLimits,
}

/// An integer with its range.
pub(super) struct Number {
    pub(super) form: Form,
    pub(super) range: RangeInclusive<i128>,
    /// What becomes of a number within the range: the nearest useful one.
    pub(super) adjust: fn(i128) -> i128,
}

/// The text form of an integer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Decimal,
    Octal,
    /// A size in bytes, with or without a unit.
    Bytes,
    /// A size in bytes, or `n%`, which is kept as `-n`.
    BytesOrPercent,
    /// A size in bytes, or a negative number with a meaning of its own.
    BytesOrNegative,
}

impl Kind {
    /// Whether the value is several words on a line.
    pub(super) fn takes_many(&self) -> bool {
        !matches!(
            self,
            Kind::Flag
                | Kind::Number(_)
                | Kind::Choice(_)
                | Kind::Events
                | Kind::Text(_)
                | Kind::Folder
        )
    }

    /// Whether the lines of a file add up; CONFIG SET replaces what they said.
    pub(super) fn adds_up(&self) -> bool {
        matches!(self, Kind::Save | Kind::RateLimits)
    }

    /// The words of a value given as one text, as CONFIG SET has it.
    pub(super) fn words<'a>(&self, text: &'a [u8]) -> Vec<&'a [u8]> {
        match (self.takes_many(), text) {
            (true, []) => Vec::new(),
            (true, _) => text.split(|&b| b == b' ').collect(),
            (false, _) => vec![text],
        }
    }

    /// Reads a value. What the words leave open, and what they add to, comes
    /// from `base`.
    pub(super) fn read(&self, words: &[&[u8]], base: Option<&Value>) -> Result<Value, Reason> {
        match self {
            Kind::Flag => read_flag(one(words)?),
            Kind::Number(number) => number.read(one(words)?).map(Value::Number),
            Kind::Choice(names) => value_of(names, one(words)?).map(|n| Value::Number(n.into())),
            Kind::Bits { names, exclusive } => read_bits(words, names, *exclusive),
            Kind::Events => {
                structured::read_events(one(words)?).map(|bits| Value::Number(bits.into()))
            }
            Kind::Text(check) => {
                let text = one(words)?;
                check(text)?;
                Ok(Value::Text(text.into()))
            }
            Kind::Folder => read_folder(one(words)?, base).map(Value::Text),
            Kind::Addresses => structured::read_addresses(words).map(Value::Addresses),
            Kind::Save => {
                let base = match base {
                    Some(Value::Save(points)) => points.as_slice(),
                    _ => &[],
                };
                structured::read_save(words, base).map(Value::Save)
            }
            Kind::RateLimits => {
                let base = match base {
                    Some(Value::RateLimits(limits)) => limits.as_slice(),
                    _ => &[],
                };
                rates::read(words, base).map(Value::RateLimits)
            }
            Kind::OutputLimits => {
                let base = match base {
                    Some(Value::OutputLimits(limits)) => *limits,
                    _ => OutputLimits::default(),
                };
                structured::read_output_limits(words, base).map(Value::OutputLimits)
            }
            Kind::OomScores => structured::read_oom_scores(words).map(Value::OomScores),
            Kind::Primary => structured::read_primary(words).map(Value::Primary),
            Kind::Percentiles => structured::read_percentiles(words).map(Value::Percentiles),
        }
    }

    /// The value as CONFIG GET reports it.
    pub(super) fn show(&self, value: &Value) -> Vec<u8> {
        match (self, value) {
            (Kind::Flag, Value::Number(n)) => yes_or_no(*n != 0).into(),
            (Kind::Number(number), Value::Number(n)) => number.show(*n).into(),
            (Kind::Choice(names), Value::Number(n)) => name_of(names, *n).into(),
            (Kind::Bits { names, .. }, Value::Number(n)) => show_bits(names, *n).into(),
            (Kind::Events, Value::Number(n)) => structured::show_events(*n).into(),
            (_, Value::Number(n)) => n.to_string().into(),
            (_, Value::Text(text)) => text.to_vec(),
            (_, Value::Addresses(all)) => all.join(&b' '),
            (_, Value::Save(points)) => structured::show_save(points).into(),
            (_, Value::OutputLimits(limits)) => structured::show_output_limits(limits).into(),
            (_, Value::OomScores(scores)) => scores.map(|n| n.to_string()).join(" ").into(),
            (_, Value::Primary(primary)) => primary.as_ref().map(Primary::show).unwrap_or_default(),
            (_, Value::RateLimits(limits)) => rates::show(limits),
            (_, Value::Percentiles(all)) => structured::show_percentiles(all).into(),
        }
    }

    /// The lines that set the value in a config file; none where it is the
    /// absence of a value.
    pub(super) fn lines(&self, name: &str, value: &Value) -> Vec<Vec<u8>> {
        let line = |text: &[u8]| [name.as_bytes(), b" ", text].concat();
        let quoted = |text: &[u8]| {
            let mut line = line(b"");
            grammar::quote(text, &mut line);
            line
        };
        match (self, value) {
            (Kind::Number(number), Value::Number(n)) => vec![line(number.written(*n).as_bytes())],
            (Kind::OutputLimits, Value::OutputLimits(limits)) => limits
                .each()
                .map(|(class, limit)| line(limit.written(class).as_bytes()))
                .into(),
            (Kind::RateLimits, Value::RateLimits(limits)) if !limits.is_empty() => {
                limits.iter().map(|one| line(&one.written())).collect()
            }
            (Kind::Primary, Value::Primary(None)) => Vec::new(),
            (Kind::Text(_) | Kind::Folder | Kind::Events, _) => vec![quoted(&self.show(value))],
            _ => match self.show(value).as_slice() {
                [] => vec![quoted(b"")],
                text => vec![line(text)],
            },
        }
    }
}

impl Number {
    fn read(&self, text: &[u8]) -> Result<i128, Reason> {
        let n = self.form.read(text)?;
        if !self.range.contains(&n) {
            return Err(self.out_of_range(n).into());
        }
        Ok((self.adjust)(n))
    }

    fn out_of_range(&self, n: i128) -> String {
        let (min, max) = (self.range.start(), self.range.end());
        match self.form {
            Form::BytesOrPercent if n < 0 => {
                format!("percentage argument must be less or equal to {}", -min)
            }
            Form::Octal => format!("argument must be between {min:o} and {max:o} inclusive"),
            _ => format!("argument must be between {min} and {max} inclusive"),
        }
    }

    fn show(&self, n: i128) -> String {
        match self.form {
            Form::Octal => format!("{n:o}"),
            Form::BytesOrPercent if n < 0 => format!("{}%", -n),
            _ => n.to_string(),
        }
    }

    /// As [`show`](Number::show), with a unit where that is exact.
    fn written(&self, n: i128) -> String {
        match (self.form, u64::try_from(n)) {
            (Form::Bytes | Form::BytesOrPercent | Form::BytesOrNegative, Ok(bytes)) => {
                units::show_bytes(bytes)
            }
            _ => self.show(n),
        }
    }
}

impl Form {
    fn read(self, text: &[u8]) -> Result<i128, Reason> {
        let bytes = || units::parse_bytes(text).map(i128::from);
        let percent = || {
            let (b'%', digits) = text.split_last()? else {
                return None;
            };
            let percent = num::parse_i64(digits).filter(|n| *n >= 0)?;
            Some(-i128::from(percent))
        };
        let decimal = || num::parse_i64(text).map(i128::from);
        let (number, reason) = match self {
            Form::Decimal => (decimal(), "argument couldn't be parsed into an integer"),
            Form::Octal => (
                parse_octal(text),
                "argument couldn't be parsed as an octal number",
            ),
            Form::Bytes => (bytes(), "argument must be a memory value"),
            Form::BytesOrPercent => (
                bytes().or_else(percent),
                "argument must be a memory or percent value",
            ),
            Form::BytesOrNegative => (bytes().or_else(decimal), "argument must be a memory value"),
        };
        number.ok_or(reason.into())
    }
}

/// The one word of a value that is not a list.
fn one<'a>(words: &[&'a [u8]]) -> Result<&'a [u8], Reason> {
    match words {
        [word] => Ok(word),
        _ => Err("wrong number of arguments".into()),
    }
}

fn read_flag(word: &[u8]) -> Result<Value, Reason> {
    if word.eq_ignore_ascii_case(b"yes") {
        Ok(Value::Number(1))
    } else if word.eq_ignore_ascii_case(b"no") {
        Ok(Value::Number(0))
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

fn yes_or_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

fn parse_octal(text: &[u8]) -> Option<i128> {
    let digits = std::str::from_utf8(text).ok()?;
    u32::from_str_radix(digits, 8).ok().map(i128::from)
}

fn value_of(names: Names, word: &[u8]) -> Result<u64, Reason> {
    names
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| *value)
        .ok_or_else(|| not_one_of(names))
}

/// The name of a value that came from the same table.
pub(super) fn name_of(names: Names, value: i128) -> &'static str {
    names
        .iter()
        .find(|(_, n)| i128::from(*n) == value)
        .map_or("unknown", |(name, _)| name)
}

fn not_one_of(names: Names) -> Reason {
    let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
    format!(
        "argument(s) must be one of the following: {}",
        names.join(", ")
    )
    .into()
}

fn read_bits(
    words: &[&[u8]],
    names: Names,
    (exclusive, reason): (u64, &'static str),
) -> Result<Value, Reason> {
    if words.is_empty() {
        return Err(not_one_of(names));
    }
    let mut bits = 0;
    for word in words {
        bits |= value_of(names, word)?;
    }
    if exclusive != 0 && bits & exclusive == exclusive {
        return Err(reason.into());
    }
    Ok(Value::Number(bits.into()))
}

/// The names of all bits that are set, or that of no bit at all.
fn show_bits(names: Names, bits: i128) -> String {
    if bits == 0 {
        return name_of(names, 0).to_owned();
    }
    let set = |value: u64| value != 0 && bits & i128::from(value) != 0;
    let names: Vec<_> = names
        .iter()
        .filter(|(_, value)| set(*value))
        .map(|(name, _)| *name)
        .collect();
    names.join(" ")
}

/// The absolute path of a folder, which may be given relative to the one in
/// force. The process's own working folder is not touched.
fn read_folder(text: &[u8], base: Option<&Value>) -> Result<Arc<[u8]>, Reason> {
    if text.is_empty() {
        return Err("dir can't be empty".into());
    }
    let mut path = PathBuf::new();
    if let Some(Value::Text(base)) = base {
        path.push(OsStr::from_bytes(base));
    }
    path.push(OsStr::from_bytes(text));
    let absolute = open_folder(&path).map_err(|error| os_reason(&error))?;
    Ok(absolute.into_os_string().into_vec().into())
}

fn open_folder(path: &Path) -> io::Result<PathBuf> {
    let path = fs::canonicalize(path)?;
    fs::read_dir(&path)?;
    Ok(path)
}

/// The folder that the process was started in; empty where it is gone.
pub(super) fn working_folder() -> Value {
    let path = env::current_dir().unwrap_or_default();
    Value::Text(path.into_os_string().into_vec().into())
}

/// What `strerror` says of an error, without the code that Rust adds to it.
pub(super) fn os_reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(form: Form, range: RangeInclusive<i128>) -> Kind {
        Kind::Number(Number {
            form,
            range,
            adjust: |n| n,
        })
    }

    fn reason(kind: &Kind, text: &str) -> String {
        kind.read(&kind.words(text.as_bytes()), None)
            .expect_err("refused")
            .into_owned()
    }

    fn shown(kind: &Kind, text: &str) -> String {
        let value = kind.read(&kind.words(text.as_bytes()), None).expect(text);
        String::from_utf8(kind.show(&value)).expect("text")
    }

    #[test]
    fn a_number_is_refused_in_the_words_of_valkey() {
        let port = number(Form::Decimal, 0..=65535);
        assert_eq!(
            reason(&port, "01"),
            "argument couldn't be parsed into an integer"
        );
        assert_eq!(
            reason(&port, "65536"),
            "argument must be between 0 and 65535 inclusive"
        );
        let perm = number(Form::Octal, 0..=0o777);
        assert_eq!(
            reason(&perm, "9"),
            "argument couldn't be parsed as an octal number"
        );
        assert_eq!(
            reason(&perm, "1000"),
            "argument must be between 0 and 777 inclusive"
        );
        assert_eq!(shown(&perm, "0750"), "750");
        let share = number(Form::BytesOrPercent, -100..=i64::MAX.into());
        assert_eq!(
            reason(&share, "x%"),
            "argument must be a memory or percent value"
        );
        assert_eq!(
            reason(&share, "-5"),
            "argument must be a memory or percent value"
        );
        assert_eq!(
            reason(&share, "101%"),
            "percentage argument must be less or equal to 100"
        );
        assert_eq!(shown(&share, "100%"), "100%");
        let limit = number(Form::BytesOrNegative, -1..=i64::MAX.into());
        assert_eq!(shown(&limit, "-1"), "-1");
        assert!(reason(&limit, "-2").starts_with("argument must be between -1 and "));
    }

    #[test]
    fn a_size_is_shown_in_bytes_and_written_with_its_unit() {
        let size = number(Form::Bytes, 0..=u64::MAX.into());
        assert_eq!(shown(&size, "700mb"), "734003200");
        assert_eq!(shown(&size, "9223372036854775808"), "9223372036854775808");
        assert_eq!(
            size.lines("maxmemory", &Value::Number(734_003_200)),
            [b"maxmemory 700mb"]
        );
    }

    #[test]
    fn a_set_of_bits_is_shown_in_the_order_of_its_table() {
        let names = &[("default", 0), ("save", 1), ("nosave", 2), ("now", 4)];
        let exclusive = (3, "not both");
        let kind = Kind::Bits { names, exclusive };
        assert_eq!(shown(&kind, "now NOSAVE"), "nosave now");
        assert_eq!(shown(&kind, "default"), "default");
        assert_eq!(reason(&kind, "save nosave"), "not both");
        let all = "argument(s) must be one of the following: default, save, nosave, now";
        assert_eq!(reason(&kind, ""), all);
        assert_eq!(reason(&kind, "save  now"), all);
    }

    #[test]
    fn a_folder_must_exist() {
        assert_eq!(
            reason(&Kind::Folder, "/no/such/folder"),
            "No such file or directory"
        );
        assert_eq!(reason(&Kind::Folder, "/dev/null"), "Not a directory");
        assert_eq!(reason(&Kind::Folder, ""), "dir can't be empty");
        assert_eq!(shown(&Kind::Folder, "/usr/../usr"), "/usr");
    }
}
