//! The commands that a selector allows.
//!
//! A bit for each command and subcommand answers a check; the rules that led there are
//! kept beside them, in order, for they are what is shown and saved: a rule that a later
//! one outdoes goes.

use std::collections::{BTreeMap, BTreeSet};

use super::wrong::Wrong;
use crate::exec::spec::{CommandTable, Spec, category};

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// Every one, those included that are still to come.
    all: bool,
    /// It began with all of them.
    from_all: bool,
    /// By the command table's counters.
    bits: Box<[u64]>,
    /// Where a command is allowed with some first arguments alone, by its counter.
    first_args: BTreeMap<usize, BTreeSet<Box<[u8]>>>,
    rules: Vec<Rule>,
}

/// A rule about a command, a subcommand or a category.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    allows: bool,
    /// In lower case: `get`, `config|get`, `@read`.
    name: Box<[u8]>,
}

/// The number of a category's bit.
pub fn category_bit(name: &[u8]) -> Option<u32> {
    let is_it = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    let at = category::NAMES.iter().position(is_it)?;
    Some(1 << at)
}

/// A command, with the place of its subcommand where it is one.
struct Place {
    number: usize,
    sub: Option<usize>,
    spec: &'static Spec,
}

/// A command or, as `container|name`, a subcommand, by the names that
/// `rename-command` does not change.
fn find(table: &CommandTable, name: &[u8]) -> Option<Place> {
    let mut parts = name.split(|&b| b == b'|');
    let (number, spec) = table.find_original(parts.next()?)?;
    let Some(rest) = parts.next() else {
        return Some(Place {
            number,
            sub: None,
            spec,
        });
    };
    if parts.next().is_some() {
        return None;
    }
    let is_it = |sub: &Spec| rest.eq_ignore_ascii_case(sub.name.as_bytes());
    let at = spec.subcommands.iter().position(is_it)?;
    Some(Place {
        number,
        sub: Some(at),
        spec: &spec.subcommands[at],
    })
}

impl Commands {
    /// None.
    pub fn none(table: &CommandTable) -> Commands {
        Commands {
            all: false,
            from_all: false,
            bits: vec![0; table.counters().div_ceil(64)].into(),
            first_args: BTreeMap::new(),
            rules: Vec::new(),
        }
    }

    /// `+@all` or `-@all`.
    pub fn set_all(&mut self, allows: bool) {
        self.all = allows;
        self.from_all = allows;
        self.bits.fill(if allows { u64::MAX } else { 0 });
        self.first_args.clear();
        self.rules.clear();
    }

    /// Whether every command is allowed.
    pub fn are_all(&self) -> bool {
        self.all
    }

    /// Whether a command is allowed, by what counts it.
    pub fn has(&self, counter: usize, argv: &[&[u8]]) -> bool {
        if self.all || self.bit(counter) {
            return true;
        }
        let (Some(allowed), Some(first)) = (self.first_args.get(&counter), argv.get(1)) else {
            return false;
        };
        allowed.iter().any(|one| one.eq_ignore_ascii_case(first))
    }

    fn bit(&self, counter: usize) -> bool {
        self.bits[counter / 64] >> (counter % 64) & 1 != 0
    }

    /// Takes a rule, its sign included.
    pub fn apply(&mut self, rule: &[u8], table: &CommandTable) -> Result<(), Wrong> {
        let allows = rule[0] == b'+';
        let name = &rule[1..];
        match name {
            [b'@', category @ ..] => self.apply_category(category, allows, table),
            _ if allows && name.contains(&b'|') => self.allow_part(name, table),
            _ => self.apply_command(name, allows, table),
        }?;
        self.all = self.bits.iter().all(|bits| *bits == u64::MAX);
        Ok(())
    }

    fn apply_command(
        &mut self,
        name: &[u8],
        allows: bool,
        table: &CommandTable,
    ) -> Result<(), Wrong> {
        let place = find(table, name).ok_or(Wrong::UnknownCommand)?;
        self.set(&place, allows, table);
        let full = table.full_name(place.number, place.sub);
        self.note(full.as_bytes(), allows);
        Ok(())
    }

    fn apply_category(
        &mut self,
        name: &[u8],
        allows: bool,
        table: &CommandTable,
    ) -> Result<(), Wrong> {
        let bit = category_bit(name).ok_or(Wrong::UnknownCommand)?;
        for (number, spec) in table.all().iter().enumerate() {
            let whole = Place {
                number,
                sub: None,
                spec,
            };
            if spec.categories() & bit != 0 {
                self.set(&whole, allows, table);
            }
            for (at, sub) in spec.subcommands.iter().enumerate() {
                if sub.categories() & bit != 0 {
                    self.set_bit(table.counter(number, Some(at)), allows);
                }
            }
        }
        self.note(&[b"@", name].concat(), allows);
        Ok(())
    }

    /// `+container|subcommand`, or `+command|first-argument`.
    fn allow_part(&mut self, name: &[u8], table: &CommandTable) -> Result<(), Wrong> {
        let bar = name.iter().rposition(|&b| b == b'|').unwrap_or(name.len());
        let (whole, part) = (&name[..bar], &name[bar + 1..]);
        let place = find(table, whole).ok_or(Wrong::UnknownCommand)?;
        if place.sub.is_some() {
            return Err(Wrong::PartOfSubcommand);
        }
        if part.is_empty() || has_blanks(part) {
            return Err(Wrong::Syntax);
        }
        if place.spec.subcommands.is_empty() {
            let counter = table.counter(place.number, None);
            let allowed = self.first_args.entry(counter).or_default();
            allowed.insert(part.to_ascii_lowercase().into());
        } else {
            let sub = find(table, name).ok_or(Wrong::UnknownCommand)?;
            self.set(&sub, true, table);
        }
        self.note(name, true);
        Ok(())
    }

    /// Allows a command with all its subcommands, or one of those; or not.
    fn set(&mut self, place: &Place, allows: bool, table: &CommandTable) {
        self.set_bit(table.counter(place.number, place.sub), allows);
        if place.sub.is_none() {
            for at in 0..place.spec.subcommands.len() {
                self.set_bit(table.counter(place.number, Some(at)), allows);
            }
        }
    }

    fn set_bit(&mut self, counter: usize, allows: bool) {
        let bit = 1 << (counter % 64);
        match allows {
            true => self.bits[counter / 64] |= bit,
            false => self.bits[counter / 64] &= !bit,
        }
        self.first_args.remove(&counter);
    }

    /// Keeps a rule in the place of those that it outdoes.
    fn note(&mut self, name: &[u8], allows: bool) {
        let name = name.to_ascii_lowercase();
        self.rules.retain(|old| {
            let rest = old.name.strip_prefix(&name[..]);
            !rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'|')
        });
        self.rules.push(Rule {
            allows,
            name: name.into(),
        });
    }

    /// The rules that lead here, separated by blanks.
    pub fn describe(&self) -> Vec<u8> {
        let mut text: Vec<u8> = match self.from_all {
            true => b"+@all".to_vec(),
            false => b"-@all".to_vec(),
        };
        for rule in &self.rules {
            text.push(b' ');
            text.push(if rule.allows { b'+' } else { b'-' });
            text.extend_from_slice(&rule.name);
        }
        text
    }
}

/// Whether a text has blanks or zero bytes, which separate rules.
pub fn has_blanks(text: &[u8]) -> bool {
    text.iter()
        .any(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0))
}
