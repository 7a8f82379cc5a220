//! Makes, frees and overwrites entries of several sizes, beside a key and a
//! value in boxes of their own. Elements are entries.
#![allow(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::base::hash;
use larder::store::entry::{self, Draft, NewValue, Slab};
use larder::store::memory::Counting;
use larder::store::table::Table;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KEY: &[u8] = b"key:000000000001";
const SIZES: [usize; 5] = [8, 64, 512, 4096, 65_536];
/// Made in a row, then freed in a row.
const MANY: u64 = 64;
const NOW_MS: u64 = 1_800_000_000_000;

fn draft(value: &[u8]) -> Draft<'_> {
    Draft::new(KEY, NewValue::Str(value))
}

fn create_and_destroy(c: &mut Criterion) {
    let mut group = c.benchmark_group("entry/create and destroy");
    group.throughput(Throughput::Elements(MANY));
    for bytes in SIZES {
        let value = vec![b'v'; bytes];
        let mut slab = Slab::new();
        let mut made = Vec::with_capacity(MANY as usize);
        group.bench_function(format!("{bytes} bytes/larder"), |b| {
            b.iter(|| {
                made.extend((0..MANY).map(|_| entry::create(&mut slab, draft(black_box(&value)))));
                for at in made.drain(..) {
                    // SAFETY: from `create` with this slab, just above.
                    unsafe { entry::destroy(&mut slab, at) };
                }
            });
        });
        let mut made: Vec<[Box<[u8]>; 2]> = Vec::with_capacity(MANY as usize);
        group.bench_function(format!("{bytes} bytes/boxes"), |b| {
            b.iter(|| {
                made.extend((0..MANY).map(|_| [KEY.into(), black_box(&value[..]).into()]));
                black_box(&mut made).clear();
            });
        });
    }
    group.finish();
}

/// As SET does it, to a value of the same size.
fn overwrite(c: &mut Criterion) {
    let mut group = c.benchmark_group("entry/overwrite");
    group.throughput(Throughput::Elements(1));
    for bytes in SIZES {
        let value = vec![b'v'; bytes];
        let mut table = Table::new(0);
        let place = table.insert(hash::digest(KEY), draft(&value), NOW_MS);
        group.bench_function(format!("{bytes} bytes/larder"), |b| {
            b.iter(|| table.replace(place, draft(black_box(&value)), NOW_MS));
        });
        let mut held: Box<[u8]> = value.as_slice().into();
        group.bench_function(format!("{bytes} bytes/boxes"), |b| {
            b.iter(|| held = black_box(&value[..]).into());
        });
        black_box(held);
    }
    group.finish();
}

criterion_group!(benches, create_and_destroy, overwrite);
criterion_main!(benches);
