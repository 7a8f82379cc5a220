//! A user: how it shows who it is, and what it may do.

use super::commands::has_blanks;
use super::password::Password;
use super::selector::{FoundKeys, Selector, Terms, allows_channel};
use super::wrong::Wrong;
use crate::config;
use crate::exec::access::{Asked, Denial, Ground, Rights, Touch};
use crate::exec::engine::Engine;

/// The user of whoever has not said that it is another one.
pub const DEFAULT: &[u8] = b"default";

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: Box<[u8]>,
    /// Whether it may come in.
    pub is_on: bool,
    /// Whether any password will do.
    pub is_open: bool,
    /// Those that will do.
    pub passwords: Vec<Password>,
    /// The root first.
    selectors: Vec<Selector>,
}

/// A rule that was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The rule.
    pub rule: Vec<u8>,
    /// What is wrong with it.
    pub why: Wrong,
}

/// Why rules were not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// One of them.
    Refused(Refused),
    /// A parenthesis that is not closed, from this rule on.
    Open(Vec<u8>),
}

/// Whether a text may be a user's name.
pub fn is_name(text: &[u8]) -> bool {
    !has_blanks(text)
}

/// Puts selectors together that were cut at blanks.
pub fn join_selectors<W: AsRef<[u8]>>(words: &[W]) -> Result<Vec<Vec<u8>>, Error> {
    let mut rules: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (at, word) in words.iter().map(AsRef::as_ref).enumerate() {
        match &mut open {
            None if word.starts_with(b"(") && !word.ends_with(b")") => {
                open = Some((at, word.to_vec()));
            }
            None => rules.push(word.to_vec()),
            Some((_, text)) => {
                text.push(b' ');
                text.extend_from_slice(word);
                if word.ends_with(b")") {
                    rules.extend(open.take().map(|(_, text)| text));
                }
            }
        }
    }
    match open {
        Some((at, _)) => Err(Error::Open(words[at].as_ref().to_vec())),
        None => Ok(rules),
    }
}

impl User {
    /// One that cannot come in and may do nothing.
    pub fn new(name: &[u8], terms: Terms<'_>) -> User {
        User {
            name: name.into(),
            is_on: false,
            is_open: false,
            passwords: Vec::new(),
            selectors: vec![Selector::new(terms)],
        }
    }

    /// The default user as it is where nobody says otherwise: it may do everything, with
    /// a password where there is one.
    pub fn default_user(password: &[u8], terms: Terms<'_>) -> User {
        let mut user = User::new(DEFAULT, terms);
        for rule in ["+@all", "~*", "&*", "alldbs"] {
            // These are rules.
            let _ = user.selectors[0].apply(rule.as_bytes(), terms);
        }
        user.is_on = true;
        user.set_password(password);
        user
    }

    /// Has this password and no other; an empty one: any will do.
    pub fn set_password(&mut self, clear: &[u8]) {
        self.is_open = clear.is_empty();
        self.passwords.clear();
        if !clear.is_empty() {
            self.passwords.push(Password::of(clear));
        }
    }

    /// Takes rules as they were said, all or none.
    pub fn with<W: AsRef<[u8]>>(&self, words: &[W], terms: Terms<'_>) -> Result<User, Error> {
        let mut user = self.clone();
        for rule in join_selectors(words)? {
            if let Err(why) = user.apply(&rule, terms) {
                return Err(Error::Refused(Refused { rule, why }));
            }
        }
        Ok(user)
    }

    /// Takes a rule.
    pub fn apply(&mut self, rule: &[u8], terms: Terms<'_>) -> Result<(), Wrong> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            [] => {}
            _ if is("on") => self.is_on = true,
            _ if is("off") => self.is_on = false,
            // What they once were for is no user's business any more.
            _ if is("skip-sanitize-payload") || is("sanitize-payload") => {}
            _ if is("nopass") => {
                self.is_open = true;
                self.passwords.clear();
            }
            _ if is("resetpass") => {
                self.is_open = false;
                self.passwords.clear();
            }
            _ if is("clearselectors") => self.selectors.truncate(1),
            _ if is("reset") => *self = User::new(&self.name, terms),
            [b'>', clear @ ..] => self.add_password(Password::of(clear)),
            [b'#', hex @ ..] => self.add_password(Password::parse(hex)?),
            [b'<', clear @ ..] => self.remove_password(&Password::of(clear))?,
            [b'!', hex @ ..] => self.remove_password(&Password::parse(hex)?)?,
            [b'(', rules @ .., b')'] => self.selectors.push(Selector::parse(rules, terms)?),
            _ => self.selectors[0].apply(rule, terms)?,
        }
        Ok(())
    }

    fn add_password(&mut self, password: Password) {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.is_open = false;
    }

    fn remove_password(&mut self, password: &Password) -> Result<(), Wrong> {
        let at = self.passwords.iter().position(|known| known == password);
        self.passwords.remove(at.ok_or(Wrong::NoSuchPassword)?);
        Ok(())
    }

    /// Its own selector.
    pub fn root(&self) -> &Selector {
        &self.selectors[0]
    }

    /// Its other ones.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors[1..]
    }

    /// What is so or not so about it, as it is shown.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.is_on { "on" } else { "off" }];
        if self.is_open {
            flags.push("nopass");
        }
        flags
    }

    /// The rules that make it of a new user, one of each kind a word.
    fn words(&self) -> Vec<Vec<u8>> {
        let mut words: Vec<Vec<u8>> = self.flags().iter().map(|f| f.as_bytes().into()).collect();
        let passwords = self.passwords.iter();
        words.extend(passwords.map(|p| format!("#{}", p.to_hex()).into_bytes()));
        let root = self.root().describe();
        words.extend(root.split(|&b| b == b' ').map(<[u8]>::to_vec));
        for selector in self.selectors() {
            let rules = selector.describe();
            let rules: Vec<Vec<u8>> = rules.split(|&b| b == b' ').map(as_part).collect();
            words.push([b"(", &rules.join(&b' ')[..], b")"].concat());
        }
        words
    }

    /// The line that defines it, as ACL LIST and a file of users have it.
    pub fn line(&self) -> Vec<u8> {
        let mut words = vec![b"user".to_vec(), self.name.to_vec()];
        words.extend(self.words());
        words.join(&b' ')
    }

    /// The line that defines it in a config file, whose words may be quoted.
    pub fn config_line(&self) -> Vec<u8> {
        let mut words = vec![b"user".to_vec(), as_word(&self.name)];
        words.extend(
            self.words()
                .iter()
                .map(|word| match word.starts_with(b"(") {
                    // Its parts are put together again where they are plain.
                    true if !word.iter().any(|b| b"\"'\\".contains(b)) => word.clone(),
                    _ => as_word(word),
                }),
        );
        words.join(&b' ')
    }

    /// Whether a password lets somebody in as this user.
    pub fn accepts(&self, password: &Password) -> bool {
        let is_right = password.is_among(&self.passwords);
        self.is_on && (self.is_open || is_right)
    }

    /// The patterns of channels that it has left, where it lost any that the user
    /// before it had; `None` where it lost none.
    pub fn channels_left(&self, before: &User) -> Option<Vec<Box<[u8]>>> {
        if self.selectors.iter().any(Selector::has_all_channels) {
            return None;
        }
        let left: Vec<Box<[u8]>> = self
            .selectors
            .iter()
            .flat_map(|selector| selector.channels().iter().cloned())
            .collect();
        let is_kept = |selector: &Selector| {
            let mut channels = selector.channels().iter();
            !selector.has_all_channels() && channels.all(|channel| left.contains(channel))
        };
        match before.selectors.iter().all(is_kept) {
            true => None,
            false => Some(left),
        }
    }
}

/// A word as a config file or a selector has it: quoted where it would not be read as it
/// is.
fn as_word<W: AsRef<[u8]> + ?Sized>(word: &W) -> Vec<u8> {
    let word = word.as_ref();
    let is_plain =
        config::split(word).is_ok_and(|words| matches!(&words[..], [one] if one == word));
    if is_plain && !word.iter().any(u8::is_ascii_control) {
        return word.to_vec();
    }
    let mut quoted = Vec::new();
    config::quote(word, &mut quoted);
    quoted
}

/// A word within parentheses, which no other may seem to close.
fn as_part(word: &[u8]) -> Vec<u8> {
    if !word.ends_with(b")") {
        return as_word(word);
    }
    let mut quoted = Vec::new();
    config::quote(word, &mut quoted);
    quoted
}

impl Rights for User {
    fn are_all(&self) -> bool {
        self.selectors.iter().any(Selector::is_all)
    }

    fn judge(&self, engine: &Engine, asked: &Asked<'_>) -> Result<(), Denial> {
        let (mut keys, databases) = (FoundKeys::default(), engine.databases());
        let mut worst = Denial {
            ground: Ground::Database,
            at: 0,
        };
        for selector in &self.selectors {
            match selector.judge(asked, &mut keys, databases) {
                Ok(()) => return Ok(()),
                Err(denial) => worst = worst.max(denial),
            }
        }
        Err(worst)
    }

    fn reach_everything(&self, engine: &Engine, asked: &Asked<'_>, touch: Touch) -> bool {
        let (mut keys, databases) = (FoundKeys::default(), engine.databases());
        self.selectors.iter().any(|selector| {
            selector.has_all_keys(touch) && selector.judge(asked, &mut keys, databases).is_ok()
        })
    }
}

/// Whether what a subscriber listens to is allowed by what its user has left.
pub fn may_listen(left: &[Box<[u8]>], name: &[u8], is_pattern: bool) -> bool {
    allows_channel(left, name, is_pattern)
}
