//! Reading the settings at start: a file and what it includes, standard input,
//! then the command line. The last line that sets a parameter wins; `save` lines
//! add up.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{self, Path, PathBuf};

use super::grammar;
use super::include;
use super::kind::{Kind, Reason, Value, os_reason};
use super::param::{self, TABLE};
use super::policies::Policies;
use super::settings::{Settings, State};
use super::table;

/// Where the settings come from, in the order in which they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The config file.
    pub file: Option<PathBuf>,
    /// Whether to read standard input, too.
    pub stdin: bool,
    /// Lines as a file would have them, from the command line.
    pub options: Vec<Vec<u8>>,
}

/// Where a line comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, the main one or an included one.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// The command line; an option is a line.
    CommandLine,
}

/// A line of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the line comes from.
    pub source: Source,
    /// Its number, from 1.
    pub line: usize,
    /// Its text, without blanks at its ends.
    pub text: Vec<u8>,
}

/// A line that sets no parameter and that another layer acts on.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The line's first word, in lower case.
    pub name: String,
    /// The other words.
    pub args: Vec<Vec<u8>>,
    /// Where it stands.
    pub place: Place,
}

/// Why the server cannot start. Displays as valkey-server prints it.
#[derive(Debug)]
pub enum LoadError {
    /// A file that cannot be read.
    Unreadable {
        /// Its path.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A line that is wrong, or no one line but several that do not go together.
    Refused {
        /// The line.
        place: Option<Place>,
        /// What is wrong with it.
        reason: String,
    },
}

/// Directives of older versions: read with one argument, then forgotten.
const FORGOTTEN: [&str; 7] = [
    "dynamic-hz",
    "events-per-io-thread",
    "io-threads-do-reads",
    "list-max-ziplist-entries",
    "list-max-ziplist-value",
    "lua-replicate-commands",
    "sanitize-dump-payload",
];

/// How deep files may include each other, which also ends a file that includes
/// itself.
const DEPTH_MAX: usize = 16;

impl Settings {
    /// Reads the settings. A relative path in them is taken from the `dir` that
    /// is in force at that line.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read or line that is wrong.
    pub fn load(sources: Sources) -> Result<Settings, LoadError> {
        Settings::load_from(sources, &mut io::stdin())
    }

    pub(super) fn load_from(sources: Sources, stdin: &mut dyn Read) -> Result<Settings, LoadError> {
        let mut loader = Loader::new();
        let mut file = None;
        if let Some(given) = sources.file {
            let path = path::absolute(&given)
                .map_err(|error| LoadError::Unreadable { file: given, error })?;
            loader.read_file(&path)?;
            file = Some(path);
        }
        if sources.stdin {
            let mut text = Vec::new();
            let unreadable = |error| LoadError::Unreadable {
                file: "-".into(),
                error,
            };
            stdin.read_to_end(&mut text).map_err(unreadable)?;
            loader.read_text(&Source::Stdin, &text)?;
        }
        loader.read_text(&Source::CommandLine, &sources.options.join(&b'\n'))?;
        loader.finish(file)
    }
}

/// The state while lines are read.
pub(super) struct Loader {
    pub(super) state: State,
    pub(super) directives: Vec<Directive>,
    pub(super) policies: Policies,
    depth: usize,
}

impl Loader {
    pub(super) fn new() -> Loader {
        Loader {
            state: State::defaults(),
            directives: Vec::new(),
            policies: Policies::default(),
            depth: 0,
        }
    }

    pub(super) fn read_text(&mut self, source: &Source, text: &[u8]) -> Result<(), LoadError> {
        for (index, line) in text.split(|&b| b == b'\n').enumerate() {
            let line = grammar::trim(line);
            if !line.is_empty() && !line.starts_with(b"#") {
                self.read_line(Place {
                    source: source.clone(),
                    line: index + 1,
                    text: line.to_vec(),
                })?;
            }
        }
        Ok(())
    }

    fn read_file(&mut self, path: &Path) -> Result<(), LoadError> {
        let text = fs::read(path).map_err(|error| LoadError::Unreadable {
            file: path.into(),
            error,
        })?;
        self.read_text(&Source::File(path.into()), &text)
    }

    fn read_line(&mut self, place: Place) -> Result<(), LoadError> {
        let Ok(words) = grammar::split(&place.text) else {
            return Err(place.refuse("Unbalanced quotes in configuration line"));
        };
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let Some((name, args)) = words.split_first() else {
            return Ok(());
        };
        if let Some((index, _)) = table::index_of(name) {
            return self
                .set(index, args)
                .map_err(|reason| place.refuse(&reason));
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        match (name.as_str(), args) {
            (old, [_]) if FORGOTTEN.contains(&old) => Ok(()),
            ("include", [pattern]) => self.include(pattern, &place),
            ("policy", words) => self.policies.define(words, place),
            ("rename-command", [_, _]) | ("user" | "loadmodule", [_, ..]) => {
                self.keep(name, args, place);
                Ok(())
            }
            ("sentinel", _) => Err(place.refuse("sentinel directive while not in sentinel mode")),
            (module, args) if module.contains('.') => {
                if args.is_empty() {
                    return Err(place.refuse("Module config specified without value"));
                }
                self.keep(name, args, place);
                Ok(())
            }
            _ => Err(place.refuse("Bad directive or wrong number of arguments")),
        }
    }

    fn set(&mut self, index: usize, args: &[&[u8]]) -> Result<(), Reason> {
        let kind = TABLE[index].kind();
        // The first line of all replaces the default.
        let replaces = kind.adds_up() && !self.state.given[index];
        let base = (!replaces).then_some(&self.state.values[index]);
        self.state.values[index] = read_args(kind, args, base)?;
        self.state.given[index] = true;
        Ok(())
    }

    fn include(&mut self, pattern: &[u8], place: &Place) -> Result<(), LoadError> {
        if self.depth == DEPTH_MAX {
            return Err(place.refuse("include nested too deep"));
        }
        self.depth += 1;
        for path in include::files(pattern, self.state.folder()) {
            self.read_file(&path)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn keep(&mut self, name: String, args: &[&[u8]], place: Place) {
        let args = args.iter().map(|arg| arg.to_vec()).collect();
        self.directives.push(Directive { name, args, place });
    }

    /// The settings, where the lines go together.
    fn finish(self, file: Option<PathBuf>) -> Result<Settings, LoadError> {
        if self.state.policy_file().is_some()
            && let Some(first) = self.policies.all().first()
        {
            return Err(first
                .place
                .refuse("policy lines and a policyfile exclude each other"));
        }
        let settings = Settings::new(self.state, file, self.directives);
        let settings = settings.with_policies(self.policies);
        if settings.flag(param::CLUSTER_ENABLED) && settings.replica_of().is_some() {
            return Err(LoadError::Refused {
                place: None,
                reason: "replicaof directive not allowed in cluster mode".into(),
            });
        }
        Ok(settings)
    }
}

/// Reads the value that follows a name on a line. A list may stand in one pair of
/// quotes.
pub(super) fn read_args(
    kind: &Kind,
    args: &[&[u8]],
    base: Option<&Value>,
) -> Result<Value, Reason> {
    match args {
        [list] if kind.takes_many() && !list.is_empty() => {
            let words = grammar::split(list)
                .map_err(|_| Reason::from("Unbalanced quotes in configuration line"))?;
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            kind.read(&words, base)
        }
        _ => kind.read(args, base),
    }
}

impl Place {
    /// The error that ends the start where the line turns out to be wrong.
    pub fn refuse(&self, reason: &str) -> LoadError {
        LoadError::Refused {
            place: Some(self.clone()),
            reason: reason.into(),
        }
    }
}

impl Directive {
    /// The error that ends the start where the directive turns out to be wrong.
    pub fn refuse(&self, reason: &str) -> LoadError {
        self.place.refuse(reason)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, text) = (self.line, String::from_utf8_lossy(&self.text));
        match &self.source {
            Source::File(_) => write!(f, "Reading the configuration file, at line {line}"),
            Source::Stdin => write!(f, "Reading the standard input, at line {line}"),
            Source::CommandLine => write!(f, "Reading the command line, at option {line}"),
        }?;
        write!(f, "\n>>> '{text}'")
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unreadable { file, error } => write!(
                f,
                "Fatal error, can't open config file '{}': {}",
                file.display(),
                os_reason(error)
            ),
            LoadError::Refused { place, reason } => {
                let version = env!("CARGO_PKG_VERSION");
                writeln!(f, "*** FATAL CONFIG FILE ERROR (Version {version}) ***")?;
                if let Some(place) = place {
                    writeln!(f, "{place}")?;
                }
                f.write_str(reason)?;
                match place.as_ref().map(|p| &p.source) {
                    // Below what redis-server prints, for whoever reads that by its lines.
                    Some(Source::File(path)) => write!(f, "\nin {}", path.display()),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for LoadError {}

#[cfg(test)]
mod tests;
