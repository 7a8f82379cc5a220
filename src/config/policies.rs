//! Where policies come from: the `policy` lines of the configuration, or the file
//! that `policyfile` names, never both.
//!
//! A name stands once in a config file with all that it includes, once on standard
//! input and once on the command line. Of these the one that is read last wins, as
//! with parameters, so that a server may be started once more with the command line
//! whose policies CONFIG REWRITE has written into its file.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::grammar;
use super::kind::{Value, os_reason};
use super::load::{LoadError, Place, Source};
use super::param;
use super::policy::Policy;
use super::rewrite;
use super::settings::{Settings, State};

/// What a line that defines a policy begins with.
const WORD: &[u8] = b"policy";

/// A policy, and the line that defines it.
#[derive(Clone, Debug)]
pub struct Defined {
    /// The policy.
    pub policy: Policy,
    /// The line.
    pub place: Place,
}

/// Policies by the order of their definition, no two of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies(Vec<Defined>);

impl Policies {
    /// Adds the policy of a line, of which `words` follow the first.
    pub(super) fn define<W: AsRef<[u8]>>(
        &mut self,
        words: &[W],
        place: Place,
    ) -> Result<(), LoadError> {
        let policy = Policy::parse(words).map_err(|why| place.refuse(&why))?;
        let defined = Defined { policy, place };
        let name = &defined.policy.name;
        let Some(before) = self.0.iter_mut().find(|d| d.policy.name == *name) else {
            self.0.push(defined);
            return Ok(());
        };
        let kind = |place: &Place| mem::discriminant(&place.source);
        if kind(&before.place) == kind(&defined.place) {
            let before = before.place.brief();
            let why = format!("there is a policy '{name}' already: {before}");
            return Err(defined.place.refuse(&why));
        }
        *before = defined;
        Ok(())
    }

    pub(super) fn all(&self) -> &[Defined] {
        &self.0
    }

    /// Reads a file of nothing but policies and comments.
    fn read_file(path: &Path) -> Result<Policies, LoadError> {
        let text = fs::read(path).map_err(|error| LoadError::Unreadable {
            file: path.into(),
            error,
        })?;
        let mut policies = Policies::default();
        for (index, line) in text.split(|&b| b == b'\n').enumerate() {
            let line = grammar::trim(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let place = Place {
                source: Source::File(path.into()),
                line: index + 1,
                text: line.to_vec(),
            };
            let Ok(words) = grammar::split(line) else {
                return Err(place.refuse("Unbalanced quotes in configuration line"));
            };
            match &words[..] {
                [word, words @ ..] if word.eq_ignore_ascii_case(WORD) => {
                    policies.define(words, place)?;
                }
                _ => return Err(place.refuse("a line of a policyfile begins with 'policy'")),
            }
        }
        Ok(policies)
    }
}

/// The line that defines a policy.
pub fn line(policy: &Policy) -> Vec<u8> {
    format!("policy {}", policy.line()).into_bytes()
}

/// The policy of a line, where it is one.
pub fn of_line(line: &[u8]) -> Option<Result<Policy, String>> {
    let Ok(words) = grammar::split(line) else {
        return None;
    };
    match &words[..] {
        [word, words @ ..] if word.eq_ignore_ascii_case(WORD) => Some(Policy::parse(words)),
        _ => None,
    }
}

impl Settings {
    /// The file of policies, where `policyfile` names one now.
    pub fn policy_file(&self) -> Option<PathBuf> {
        self.state.read().policy_file()
    }

    /// The file of users, where `aclfile` names one.
    pub fn acl_file(&self) -> Option<PathBuf> {
        self.state.read().acl_file()
    }

    /// The policies of the configuration, by the order of their definition: those of
    /// its lines, or what the file of policies says now.
    ///
    /// # Errors
    ///
    /// That file cannot be read, or its first line that is wrong.
    pub fn policies(&self) -> Result<Vec<Defined>, LoadError> {
        let policies = match self.policy_file() {
            Some(path) => Policies::read_file(&path)?.0,
            None => self.policies.all().to_vec(),
        };
        self.note_defined(policies.iter().map(|d| &d.policy));
        Ok(policies)
    }

    /// The names of the policies that the configuration defined when it was last read or
    /// written: who starts the server again has them from there.
    pub fn defined_policies(&self) -> Vec<Box<str>> {
        self.defined_policies.lock().clone()
    }

    pub(super) fn note_defined<'p>(&self, policies: impl Iterator<Item = &'p Policy>) {
        *self.defined_policies.lock() = policies.map(|p| p.name.clone()).collect();
    }

    /// Writes the file of policies, atomically. `policies` is asked when its turn has
    /// come, so that of two at once the later one writes what is in force later.
    /// False: there is no such file in the configuration.
    ///
    /// # Errors
    ///
    /// What the system says; the file is as it was.
    pub fn save_policies(&self, policies: impl FnOnce() -> Vec<Policy>) -> io::Result<bool> {
        let Some(path) = self.policy_file() else {
            return Ok(false);
        };
        let _turn = self.writer.lock();
        let policies = policies();
        write_file(&path, &policies)?;
        self.note_defined(policies.iter());
        Ok(true)
    }
}

impl State {
    /// The file of policies, where there is one; a relative path is taken from the
    /// `dir` in force.
    pub(super) fn policy_file(&self) -> Option<PathBuf> {
        self.file_of(param::POLICYFILE.index())
    }

    /// The file of users, likewise.
    pub(super) fn acl_file(&self) -> Option<PathBuf> {
        self.file_of(param::ACLFILE.index())
    }

    fn file_of(&self, index: usize) -> Option<PathBuf> {
        let file = self.path(index);
        let is_there = !file.as_os_str().is_empty();
        is_there.then(|| self.folder().join(file))
    }

    /// The `dir` in force.
    pub(super) fn folder(&self) -> &Path {
        self.path(param::DIR.index())
    }

    fn path(&self, index: usize) -> &Path {
        match &self.values[index] {
            Value::Text(path) => Path::new(OsStr::from_bytes(path)),
            _ => Path::new(""),
        }
    }
}

/// Writes a file of policies, atomically.
pub(super) fn write_file(path: &Path, policies: &[Policy]) -> io::Result<()> {
    let mut text = Vec::new();
    for policy in policies {
        text.extend(line(policy));
        text.push(b'\n');
    }
    rewrite::replace(path, &text)
}

impl Place {
    /// The line in a few words: `/etc/larder.conf:7`.
    pub fn brief(&self) -> String {
        let line = self.line;
        match &self.source {
            Source::File(path) => format!("{}:{line}", path.display()),
            Source::Stdin => format!("standard input, line {line}"),
            Source::CommandLine => format!("command line, option {line}"),
        }
    }
}

impl LoadError {
    /// The same for a client, in one line: `/etc/larder.policies:7: reason`.
    pub fn brief(&self) -> String {
        match self {
            LoadError::Unreadable { file, error } => {
                format!("{}: {}", file.display(), os_reason(error))
            }
            LoadError::Refused { place, reason } => match place {
                Some(place) => format!("{}: {reason}", place.brief()),
                None => reason.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::config::testing::{Folder, load};

    fn names(settings: &Settings) -> Vec<String> {
        let all = settings.policies().expect("policies");
        all.iter().map(|d| d.policy.line()).collect()
    }

    #[test]
    fn policies_come_from_files_standard_input_and_the_command_line_and_the_last_wins() {
        let folder = Folder::new("policies");
        folder.write("more.conf", "policy c c:* ttl 3s\n");
        let file = folder.write(
            "a.conf",
            &format!(
                "policy a a:* ttl 1s\nPOLICY \"b\" 'b:*'\ninclude {}/more.conf\n",
                folder.path().display()
            ),
        );
        let sources = Sources {
            file: Some(file),
            stdin: true,
            options: vec![b"policy \"b\" \"b:*\" \"idle\" \"yes\"".to_vec()],
        };
        let stdin = "policy d d:*\npolicy a x:*\n";
        let settings = Settings::load_from(sources, &mut stdin.as_bytes()).expect("loads");
        assert_eq!(
            names(&settings),
            ["a x:*", "b b:* idle yes", "c c:* ttl 3s", "d d:*"]
        );
        assert!(settings.not_in_force().is_empty());
    }

    #[test]
    fn a_wrong_line_stops_the_start_and_says_where_it_is() {
        let folder = Folder::new("wrong-policy");
        for (text, line, why) in [
            ("policy a", 1, "a policy has a name and a pattern"),
            (
                "hz 5\npolicy a a:* colour red",
                2,
                "there is no option 'colour'",
            ),
            (
                "policy a a:*\n\npolicy a b:*",
                3,
                "there is a policy 'a' already: ",
            ),
        ] {
            let error = load(&folder.write("a.conf", text)).err().expect(text);
            let error = error.to_string();
            assert!(error.contains(&format!("at line {line}\n>>> 'policy a")));
            assert!(error.contains(&format!("\n{why}")), "{error}");
            assert!(error.ends_with("/a.conf"), "{error}");
        }
    }

    #[test]
    fn a_policyfile_is_read_beside_the_working_folder_and_excludes_policy_lines() {
        let folder = Folder::new("policyfile");
        let path = folder.write("p", "# ours\n\npolicy a a:* ttl 1s\n  Policy b b:*\r\n");
        let dir = folder.path().display();
        let text = format!("dir {dir}\npolicyfile p\n");
        let settings = load(&folder.write("a.conf", &text)).expect("loads");
        assert_eq!(settings.policy_file().as_deref(), Some(&*path));
        assert_eq!(names(&settings), ["a a:* ttl 1s", "b b:*"]);

        folder.write("p", "policy a a:*\nhz 5\n");
        let error = settings.policies().expect_err("a wrong line");
        assert_eq!(
            error.brief(),
            format!("{dir}/p:2: a line of a policyfile begins with 'policy'")
        );

        let written = settings
            .save_policies(|| vec![Policy::parse(&["z", "z *", "ttl", "1m"]).expect("a policy")]);
        assert!(written.is_ok_and(|there| there));
        let text = fs::read_to_string(path).expect("text");
        assert_eq!(text, "policy z \"z *\" ttl 1m\n");
        assert_eq!(names(&settings), ["z \"z *\" ttl 1m"]);

        let text = format!("dir {dir}\npolicy a a:*\npolicyfile p\n");
        let error = load(&folder.write("a.conf", &text))
            .err()
            .expect("an error");
        assert!(error.to_string().contains("exclude each other"), "{error}");
        assert_eq!(
            Settings::default().save_policies(Vec::new).ok(),
            Some(false)
        );
    }
}
