//! Invalidations of groups of keys: in force at once, whatever the number of keys.
//!
//! An invalidation is a number, the **epoch**, and a rule. Each entry knows the epoch
//! in which it was written; whoever finds it compares, and only where there were
//! invalidations since asks whether one of them is about this key. If none is, the entry is given the
//! current epoch, so that it is asked once. A sweep in the background removes what
//! nobody asks for; when it has been everywhere, a rule is not needed any more.
//!
//! Entries without a note, those of keys without a policy, know the epoch modulo 256
//! and of patterns alone. That is enough: there are [`PATTERNS_MAX`] outstanding
//! patterns at most, and every sweep brings all entries up to date.
//!
//! **Lock order.** Changed under all shards' locks, read under any one's. So a
//! transaction sees all of an invalidation or nothing of it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::{Entry, Note};
use super::rules::Slot;
use crate::base::hash;
use crate::config::policy::{Pattern, Policy};

/// Most outstanding patterns and prefixes.
pub const PATTERNS_MAX: usize = 128;
/// Most outstanding tags.
pub const OUTSTANDING_TAGS_MAX: usize = 1 << 20;
/// The longest tag, in bytes.
pub const TAG_MAX: usize = 1024;
/// Invalidations that are remembered for whoever asks what happened.
const LOG_MAX: usize = 1024;
/// How long a rule is remembered after its sweep, in milliseconds, for refills that
/// began before it.
const FENCE_MS: u64 = 60_000;

/// What is invalidated.
#[derive(Clone, Debug)]
pub enum Target {
    /// Single keys: done by whoever holds their shards.
    Keys(Vec<Vec<u8>>),
    /// What belongs to a group.
    Tags(Vec<Vec<u8>>),
    /// What begins so.
    Prefix(Vec<u8>),
    /// What matches.
    Pattern(Pattern),
    /// What belongs to a policy.
    Policy(Slot, Box<str>),
}

impl Target {
    /// In words, for people.
    pub fn text(&self) -> String {
        let list = |words: &[Vec<u8>]| {
            let words = words.iter().take(8).map(|w| shown(w));
            words.collect::<Vec<_>>().join(" ")
        };
        match self {
            Target::Keys(keys) => format!("KEY {}", list(keys)),
            Target::Tags(tags) => format!("TAG {}", list(tags)),
            Target::Prefix(prefix) => format!("PREFIX {}", shown(prefix)),
            Target::Pattern(pattern) => format!("PATTERN {}", shown(pattern.text())),
            Target::Policy(_, name) => format!("POLICY {name}"),
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(128)]);
    text.into_owned()
}

/// What is remembered of an invalidation.
#[derive(Debug)]
pub struct Logged {
    /// Rising from 1.
    pub id: u64,
    /// The database.
    pub db: u32,
    /// What it was about.
    pub target: String,
    /// Entries stay, past their lifetime.
    pub soft: bool,
    /// Why, as the client said.
    pub reason: String,
    /// Who asked for it.
    pub who: String,
    /// When, in Unix milliseconds.
    pub began_ms: u64,
    /// When the sweep had been everywhere; 0: it has not yet.
    pub done_ms: AtomicU64,
    /// Entries that it concerned so far.
    pub entries: AtomicU64,
    /// Its epoch; 0 for one that needed none.
    epoch: u32,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    epoch: u32,
    soft: bool,
    id: u64,
}

#[derive(Debug)]
struct PatternRule {
    db: u32,
    /// A prefix, or all of the pattern.
    prefix: Box<[u8]>,
    pattern: Option<Pattern>,
    /// Its number among patterns.
    number: u64,
    rule: Rule,
}

impl PatternRule {
    fn matches(&self, db: u32, key: &[u8]) -> bool {
        self.db == db
            && match &self.pattern {
                Some(pattern) => pattern.matches(key),
                None => key.starts_with(&self.prefix),
            }
    }
}

/// What an invalidation does to an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing.
    Untouched,
    /// It is past its lifetime from now on; by the invalidation of this id.
    Stale(u64),
    /// It is gone.
    Gone(u64),
}

/// Why an invalidation is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// There are [`PATTERNS_MAX`] patterns.
    Patterns,
    /// There are [`OUTSTANDING_TAGS_MAX`] tags.
    Tags,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Invalidations {
    epoch: u32,
    patterns_made: u64,
    /// By database and the tag's digest: the last hard and the last soft one.
    tags: HashMap<(u32, u64), [Option<Rule>; 2]>,
    patterns: Vec<PatternRule>,
    /// By database and policy.
    policies: Vec<(u32, Slot, Rule)>,
    log: VecDeque<Logged>,
    next_id: u64,
    /// When the last rule came, in Unix milliseconds.
    last_ms: u64,
    /// The epoch in which the last sweep began that has been everywhere.
    swept: u32,
}

/// The digest by which a tag is known. Entries take it along into snapshots and to other
/// databases, so it says nothing of where they are.
pub fn tag_digest(tag: &[u8]) -> u64 {
    hash::lasting_digest(tag)
}

/// Who wants an invalidation, and why.
pub struct Cause<'a> {
    /// The database.
    pub db: u32,
    /// Entries stay, past their lifetime.
    pub soft: bool,
    /// Why.
    pub reason: &'a str,
    /// Who.
    pub who: &'a str,
    /// When, in Unix milliseconds.
    pub now_ms: u64,
}

impl Invalidations {
    /// How many there have been.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// As entries without a note know it.
    #[inline]
    pub fn plain_epoch(&self) -> u8 {
        self.patterns_made as u8
    }

    /// Whether nothing is outstanding.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.patterns.is_empty() && self.policies.is_empty()
    }

    /// Outstanding rules: tags, and patterns with policies.
    pub fn outstanding(&self) -> (usize, usize) {
        (self.tags.len(), self.patterns.len() + self.policies.len())
    }

    /// Puts an invalidation in force, and returns its id. One of keys, or hard one of a
    /// policy, is only noted: whoever asks for it carries it out.
    /// Where it `sweeps`, that of a policy is carried out key by key, like the others.
    pub fn add(&mut self, target: &Target, cause: &Cause<'_>, sweeps: bool) -> Result<u64, Full> {
        let id = self.next_id + 1;
        let epoch = self.epoch.wrapping_add(1);
        let rule = Rule {
            epoch,
            soft: cause.soft,
            id,
        };
        let mut needs_sweep = true;
        match target {
            Target::Keys(_) => needs_sweep = false,
            Target::Policy(..) if !cause.soft && !sweeps => needs_sweep = false,
            Target::Policy(slot, _) => {
                let same = |(db, s, _): &(u32, Slot, Rule)| (*db, *s) == (cause.db, *slot);
                self.policies.retain(|one| !same(one));
                self.policies.push((cause.db, *slot, rule));
            }
            Target::Tags(tags) => {
                let new = tags
                    .iter()
                    .filter(|t| !self.tags.contains_key(&(cause.db, tag_digest(t))));
                if self.tags.len() + new.count() > OUTSTANDING_TAGS_MAX {
                    return Err(Full::Tags);
                }
                for tag in tags {
                    let rules = self.tags.entry((cause.db, tag_digest(tag))).or_default();
                    rules[usize::from(cause.soft)] = Some(rule);
                }
            }
            Target::Prefix(prefix) => self.add_pattern(cause.db, prefix, None, rule)?,
            Target::Pattern(pattern) => match pattern.is_prefix() {
                true => self.add_pattern(cause.db, pattern.prefix(), None, rule)?,
                false => {
                    self.add_pattern(cause.db, pattern.text(), Some(pattern.clone()), rule)?;
                }
            },
        }
        if needs_sweep {
            self.epoch = epoch;
            self.last_ms = cause.now_ms;
        }
        self.next_id = id;
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(Logged {
            id,
            db: cause.db,
            target: target.text(),
            soft: cause.soft,
            reason: cause.reason.into(),
            who: cause.who.into(),
            began_ms: cause.now_ms,
            done_ms: AtomicU64::new(if needs_sweep { 0 } else { cause.now_ms }),
            entries: AtomicU64::new(0),
            epoch: if needs_sweep { epoch } else { 0 },
        });
        Ok(id)
    }

    fn add_pattern(
        &mut self,
        db: u32,
        text: &[u8],
        pattern: Option<Pattern>,
        rule: Rule,
    ) -> Result<(), Full> {
        let is_same = |p: &PatternRule| {
            (p.db, &*p.prefix, p.rule.soft) == (db, text, rule.soft)
                && p.pattern.is_some() == pattern.is_some()
        };
        // The later one of two about the same keys stands for both.
        self.patterns.retain(|p| !is_same(p));
        if self.patterns.len() == PATTERNS_MAX {
            return Err(Full::Patterns);
        }
        self.patterns_made += 1;
        self.patterns.push(PatternRule {
            db,
            prefix: text.into(),
            pattern,
            number: self.patterns_made,
            rule,
        });
        Ok(())
    }

    /// What has happened to an entry since it was written. `policy` is that of its table.
    pub fn verdict(&self, db: u32, entry: &Entry<'_>, policy: Option<(Slot, &Policy)>) -> Verdict {
        let key = entry.key();
        let Some(note) = entry.note() else {
            let age = self.plain_epoch().wrapping_sub(entry.epoch());
            return match age {
                0 => Verdict::Untouched,
                _ => self.of_patterns(db, key, |p| u64::from(age) > self.patterns_made - p.number),
            };
        };
        if note.epoch == self.epoch {
            return Verdict::Untouched;
        }
        self.since(db, key, policy, &note, &entry.tags())
    }

    /// Whether a key was invalidated after an epoch, by anything but its own name.
    pub fn concerns(
        &self,
        db: u32,
        key: &[u8],
        policy: Option<(Slot, &Policy)>,
        epoch: u32,
    ) -> bool {
        let note = Note {
            epoch,
            ..Note::default()
        };
        epoch != self.epoch && self.since(db, key, policy, &note, &[]) != Verdict::Untouched
    }

    fn since(
        &self,
        db: u32,
        key: &[u8],
        policy: Option<(Slot, &Policy)>,
        note: &Note,
        tags: &[u64],
    ) -> Verdict {
        let is_later = |rule: &Rule| rule.epoch.wrapping_sub(note.epoch) as i32 > 0;
        let mut verdict = self.of_patterns(db, key, |p| is_later(&p.rule));
        let mut meet = |rule: &Rule| {
            if is_later(rule) {
                verdict = match (rule.soft, verdict) {
                    (_, gone @ Verdict::Gone(_)) => gone,
                    (false, _) => Verdict::Gone(rule.id),
                    (true, _) => Verdict::Stale(rule.id),
                };
            }
        };
        if let Some((slot, policy)) = policy {
            let own = |(d, s, _): &&(u32, Slot, Rule)| (*d, *s) == (db, slot);
            for (_, _, rule) in self.policies.iter().filter(own) {
                meet(rule);
            }
            if !self.tags.is_empty()
                && !policy.tags.is_empty()
                && let Some(captures) = policy.pattern.captures(key)
            {
                for template in &policy.tags {
                    let digest = tag_digest(&template.fill(&captures));
                    self.tags
                        .get(&(db, digest))
                        .into_iter()
                        .flatten()
                        .flatten()
                        .for_each(&mut meet);
                }
            }
        }
        for tag in tags {
            self.tags
                .get(&(db, *tag))
                .into_iter()
                .flatten()
                .flatten()
                .for_each(&mut meet);
        }
        verdict
    }

    fn of_patterns(&self, db: u32, key: &[u8], is_later: impl Fn(&PatternRule) -> bool) -> Verdict {
        let mut verdict = Verdict::Untouched;
        for pattern in &self.patterns {
            if is_later(pattern) && pattern.matches(db, key) {
                match pattern.rule.soft {
                    false => return Verdict::Gone(pattern.rule.id),
                    true => verdict = Verdict::Stale(pattern.rule.id),
                }
            }
        }
        verdict
    }

    /// Two databases change places, and what is invalidated in them with them.
    pub fn swap(&mut self, a: u32, b: u32) {
        let place = |db: u32| match db {
            _ if db == a => b,
            _ if db == b => a,
            db => db,
        };
        for pattern in &mut self.patterns {
            pattern.db = place(pattern.db);
        }
        for (db, _, _) in &mut self.policies {
            *db = place(*db);
        }
        if self.tags.keys().any(|(db, _)| place(*db) != *db) {
            let tags = std::mem::take(&mut self.tags).into_iter();
            self.tags = tags
                .map(|((db, tag), rules)| ((place(db), tag), rules))
                .collect();
        }
    }

    /// Counts an entry that an invalidation concerned.
    pub fn count(&self, id: u64, entries: u64) {
        if let Some(row) = self.row(id) {
            row.entries.fetch_add(entries, Ordering::Relaxed);
        }
    }

    fn row(&self, id: u64) -> Option<&Logged> {
        let first = self.log.front()?.id;
        self.log.get(id.checked_sub(first)? as usize)
    }

    /// A sweep has been everywhere that began in this epoch: what was in force then is
    /// done. Where it `keeps` them, rules stay for a while, for refills that began
    /// before them.
    pub fn swept(&mut self, epoch: u32, now_ms: u64, keeps: bool) {
        let is_done = |rule: &Rule| rule.epoch.wrapping_sub(epoch) as i32 <= 0;
        self.swept = epoch;
        for row in &self.log {
            let is_open = row.done_ms.load(Ordering::Relaxed) == 0;
            if is_open && row.epoch.wrapping_sub(epoch) as i32 <= 0 {
                row.done_ms.store(now_ms, Ordering::Relaxed);
            }
        }
        if keeps && now_ms.saturating_sub(self.last_ms) < FENCE_MS && !self.is_crowded() {
            return;
        }
        self.patterns.retain(|p| !is_done(&p.rule));
        self.policies.retain(|(_, _, rule)| !is_done(rule));
        self.tags.retain(|_, rules| {
            for rule in rules.iter_mut() {
                if rule.as_ref().is_some_and(is_done) {
                    *rule = None;
                }
            }
            rules.iter().any(Option::is_some)
        });
        self.tags.shrink_to(self.tags.len() * 2);
    }

    /// Whether rules that are done should go before their time.
    fn is_crowded(&self) -> bool {
        self.patterns.len() > PATTERNS_MAX / 2 || self.tags.len() > OUTSTANDING_TAGS_MAX / 4
    }

    /// Whether some entries may still be there that should not be.
    pub fn is_unswept(&self) -> bool {
        self.swept != self.epoch
    }

    /// Whether a sweep that began in this epoch has something to say: it is news, or rules
    /// have been kept for long enough.
    pub fn wants_word(&self, epoch: u32, now_ms: u64) -> bool {
        let is_old = now_ms.saturating_sub(self.last_ms) >= FENCE_MS;
        self.swept != epoch || !self.is_empty() && is_old
    }

    /// What happened, the newest first.
    pub fn log(&self) -> impl Iterator<Item = &Logged> {
        self.log.iter().rev()
    }
}
