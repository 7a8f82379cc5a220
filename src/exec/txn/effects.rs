//! What leaves a transaction: who is told of its changes, and in which words.

use super::Outcome;
use super::Txn;
use crate::base::clock;
use crate::base::hash;
use crate::exec::args::Key;
use crate::exec::effect::{Change, Event};

/// Keys whose time is over that a search for a random one may meet while none is
/// removed.
const TRIES_MAX: usize = 100;

impl Txn<'_> {
    #[inline]
    pub(super) fn changed(&mut self, shard: usize, db: u32, key: &[u8], event: Event) {
        self.changes += 1;
        self.locked.shard_mut(shard).stats.changes += 1;
        self.touched(shard, db, key);
        self.record(db, key, event);
    }

    /// Tells who watches the key, and notes it for who waits for it.
    #[inline]
    pub(super) fn touched(&mut self, shard: usize, db: u32, key: &[u8]) {
        let shard = self.locked.shard_mut(shard);
        shard.touch(db, key);
        if shard.is_awaited(db, key) {
            self.rest().changed.push((db, key.to_vec()));
        }
    }

    /// Has whoever waits for the key look at it, though those who watch it need not
    /// hear of what happened.
    pub fn wake(&mut self, key: &Key<'_>) {
        let db = self.db;
        if self.shard_for(key).is_awaited(db, key.bytes) {
            self.rest().changed.push((db, key.bytes.to_vec()));
        }
    }

    #[inline]
    pub(super) fn record(&mut self, db: u32, key: &[u8], event: Event) {
        if let Some(effect) = &mut self.effect
            && self.effects.wants_changes()
        {
            effect.changes.push(Change {
                db,
                key: key.into(),
                event,
            });
        }
    }

    /// Has a command run at followers as well, beside the one that is running.
    pub(super) fn propagate(&mut self, db: u32, words: Vec<Vec<u8>>) {
        if let Some(effect) = &mut self.effect
            && self.effects.wants_commands()
        {
            effect.tell(db, &words);
        }
    }

    /// How many commands others are to run so far.
    pub(in crate::exec) fn told(&self) -> usize {
        self.effect.as_ref().map_or(0, |e| e.commands.len())
    }

    /// Takes back the commands behind the first ones: nobody is to run them.
    pub(in crate::exec) fn tell_no_more_than(&mut self, commands: usize) {
        if let Some(effect) = &mut self.effect {
            effect.commands.truncate(commands);
        }
    }

    /// Whether anybody wants the commands.
    pub(in crate::exec) fn sends_commands(&self) -> bool {
        self.effect.is_some() && self.effects.wants_commands()
    }

    /// Changes made since the running command began.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts a change that is about no key, so that the command is propagated.
    pub fn count_change(&mut self) {
        self.changes += 1;
    }

    /// Says as how many changes the running command counts, where that is not one
    /// for each event: three elements that come by one command are three. What is
    /// too much or too little is this key's.
    pub fn count_as(&mut self, key: &Key<'_>, changes: u64) {
        let counted = std::mem::replace(&mut self.changes, changes);
        let stats = &mut self.shard_for(key).stats;
        stats.changes = stats.changes + changes - counted;
    }

    /// Counts changes to a key of which those who watch it do not hear: they are
    /// about how it is used rather than what it holds.
    pub fn count_changes_of(&mut self, key: &Key<'_>, changes: u64) {
        self.changes += changes;
        self.shard_for(key).stats.changes += changes;
    }

    /// Whether anybody wants to hear what commands do.
    pub fn is_heard(&self) -> bool {
        self.effect.is_some()
    }

    /// As [`Txn::rewrite`], in the words of any number of commands: of none, where
    /// there is nothing that others should do.
    pub fn rewrite_as(&mut self, commands: Vec<Vec<Vec<u8>>>) {
        if let Some(effect) = &mut self.effect {
            for words in commands {
                effect.tell(self.db, &words);
            }
            self.rewritten = true;
        }
    }

    /// Says what the running command did in other words than its own: relative
    /// times made absolute, random choices made definite. `words` is only asked
    /// for when somebody wants to know.
    #[inline]
    pub fn rewrite(&mut self, words: impl FnOnce() -> Vec<Vec<u8>>) {
        if let Some(effect) = &mut self.effect
            && self.effects.wants_commands()
        {
            match effect.is_relayed {
                true => effect.tell::<&[u8]>(self.db, &[]),
                false => effect.tell(self.db, &words()),
            }
            self.rewritten = true;
        }
    }

    /// Ends a command: what it changed is kept under its own words, unless it
    /// found others.
    #[inline]
    pub fn end_command(&mut self, argv: &[&[u8]]) {
        if let Some(effect) = &mut self.effect
            && self.effects.wants_commands()
            && self.changes > 0
            && !self.rewritten
        {
            effect.tell(self.db, argv);
        }
        if let Some(effect) = &mut self.effect
            && let Some(rest) = &mut self.rest
        {
            for (db, words) in rest.behind.drain(..) {
                effect.tell(db, &words);
            }
        }
        self.changes = 0;
        self.rewritten = false;
    }

    /// Ends the transaction: its effect is delivered, then the shards are let go.
    #[inline]
    pub fn commit(mut self) -> Outcome {
        self.deliver();
        if let Some(effect) = self.effect.take() {
            effect.recycle();
        }
        Outcome {
            garbage: self.garbage,
            rest: self.rest,
        }
    }

    pub(super) fn deliver(&mut self) {
        if let Some(effect) = &mut self.effect
            && !effect.is_empty()
        {
            self.effects.deliver(effect);
            effect.clear();
        }
    }

    /// A random key of the current database, each with the same probability;
    /// those whose time is over and that are met go. Needs the whole keyspace.
    pub fn random_key(&mut self) -> Option<Vec<u8>> {
        let mut tries = 0;
        loop {
            let key = self.random_entry()?;
            tries += 1;
            if tries > TRIES_MAX && self.effects.keeps_all(self.now_ms) {
                return Some(key);
            }
            let digest = hash::digest(&key);
            if self.find(&Key::new(&key, digest)).is_some() {
                return Some(key);
            }
        }
    }

    fn random_entry(&mut self) -> Option<Vec<u8>> {
        let db = self.db;
        let mut at = clock::random_below(self.len(db) as u64) as usize;
        for i in 0..self.shards() {
            for (_, table) in self.shard(i).tables_of(db) {
                if at < table.len() {
                    return table.random().map(|entry| entry.key().to_vec());
                }
                at -= table.len();
            }
        }
        None
    }
}
