//! Which policy a key belongs to: the policies, ordered so that the first that
//! matches is the right one, and found by the key's first byte.
//!
//! The policy with the longest literal prefix wins, then the one defined first. A
//! policy keeps its number, its **slot**, for as long as it is defined: the tables of
//! its keys go by it. Slot 0 is that of keys without a policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::adaptive::Typical;
use crate::config::policy::Policy;

/// A policy's number, from 1; 0: none.
pub type Slot = u8;
/// Most policies at a time.
pub const POLICIES_MAX: usize = 255;

/// Which of a database's tables in a shard: that of keys without a policy, and for each
/// policy one of values, and one of what clients write for something absent, whose
/// memory is counted apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TableId(u16);

impl TableId {
    /// That of keys without a policy.
    pub const PLAIN: TableId = TableId(0);

    /// That of a policy's values.
    #[inline]
    pub fn values(slot: Slot) -> TableId {
        TableId((u16::from(slot) * 2).saturating_sub(1))
    }

    /// That of a policy's sentinels.
    #[inline]
    pub fn sentinels(slot: Slot) -> TableId {
        match slot {
            0 => TableId::PLAIN,
            _ => TableId(u16::from(slot) * 2),
        }
    }

    /// Whose it is.
    #[inline]
    pub fn slot(self) -> Slot {
        self.0.div_ceil(2) as Slot
    }

    /// Whether it holds sentinels.
    #[inline]
    pub fn is_sentinels(self) -> bool {
        self.0 != 0 && self.0.is_multiple_of(2)
    }

    /// Its place among those of policies; 0 is none of them.
    #[inline]
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// That of a place.
    pub fn at(index: usize) -> TableId {
        TableId(index as u16)
    }
}

/// Which policy a key belongs to by the rules of one time: found out before its shard is
/// locked, and good while those are in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SlotHint(u32);

impl SlotHint {
    /// Nothing was found out.
    pub const NONE: SlotHint = SlotHint(0);
    /// Versions of rules that are told apart.
    const VERSIONS: u32 = (1 << 24) - 1;
}

/// Counts the rules that were made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A policy that may match: first by the first eight bytes of the key, in one
/// comparison.
#[derive(Clone, Copy, Debug)]
struct Asked {
    mask: u64,
    head: u64,
    prefix_len: u16,
    slot: Slot,
    /// Those bytes, and the length, say it all.
    is_all: bool,
}

impl Asked {
    fn new(slot: Slot, policy: &Policy) -> Asked {
        let prefix = policy.pattern.prefix();
        let mask = match prefix.len() {
            0 => 0,
            n => u64::MAX >> (64 - 8 * n.min(8)),
        };
        Asked {
            mask,
            head: head_of(prefix) & mask,
            prefix_len: prefix.len() as u16,
            slot,
            is_all: policy.pattern.is_prefix() && prefix.len() <= 8,
        }
    }
}

/// The first eight bytes, filled up with zeros.
#[inline]
fn head_of(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(head) => u64::from_le_bytes(*head),
        None => {
            let mut head = [0; 8];
            head[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(head)
        }
    }
}

/// See the head of this file. Never changed: a change makes another.
#[derive(Debug)]
pub struct Rules {
    /// By slot - 1.
    policies: Vec<Option<Arc<Policy>>>,
    /// By slot - 1: which was defined first.
    ages: Vec<u64>,
    /// By slot - 1: what is learned of a policy's keys, through all its definitions.
    typical: Vec<Arc<Typical>>,
    next_age: u64,
    /// Who is asked, in order, for each first byte of a key, and behind these for the
    /// empty key.
    asked: Vec<Asked>,
    /// Where the part of a first byte begins; that of the empty key is the last.
    parts: Box<[u16; 258]>,
    /// Tells them from others, from 1.
    version: u32,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::of(Vec::new(), Vec::new(), Vec::new(), 0)
    }
}

impl Rules {
    fn of(
        policies: Vec<Option<Arc<Policy>>>,
        ages: Vec<u64>,
        typical: Vec<Arc<Typical>>,
        next_age: u64,
    ) -> Rules {
        let mut order: Vec<(Slot, &Policy)> = policies
            .iter()
            .enumerate()
            .filter_map(|(i, p)| Some(((i + 1) as Slot, &**p.as_ref()?)))
            .collect();
        order.sort_by_key(|(slot, p)| {
            let age = ages[usize::from(*slot) - 1];
            (std::cmp::Reverse(p.pattern.prefix().len()), age)
        });
        let mut asked = Vec::new();
        let mut parts = Box::new([0u16; 258]);
        for first in 0..=256usize {
            parts[first] = asked.len() as u16;
            let may_match = |p: &Policy| match p.pattern.prefix().first() {
                None => true,
                Some(&byte) => usize::from(byte) == first,
            };
            let all = order.iter().filter(|(_, p)| may_match(p));
            asked.extend(all.map(|(slot, policy)| Asked::new(*slot, policy)));
        }
        parts[257] = asked.len() as u16;
        Rules {
            policies,
            ages,
            typical,
            next_age,
            asked,
            parts,
            version: 1 + MADE.fetch_add(1, Ordering::Relaxed) % SlotHint::VERSIONS,
        }
    }

    /// Whether there is no policy.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The policy of a key, by its slot.
    #[inline]
    pub fn slot_of(&self, key: &[u8]) -> Slot {
        let first = key.first().map_or(256, |&byte| byte.into());
        let (from, to) = (self.parts[first], self.parts[first + 1]);
        let head = head_of(key);
        for asked in &self.asked[usize::from(from)..usize::from(to)] {
            if head & asked.mask != asked.head || key.len() < asked.prefix_len.into() {
                continue;
            }
            if asked.is_all || self.get(asked.slot).is_some_and(|p| p.pattern.matches(key)) {
                return asked.slot;
            }
        }
        0
    }

    /// Whether these are the same.
    #[inline]
    pub fn is(&self, other: &Rules) -> bool {
        std::ptr::eq(self, other)
    }

    /// As [`Rules::slot_of`], for whoever asks again later.
    #[inline]
    pub fn hint(&self, key: &[u8]) -> SlotHint {
        SlotHint(self.version << 8 | u32::from(self.slot_of(key)))
    }

    /// What a hint says, where these are still the rules that it is from.
    #[inline]
    pub fn slot_by_hint(&self, hint: SlotHint) -> Option<Slot> {
        (hint.0 >> 8 == self.version).then_some(hint.0 as Slot)
    }

    /// The policy of a slot.
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<&Arc<Policy>> {
        self.policies
            .get(usize::from(slot).checked_sub(1)?)?
            .as_ref()
    }

    /// What is learned of the keys of a slot's policy.
    #[inline]
    pub fn typical(&self, slot: Slot) -> Option<&Arc<Typical>> {
        self.typical.get(usize::from(slot).checked_sub(1)?)
    }

    /// The policy of a name, and its slot.
    pub fn named(&self, name: &[u8]) -> Option<(Slot, &Arc<Policy>)> {
        self.all().find(|(_, p)| p.name.as_bytes() == name)
    }

    /// All policies by the order of their definition, with their slots.
    pub fn all(&self) -> impl Iterator<Item = (Slot, &Arc<Policy>)> {
        let mut all: Vec<_> = self
            .policies
            .iter()
            .enumerate()
            .filter_map(|(i, p)| Some(((i + 1) as Slot, p.as_ref()?)))
            .collect();
        all.sort_by_key(|(slot, _)| self.ages[usize::from(*slot) - 1]);
        all.into_iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.policies.iter().flatten().count()
    }

    /// The slots of all policies that keys with this literal prefix may belong to; `None`
    /// where such a key may have no policy.
    pub fn slots_of_prefix(&self, prefix: &[u8]) -> Option<Vec<Slot>> {
        let first = *prefix.first()?;
        let (from, to) = (
            self.parts[usize::from(first)],
            self.parts[usize::from(first) + 1],
        );
        let mut slots = Vec::new();
        for &Asked { slot, .. } in &self.asked[usize::from(from)..usize::from(to)] {
            let pattern = &self.get(slot)?.pattern;
            let own = pattern.prefix();
            let shared = own.len().min(prefix.len());
            if own[..shared] != prefix[..shared] {
                continue;
            }
            slots.push(slot);
            if pattern.is_prefix() && prefix.starts_with(own) {
                // Every such key that none before took belongs to this one.
                return Some(slots);
            }
        }
        None
    }

    /// These, and another one, or another definition of one of its name. `Err`: all
    /// slots are taken.
    pub fn with(&self, policy: Policy) -> Result<Rules, TooMany> {
        let (mut policies, mut ages) = (self.policies.clone(), self.ages.clone());
        let mut typical = self.typical.clone();
        let named = self.named(policy.name.as_bytes()).map(|(slot, _)| slot);
        let at = match named {
            Some(slot) => usize::from(slot) - 1,
            None => {
                let free = policies.iter().position(Option::is_none);
                let at = free.unwrap_or(policies.len());
                if at == POLICIES_MAX {
                    return Err(TooMany);
                }
                if at == policies.len() {
                    policies.push(None);
                    ages.push(0);
                    typical.push(Arc::new(Typical::new(0)));
                }
                ages[at] = self.next_age;
                typical[at] = Arc::new(Typical::new(policy.ttl_ms));
                at
            }
        };
        policies[at] = Some(Arc::new(policy));
        Ok(Rules::of(policies, ages, typical, self.next_age + 1))
    }

    /// These without the one of a name; `None` where there is none.
    pub fn without(&self, name: &[u8]) -> Option<Rules> {
        let (slot, _) = self.named(name)?;
        let mut policies = self.policies.clone();
        policies[usize::from(slot) - 1] = None;
        let (ages, typical) = (self.ages.clone(), self.typical.clone());
        Some(Rules::of(policies, ages, typical, self.next_age))
    }

    /// Exactly these policies, in their order; who had a slot keeps it.
    pub fn replaced_by(&self, wanted: Vec<Policy>) -> Result<Rules, TooMany> {
        let mut rules = Rules::of(
            self.policies.clone(),
            self.ages.clone(),
            self.typical.clone(),
            self.next_age,
        );
        let gone: Vec<Box<str>> = self
            .all()
            .filter(|(_, p)| !wanted.iter().any(|w| w.name == p.name))
            .map(|(_, p)| p.name.clone())
            .collect();
        for name in gone {
            rules = rules.without(name.as_bytes()).unwrap_or(rules);
        }
        for policy in wanted {
            let name = policy.name.clone();
            rules = rules.with(policy)?;
            let slot = rules.named(name.as_bytes()).map(|(slot, _)| slot);
            if let Some(slot) = slot {
                // Their order is that of this list, whichever was there before.
                rules.ages[usize::from(slot) - 1] = rules.next_age;
                rules.next_age += 1;
            }
        }
        let Rules {
            policies,
            ages,
            typical,
            next_age,
            ..
        } = rules;
        Ok(Rules::of(policies, ages, typical, next_age))
    }
}

/// There are [`POLICIES_MAX`] policies already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany;

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(lines: &[&str]) -> Rules {
        lines.iter().fold(Rules::default(), |rules, line| {
            let policy = Policy::parse(&line.split(' ').collect::<Vec<_>>());
            rules.with(policy.expect("a policy")).expect("a slot")
        })
    }

    fn name_of<'r>(rules: &'r Rules, key: &str) -> &'r str {
        let policy = rules.get(rules.slot_of(key.as_bytes()));
        policy.map_or("none", |p| &p.name)
    }

    #[test]
    fn a_hint_holds_for_the_rules_that_it_is_from_and_for_no_others() {
        let before = rules(&["all *", "a a:*"]);
        let hint = before.hint(b"a:1");
        assert_eq!(before.slot_by_hint(hint), Some(before.slot_of(b"a:1")));
        assert_eq!(before.slot_by_hint(SlotHint::NONE), None);
        let after = before.without(b"a").expect("it was there");
        assert_eq!(after.slot_by_hint(hint), None);
        assert_eq!(Rules::default().slot_by_hint(hint), None);
    }

    #[test]
    fn the_longest_literal_prefix_wins_and_then_the_one_defined_first() {
        let rules = rules(&["all *", "a1 a:*", "ab a:b:*", "a2 a:*x", "q ?z*"]);
        for (key, name) in [
            ("a:b:1", "ab"),
            ("a:c", "a1"),
            ("a:x", "a1"),
            ("b", "all"),
            ("", "all"),
            ("zz", "all"),
            ("a:b", "a1"),
            ("a", "all"),
        ] {
            assert_eq!(name_of(&rules, key), name, "{key}");
        }
        let rules = rules.without(b"a1").expect("it was there");
        assert_eq!(name_of(&rules, "a:x"), "a2");
        assert_eq!(name_of(&rules, "a:c"), "all");
        let rules = rules.without(b"all").expect("it was there");
        assert_eq!(name_of(&rules, "b"), "none");
        assert_eq!(name_of(&rules, "zz"), "q");
    }

    #[test]
    fn a_policy_keeps_its_slot_through_every_change() {
        let before = rules(&["a a:*", "b b:*", "c c:*"]);
        let slot = before.named(b"c").expect("it is there").0;
        let after = before.without(b"a").expect("it was there");
        assert_eq!(after.named(b"c").expect("it is there").0, slot);
        let policy = |line: &str| Policy::parse(&line.split(' ').collect::<Vec<_>>()).unwrap();
        let after = before
            .replaced_by(vec![policy("z *"), policy("c c:*")])
            .expect("slots");
        assert_eq!(after.named(b"c").expect("it is there").0, slot);
        let names: Vec<&str> = after.all().map(|(_, p)| &*p.name).collect();
        assert_eq!(names, ["z", "c"]);
    }

    #[test]
    fn a_prefix_lies_in_the_policies_that_its_keys_may_belong_to() {
        let rules = rules(&["ab a:b:*", "a a:*", "s a:*:s", "c c:*:x"]);
        let slots = |prefix: &str| rules.slots_of_prefix(prefix.as_bytes());
        assert_eq!(slots("a:b:1"), Some(vec![1]));
        assert_eq!(slots("a:b"), Some(vec![1, 2]));
        assert_eq!(slots("a"), None, "a key 'a' has no policy");
        assert_eq!(slots("c:1"), None);
        assert_eq!(slots(""), None);
    }

    #[test]
    fn no_more_than_all_slots_are_given_away() {
        let mut rules = Rules::default();
        for i in 0..POLICIES_MAX {
            let words = [format!("p{i}"), format!("{i}:*")];
            rules = rules.with(Policy::parse(&words).unwrap()).expect("a slot");
        }
        let one_more = Policy::parse(&["more", "more:*"]).unwrap();
        assert_eq!(rules.with(one_more).err(), Some(TooMany));
        assert_eq!(rules.slot_of(b"254:"), 255);
        assert_eq!(TableId::sentinels(255).slot(), 255);
        assert_eq!(TableId::values(255).slot(), 255);
    }
}
