//! A selector: commands, with the keys, channels and databases that they may touch.
//!
//! A user has one of its own, the root, and may have more. A command is allowed where one
//! selector allows it with everything that it touches: what two of them allow does not
//! add up.

use smallvec::SmallVec;

use super::commands::{Commands, has_blanks};
use super::wrong::Wrong;
use crate::base::glob::{self, Case};
use crate::base::num;
use crate::config;
use crate::exec::access::{Asked, Denial, Ground, Touch};
use crate::exec::spec::{Channels, CommandTable, Spec, category, flag, key_flag};

/// Reading.
const READ: u8 = 1;
/// Writing.
const WRITE: u8 = 2;

/// What rules are read by.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The commands that there are.
    pub table: &'a CommandTable,
    /// Whether new selectors begin with all channels (`acl-pubsub-default`).
    pub all_channels: bool,
}

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The commands.
    pub commands: Commands,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Box<[u8]>>,
    all_databases: bool,
    /// By rising number.
    databases: Vec<u32>,
}

/// Keys that may be read, written, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    uses: u8,
    glob: Box<[u8]>,
}

/// The keys of a command, found when first asked for: where they are, and how they are
/// used.
#[derive(Default)]
pub struct FoundKeys(Option<SmallVec<[(usize, u8); 8]>>);

impl FoundKeys {
    fn of(&mut self, asked: &Asked<'_>) -> &[(usize, u8)] {
        self.0.get_or_insert_with(|| {
            let mut keys = SmallVec::new();
            let visit = |at: usize, flags: u16| {
                if flags & key_flag::NOT_KEY == 0 {
                    keys.push((at, uses(asked.spec.use_of(flags, asked.argv))));
                }
            };
            if asked.spec.each_key(asked.argv, visit).is_err() {
                // The command will say so itself, and touch none.
                keys.clear();
            }
            keys
        })
    }
}

/// What a use of a key asks for. Neither, where nothing of its value is told or changed:
/// then either right will do.
fn uses(flags: u16) -> u8 {
    let reads = flags & key_flag::ACCESS != 0;
    let writes = flags & (key_flag::INSERT | key_flag::DELETE | key_flag::UPDATE) != 0;
    (u8::from(reads) * READ) | (u8::from(writes) * WRITE)
}

impl Selector {
    /// No commands and no keys.
    pub fn new(terms: Terms<'_>) -> Selector {
        Selector {
            commands: Commands::none(terms.table),
            all_keys: false,
            keys: Vec::new(),
            all_channels: terms.all_channels,
            channels: Vec::new(),
            all_databases: true,
            databases: Vec::new(),
        }
    }

    /// One of the rules in parentheses.
    pub fn parse(rules: &[u8], terms: Terms<'_>) -> Result<Selector, Wrong> {
        let words = config::split(rules).map_err(|_| Wrong::Syntax)?;
        let mut selector = Selector::new(terms);
        for word in words {
            selector.apply(&word, terms)?;
        }
        Ok(selector)
    }

    /// Takes a rule.
    pub fn apply(&mut self, rule: &[u8], terms: Terms<'_>) -> Result<(), Wrong> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            _ if is("allkeys") || is("~*") => self.set_all_keys(true),
            _ if is("resetkeys") => self.set_all_keys(false),
            _ if is("allchannels") || is("&*") => self.set_all_channels(true),
            _ if is("resetchannels") => self.set_all_channels(false),
            _ if is("alldbs") => self.set_all_databases(true),
            _ if is("resetdbs") => self.set_all_databases(false),
            _ if is("allcommands") || is("+@all") => self.commands.set_all(true),
            _ if is("nocommands") || is("-@all") => self.commands.set_all(false),
            [b'd' | b'D', b'b' | b'B', b'=', list @ ..] => {
                self.databases = databases(list)?;
                self.all_databases = false;
            }
            [b'~', pattern @ ..] => self.add_keys(READ | WRITE, pattern)?,
            [b'%', rest @ ..] => {
                let (uses, pattern) = key_uses(rest)?;
                self.add_keys(uses, pattern)?;
            }
            [b'&', pattern @ ..] => self.add_channels(pattern)?,
            [b'+' | b'-', ..] => self.commands.apply(rule, terms.table)?,
            _ => return Err(Wrong::Syntax),
        }
        Ok(())
    }

    fn set_all_keys(&mut self, all: bool) {
        self.all_keys = all;
        self.keys.clear();
    }

    fn set_all_channels(&mut self, all: bool) {
        self.all_channels = all;
        self.channels.clear();
    }

    fn set_all_databases(&mut self, all: bool) {
        self.all_databases = all;
        self.databases.clear();
    }

    fn add_keys(&mut self, uses: u8, glob: &[u8]) -> Result<(), Wrong> {
        if self.all_keys {
            return Err(Wrong::KeyAfterAll);
        }
        if has_blanks(glob) {
            return Err(Wrong::Syntax);
        }
        match self.keys.iter_mut().find(|known| *known.glob == *glob) {
            Some(known) => known.uses |= uses,
            None => self.keys.push(KeyPattern {
                uses,
                glob: glob.into(),
            }),
        }
        Ok(())
    }

    fn add_channels(&mut self, glob: &[u8]) -> Result<(), Wrong> {
        if self.all_channels {
            return Err(Wrong::ChannelAfterAll);
        }
        if has_blanks(glob) {
            return Err(Wrong::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *glob) {
            self.channels.push(glob.into());
        }
        Ok(())
    }

    /// Whether it allows everything.
    pub fn is_all(&self) -> bool {
        self.commands.are_all() && self.all_keys && self.all_channels && self.all_databases
    }

    /// Whether it allows all channels.
    pub fn has_all_channels(&self) -> bool {
        self.all_channels
    }

    /// Its patterns of channels.
    pub fn channels(&self) -> &[Box<[u8]>] {
        &self.channels
    }

    /// Whether any key may be touched so.
    pub fn has_all_keys(&self, touch: Touch) -> bool {
        let wanted = match touch {
            Touch::Read => READ,
            Touch::Write => WRITE,
        };
        let all = |known: &KeyPattern| known.uses & wanted != 0 && *known.glob == *b"*";
        self.all_keys || self.keys.iter().any(all)
    }

    /// Whether it allows a command with all that it touches, of `databases` that there are.
    pub fn judge(
        &self,
        asked: &Asked<'_>,
        keys: &mut FoundKeys,
        databases: u32,
    ) -> Result<(), Denial> {
        self.judge_databases(asked, databases)?;
        let (spec, argv) = (asked.spec, asked.argv);
        let denial = |ground, at| Err(Denial { ground, at });
        if !spec.has(flag::NO_AUTH) && !self.commands.has(asked.counter, argv) {
            return denial(Ground::Command, 0);
        }
        if !self.all_keys && spec.has_keys() {
            for &(at, uses) in keys.of(asked) {
                if !self.has_key(argv[at], uses) {
                    return denial(Ground::Key, at);
                }
            }
        }
        let (last, is_pattern) = match spec.channels {
            Channels::None => return Ok(()),
            Channels::First => (2, false),
            Channels::All => (argv.len(), false),
            Channels::Patterns => (argv.len(), true),
        };
        if !self.all_channels {
            for (at, channel) in argv.iter().enumerate().take(last).skip(1) {
                if !allows_channel(&self.channels, channel, is_pattern) {
                    return denial(Ground::Channel, at);
                }
            }
        }
        Ok(())
    }

    fn judge_databases(&self, asked: &Asked<'_>, databases: u32) -> Result<(), Denial> {
        if self.all_databases {
            return Ok(());
        }
        let spec = asked.spec;
        let denied = |at| {
            Err(Denial {
                ground: Ground::Database,
                at,
            })
        };
        let has = |db: u32| db < databases && self.databases.binary_search(&db).is_ok();
        if let Some(find) = spec.databases {
            let number = |at: usize| {
                let n = asked.argv.get(at).and_then(|text| num::parse_i64(text))?;
                let db = u32::try_from(n).ok().filter(|db| *db < databases)?;
                Some((at, db))
            };
            let named: Option<SmallVec<[(usize, u32); 2]>> =
                find(asked.argv).into_iter().map(number).collect();
            // What is no database, the command will say itself.
            if let Some((at, _)) = named.iter().flatten().find(|(_, db)| !has(*db)) {
                return denied(*at);
            }
            // What is taken to another database comes from this one.
            return match spec.has_keys() && !has(asked.db) {
                true => denied(0),
                false => Ok(()),
            };
        }
        let is_denied = match spec.has(flag::ALL_DBS) {
            true => !(0..databases).all(has),
            false => works_on_database(spec) && !has(asked.db),
        };
        match is_denied {
            true => denied(0),
            false => Ok(()),
        }
    }

    fn has_key(&self, key: &[u8], uses: u8) -> bool {
        self.keys
            .iter()
            .any(|known| known.uses & uses == uses && glob::matches(&known.glob, key, Case::Exact))
    }

    /// `~a %R~b`
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let one = |known: &KeyPattern| {
            let sign: &[u8] = match known.uses {
                READ => b"%R~",
                WRITE => b"%W~",
                _ => b"~",
            };
            [sign, &known.glob].concat()
        };
        self.keys.iter().map(one).collect::<Vec<_>>().join(&b' ')
    }

    /// `&a &b`
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let all: Vec<Vec<u8>> = self
            .channels
            .iter()
            .map(|c| [b"&", &c[..]].concat())
            .collect();
        all.join(&b' ')
    }

    /// `db=1,2`, or `alldbs`
    pub fn describe_databases(&self) -> String {
        if self.all_databases {
            return "alldbs".into();
        }
        if self.databases.is_empty() {
            return String::new();
        }
        let all: Vec<String> = self.databases.iter().map(u32::to_string).collect();
        format!("db={}", all.join(","))
    }

    /// All of it, as rules that make it of a new one.
    pub fn describe(&self) -> Vec<u8> {
        let channels = match self.all_channels {
            true => b"&*".to_vec(),
            false if self.channels.is_empty() => b"resetchannels".to_vec(),
            false => [b"resetchannels ", &self.describe_channels()[..]].concat(),
        };
        let databases = match (self.all_databases, self.databases.is_empty()) {
            // As older servers show it, who know no other.
            (true, _) => String::new(),
            (false, true) => "resetdbs".into(),
            (false, false) => self.describe_databases(),
        };
        let parts = [
            self.describe_keys(),
            channels,
            databases.into_bytes(),
            self.commands.describe(),
        ];
        let said = parts.into_iter().filter(|part| !part.is_empty());
        said.collect::<Vec<_>>().join(&b' ')
    }
}

/// Whether a command's business is what is in the selected database.
fn works_on_database(spec: &Spec) -> bool {
    let categories = category::KEYSPACE | category::READ | category::WRITE;
    spec.categories() & categories != 0 || spec.has_keys()
}

/// Whether patterns allow a channel. A pattern that somebody listens to is compared by
/// its letters: what it may match is not looked into.
pub fn allows_channel(patterns: &[Box<[u8]>], channel: &[u8], is_pattern: bool) -> bool {
    patterns.iter().any(|known| match is_pattern {
        true => **known == *channel,
        false => glob::matches(known, channel, Case::Exact),
    })
}

/// What stands between `%` and the pattern.
fn key_uses(rest: &[u8]) -> Result<(u8, &[u8]), Wrong> {
    let (mut uses, mut at) = (0, 0);
    while let Some(letter) = rest.get(at) {
        at += 1;
        match letter {
            b'r' | b'R' if uses & READ == 0 => uses |= READ,
            b'w' | b'W' if uses & WRITE == 0 => uses |= WRITE,
            b'~' => break,
            _ => return Err(Wrong::Syntax),
        }
    }
    match uses {
        0 => Err(Wrong::Syntax),
        _ => Ok((uses, &rest[at..])),
    }
}

/// The numbers behind `db=`.
fn databases(list: &[u8]) -> Result<Vec<u32>, Wrong> {
    let mut all = Vec::new();
    for text in list.split(|&b| b == b',') {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Wrong::Syntax);
        }
        let text = std::str::from_utf8(text).map_err(|_| Wrong::Syntax)?;
        match text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok()) {
            Some(db) => all.push(db),
            None => return Err(Wrong::DatabaseRange),
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
