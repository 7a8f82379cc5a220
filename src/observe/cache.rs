//! What the cache is worth: the figures of each policy, summed over the shards.
//!
//! A request is a read of one key. It ends as a **hit**, as a **null** (a remembered
//! absence), as **stale** (an old value while another client refills it), or as a miss,
//! for a reason. So
//!
//! * the **hit rate** is the share of requests that the origin was spared: hits, nulls
//!   and stale values, of all requests;
//! * the **penetration rate** is the share of requests for what the origin does not
//!   have, as far as they were kept from it: nulls, of all requests;
//! * **penetration attempts** are all of those requests: nulls, and the absences that
//!   were written because a request had got through to the origin.

use std::sync::atomic::Ordering;

use crate::cache::limits::{LimitStats, Limits};
use crate::cache::warming;
use crate::config::policy::Mode;
use crate::exec::engine::Engine;
use crate::exec::txn::Txn;
use crate::store::figures::{BUCKETS, Figures, Spread};
use crate::store::rules::Slot;
use crate::store::shard::{Kept, Shard};

/// What stands for the keys without a policy where one is named. No policy can be
/// called so.
pub const NONE: &str = "(none)";

/// The figures of one policy, or of all keys without one.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The policy's name, or [`NONE`].
    pub name: String,
    /// Its pattern; none for keys without a policy.
    pub pattern: Option<Vec<u8>>,
    /// Whether it is in force.
    pub mode: Mode,
    slot: Slot,
    /// What was counted.
    pub figures: Figures,
    /// Reads that missed and whose reason nobody keeps: those of keys without a policy.
    pub misses_untold: u64,
    /// Keys, those past their lifetime included.
    pub keys: usize,
    /// Bytes of their entries and of the tables.
    pub bytes: usize,
    /// Remembered absences, as markers and as what clients write for them.
    pub nulls: usize,
    /// Bytes of those.
    pub null_bytes: usize,
    /// Keys that left and are remembered.
    pub departed: usize,
    /// Bytes of what is remembered of them.
    pub departed_bytes: usize,
    /// Leases that are held.
    pub leases: usize,
    /// Bytes of those.
    pub lease_bytes: usize,
}

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// The policies by the order of their definition, and behind them the keys without
    /// one.
    pub rows: Vec<Row>,
}

impl Row {
    /// Whether it is in force, as its option says; nothing for keys without a policy.
    pub fn enabled(&self) -> Option<&'static str> {
        self.pattern.as_ref().map(|_| match self.mode {
            Mode::Yes => "yes",
            Mode::No => "no",
            Mode::Shadow => "shadow",
        })
    }

    /// Reads of all outcomes.
    pub fn requests(&self) -> u64 {
        self.figures.requests() + self.misses_untold
    }

    /// Reads that missed, for whatever reason.
    pub fn missed(&self) -> u64 {
        self.figures.missed() + self.misses_untold
    }

    /// The share of requests that were answered from the cache; `None` where there was
    /// no request.
    pub fn hit_rate(&self) -> Option<f64> {
        let spared = self.requests() - self.missed();
        share(spared, self.requests())
    }

    /// The share of requests that met a remembered absence, likewise.
    pub fn penetration_rate(&self) -> Option<f64> {
        share(self.figures.null_hits, self.requests())
    }

    /// Requests for what the origin does not have.
    pub fn penetration_attempts(&self) -> u64 {
        self.figures.null_hits + self.figures.null_fills
    }

    /// Everything that it takes in memory.
    pub fn all_bytes(&self) -> usize {
        self.bytes + self.null_bytes + self.departed_bytes + self.lease_bytes
    }

    fn add_kept(&mut self, kept: &Kept) {
        self.figures.merge(&kept.figures);
        for (_, nulls) in kept.all_nulls() {
            self.nulls += nulls.len();
            self.null_bytes += nulls.bytes();
        }
        self.departed += kept.departed.len();
        self.departed_bytes += kept.departed.bytes();
        self.leases += kept.leases.len();
        self.lease_bytes += kept.leases.bytes();
    }

    fn merge(&mut self, other: &Row) {
        self.figures.merge(&other.figures);
        self.misses_untold += other.misses_untold;
        self.keys += other.keys;
        self.bytes += other.bytes;
        self.nulls += other.nulls;
        self.null_bytes += other.null_bytes;
        self.departed += other.departed;
        self.departed_bytes += other.departed_bytes;
        self.leases += other.leases;
        self.lease_bytes += other.lease_bytes;
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Cache {
    /// Looks through all shards, one after the other.
    pub fn gather(txn: &mut Txn<'_>) -> Cache {
        let rules = txn.shard(0).rules.clone();
        let mut rows: Vec<Row> = rules
            .all()
            .map(|(slot, policy)| Row {
                name: policy.name.to_string(),
                pattern: Some(policy.pattern.text().to_vec()),
                mode: policy.mode,
                slot,
                ..Row::default()
            })
            .collect();
        rows.push(Row {
            name: NONE.into(),
            ..Row::default()
        });
        let mut by_slot = [None; 1 << Slot::BITS];
        for (at, row) in rows.iter().enumerate() {
            by_slot[usize::from(row.slot)] = Some(at);
        }
        let (mut hits, mut misses) = (0, 0);
        for index in 0..txn.shards() {
            let shard = txn.shard(index);
            hits += shard.stats.hits;
            misses += shard.stats.misses;
            add_tables(shard, &by_slot, &mut rows);
            for row in &mut rows {
                // Other policies may have come into force since the first shard.
                let policy = shard.rules.get(row.slot);
                let is_it = row.slot == 0 || policy.is_some_and(|p| *p.name == *row.name);
                if let Some(kept) = shard.kept(row.slot).filter(|_| is_it) {
                    row.add_kept(kept);
                }
            }
        }
        if let Some((none, policies)) = rows.split_last_mut() {
            let (hits, misses) = rest(hits, misses, policies, &none.figures);
            none.figures.hits = hits;
            none.misses_untold = misses;
        }
        Cache { rows }
    }

    /// The policies and the keys without one, each alone.
    pub fn named(&self, name: &[u8]) -> Option<&Row> {
        self.rows.iter().find(|row| row.name.as_bytes() == name)
    }

    /// All of them together.
    pub fn total(&self) -> Row {
        let mut total = Row::default();
        self.rows.iter().for_each(|row| total.merge(row));
        total
    }

    /// How many policies there are.
    pub fn policies(&self) -> usize {
        self.rows.len().saturating_sub(1)
    }
}

fn add_tables(shard: &Shard, by_slot: &[Option<usize>], rows: &mut [Row]) {
    for (_, id, table) in shard.tables() {
        let Some(at) = by_slot[usize::from(id.slot())] else {
            continue;
        };
        let row = &mut rows[at];
        match id.is_sentinels() {
            true => {
                row.nulls += table.len();
                row.null_bytes += table.bytes();
            }
            false => {
                row.keys += table.len();
                row.bytes += table.bytes();
            }
        }
    }
}

/// Hits and misses of the keys without a policy: what all keys have beyond those of the
/// policies. To Redis's own counts a marker is a miss, and a client's own sentinel a
/// hit; the figures do not tell them apart, and as many as can be are taken for markers.
fn rest(hits: u64, misses: u64, policies: &[Row], none: &Figures) -> (u64, u64) {
    let sum = |of: fn(&Figures) -> u64| policies.iter().map(|row| of(&row.figures)).sum::<u64>();
    let nulls = sum(|f| f.null_hits) + none.null_hits;
    let missed = sum(Figures::missed) + nulls;
    let sentinels = missed.saturating_sub(misses);
    let found = sum(|f| f.hits + f.stale_hits) + sentinels;
    (hits.saturating_sub(found), misses.saturating_sub(missed))
}

/// CONFIG RESETSTAT, of one shard.
pub fn reset(shard: &mut Shard) {
    for (_, kept) in shard.all_kept_mut() {
        kept.figures = Figures::default();
    }
}

/// Rules of `rate-limit` that are told one by one.
const RULES_TOLD: usize = 50;

/// What is known of limits on requests. However many rules there are, few are told.
pub fn limits(engine: &Engine) -> LimitStats {
    engine.service::<Limits>().stats().bounded(RULES_TOLD)
}

/// What is known of warming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warming {
    /// Whether a run is under way.
    pub is_running: bool,
    /// Runs that came to their end.
    pub runs: u64,
    /// Runs, or parts of one, that failed.
    pub failures: u64,
    /// Keys announced.
    pub announced: u64,
    /// How long the run under way has taken by now, or the last one took, in
    /// milliseconds.
    pub duration_ms: u64,
}

impl Warming {
    /// How it stands now.
    pub fn gather(engine: &Engine) -> Warming {
        let figures = engine.service::<warming::Figures>();
        Warming {
            is_running: figures.is_running(),
            runs: figures.runs.load(Ordering::Relaxed),
            failures: figures.failures.load(Ordering::Relaxed),
            announced: figures.announced.load(Ordering::Relaxed),
            duration_ms: figures.duration_ms(),
        }
    }
}

/// The mean of what was counted; 0 where nothing was.
pub fn mean(spread: &Spread) -> f64 {
    share(spread.sum, spread.count()).unwrap_or(0.0)
}

/// The value that a part of what was counted does not exceed, estimated: within its
/// bucket, values are taken to lie evenly. 0 where nothing was counted; of the last
/// bucket, which has no end, where it begins.
pub fn quantile(spread: &Spread, part: f64) -> f64 {
    let wanted = part * spread.count() as f64;
    let mut below = 0;
    for (i, &n) in spread.buckets.iter().enumerate().filter(|(_, n)| **n > 0) {
        if (below + n) as f64 >= wanted {
            let from = match i {
                0 => 0.0,
                i => (1u64 << (i - 1)) as f64,
            };
            if i == BUCKETS - 1 {
                return from;
            }
            let within = (wanted - below as f64) / n as f64;
            return from + ((1u64 << i) as f64 - from) * within;
        }
        below += n;
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testkit::Kit;

    fn kit(policies: &[&str]) -> Kit {
        let mut kit = Kit::new();
        policies.iter().for_each(|line| kit.policy(line));
        kit
    }

    fn gather(kit: &Kit) -> Cache {
        let (keyspace, effects) = (&kit.engine.keyspace, &kit.engine.effects);
        Cache::gather(&mut Txn::one_by_one(keyspace, effects, 0, 1))
    }

    #[test]
    fn each_key_counts_to_its_policy_and_the_others_to_none() {
        let mut kit = kit(&["a a:*", "n n:* null-value NIL"]);
        for line in [
            "get a:1",
            "set a:1 x",
            "get a:1",
            "get a:1",
            "set n:1 NIL",
            "get n:1",
        ] {
            kit.run(line);
        }
        for line in [
            "set other y",
            "get other",
            "get nothing",
            "get no",
            "get none",
        ] {
            kit.run(line);
        }
        let cache = gather(&kit);
        let names: Vec<&str> = cache.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["a", "n", NONE]);
        let a = cache.named(b"a").expect("it is there");
        assert_eq!((a.figures.hits, a.missed(), a.keys), (2, 1, 1));
        assert_eq!(a.hit_rate(), Some(2.0 / 3.0));
        assert_eq!(a.penetration_rate(), Some(0.0));
        let n = cache.named(b"n").expect("it is there");
        assert_eq!(
            (n.figures.null_hits, n.requests(), n.keys, n.nulls),
            (1, 1, 0, 1)
        );
        assert_eq!(n.penetration_rate(), Some(1.0));
        assert_eq!(n.penetration_attempts(), 2);
        assert!(n.null_bytes > 0 && a.bytes > 0);
        let none = &cache.rows[2];
        assert_eq!((none.requests(), none.keys), (4, 1));
        assert_eq!(cache.total().requests(), 8);
        assert_eq!(cache.total().keys, 2);
    }

    #[test]
    fn without_a_request_there_is_no_rate() {
        let cache = gather(&kit(&["a a:*"]));
        assert_eq!(cache.rows[0].hit_rate(), None);
        assert_eq!(cache.rows[0].penetration_rate(), None);
        assert_eq!(cache.policies(), 1);
    }

    #[test]
    fn what_is_left_of_all_hits_and_misses_is_that_of_keys_without_a_policy() {
        let policy = |hits, null_hits, stale_hits, missed| Row {
            figures: Figures {
                hits,
                null_hits,
                stale_hits,
                misses: [missed, 0, 0, 0, 0],
                ..Figures::default()
            },
            ..Row::default()
        };
        let none = Figures::default();
        // Two markers: Redis counts them as misses.
        assert_eq!(rest(10, 8, &[policy(3, 2, 1, 4)], &none), (6, 2));
        // Two sentinels: Redis counts them as hits.
        assert_eq!(rest(6, 4, &[policy(3, 2, 1, 4)], &none), (0, 0));
        assert_eq!(rest(0, 0, &[policy(3, 2, 1, 4)], &none), (0, 0));
    }

    #[test]
    fn quantiles_lie_within_the_bucket_that_holds_them() {
        let mut spread = Spread::default();
        assert_eq!((quantile(&spread, 0.5), mean(&spread)), (0.0, 0.0));
        for value in 1..=100 {
            spread.add(value);
        }
        assert_eq!(mean(&spread), 50.5);
        let half = quantile(&spread, 0.5);
        assert!((45.0..=55.0).contains(&half), "{half}");
        let most = quantile(&spread, 0.99);
        assert!((64.0..=128.0).contains(&most), "{most}");
        let mut spread = Spread::default();
        spread.add(u64::MAX);
        assert_eq!(quantile(&spread, 0.99), (1u64 << (BUCKETS - 2)) as f64);
    }
}
