//! Finds, inserts and replaces keys in batches: our table, with and without the
//! prefetch pass that a batch of commands gets, beside hashbrown's and
//! dashmap's maps of owned keys and values. All hash by our digest, whose cost
//! is included. Elements are keys.
//!
//! A thousand keys lie in the processor's caches; with a million it is the
//! misses that count. As a test, the million is ten thousand.

use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use larder::base::{clock, hash};
use larder::store::entry::{Draft, NewValue, Value};
use larder::store::memory::Counting;
use larder::store::table::Table;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Keys of one batch, as `net::connection` cuts them.
const BATCH: usize = 64;
const NOW_MS: u64 = 1_800_000_000_000;
const VALUE: [u8; 64] = [b'v'; 64];
const OTHER: [u8; 64] = [b'w'; 64];

type Key = [u8; 16];

fn key(i: u64) -> Key {
    format!("key:{i:012}")
        .into_bytes()
        .try_into()
        .expect("16 bytes")
}

/// What is measured. `find` reads each value, and answers a sum of bytes.
trait Map {
    fn find(&self, keys: &[Key]) -> u64;
    fn insert(&mut self, keys: &[Key]);
    fn replace(&mut self, keys: &[Key], value: &[u8]);
    fn remove(&mut self, keys: &[Key]);
}

struct Larder {
    table: Table,
    prefetch: bool,
}

impl Larder {
    fn new(prefetch: bool) -> Larder {
        let table = Table::new(0);
        Larder { table, prefetch }
    }

    /// The first two passes over a batch.
    fn prepare(&self, keys: &[Key]) -> [u64; BATCH] {
        let mut digests = [0; BATCH];
        for (digest, key) in digests.iter_mut().zip(keys) {
            *digest = hash::digest(key);
            if self.prefetch {
                self.table.prefetch_line(*digest);
            }
        }
        if self.prefetch {
            let digests = digests.iter().take(keys.len());
            digests.for_each(|&d| self.table.prefetch_entry(d, false));
        }
        digests
    }
}

fn draft<'a>(key: &'a Key, value: &'a [u8]) -> Draft<'a> {
    Draft::new(key, NewValue::Str(value))
}

impl Map for Larder {
    fn find(&self, keys: &[Key]) -> u64 {
        let digests = self.prepare(keys);
        let byte = |(&digest, key): (&u64, &Key)| {
            let place = self.table.find(digest, key).expect("it is there");
            match self.table.entry(place).value() {
                Value::Str(s) => u64::from(s[0]),
                other => panic!("{other:?}"),
            }
        };
        digests.iter().zip(keys).map(byte).sum()
    }

    fn insert(&mut self, keys: &[Key]) {
        let digests = self.prepare(keys);
        for (&digest, key) in digests.iter().zip(keys) {
            assert!(self.table.find(digest, key).is_none());
            self.table.insert(digest, draft(key, &VALUE), NOW_MS);
        }
    }

    fn replace(&mut self, keys: &[Key], value: &[u8]) {
        let digests = self.prepare(keys);
        for (&digest, key) in digests.iter().zip(keys) {
            let place = self.table.find(digest, key).expect("it is there");
            self.table.replace(place, draft(key, value), NOW_MS);
        }
    }

    fn remove(&mut self, keys: &[Key]) {
        for key in keys {
            let place = self.table.find(hash::digest(key), key);
            self.table.remove(place.expect("it is there"));
        }
    }
}

/// Our digest, as a hasher of the standard library's kind.
#[derive(Default)]
struct Digest(u64);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash::digest(bytes);
    }

    // A slice's length says nothing here.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

type Hashed = BuildHasherDefault<Digest>;
type Owned = Box<[u8]>;

impl Map for hashbrown::HashMap<Owned, Owned, Hashed> {
    fn find(&self, keys: &[Key]) -> u64 {
        keys.iter().map(|k| u64::from(self[&k[..]][0])).sum()
    }

    fn insert(&mut self, keys: &[Key]) {
        for key in keys {
            let before = self.insert(key.as_slice().into(), VALUE.as_slice().into());
            assert!(before.is_none());
        }
    }

    fn replace(&mut self, keys: &[Key], value: &[u8]) {
        for key in keys {
            *self.get_mut(&key[..]).expect("it is there") = value.into();
        }
    }

    fn remove(&mut self, keys: &[Key]) {
        keys.iter().for_each(|k| drop(self.remove(&k[..])));
    }
}

impl Map for dashmap::DashMap<Owned, Owned, Hashed> {
    fn find(&self, keys: &[Key]) -> u64 {
        let byte = |k: &Key| u64::from(self.get(&k[..]).expect("it is there")[0]);
        keys.iter().map(byte).sum()
    }

    fn insert(&mut self, keys: &[Key]) {
        for key in keys {
            let before = (*self).insert(key.as_slice().into(), VALUE.as_slice().into());
            assert!(before.is_none());
        }
    }

    fn replace(&mut self, keys: &[Key], value: &[u8]) {
        for key in keys {
            *(*self).get_mut(&key[..]).expect("it is there") = value.into();
        }
    }

    fn remove(&mut self, keys: &[Key]) {
        keys.iter().for_each(|k| drop((*self).remove(&k[..])));
    }
}

/// Runs `step` with a batch of random keys below `below`, timing it alone, and
/// then `undo` with the same batch.
fn timed<M: Map>(
    map: &mut M,
    keys: (u64, u64),
    iterations: u64,
    step: impl Fn(&mut M, &[Key], u64),
    undo: impl Fn(&mut M, &[Key]),
) -> Duration {
    let mut batch = [[0; 16]; BATCH];
    let mut spent = Duration::ZERO;
    for i in 0..iterations {
        for slot in &mut batch {
            *slot = key(keys.0 + clock::random_below(keys.1));
        }
        let began = Instant::now();
        step(map, &batch, i);
        spent += began.elapsed();
        undo(map, &batch);
    }
    spent
}

fn measure(c: &mut Criterion, name: &str, count: u64, mut map: impl Map) {
    clock::reseed(1);
    for i in 0..count {
        map.insert(&[key(i)]);
    }
    let mut group: BenchmarkGroup<'_, _> = c.benchmark_group(format!("table/{count} keys"));
    group.throughput(Throughput::Elements(BATCH as u64));
    let nothing = |_: &mut _, _: &[Key]| {};
    group.bench_function(format!("find/{name}"), |b| {
        b.iter_custom(|n| {
            let find = |m: &mut _, keys: &[Key], _| {
                black_box(Map::find(m, keys));
            };
            timed(&mut map, (0, count), n, find, nothing)
        });
    });
    group.bench_function(format!("replace/{name}"), |b| {
        b.iter_custom(|n| {
            let replace = |m: &mut _, keys: &[Key], i: u64| {
                let value = if i.is_multiple_of(2) { &OTHER } else { &VALUE };
                Map::replace(m, keys, value);
            };
            timed(&mut map, (0, count), n, replace, nothing)
        });
    });
    group.bench_function(format!("insert/{name}"), |b| {
        b.iter_custom(|n| {
            let insert = |m: &mut _, keys: &[Key], _| Map::insert(m, keys);
            let remove = |m: &mut _, keys: &[Key]| Map::remove(m, keys);
            timed(&mut map, (count, 1 << 38), n, insert, remove)
        });
    });
    group.finish();
}

fn tables(c: &mut Criterion) {
    // Cargo says `--bench` where it wants figures, and nothing where it tests.
    let measures = std::env::args().any(|a| a == "--bench");
    for count in [1_000, if measures { 1_000_000 } else { 10_000 }] {
        measure(c, "larder, prefetching", count, Larder::new(true));
        measure(c, "larder", count, Larder::new(false));
        let map = hashbrown::HashMap::<Owned, Owned, Hashed>::default();
        measure(c, "hashbrown", count, map);
        let map = dashmap::DashMap::<Owned, Owned, Hashed>::default();
        measure(c, "dashmap", count, map);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = tables
}
criterion_main!(benches);
