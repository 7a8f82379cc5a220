//! Policies: what is to happen to the keys of a pattern. One line each, in the
//! manner of an ACL line:
//!
//! ```text
//! policy NAME PATTERN [option value …]
//! policy courses course:* ttl 10m ttl-max 1h adaptive yes jitter 10% tag course:{1}
//! ```
//!
//! This file is the one place that knows the options: their names, how they are
//! read and shown, and what they are where nobody says.

mod pattern;
mod times;

use std::fmt::Write;

pub use pattern::{Captures, Pattern, Template, escape};
pub use times::{read_ms, show_ms};

use super::grammar;
use crate::base::{hash, num, units};

/// The longest name of a policy, in bytes.
pub const NAME_MAX: usize = 64;
/// Most values of an option that may be given several times.
pub const LIST_MAX: usize = 32;
/// The longest time of any option: ten years, in milliseconds.
pub const TIME_MAX_MS: u64 = 3650 * 24 * 3600 * 1000;
/// The longest grace, in milliseconds: entries know theirs in 32 bits.
pub const STALE_MAX_MS: u64 = u32::MAX as u64;
/// How long a lease lasts under `stale` where `lease` is not said, in milliseconds.
pub const STALE_LEASE_MS: u64 = 5_000;
/// How long an absence is remembered where `null-ttl` is not said, in milliseconds.
pub const NULL_TTL_MS: u64 = 60_000;

/// Whether a policy is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// It is.
    #[default]
    Yes,
    /// It is not: its keys are as any others.
    No,
    /// It counts what it would have changed, and changes nothing.
    Shadow,
}

/// What goes first when memory is full.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Priority {
    /// Before all others.
    Low,
    /// As keys without a policy.
    #[default]
    Normal,
    /// Only where nothing else is left.
    High,
}

/// See the head of this file.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// What it is called, in figures and commands.
    pub name: Box<str>,
    /// Which keys it is for.
    pub pattern: Pattern,
    /// `enabled`.
    pub mode: Mode,
    /// `rollout`: for how many of a hundred of its keys it is in force.
    pub rollout_percent: u8,
    /// `users`: for whom it is in force; for all where there is none.
    pub users: Vec<Box<str>>,
    /// `priority`.
    pub priority: Priority,
    /// `max-memory`: bytes that its keys may take; 0: no bound of their own.
    pub memory_max_bytes: u64,
    /// `ttl`: how long a value lives whose writer does not say; 0: for ever.
    pub ttl_ms: u64,
    /// `ttl-min`; 0: no bound.
    pub ttl_min_ms: u64,
    /// `ttl-max`, which also caps what writers say; 0: no bound.
    pub ttl_max_ms: u64,
    /// `ttl-override`: what writers say is not heard.
    pub ttl_override: bool,
    /// `adaptive`: the lifetime follows the key's own history.
    pub adaptive: bool,
    /// `jitter`: by how much of a hundred a lifetime may be shorter.
    pub jitter_percent: u8,
    /// `idle`: a read begins the lifetime anew.
    pub idle: bool,
    /// `null-ttl`: how long an absence is remembered at most.
    pub null_ttl_ms: u64,
    /// `null-value`: what clients write for something that is not there.
    pub null_values: Vec<Box<[u8]>>,
    /// `null-max`: bytes that remembered absences may take; 0: no bound but the
    /// server's own.
    pub null_max_bytes: u64,
    /// `stale`: how long a value is kept past its lifetime; 0: not at all.
    pub stale_ms: u64,
    /// `lease`: for how long whoever misses is the only one to refill; 0: no lease.
    pub lease_ms: u64,
    /// `lease-wait`: how long others wait for that.
    pub lease_wait_ms: u64,
    /// `fence`: a refill that began before a removal is dropped.
    pub fence: bool,
    /// `tag`: the groups that a key belongs to.
    pub tags: Vec<Template>,
    /// `cascade`: patterns of keys that fall with a key.
    pub cascade: Vec<Template>,
    /// `refresh`: the last part of a lifetime, of a hundred, in which a read has the
    /// key announced for a refill; 0: none.
    pub refresh_percent: u8,
}

/// How an option is read and shown.
struct Field {
    name: &'static str,
    read: fn(&mut Policy, &[u8]) -> Result<(), String>,
    /// Its values; none where they are the default.
    show: fn(&Policy) -> Vec<String>,
}

macro_rules! field {
    (time $name:literal $field:ident $default:expr) => {
        Field {
            name: $name,
            read: |p, text| {
                p.$field = time(text)?;
                Ok(())
            },
            show: |p| match p.$field {
                ms if ms == $default => Vec::new(),
                ms => vec![show_ms(ms)],
            },
        }
    };
    (flag $name:literal $field:ident) => {
        Field {
            name: $name,
            read: |p, text| {
                p.$field = flag(text)?;
                Ok(())
            },
            show: |p| p.$field.then(|| "yes".into()).into_iter().collect(),
        }
    };
    (bytes $name:literal $field:ident) => {
        Field {
            name: $name,
            read: |p, text| {
                p.$field = units::parse_bytes(text).ok_or("it must be a number of bytes")?;
                Ok(())
            },
            show: |p| match p.$field {
                0 => Vec::new(),
                bytes => vec![units::show_bytes(bytes)],
            },
        }
    };
    (percent $name:literal $field:ident $default:literal) => {
        Field {
            name: $name,
            read: |p, text| {
                p.$field = percent(text)?;
                Ok(())
            },
            show: |p| match p.$field {
                $default => Vec::new(),
                n => vec![format!("{n}%")],
            },
        }
    };
    (templates $name:literal $field:ident) => {
        Field {
            name: $name,
            read: |p, text| {
                let template = Template::parse(text, p.pattern.stars())?;
                add(&mut p.$field, template)
            },
            show: |p| p.$field.iter().map(|t| quoted(t.text())).collect(),
        }
    };
}

/// Every option, in the order in which a policy is shown.
const FIELDS: &[Field] = &[
    Field {
        name: "enabled",
        read: |p, text| {
            p.mode = choice(
                text,
                &[
                    ("yes", Mode::Yes),
                    ("no", Mode::No),
                    ("shadow", Mode::Shadow),
                ],
            )?;
            Ok(())
        },
        show: |p| match p.mode {
            Mode::Yes => Vec::new(),
            Mode::No => vec!["no".into()],
            Mode::Shadow => vec!["shadow".into()],
        },
    },
    field!(percent "rollout" rollout_percent 100),
    Field {
        name: "users",
        read: |p, text| {
            for name in text.split(|&b| b == b',').filter(|n| !n.is_empty()) {
                let name = std::str::from_utf8(name).map_err(|_| "a user's name is text")?;
                add(&mut p.users, name.into())?;
            }
            // A list that names nobody is not one that lets everybody in.
            match p.users.is_empty() {
                true => Err("it names nobody".into()),
                false => Ok(()),
            }
        },
        show: |p| match p.users.is_empty() {
            true => Vec::new(),
            false => vec![quoted(p.users.join(",").as_bytes())],
        },
    },
    Field {
        name: "priority",
        read: |p, text| {
            p.priority = choice(
                text,
                &[
                    ("low", Priority::Low),
                    ("normal", Priority::Normal),
                    ("high", Priority::High),
                ],
            )?;
            Ok(())
        },
        show: |p| match p.priority {
            Priority::Low => vec!["low".into()],
            Priority::Normal => Vec::new(),
            Priority::High => vec!["high".into()],
        },
    },
    field!(bytes "max-memory" memory_max_bytes),
    field!(time "ttl" ttl_ms 0),
    field!(time "ttl-min" ttl_min_ms 0),
    field!(time "ttl-max" ttl_max_ms 0),
    field!(flag "ttl-override" ttl_override),
    field!(flag "adaptive" adaptive),
    field!(percent "jitter" jitter_percent 0),
    field!(flag "idle" idle),
    field!(time "null-ttl" null_ttl_ms NULL_TTL_MS),
    Field {
        name: "null-value",
        read: |p, text| match text.len() {
            0 => Err("an empty value stands for no absence".into()),
            n if n > pattern::TEXT_MAX => Err(format!(
                "a value that stands for absence has {} bytes at most",
                pattern::TEXT_MAX
            )),
            _ => add(&mut p.null_values, text.into()),
        },
        show: |p| p.null_values.iter().map(|v| quoted(v)).collect(),
    },
    field!(bytes "null-max" null_max_bytes),
    field!(time "stale" stale_ms 0),
    field!(time "lease" lease_ms 0),
    field!(time "lease-wait" lease_wait_ms 0),
    field!(flag "fence" fence),
    field!(templates "tag" tags),
    field!(templates "cascade" cascade),
    field!(percent "refresh" refresh_percent 0),
];

impl Policy {
    /// Reads a policy: its name, its pattern, and options with a value each. Says
    /// why it is none.
    pub fn parse<W: AsRef<[u8]>>(words: &[W]) -> Result<Policy, String> {
        let [name, pattern, options @ ..] = words else {
            return Err("a policy has a name and a pattern".into());
        };
        let mut policy = Policy::new(name.as_ref(), pattern.as_ref())?;
        let mut seen = Vec::new();
        let mut options = options.iter();
        while let Some(name) = options.next() {
            let name = name.as_ref();
            let shown = String::from_utf8_lossy(name).into_owned();
            let field = FIELDS
                .iter()
                .find(|f| f.name.as_bytes().eq_ignore_ascii_case(name))
                .ok_or_else(|| format!("there is no option '{}'", shorten(&shown)))?;
            let value = options
                .next()
                .ok_or_else(|| format!("option '{}' has no value", field.name))?;
            let is_list = ["users", "null-value", "tag", "cascade"].contains(&field.name);
            if seen.contains(&field.name) && !is_list {
                return Err(format!("option '{}' is given twice", field.name));
            }
            seen.push(field.name);
            (field.read)(&mut policy, value.as_ref())
                .map_err(|why| format!("option '{}': {why}", field.name))?;
        }
        policy.check()?;
        Ok(policy)
    }

    fn new(name: &[u8], pattern: &[u8]) -> Result<Policy, String> {
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:".contains(b);
        if name.is_empty() || name.len() > NAME_MAX || !name.iter().all(is_word) {
            return Err(format!(
                "a policy's name has 1 to {NAME_MAX} letters, digits and -_.:"
            ));
        }
        Ok(Policy {
            name: String::from_utf8_lossy(name).into(),
            pattern: Pattern::parse(pattern)?,
            mode: Mode::Yes,
            rollout_percent: 100,
            users: Vec::new(),
            priority: Priority::Normal,
            memory_max_bytes: 0,
            ttl_ms: 0,
            ttl_min_ms: 0,
            ttl_max_ms: 0,
            ttl_override: false,
            adaptive: false,
            jitter_percent: 0,
            idle: false,
            null_ttl_ms: NULL_TTL_MS,
            null_values: Vec::new(),
            null_max_bytes: 0,
            stale_ms: 0,
            lease_ms: 0,
            lease_wait_ms: 0,
            fence: false,
            tags: Vec::new(),
            cascade: Vec::new(),
            refresh_percent: 0,
        })
    }

    /// What holds between options.
    fn check(&self) -> Result<(), String> {
        if self.ttl_max_ms > 0 && self.ttl_min_ms > self.ttl_max_ms {
            return Err("ttl-min is above ttl-max".into());
        }
        if self.ttl_ms > 0 && self.ttl_min_ms > self.ttl_ms {
            return Err("ttl is below ttl-min".into());
        }
        if self.ttl_max_ms > 0 && self.ttl_ms > self.ttl_max_ms {
            return Err("ttl is above ttl-max".into());
        }
        if self.adaptive && self.ttl_ms == 0 {
            return Err("adaptive needs a ttl to begin with".into());
        }
        if self.adaptive && self.idle {
            return Err("adaptive and idle exclude each other".into());
        }
        if self.ttl_override && self.ttl_ms == 0 {
            return Err("ttl-override needs a ttl".into());
        }
        if self.idle && self.stale_ms > 0 {
            return Err("idle and stale exclude each other".into());
        }
        if self.stale_ms > STALE_MAX_MS {
            return Err("stale is 49 days at most".into());
        }
        if self.lease_wait_ms > 0 && self.effective_lease_ms() == 0 {
            return Err("lease-wait needs a lease".into());
        }
        Ok(())
    }

    /// How long a lease lasts; 0 where there is none.
    #[inline]
    pub fn effective_lease_ms(&self) -> u64 {
        match (self.lease_ms, self.stale_ms) {
            (0, 1..) => STALE_LEASE_MS,
            (lease, _) => lease,
        }
    }

    /// Whether it is in force for every key and client.
    #[inline]
    pub fn is_for_all(&self) -> bool {
        self.mode == Mode::Yes && self.rollout_percent == 100 && self.users.is_empty()
    }

    /// Whether it is in force for every key and client, and a read within the lifetime
    /// has no consequence.
    #[inline]
    pub fn only_reads(&self) -> bool {
        self.is_for_all() && self.refresh_percent == 0 && !self.idle
    }

    /// Whether it is in force for every key and client, and a refill has no consequence
    /// but its deadline.
    #[inline]
    pub fn only_dates(&self) -> bool {
        self.is_for_all()
            && !self.adaptive
            && self.null_values.is_empty()
            && self.memory_max_bytes == 0
    }

    /// Where of a hundred a key stands; it is among the first P of `rollout P%` or not.
    /// The same in every process: who restarts, or another node, rolls out to the same
    /// keys.
    pub fn rollout_place(key: &[u8]) -> u64 {
        hash::spread(hash::lasting_digest(key)) % 100
    }

    /// Whether it has come to a key.
    #[inline]
    pub fn has_come_to(&self, key: &[u8]) -> bool {
        self.rollout_percent >= 100 || Policy::rollout_place(key) < self.rollout_percent.into()
    }

    /// The options that are not what they would be by default, each with a value,
    /// as [`Policy::parse`] reads them.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        let of = |field: &'static Field| {
            let values = (field.show)(self);
            values.into_iter().map(|value| (field.name, value))
        };
        FIELDS.iter().flat_map(of).collect()
    }

    /// Every option with its value in force, the defaults too.
    pub fn all_options(&self) -> Vec<(&'static str, String)> {
        let default = |name: &str| match name {
            "enabled" => "yes",
            "rollout" => "100%",
            "priority" => "normal",
            "jitter" | "refresh" => "0%",
            "null-ttl" => "1m",
            "ttl-override" | "adaptive" | "idle" | "fence" => "no",
            "users" | "null-value" | "tag" | "cascade" => "",
            _ => "0",
        };
        let of = |field: &'static Field| match (field.show)(self) {
            values if values.is_empty() => vec![(field.name, default(field.name).to_string())],
            values => values.into_iter().map(|v| (field.name, v)).collect(),
        };
        FIELDS.iter().flat_map(of).collect()
    }

    /// The words behind `policy` that make it again.
    pub fn line(&self) -> String {
        let mut line = format!("{} {}", self.name, quoted(self.pattern.text()));
        for (name, value) in self.options() {
            // Writing to a string cannot fail.
            let _ = write!(line, " {name} {value}");
        }
        line
    }

    /// The same as words.
    pub fn words(&self) -> Vec<Vec<u8>> {
        grammar::split(self.line().as_bytes()).expect("it quotes what has to be")
    }
}

/// A word as the configuration's grammar reads it.
fn quoted(bytes: &[u8]) -> String {
    let is_plain = |b: &u8| b.is_ascii_graphic() && !b"\"'\\#".contains(b);
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = Vec::new();
    grammar::quote(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

fn add<T>(list: &mut Vec<T>, value: T) -> Result<(), String> {
    if list.len() == LIST_MAX {
        return Err(format!("there are more than {LIST_MAX}"));
    }
    list.push(value);
    Ok(())
}

fn choice<T: Copy>(text: &[u8], names: &[(&str, T)]) -> Result<T, String> {
    let found = names
        .iter()
        .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(text));
    match found {
        Some((_, value)) => Ok(*value),
        None => {
            let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            Err(format!("it must be one of: {}", names.join(", ")))
        }
    }
}

fn flag(text: &[u8]) -> Result<bool, String> {
    choice(text, &[("yes", true), ("no", false)])
}

fn time(text: &[u8]) -> Result<u64, String> {
    match read_ms(text) {
        Some(ms) if ms <= TIME_MAX_MS => Ok(ms),
        Some(_) => Err("a time is ten years at most".into()),
        None => Err("it must be a time: 500ms, 30s, 10m, 2h, 1d, 0".into()),
    }
}

fn percent(text: &[u8]) -> Result<u8, String> {
    let digits = text.strip_suffix(b"%").unwrap_or(text);
    num::parse_u64(digits)
        .and_then(|n| u8::try_from(n).ok())
        .filter(|n| *n <= 100)
        .ok_or_else(|| "it must be 0% to 100%".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Policy, String> {
        Policy::parse(&line.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn who_is_in_a_rollout_does_not_depend_on_the_process() {
        let place = |key: &str| Policy::rollout_place(key.as_bytes());
        // As any other process has them, on any machine.
        let places = ["user:1", "user:2", "cart:1", ""].map(place);
        assert_eq!(places, [60, 75, 80, 2]);
        let mut policy = Policy::parse(&["p", "*", "rollout", "50%"]).expect("a policy");
        let keys: Vec<String> = (0..1000).map(|n| format!("user:{n}")).collect();
        let mut before = 0;
        for percent in [0, 1, 25, 50, 99, 100] {
            policy.rollout_percent = percent;
            let is_in = |key: &&String| policy.has_come_to(key.as_bytes());
            let now = keys.iter().filter(is_in).count();
            assert!(now >= before && now.abs_diff(usize::from(percent) * 10) < 60);
            before = now;
        }
    }

    #[test]
    fn a_policy_is_shown_in_the_words_that_make_it_again() {
        let line = "courses course:* enabled shadow rollout 5% users a,b priority high \
                    max-memory 10mb ttl 10m ttl-min 1s ttl-max 1h ttl-override yes \
                    adaptive yes jitter 10% null-ttl 5s null-value __NULL__ null-value N; \
                    null-max 1mb stale 30s lease 2s lease-wait 1500ms fence yes \
                    tag course:{1} cascade list:{1}:* refresh 20%";
        let line: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let policy = parse(&line).expect("a policy");
        assert_eq!(policy.line(), line);
        assert_eq!(parse(&policy.line()), Ok(policy));
        assert_eq!(parse("p *").expect("a policy").line(), "p *");
    }

    #[test]
    fn all_options_are_named_with_the_values_in_force() {
        let policy = parse("p a:* ttl 90s").expect("a policy");
        let all = policy.all_options();
        assert_eq!(all.len(), FIELDS.len());
        let mut words = vec!["p".to_string(), "a:*".to_string()];
        for (name, value) in all.into_iter().filter(|(_, value)| !value.is_empty()) {
            words.extend([name.to_string(), value]);
        }
        assert_eq!(Policy::parse(&words), Ok(policy));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, why) in [
            ("p", "a name and a pattern"),
            ("a/b *", "name"),
            ("p * colour red", "no option 'colour'"),
            ("p * ttl", "'ttl' has no value"),
            ("p * ttl 1s ttl 2s", "twice"),
            ("p * ttl soon", "must be a time"),
            ("p * ttl 99999d", "ten years"),
            ("p * jitter 101%", "0% to 100%"),
            ("p * enabled maybe", "yes, no, shadow"),
            ("p a:* tag {2}", "'{2}' does not exist"),
            ("p * ttl-min 2s ttl-max 1s", "above"),
            ("p * users ,", "names nobody"),
            ("p * stale 50d", "49 days at most"),
            ("p * adaptive yes", "needs a ttl"),
            ("p * lease-wait 1s", "needs a lease"),
            ("p a[ ttl 1s", "not closed"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
