//! The command line of `larder simulate`.
//!
//! ```text
//! TRACE [option …] [--variant NAME [option …]] …
//! ```
//!
//! What stands in front of the first `--variant` holds for every variant; what
//! stands behind one holds for that one alone. Where there is no `--variant`, what
//! is given makes the only one.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{self, PathBuf};

use crate::base::{glob, num, units};
use crate::config::{self, Settings, Sources};

/// The variant of a command line that names none.
const ONLY: &str = "as given";
/// Clients that can be simulated.
const CLIENTS_MAX: u64 = 65_536;
/// The largest value: what a server takes by default.
const VALUE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The longest sentinel that is recognised in a reply.
pub const SENTINEL_BYTES_MAX: usize = 64;
/// The longest time, in microseconds: 100 years.
const DURATION_US_MAX: f64 = 100.0 * 365.25 * 86_400e6;

/// What the command line asks for.
#[derive(Debug)]
pub enum Wish {
    /// Explain.
    Help,
    /// Simulate.
    Run(Box<Options>),
}

/// What holds for all variants: the trace, the origin and the output.
#[derive(Debug)]
pub struct Options {
    /// Where the accesses stand; `None` for standard input.
    pub trace: Option<PathBuf>,
    /// Accesses a second where the trace's lines have no times.
    pub rate: Option<f64>,
    /// How often the origin's values change.
    pub updates: Vec<UpdateRule>,
    /// How long the origin takes to answer, in microseconds.
    pub latency_us: u64,
    /// The share of keys that the origin does not have.
    pub absent: f64,
    /// The size of values whose line has none.
    pub value_bytes: u32,
    /// Connections over which the accesses come.
    pub clients: usize,
    /// What makes a run repeat.
    pub seed: u64,
    /// Where the picture goes.
    pub svg: Option<PathBuf>,
    /// Where the figures go for programs.
    pub json: Option<PathBuf>,
    /// What is compared; at least one.
    pub variants: Vec<Variant>,
}

/// The mean time between two changes of a value at the origin.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateRule {
    /// The keys that it is about; `None` for all that no other rule names.
    pub pattern: Option<Vec<u8>>,
    /// In microseconds.
    pub interval_us: u64,
}

/// One way to run the cache.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// What the operator calls it.
    pub name: String,
    /// Config files.
    files: Vec<PathBuf>,
    /// Directives as a config file would have them.
    lines: Vec<Vec<u8>>,
    /// The time to live that the application gives, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// What the application writes for what the origin does not have.
    pub null_value: Option<Vec<u8>>,
}

/// What is wrong with the command line, for the operator.
#[derive(Debug)]
pub struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

fn wrong<T>(text: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong(text.into()))
}

impl Options {
    /// Reads the arguments behind `simulate`.
    ///
    /// # Errors
    ///
    /// The first one that cannot be understood, or does not go with the others.
    pub fn parse(args: &[OsString]) -> Result<Wish, Wrong> {
        if args.iter().any(|a| a == "-h" || a == "--help") {
            return Ok(Wish::Help);
        }
        let mut reader = Reader::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let mut value = |what: &str| match rest.next() {
                Some(value) => Ok(value.as_os_str()),
                None => wrong(format!("{} wants {what}", arg.display())),
            };
            reader.take(arg, &mut value)?;
        }
        reader.finish().map(|options| Wish::Run(Box::new(options)))
    }
}

impl Variant {
    /// The settings of the engine, which has databases enough for the trace.
    ///
    /// # Errors
    ///
    /// What the configuration layer finds wrong.
    pub fn settings(&self, databases: u32) -> Result<Settings, Wrong> {
        let mut options = Vec::new();
        for file in self.files.iter().skip(1) {
            let absolute = path::absolute(file).unwrap_or_else(|_| file.clone());
            let mut line = b"include ".to_vec();
            config::quote(&literal(absolute.as_os_str().as_bytes()), &mut line);
            options.push(line);
        }
        options.extend(self.lines.iter().cloned());
        if databases > 16 {
            options.push(format!("databases {databases}").into_bytes());
        }
        // What depends on real time or on another thread would not repeat.
        options.extend(
            [
                "lazyfree-lazy-eviction no",
                "lazyfree-lazy-expire no",
                "lazyfree-lazy-server-del no",
                "lazyfree-lazy-user-del no",
                "slowlog-log-slower-than -1",
                "commandlog-request-larger-than -1",
                "commandlog-reply-larger-than -1",
                "latency-monitor-threshold 0",
                "latency-tracking no",
            ]
            .map(|line| line.as_bytes().to_vec()),
        );
        let sources = Sources {
            file: self.files.first().cloned(),
            stdin: false,
            options,
        };
        Settings::load(sources).map_err(|error| Wrong(format!("variant '{}': {error}", self.name)))
    }

    /// What the application writes where the origin has nothing: what was said, or
    /// else the first sentinel that a policy names.
    pub fn sentinel(&self, settings: &Settings) -> Option<Vec<u8>> {
        if self.null_value.is_some() {
            return self.null_value.clone();
        }
        let named = |words: &[Vec<u8>]| {
            let at = words
                .iter()
                .position(|w| w.eq_ignore_ascii_case(b"null-value"))?;
            words.get(at + 1).cloned()
        };
        let mut found = settings
            .directives("policy")
            .filter_map(|d| named(&d.args))
            .chain(self.lines.iter().filter_map(|line| {
                let words = config::split(line).ok()?;
                let is_policy = words.first()?.eq_ignore_ascii_case(b"policy");
                named(&words).filter(|_| is_policy)
            }));
        found.find(|s| !s.is_empty() && s.len() <= SENTINEL_BYTES_MAX)
    }
}

/// The command line so far.
struct Reader {
    options: Options,
    trace: Option<OsString>,
    /// What holds for every variant.
    common: Variant,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            options: Options {
                trace: None,
                rate: None,
                updates: Vec::new(),
                latency_us: 50_000,
                absent: 0.0,
                value_bytes: 100,
                clients: 50,
                seed: 1,
                svg: None,
                json: None,
                variants: Vec::new(),
            },
            trace: None,
            common: Variant::default(),
        }
    }
}

/// Takes the next argument, which is what the text says.
type Next<'a> = dyn FnMut(&str) -> Result<&'a OsStr, Wrong> + 'a;

impl Reader {
    fn take(&mut self, arg: &OsStr, next: &mut Next<'_>) -> Result<(), Wrong> {
        let Some(name) = arg.to_str() else {
            return self.take_trace(arg);
        };
        let options = &mut self.options;
        match name {
            "--rate" => {
                let text = next("accesses a second")?;
                options.rate = Some(
                    number(text)
                        .filter(|n| (1e-6..=1e9).contains(n))
                        .ok_or_else(|| {
                            bad(name, text, "a number of accesses a second, at most 1e9")
                        })?,
                );
            }
            "--update-interval" => {
                let text = next("a time such as 10m, or PATTERN=10m")?;
                let bytes = text.as_bytes();
                let (pattern, time) = match bytes.iter().rposition(|&b| b == b'=') {
                    Some(at) => (
                        Some(bytes[..at].to_vec()),
                        OsStr::from_bytes(&bytes[at + 1..]),
                    ),
                    None => (None, text),
                };
                let interval_us = duration_us(time)
                    .filter(|&us| us > 0)
                    .ok_or_else(|| bad(name, text, "a time such as 10m, or PATTERN=10m"))?;
                options.updates.push(UpdateRule {
                    pattern,
                    interval_us,
                });
            }
            "--origin-latency" => {
                let text = next("a time such as 50ms")?;
                options.latency_us =
                    duration_us(text).ok_or_else(|| bad(name, text, "a time such as 50ms"))?;
            }
            "--absent-share" => {
                let text = next("a percentage")?;
                let percent = text.to_str().map(|t| t.strip_suffix('%').unwrap_or(t));
                options.absent = percent
                    .and_then(|t| number(OsStr::new(t)))
                    .filter(|n| (0.0..=100.0).contains(n))
                    .ok_or_else(|| bad(name, text, "a percentage from 0% to 100%"))?
                    / 100.0;
            }
            "--value-bytes" => {
                let text = next("a size")?;
                options.value_bytes = units::parse_bytes(text.as_bytes())
                    .filter(|n| (1..=VALUE_BYTES_MAX).contains(n))
                    .ok_or_else(|| bad(name, text, "a size from 1 to 512mb"))?
                    as u32;
            }
            "--clients" => {
                let text = next("a number")?;
                options.clients = num::parse_u64(text.as_bytes())
                    .filter(|n| (1..=CLIENTS_MAX).contains(n))
                    .ok_or_else(|| bad(name, text, "a number from 1 to 65536"))?
                    as usize;
            }
            "--seed" => {
                let text = next("a number")?;
                options.seed =
                    num::parse_u64(text.as_bytes()).ok_or_else(|| bad(name, text, "a number"))?;
            }
            "--svg" => options.svg = Some(next("a file")?.into()),
            "--json" => options.json = Some(next("a file")?.into()),
            "--variant" => {
                let text = next("a name")?;
                let shown = text.to_str().filter(|t| {
                    (1..=40).contains(&t.chars().count()) && !t.chars().any(char::is_control)
                });
                let name = shown
                    .ok_or_else(|| bad(name, text, "a name of at most 40 characters"))?
                    .to_owned();
                if options.variants.iter().any(|v| v.name == name) {
                    return wrong(format!("there are two variants called '{name}'"));
                }
                let common = self.common.clone();
                options.variants.push(Variant { name, ..common });
            }
            "-" => return self.take_trace(arg),
            _ if !name.starts_with('-') => return self.take_trace(arg),
            _ => return self.take_of_variant(name, next),
        }
        Ok(())
    }

    /// An option of the last variant, or of all.
    fn take_of_variant(&mut self, name: &str, next: &mut Next<'_>) -> Result<(), Wrong> {
        let variants = &mut self.options.variants;
        let variant = variants.last_mut().unwrap_or(&mut self.common);
        match name {
            "--policy" => {
                let mut line = b"policy ".to_vec();
                line.extend_from_slice(next("'NAME PATTERN option value …'")?.as_bytes());
                variant.lines.push(line);
            }
            "--set" => {
                let directive = next("a directive and its value")?.as_bytes().to_vec();
                let value = next("a directive and its value")?;
                let mut line = directive;
                line.push(b' ');
                config::quote(value.as_bytes(), &mut line);
                variant.lines.push(line);
            }
            "--config" => variant.files.push(next("a file")?.into()),
            "--maxmemory" => {
                let text = next("a size")?;
                units::parse_bytes(text.as_bytes())
                    .ok_or_else(|| bad(name, text, "a size such as 100mb"))?;
                let line = [b"maxmemory ", text.as_bytes()].concat();
                variant.lines.push(line);
            }
            "--ttl" => {
                let text = next("a time such as 60s, or 'none'")?;
                variant.ttl_ms = match text.as_bytes() {
                    b"none" => None,
                    _ => Some(
                        duration_us(text)
                            .map(|us| us / 1000)
                            .filter(|&ms| ms > 0)
                            .ok_or_else(|| bad(name, text, "a time such as 60s, or 'none'"))?,
                    ),
                };
            }
            "--null-value" => {
                let text = next("a text")?;
                if !(1..=SENTINEL_BYTES_MAX).contains(&text.len()) {
                    return Err(bad(name, text, "a text of at most 64 bytes"));
                }
                variant.null_value = Some(text.as_bytes().to_vec());
            }
            _ => return wrong(format!("there is no option '{name}'")),
        }
        Ok(())
    }

    fn take_trace(&mut self, arg: &OsStr) -> Result<(), Wrong> {
        match self.trace.replace(arg.to_owned()) {
            Some(first) => wrong(format!(
                "one trace is replayed, but there are '{}' and '{}'",
                first.display(),
                arg.display()
            )),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Options, Wrong> {
        let Some(trace) = self.trace else {
            return wrong("a trace is wanted; '-' stands for standard input");
        };
        self.options.trace = match trace.into_vec() {
            dash if dash == b"-" => None,
            path => Some(OsString::from_vec(path).into()),
        };
        if self.options.variants.is_empty() {
            let name = ONLY.to_owned();
            self.options.variants.push(Variant {
                name,
                ..self.common
            });
        }
        // Before a trace is read, which may take long.
        for variant in &self.options.variants {
            variant.settings(0)?;
        }
        Ok(self.options)
    }
}

/// A pattern that means this path alone.
fn literal(path: &[u8]) -> Vec<u8> {
    let escaped = |part: &[u8]| {
        let mut out = Vec::with_capacity(part.len());
        for &byte in part {
            // In a part without wildcards a backslash is one.
            if !glob::is_literal(part) && matches!(byte, b'*' | b'?' | b'[' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out
    };
    let parts: Vec<_> = path.split(|&b| b == b'/').map(escaped).collect();
    parts.join(&b'/')
}

fn bad(option: &str, text: &OsStr, wanted: &str) -> Wrong {
    Wrong(format!("{option} wants {wanted}, not '{}'", text.display()))
}

fn number(text: &OsStr) -> Option<f64> {
    let is_plain = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-');
    let text = text.to_str().filter(|t| t.bytes().all(|b| is_plain(&b)))?;
    text.parse().ok().filter(|n: &f64| n.is_finite())
}

/// A time in microseconds: a number and its unit, `us`, `ms`, `s`, `m`, `h` or
/// `d`; without one it is in seconds.
fn duration_us(text: &OsStr) -> Option<u64> {
    let text = text.to_str()?;
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.');
    let (number, unit) = text.split_at(digits.count());
    let unit_us = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "" | "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        "d" => 86_400e6,
        _ => return None,
    };
    let us = self::number(OsStr::new(number))? * unit_us;
    (us <= DURATION_US_MAX).then_some(us.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::param;

    fn parse(args: &[&str]) -> Result<Options, String> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        match Options::parse(&args) {
            Ok(Wish::Run(options)) => Ok(*options),
            Ok(Wish::Help) => Err("help".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_stands_in_front_of_the_first_variant_holds_for_all() {
        let options = parse(&[
            "t",
            "--maxmemory",
            "1mb",
            "--ttl",
            "10m",
            "--variant",
            "a",
            "--variant",
            "b",
            "--ttl",
            "1.5s",
            "--set",
            "maxmemory-policy",
            "allkeys-lru",
        ])
        .expect("valid");
        let names: Vec<_> = options.variants.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let ttls: Vec<_> = options.variants.iter().map(|v| v.ttl_ms).collect();
        assert_eq!(ttls, [Some(600_000), Some(1500)]);
        let policy = |v: &Variant| {
            let settings = v.settings(0).expect("valid");
            assert_eq!(settings.int(param::MAXMEMORY), 1 << 20);
            settings.choice_name(param::MAXMEMORY_POLICY)
        };
        assert_eq!(policy(&options.variants[0]), "larder");
        assert_eq!(policy(&options.variants[1]), "allkeys-lru");
    }

    #[test]
    fn without_a_variant_what_is_given_is_the_only_one() {
        let options = parse(&["-", "--ttl", "1h"]).expect("valid");
        assert_eq!(options.trace, None);
        assert_eq!(options.variants.len(), 1);
        assert_eq!(options.variants[0].ttl_ms, Some(3_600_000));
    }

    #[test]
    fn update_intervals_may_be_by_pattern() {
        let options = parse(&[
            "t",
            "--update-interval",
            "a=b*=2d",
            "--update-interval",
            "90",
        ]);
        let rule = |pattern: Option<&str>, interval_us| UpdateRule {
            pattern: pattern.map(|p| p.as_bytes().to_vec()),
            interval_us,
        };
        let expected = [rule(Some("a=b*"), 172_800_000_000), rule(None, 90_000_000)];
        assert_eq!(options.expect("valid").updates, expected);
    }

    #[test]
    fn a_sentinel_is_what_was_said_or_what_a_policy_names() {
        let sentinel = |variant: Variant| {
            let sentinel = variant.sentinel(&Settings::default());
            sentinel.map(|s| String::from_utf8(s).expect("text"))
        };
        let with = |line: &str| Variant {
            lines: vec![line.as_bytes().to_vec()],
            ..Variant::default()
        };
        let policy = "policy all * ttl 10m null-value \"N;\"";
        assert_eq!(sentinel(with(policy)).as_deref(), Some("N;"));
        assert_eq!(sentinel(with("maxmemory 1mb")), None);
        let said = Variant {
            null_value: Some(b"none".to_vec()),
            ..with(policy)
        };
        assert_eq!(sentinel(said).as_deref(), Some("none"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (args, expected) in [
            (&[][..], "a trace is wanted; '-' stands for standard input"),
            (
                &["a", "b"],
                "one trace is replayed, but there are 'a' and 'b'",
            ),
            (&["t", "--ttl"], "--ttl wants a time such as 60s, or 'none'"),
            (
                &["t", "--ttl", "0"],
                "--ttl wants a time such as 60s, or 'none', not '0'",
            ),
            (
                &["t", "--ttl", "5 m"],
                "--ttl wants a time such as 60s, or 'none', not '5 m'",
            ),
            (
                &["t", "--rate", "nan"],
                "--rate wants a number of accesses a second, at most 1e9, not 'nan'",
            ),
            (
                &["t", "--absent-share", "101%"],
                "--absent-share wants a percentage from 0% to 100%, not '101%'",
            ),
            (
                &["t", "--value-bytes", "1gb"],
                "--value-bytes wants a size from 1 to 512mb, not '1gb'",
            ),
            (
                &["t", "--maxmemory", "much"],
                "--maxmemory wants a size such as 100mb, not 'much'",
            ),
            (
                &["t", "--clients", "0"],
                "--clients wants a number from 1 to 65536, not '0'",
            ),
            (
                &["t", "--update-interval", "a*="],
                "--update-interval wants a time such as 10m, or PATTERN=10m, not 'a*='",
            ),
            (
                &["t", "--variant", "a", "--variant", "a"],
                "there are two variants called 'a'",
            ),
            (&["t", "--nonsense"], "there is no option '--nonsense'"),
            (&["t", "--help"], "help"),
        ] {
            assert_eq!(parse(args).err().as_deref(), Some(expected), "{args:?}");
        }
        let refused = parse(&["t", "--variant", "x", "--set", "maxmemory-policy", "best"]);
        let said = refused.expect_err("there is none");
        assert!(
            said.starts_with("variant 'x': ") && said.contains("maxmemory-policy"),
            "{said}"
        );
    }
}
