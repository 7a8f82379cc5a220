//! A command's arguments, read from front to back.

use crate::base::{hash, num};
use crate::protocol::error::Error;
use crate::store::entry::{Blob, NewValue};
use crate::store::rules::{Rules, Slot, SlotHint};

/// A key that a command declared: the only way to an entry.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Their digest.
    pub digest: u64,
    /// Which policy's it was when its command came.
    pub policy: SlotHint,
}

impl<'a> Key<'a> {
    /// A key that no command declared, by its digest.
    #[inline]
    pub fn new(bytes: &'a [u8], digest: u64) -> Key<'a> {
        Key {
            bytes,
            digest,
            policy: SlotHint::NONE,
        }
    }

    /// A key that no command declared.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Key<'a> {
        Key::new(bytes, hash::digest(bytes))
    }

    /// Which policy's it is by these rules.
    #[inline]
    pub fn slot(&self, rules: &Rules) -> Slot {
        match rules.slot_by_hint(self.policy) {
            Some(slot) => slot,
            None => rules.slot_of(self.bytes),
        }
    }
}

/// Where a key stands among the arguments, found by the command's key specs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyAt {
    /// The argument.
    pub arg: u32,
    /// Which policy's it is, where there are any.
    pub policy: SlotHint,
    /// The key's digest.
    pub digest: u64,
}

/// A cursor over the arguments; it begins behind the command's name (behind the
/// subcommand's, for a subcommand).
#[derive(Clone)]
pub struct Args<'a> {
    argv: &'a [&'a [u8]],
    /// Large arguments in memory of their own, by index; empty where there is none.
    blobs: &'a [Option<Blob>],
    keys: &'a [KeyAt],
    at: usize,
    next_key: usize,
}

impl<'a> Args<'a> {
    /// A cursor at argument `at`.
    #[inline]
    pub fn new(
        argv: &'a [&'a [u8]],
        blobs: &'a [Option<Blob>],
        keys: &'a [KeyAt],
        at: usize,
    ) -> Args<'a> {
        Args {
            argv,
            blobs,
            keys,
            at,
            next_key: 0,
        }
    }

    /// All arguments, the command's name first.
    pub fn all(&self) -> &'a [&'a [u8]] {
        self.argv
    }

    /// Where the keys stand among them.
    pub fn keys(&self) -> &'a [KeyAt] {
        self.keys
    }

    /// How many are left.
    #[inline]
    pub fn left(&self) -> usize {
        self.argv.len() - self.at
    }

    /// Whether none is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// The index of the next one.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next one, without taking it.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.argv.get(self.at).copied()
    }

    /// The next one. A syntax error where there is none.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let arg = self.argv.get(self.at).copied().ok_or(Error::SYNTAX)?;
        self.at += 1;
        Ok(arg)
    }

    /// The next one, a key that the command's spec declares.
    #[inline]
    pub fn key(&mut self) -> Result<Key<'a>, Error> {
        let arg = self.at as u32;
        let bytes = self.bytes()?;
        let found = match self.keys.get(self.next_key) {
            Some(key) if key.arg == arg => Some(key),
            _ => self.keys.iter().find(|k| k.arg == arg),
        };
        self.next_key += 1;
        let key = found.expect("a handler reads only keys that its spec declares");
        Ok(Key {
            bytes,
            digest: key.digest,
            policy: key.policy,
        })
    }

    /// The next one; `None` where the command's spec does not declare it as a key.
    pub fn declared_key(&mut self) -> Result<Option<Key<'a>>, Error> {
        let arg = self.at as u32;
        if self.keys.iter().any(|k| k.arg == arg) {
            return self.key().map(Some);
        }
        self.bytes()?;
        Ok(None)
    }

    /// The next one as a value to store.
    #[inline]
    pub fn value(&mut self) -> Result<NewValue<'a>, Error> {
        let at = self.at;
        let bytes = self.bytes()?;
        Ok(match self.blobs.get(at) {
            Some(Some(blob)) => NewValue::Blob(blob.clone()),
            _ => NewValue::encode(bytes),
        })
    }

    /// The next one, without taking it, if it lies in memory of its own.
    pub fn blob(&self) -> Option<Blob> {
        self.blobs.get(self.at).cloned().flatten()
    }

    /// The next one as an integer of 64 bits.
    pub fn int(&mut self) -> Result<i64, Error> {
        num::parse_i64(self.bytes()?).ok_or(Error::NOT_INTEGER)
    }

    /// Takes the next one if it is this word, in any case.
    #[inline]
    pub fn flag(&mut self, word: &str) -> bool {
        let found = self
            .peek()
            .is_some_and(|a| a.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(found);
        found
    }

    /// Takes the next one if it is this word and something follows it.
    pub fn option(&mut self, word: &str) -> bool {
        self.left() >= 2 && self.flag(word)
    }

    /// A syntax error where something is left.
    pub fn end(&self) -> Result<(), Error> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(Error::SYNTAX),
        }
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [&'a [u8]] {
        let rest = &self.argv[self.at..];
        self.at = self.argv.len();
        rest
    }
}
