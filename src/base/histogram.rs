//! Durations, counted in buckets whose width grows with what they hold.
//!
//! The buckets are those of an HDR histogram of two significant digits, from
//! 1 ns to 1 s (<http://hdrhistogram.org>): below 256 ns each nanosecond is one,
//! and from there on each doubling is cut into 128. So a value is known to 0.8%,
//! and who reads the figures of Redis or Valkey reads the same ones here.
//!
//! ```text
//! octave      0            1            2            …   22
//! values      0 ..= 255    256 ..= 511  512 ..= 1023
//! width       1            2            4
//! buckets     256          128          128
//! ```
//!
//! Memory is taken an octave (two for the first) at a time, as it is needed: the
//! durations of one command lie close together.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest duration that is told from longer ones, in nanoseconds.
pub const VALUE_MAX: u64 = 1_000_000_000;
/// Buckets of an octave; the first has twice as many.
const HALF: usize = 128;
/// Octaves up to [`VALUE_MAX`], the first counting as two.
const CHUNKS: usize = 24;

type Chunk = Box<[AtomicU64; HALF]>;

/// A histogram that one thread writes and any thread reads.
#[derive(Default)]
pub struct Histogram {
    chunks: [OnceLock<Chunk>; CHUNKS],
}

/// What a histogram held at some time, or several of them together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    chunks: [Option<Box<[u64; HALF]>>; CHUNKS],
}

/// The bucket of a value.
#[inline]
fn bucket_of(value: u64) -> usize {
    let value = value.clamp(1, VALUE_MAX);
    // The octave beyond the first, in which all values have 8 bits or fewer.
    let octave = (63 - (value | 255).leading_zeros()) as usize - 7;
    octave * HALF + (value >> octave) as usize
}

/// The largest value of a bucket.
fn highest_of(bucket: usize) -> u64 {
    let octave = (bucket / HALF).saturating_sub(1);
    (((bucket - octave * HALF + 1) as u64) << octave) - 1
}

impl Histogram {
    /// Counts a duration in nanoseconds, `times` times. Only one thread may.
    #[inline]
    pub fn record(&self, value: u64, times: u64) {
        let bucket = bucket_of(value);
        let chunk = self.chunks[bucket / HALF].get_or_init(new_chunk);
        let count = &chunk[bucket % HALF];
        count.store(count.load(Ordering::Relaxed) + times, Ordering::Relaxed);
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let chunks = self.chunks.iter().filter(|c| c.get().is_some());
        chunks.count() * size_of::<[AtomicU64; HALF]>()
    }
}

#[cold]
fn new_chunk() -> Chunk {
    Box::new([const { AtomicU64::new(0) }; HALF])
}

impl Counts {
    /// Adds what a histogram holds now.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sums, chunk) in self.chunks.iter_mut().zip(&histogram.chunks) {
            let Some(chunk) = chunk.get() else {
                continue;
            };
            let sums = sums.get_or_insert_with(|| Box::new([0; HALF]));
            for (sum, count) in sums.iter_mut().zip(chunk.iter()) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
    }

    /// Without what was there at an earlier time.
    pub fn since(mut self, earlier: &Counts) -> Counts {
        for (counts, before) in self.chunks.iter_mut().zip(&earlier.chunks) {
            let (Some(counts), Some(before)) = (counts, before) else {
                continue;
            };
            for (count, before) in counts.iter_mut().zip(before.iter()) {
                *count -= before;
            }
        }
        self
    }

    /// The buckets that hold something, by rising values, each with how many.
    fn buckets(&self) -> impl Iterator<Item = (usize, u64)> {
        let chunks = self.chunks.iter().enumerate();
        chunks
            .filter_map(|(at, chunk)| Some((at, chunk.as_deref()?)))
            .flat_map(|(at, chunk)| {
                chunk
                    .iter()
                    .enumerate()
                    .map(move |(i, n)| (at * HALF + i, *n))
            })
            .filter(|(_, n)| *n > 0)
    }

    /// Number of durations.
    pub fn total(&self) -> u64 {
        self.buckets().map(|(_, n)| n).sum()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.buckets().next().is_none()
    }

    /// The duration that so many percent do not exceed, in nanoseconds; of the
    /// bucket in which it lies, the largest (the least, for none at all). 0 where
    /// nothing was counted.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = (percent.min(100.0) / 100.0 * self.total() as f64 + 0.5) as u64;
        let mut seen = 0;
        let found = self.buckets().find(|(_, n)| {
            seen += n;
            seen >= wanted
        });
        found.map_or(0, |(bucket, _)| match percent {
            0.0 => highest_of(bucket) - width_of(bucket) + 1,
            _ => highest_of(bucket),
        })
    }

    /// How many durations reach up to each doubling of 1,024 ns, as (microseconds,
    /// count): only where some are in between, up to the one that includes all.
    pub fn doublings(&self) -> Vec<(u64, u64)> {
        let mut rows: Vec<(u64, u64)> = Vec::new();
        let (mut seen, mut limit) = (0, 1024);
        for (bucket, n) in self.buckets() {
            while bucket_of(limit) < bucket {
                limit *= 2;
            }
            seen += n;
            let us = highest_of(bucket_of(limit)) / 1000;
            match rows.last_mut() {
                Some(row) if row.0 == us => row.1 = seen,
                _ => rows.push((us, seen)),
            }
        }
        rows
    }
}

fn width_of(bucket: usize) -> u64 {
    1 << (bucket / HALF).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_one_another_without_gap() {
        let last = bucket_of(VALUE_MAX);
        assert!(last < CHUNKS * HALF);
        for bucket in 1..last {
            let next = highest_of(bucket) + 1;
            assert_eq!(bucket_of(highest_of(bucket)), bucket);
            assert_eq!(bucket_of(next), bucket + 1, "{next}");
            assert_eq!(next - width_of(bucket), highest_of(bucket - 1) + 1);
        }
        assert_eq!(bucket_of(u64::MAX), last);
        assert_eq!(bucket_of(0), 1);
    }

    #[test]
    fn only_what_is_used_takes_memory() {
        let histogram = Histogram::default();
        assert_eq!(histogram.heap_bytes(), 0);
        histogram.record(300_000, 5);
        histogram.record(300_001, 1);
        assert_eq!(histogram.heap_bytes(), 1024);
    }

    #[test]
    fn figures_are_those_of_an_hdr_histogram() {
        // Values that valkey-server shows for durations of 1, 3 and 1,000 µs.
        let histogram = Histogram::default();
        histogram.record(1_000, 9);
        histogram.record(3_000, 1);
        let mut counts = Counts::default();
        counts.add(&histogram);
        assert_eq!(counts.percentile(0.0), 1_000);
        assert_eq!(counts.percentile(50.0), 1_003);
        assert_eq!(counts.percentile(100.0), 3_007);
        assert_eq!(counts.doublings(), [(1, 9), (4, 10)]);
        histogram.record(1_000_000, 1);
        counts = Counts::default();
        counts.add(&histogram);
        assert_eq!(counts.percentile(99.9), 1_003_519);
        assert_eq!(counts.doublings(), [(1, 9), (4, 10), (1056, 11)]);
        assert_eq!(Counts::default().percentile(50.0), 0);
        assert_eq!(Counts::default().doublings(), []);
    }

    #[test]
    fn what_was_before_can_be_left_out() {
        let histogram = Histogram::default();
        histogram.record(5, 2);
        let mut before = Counts::default();
        before.add(&histogram);
        histogram.record(7, 1);
        let mut after = Counts::default();
        after.add(&histogram);
        assert_eq!(after.clone().since(&before).total(), 1);
        assert_eq!(after.clone().since(&before).percentile(50.0), 7);
        assert!(after.clone().since(&after).is_empty());
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_a_bucket_of_the_true_one(
            mut values in prop::collection::vec(1u64..2_000_000_000, 1..60),
            percent in 1.0f64..100.0,
        ) {
            let histogram = Histogram::default();
            for value in &values {
                histogram.record(*value, 1);
            }
            values.sort_unstable();
            let rank = (percent / 100.0 * values.len() as f64 + 0.5) as usize;
            let exact = values[rank.clamp(1, values.len()) - 1].min(VALUE_MAX);
            let mut counts = Counts::default();
            counts.add(&histogram);
            let got = counts.percentile(percent);
            prop_assert!(got >= exact && got as f64 <= exact as f64 * 1.008 + 1.0, "{got} {exact}");
            let rows = counts.doublings();
            prop_assert_eq!(rows.last().map(|r| r.1), Some(values.len() as u64));
        }
    }
}
