//! Writes replies into a connection's output. Elements are replies.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::protocol::output::Output;
use larder::protocol::reply::Reply;

/// Replies to one batch.
const REPLIES: u64 = 64;

fn measure(c: &mut Criterion, name: &str, write: impl Fn(&mut Reply<'_>, u64)) {
    let mut group = c.benchmark_group("reply");
    group.throughput(Throughput::Elements(REPLIES));
    let mut out = Output::default();
    group.bench_function(name, |b| {
        b.iter(|| {
            out.clear();
            let mut reply = Reply::new(&mut out, false);
            (0..REPLIES).for_each(|i| write(&mut reply, i));
            black_box(out.len())
        });
    });
    group.finish();
}

fn replies(c: &mut Criterion) {
    for bytes in [8, 64, 1024, 8192] {
        let value = vec![b'v'; bytes];
        measure(c, &format!("bulk/{bytes} bytes"), |r, _| {
            r.bulk(black_box(&value));
        });
    }
    measure(c, "int/1 digit", |r, i| r.int(black_box(i as i64 % 10)));
    measure(c, "int/10 digits", |r, i| {
        r.int(black_box(1_234_567_890 + i as i64));
    });
    measure(c, "array/of 10 bulks of 16 bytes", |r, _| {
        r.array(black_box(10));
        (0..10).for_each(|_| r.bulk(black_box(b"sixteen bytes ..")));
    });
    measure(c, "array/of 10 integers", |r, i| {
        r.array(black_box(10));
        (0..10).for_each(|n| r.int(black_box(i as i64 * n)));
    });
}

criterion_group!(benches, replies);
criterion_main!(benches);
