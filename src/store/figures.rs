//! What is counted of one policy in one shard, and of all keys without one.

/// Why a read missed: what the cache knows of a key that it does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Reason {
    /// Nothing: it was never there, or so long ago that it is forgotten.
    Unknown = 0,
    /// Its lifetime was over.
    Expired = 1,
    /// It went to make room.
    Evicted = 2,
    /// It was invalidated, alone or with its group.
    Invalidated = 3,
    /// A client removed it.
    Deleted = 4,
}

/// How many reasons there are.
pub const REASONS: usize = 5;
/// Their names, in figures, commands and metrics.
pub const REASON_NAMES: [&str; REASONS] =
    ["never_seen", "expired", "evicted", "invalidated", "deleted"];

impl Reason {
    /// The name that it has in figures.
    pub fn name(self) -> &'static str {
        REASON_NAMES[self as usize]
    }
}

/// Buckets of a [`Spread`].
pub const BUCKETS: usize = 24;

/// How values spread, by powers of two: bucket `i` counts those of at most 2^i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The last one counts all that are larger, too.
    pub buckets: [u64; BUCKETS],
    /// Of all values.
    pub sum: u64,
}

impl Spread {
    /// Counts a value.
    #[inline]
    pub fn add(&mut self, value: u64) {
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        self.buckets[(bits as usize).min(BUCKETS - 1)] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Counts another's.
    pub fn merge(&mut self, other: &Spread) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }
}

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// See the head of this file. All counts since the last CONFIG RESETSTAT.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Figures {
            $($(#[$doc])* pub $name: u64,)*
            /// Reads that missed, by [`Reason`].
            pub misses: [u64; REASONS],
            /// Milliseconds from a miss to the fill.
            pub load_ms: Spread,
            /// Seconds from the last write of a key to its eviction.
            pub eviction_age_s: Spread,
        }

        impl Figures {
            /// Names and values of the plain counts.
            pub fn counts(&self) -> [(&'static str, u64); [$(stringify!($name)),*].len()] {
                [$((stringify!($name), self.$name)),*]
            }

            /// Counts another's.
            pub fn merge(&mut self, other: &Figures) {
                $(self.$name += other.$name;)*
                for (mine, theirs) in self.misses.iter_mut().zip(other.misses) {
                    *mine += theirs;
                }
                self.load_ms.merge(&other.load_ms);
                self.eviction_age_s.merge(&other.eviction_age_s);
            }
        }
    };
}

figures! {
    /// Reads that found a value within its lifetime.
    hits,
    /// Reads that found a remembered absence.
    null_hits,
    /// Reads that were given a value past its lifetime while another client refills it.
    stale_hits,
    /// Reads that waited for another's refill.
    lease_waits,
    /// Leases given to whoever is to refill.
    leases_granted,
    /// Leases that ended with a fill.
    leases_filled,
    /// Leases that ended because the key was removed or invalidated.
    leases_removed,
    /// Leases that ended by their deadline.
    leases_expired,
    /// Leases that ended because their holder left.
    leases_abandoned,
    /// Values written.
    fills,
    /// Absences written.
    null_fills,
    /// Refills that were dropped, because the key was removed or invalidated since they
    /// began.
    fence_drops,
    /// Refills that showed a token that is no longer good.
    token_refusals,
    /// Keys announced for a refill before their end.
    refreshes,
    /// Keys whose lifetime a read began anew.
    idle_extensions,
    /// Lifetimes that writers asked for and that were cut to the policy's bounds.
    ttl_capped,
    /// Lifetimes that became longer than the last one, by the key's history.
    ttl_grown,
    /// Lifetimes that became shorter than the last one, by the key's history.
    ttl_shrunk,
    /// Refills that brought the value that was there before.
    refills_same,
    /// Refills that brought another one.
    refills_changed,
    /// Keys removed because their time was over.
    expired,
    /// Keys removed to make room.
    evicted,
    /// Keys invalidated.
    invalidated,
    /// Keys removed by clients.
    deleted,
    /// Remembered absences that went to make room for others.
    nulls_evicted,
    /// What `enabled shadow` kept from happening: values that would have been served
    /// past their lifetime.
    shadow_stale,
    /// Likewise: reads that would have had to wait or to load instead of another.
    shadow_leases,
    /// Likewise: refills that would have been dropped.
    shadow_fence_drops,
    /// Likewise: lifetimes that would have been others.
    shadow_ttls,
    /// Likewise: written values that would have been kept as absences.
    shadow_nulls,
}

impl Figures {
    /// Reads of all outcomes.
    pub fn requests(&self) -> u64 {
        self.hits + self.null_hits + self.stale_hits + self.missed()
    }

    /// Reads that missed, for whatever reason.
    pub fn missed(&self) -> u64 {
        self.misses.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_counts_by_powers_of_two() {
        let mut spread = Spread::default();
        for value in [0, 1, 2, 3, 4, 5, u64::MAX] {
            spread.add(value);
        }
        assert_eq!(spread.buckets[..4], [2, 1, 2, 1]);
        assert_eq!(spread.buckets[BUCKETS - 1], 1);
        assert_eq!((spread.count(), spread.sum), (7, u64::MAX));
    }

    #[test]
    fn merging_adds_every_count() {
        let mut all = Figures::default();
        let one = Figures {
            hits: 2,
            misses: [1, 2, 3, 4, 5],
            ..Figures::default()
        };
        all.merge(&one);
        all.merge(&one);
        assert_eq!((all.requests(), all.missed()), (34, 30));
        assert!(all.counts().contains(&("hits", 4)));
    }
}
