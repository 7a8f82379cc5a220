//! Where the memory is: for INFO, MEMORY STATS and MEMORY DOCTOR.

use std::collections::BTreeMap;

use super::process;
use crate::exec::engine::Engine;
use crate::exec::txn::Txn;
use crate::store::memory::{self, AllocatorStats};
use crate::store::shard::Stats;

/// What one database holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Database {
    /// Keys, those past their deadline included.
    pub keys: usize,
    /// Keys with a deadline.
    pub volatile: usize,
    /// Keys whose elements have deadlines.
    pub with_volatile_items: usize,
    /// Bytes of the tables, without the entries.
    pub table_bytes: usize,
    /// Milliseconds that a key with a deadline still has, on average.
    pub ttl_mean_ms: u64,
    ttl_sum_ms: u64,
    ttl_count: u64,
}

/// What the keyspace holds, and what happened in it.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// The databases that hold something, by number.
    pub databases: BTreeMap<u32, Database>,
    /// Summed over the shards.
    pub stats: Stats,
    /// Keys that clients watch.
    pub watched: usize,
    /// Keys whose change clients wait for.
    pub awaited: usize,
}

/// Deadlines that are looked at for an average, in each shard.
const TTL_SAMPLES: usize = 4;

impl Data {
    /// Looks through all shards.
    pub fn gather(txn: &mut Txn<'_>) -> Data {
        let now_ms = txn.now_ms;
        let mut data = Data::default();
        let mut places = Vec::new();
        for index in 0..txn.shards() {
            let shard = txn.shard(index);
            data.watched += shard.watched();
            data.awaited += shard.all_awaited().count();
            let (sum, stats) = (&mut data.stats, shard.stats);
            sum.hits += stats.hits;
            sum.misses += stats.misses;
            sum.expired += stats.expired;
            sum.expired_fields += stats.expired_fields;
            sum.evicted += stats.evicted;
            sum.changes += stats.changes;
            for (number, _, table) in shard.tables() {
                let db = data.databases.entry(number).or_default();
                db.keys += table.len();
                db.volatile += table.volatile();
                db.with_volatile_items += table.with_volatile_items();
                db.table_bytes += table.overhead_bytes();
                if table.volatile() == 0 {
                    continue;
                }
                places.clear();
                table.sample(TTL_SAMPLES, true, &mut places);
                for place in &places {
                    if let Some(ms) = table.entry(*place).deadline() {
                        db.ttl_sum_ms += ms.saturating_sub(now_ms);
                        db.ttl_count += 1;
                    }
                }
            }
        }
        data.databases.retain(|_, db| db.keys > 0);
        for db in data.databases.values_mut() {
            db.ttl_mean_ms = db.ttl_sum_ms.checked_div(db.ttl_count).unwrap_or(0);
        }
        data
    }

    /// Keys of all databases.
    pub fn keys(&self) -> usize {
        self.databases.values().map(|db| db.keys).sum()
    }
}

/// See the head of this file. All sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// In use.
    pub used: usize,
    /// The most that was ever in use.
    pub peak: usize,
    /// In use before there was any data or client.
    pub startup: usize,
    /// In physical memory.
    pub resident: usize,
    /// Of clients: their buffers and what is known of them.
    pub clients: usize,
    /// Of tables, without the entries.
    pub tables: usize,
    /// Keys.
    pub keys: usize,
    /// jemalloc's own view.
    pub allocator: AllocatorStats,
}

impl Memory {
    /// How it stands now, with `used` bytes in use.
    pub fn gather(engine: &Engine, data: &Data, used: usize) -> Memory {
        let clients = engine.clients.all();
        Memory {
            used,
            peak: memory::peak_bytes(),
            startup: engine.startup_bytes,
            resident: process::resident_bytes(),
            clients: clients.iter().map(|c| c.memory_bytes() as usize).sum(),
            tables: data.databases.values().map(|db| db.table_bytes).sum(),
            keys: data.keys(),
            allocator: memory::allocator_stats(),
        }
    }

    /// What is no data.
    pub fn overhead(&self) -> usize {
        self.startup + self.clients + self.tables
    }

    /// The data.
    pub fn dataset(&self) -> usize {
        self.used.saturating_sub(self.overhead())
    }

    /// The data's share of what was taken since the start, in percent.
    pub fn dataset_percent(&self) -> f64 {
        percent(
            self.dataset(),
            self.used.saturating_sub(self.startup).max(1),
        )
    }

    /// What is in use now, of the most there ever was, in percent.
    pub fn peak_percent(&self) -> f64 {
        percent(self.used, self.peak.max(1))
    }

    /// The data for each key.
    pub fn bytes_per_key(&self) -> usize {
        self.dataset().checked_div(self.keys).unwrap_or(0)
    }

    /// Pages that hold something, against what they hold.
    pub fn fragmentation(&self) -> Overshoot {
        Overshoot::of(self.allocator.active, self.allocator.allocated)
    }

    /// What the allocator keeps in physical memory, against the pages that hold
    /// something.
    pub fn allocator_resident(&self) -> Overshoot {
        Overshoot::of(self.allocator.resident, self.allocator.active)
    }

    /// The process in physical memory, against what the allocator keeps there.
    pub fn process_resident(&self) -> Overshoot {
        Overshoot::of(self.resident, self.allocator.resident)
    }

    /// The process in physical memory, against what is in use.
    pub fn total(&self) -> Overshoot {
        Overshoot::of(self.resident, self.used)
    }
}

/// How far one size lies above another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overshoot {
    /// The larger divided by the smaller.
    pub ratio: f64,
    /// The difference in bytes, which may be negative.
    pub bytes: i64,
}

impl Overshoot {
    fn of(large: usize, small: usize) -> Overshoot {
        Overshoot {
            ratio: large as f64 / small.max(1) as f64,
            bytes: large as i64 - small as i64,
        }
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// A size for people: `924.48K`.
pub fn show(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.2}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shown_in_the_largest_unit_that_it_fills() {
        for (bytes, shown) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (946_664, "924.48K"),
            (25_276_502_016, "23.54G"),
            (1 << 62, "4096.00P"),
        ] {
            assert_eq!(show(bytes), shown);
        }
    }
}
