//! The command line, as valkey-server has it.
//!
//! ```text
//! larder [file] [-] [--name value …]… [-]
//! larder -h | --help | -v | --version
//! ```
//!
//! `-`, first or last, stands for standard input. Every `--name` begins a line of
//! a config file and the values behind it follow on that line; the first of them
//! may itself begin with `--`.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use super::grammar;
use super::load::Sources;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Print the usage.
    Help,
    /// Print the version.
    Version,
    /// Run the server with these settings.
    Run(Sources),
}

/// An option of valkey-server that Larder does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported(&'static str);

impl Invocation {
    /// Reads the arguments, the program's own name not among them.
    ///
    /// # Errors
    ///
    /// `--test-memory` and `--check-system`.
    pub fn parse(args: &[OsString]) -> Result<Invocation, Unsupported> {
        let Some(first) = args.first().map(|arg| arg.as_bytes()) else {
            return Ok(Invocation::Run(Sources::default()));
        };
        match first {
            b"-v" | b"--version" => return Ok(Invocation::Version),
            b"-h" | b"--help" => return Ok(Invocation::Help),
            b"--test-memory" => return Err(Unsupported("--test-memory")),
            b"--check-system" => return Err(Unsupported("--check-system")),
            _ => {}
        }
        let mut sources = Sources::default();
        let mut options = Options::default();
        for (i, arg) in args.iter().enumerate() {
            let bytes = arg.as_bytes();
            let next = args.get(i + 1).map(|arg| arg.as_bytes());
            if i == 0 && !bytes.starts_with(b"-") {
                sources.file = Some(arg.into());
            } else if bytes == b"-" && (i == 0 || next.is_none()) {
                sources.stdin = true;
            } else if options.is_name(bytes) {
                options.begin(bytes, next);
            } else {
                options.add(bytes);
            }
        }
        sources.options = options.lines;
        Ok(Invocation::Run(sources))
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "larder has no {}", self.0)
    }
}

impl std::error::Error for Unsupported {}

/// The lines of a config file that the options make.
#[derive(Default)]
struct Options {
    lines: Vec<Vec<u8>>,
    /// Whether the last line is a name without a value, which the next argument
    /// is, whatever it looks like.
    wants_value: bool,
}

impl Options {
    fn is_name(&self, arg: &[u8]) -> bool {
        !self.wants_value && arg.starts_with(b"--")
    }

    /// Begins a line with `--name`, or `--name value` in one argument.
    fn begin(&mut self, arg: &[u8], next: Option<&[u8]>) {
        let mut line = arg[2..].to_vec();
        self.wants_value = grammar::split(arg).is_ok_and(|words| words.len() == 1);
        // `--save` was once given without a value to switch snapshots off, and
        // scripts still do.
        let ends = next.is_none_or(|next| next.starts_with(b"--"));
        if self.wants_value && ends && arg.eq_ignore_ascii_case(b"--save") {
            line.extend(b" \"\"");
            self.wants_value = false;
        }
        self.lines.push(line);
    }

    /// Adds a value to the last line; without one it begins a line.
    fn add(&mut self, value: &[u8]) {
        if self.lines.is_empty() {
            self.lines.push(Vec::new());
        }
        if let Some(line) = self.lines.last_mut() {
            if !line.is_empty() {
                line.push(b' ');
            }
            grammar::quote(value, line);
        }
        self.wants_value = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Invocation {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        Invocation::parse(&args).expect("an invocation")
    }

    fn options(args: &[&str]) -> Vec<String> {
        let Invocation::Run(sources) = parse(args) else {
            panic!("{args:?} runs nothing");
        };
        let text = |line: Vec<u8>| String::from_utf8(line).expect("text");
        sources.options.into_iter().map(text).collect()
    }

    #[test]
    fn a_first_argument_may_ask_for_help_or_the_version() {
        assert_eq!(parse(&["-h"]), Invocation::Help);
        assert_eq!(parse(&["--help", "x"]), Invocation::Help);
        assert_eq!(parse(&["-v"]), Invocation::Version);
        assert_eq!(parse(&["--version"]), Invocation::Version);
        assert_eq!(parse(&[]), Invocation::Run(Sources::default()));
        let refused = Invocation::parse(&["--check-system".into()]).expect_err("refused");
        assert_eq!(refused.to_string(), "larder has no --check-system");
    }

    #[test]
    fn a_file_comes_first_and_standard_input_first_or_last() {
        let expected = Sources {
            file: Some("a.conf".into()),
            stdin: true,
            options: vec![b"port \"7000\"".to_vec()],
        };
        assert_eq!(
            parse(&["a.conf", "--port", "7000", "-"]),
            Invocation::Run(expected)
        );
        let expected = Sources {
            stdin: true,
            options: vec![b"logfile \"-\"".to_vec(), b"hz \"5\"".to_vec()],
            ..Sources::default()
        };
        assert_eq!(
            parse(&["-", "--logfile", "-", "--hz", "5"]),
            Invocation::Run(expected)
        );
    }

    #[test]
    fn values_follow_their_name() {
        let args = ["--port", "7000", "--save", "60", "1"];
        assert_eq!(options(&args), [r#"port "7000""#, r#"save "60" "1""#]);
        assert_eq!(
            options(&["--maxmemory 1gb", "--hz 5"]),
            ["maxmemory 1gb", "hz 5"]
        );
        assert_eq!(
            options(&["a.conf", "loglevel", "verbose"]),
            [r#""loglevel" "verbose""#]
        );
        assert_eq!(
            options(&["--requirepass", "a b\n"]),
            [r#"requirepass "a b\n""#]
        );
    }

    #[test]
    fn a_value_may_begin_with_two_dashes_but_only_the_first() {
        let args = ["--logfile", "--my-log", "--loglevel", "--bla"];
        assert_eq!(
            options(&args),
            [r#"logfile "--my-log""#, r#"loglevel "--bla""#]
        );
        let args = ["--replicaof", "--host", "--abc"];
        assert_eq!(options(&args), [r#"replicaof "--host""#, "abc"]);
    }

    #[test]
    fn save_without_a_value_switches_snapshots_off() {
        assert_eq!(
            options(&["--save", "--hz", "5"]),
            [r#"save """#, r#"hz "5""#]
        );
        assert_eq!(
            options(&["--hz", "5", "--save"]),
            [r#"hz "5""#, r#"save """#]
        );
        assert_eq!(
            options(&["--save", "", "--hz", "5"]),
            [r#"save """#, r#"hz "5""#]
        );
        assert_eq!(options(&["--port"]), ["port"]);
    }
}
