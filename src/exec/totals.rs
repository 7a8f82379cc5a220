//! The workers' counters, summed, since the start or the last CONFIG RESETSTAT.
//!
//! A worker's counters are written by that worker alone, without an atomic
//! read-modify-write; nobody else may set them to zero. So CONFIG RESETSTAT
//! notes what they say, and whoever shows them subtracts that.

use std::sync::atomic::Ordering;

use super::engine::{Calls, Engine};
use crate::base::clock;
use crate::base::histogram::Counts;

/// Sums over all workers; the fields are those of [`super::engine::Worker`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Commands that ran, those of transactions included.
    pub commands: u64,
    /// Bytes read.
    pub net_in: u64,
    /// Bytes written.
    pub net_out: u64,
    /// Reads that brought at least one command.
    pub batches: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Batches whose keys were asked for before their commands ran.
    pub prefetches: u64,
    /// Those keys.
    pub prefetched: u64,
    /// Nanoseconds of commands within transactions.
    pub nested_ns: u64,
    /// Errors answered.
    pub errors: u64,
    /// Nanoseconds of looking for keys whose time is over.
    pub expiry_ns: u64,
    /// How often the first worker's event loop went round.
    pub cycles: u64,
    /// How long it was at work, in microseconds.
    pub active_us: u64,
    /// Of each command and subcommand, by its counter; empty where nothing was
    /// counted.
    pub calls: Vec<CallTotals>,
}

/// As [`Calls`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTotals {
    /// It ran.
    pub calls: u64,
    /// It was refused before it ran.
    pub rejected: u64,
    /// It answered an error.
    pub failed: u64,
    /// How long it ran, in nanoseconds.
    pub nanos: u64,
}

impl CallTotals {
    fn add(&mut self, calls: &Calls) {
        self.calls += calls.calls.load(Ordering::Relaxed);
        self.rejected += calls.rejected.load(Ordering::Relaxed);
        self.failed += calls.failed.load(Ordering::Relaxed);
        self.nanos += calls.nanos.load(Ordering::Relaxed);
    }

    fn since(self, earlier: CallTotals) -> CallTotals {
        CallTotals {
            calls: self.calls - earlier.calls,
            rejected: self.rejected - earlier.rejected,
            failed: self.failed - earlier.failed,
            nanos: self.nanos - earlier.nanos,
        }
    }
}

impl Totals {
    fn since(mut self, earlier: &Totals) -> Totals {
        self.commands -= earlier.commands;
        self.net_in -= earlier.net_in;
        self.net_out -= earlier.net_out;
        self.batches -= earlier.batches;
        self.writes -= earlier.writes;
        self.prefetches -= earlier.prefetches;
        self.prefetched -= earlier.prefetched;
        self.nested_ns -= earlier.nested_ns;
        self.errors -= earlier.errors;
        self.expiry_ns -= earlier.expiry_ns;
        self.cycles -= earlier.cycles;
        self.active_us -= earlier.active_us;
        for (calls, before) in self.calls.iter_mut().zip(&earlier.calls) {
            *calls = calls.since(*before);
        }
        self
    }
}

impl Engine {
    /// Sums since the start.
    fn sums(&self) -> Totals {
        let mut calls = vec![CallTotals::default(); self.commands.counters()];
        for worker in &self.workers {
            for (sum, counted) in calls.iter_mut().zip(&worker.calls) {
                sum.add(counted);
            }
        }
        Totals {
            commands: calls.iter().map(|c| c.calls).sum(),
            net_in: self.total(|w| &w.net_in),
            net_out: self.total(|w| &w.net_out),
            batches: self.total(|w| &w.batches),
            writes: self.total(|w| &w.writes),
            prefetches: self.total(|w| &w.prefetches),
            prefetched: self.total(|w| &w.prefetched),
            nested_ns: self.total(|w| &w.nested_ns),
            errors: self.total(|w| &w.errors),
            expiry_ns: self.total(|w| &w.expiry_ns),
            cycles: self.workers[0].cycles(),
            active_us: self.workers[0].active_us(),
            calls,
        }
    }

    /// Sums since the last CONFIG RESETSTAT.
    pub fn totals(&self) -> Totals {
        // Before the sums, which then can only be larger.
        let baseline = self.baseline.lock();
        self.sums().since(&baseline)
    }

    /// Latencies since the start, by the command's counter.
    fn latency_sums(&self) -> Vec<Counts> {
        let mut sums = vec![Counts::default(); self.commands.counters()];
        for worker in &self.workers {
            for (sum, calls) in sums.iter_mut().zip(&worker.calls) {
                if let Some(latency) = calls.latency.get() {
                    sum.add(latency);
                }
            }
        }
        sums
    }

    /// Latencies since the last CONFIG RESETSTAT, by the command's counter, where
    /// there are any.
    pub fn latencies(&self) -> Vec<(usize, Counts)> {
        let baseline = self.latency_baseline.lock();
        let sums = self.latency_sums().into_iter().enumerate();
        sums.map(|(counter, sum)| match baseline.get(counter) {
            Some(before) => (counter, sum.since(before)),
            None => (counter, sum),
        })
        .filter(|(_, counts)| !counts.is_empty())
        .collect()
    }

    /// CONFIG RESETSTAT, but for what the shards count.
    pub fn reset_totals(&self) {
        *self.baseline.lock() = self.sums();
        *self.latency_baseline.lock() = self.latency_sums();
        *self.rates.lock() = Rates::default();
        self.errors.lock().clear();
        for worker in &self.workers {
            // What the worker writes at this very moment may outlive it: it is a
            // maximum, and soon another one.
            worker.stretch_max_ns.store(0, Ordering::Relaxed);
            worker.batch_max.store(0, Ordering::Relaxed);
        }
        let counters = &self.counters;
        for counter in [
            &counters.connections,
            &counters.rejected_connections,
            &counters.output_limit_drops,
            &counters.client_evictions,
            &counters.query_limit_drops,
            &counters.oom_refusals,
            &counters.eviction_ns,
            &self.reclaimer.counts().freed,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Takes a sample for [`Rates`], if the last one is old enough; to be called
    /// many times a second.
    pub fn sample_rates(&self) {
        let now_ns = clock::mono_ns();
        let mut rates = self.rates.lock();
        if now_ns.saturating_sub(rates.sampled_ns) < SAMPLE_NS {
            return;
        }
        // The commands of transactions are not told apart here: that would mean
        // to sum up the counters of every command each time.
        let now = [
            self.total(|w| &w.commands),
            self.total(|w| &w.net_in),
            self.total(|w| &w.net_out),
            self.workers[0].cycles(),
            self.workers[0].active_us(),
        ];
        rates.take(now, now_ns);
    }
}

/// Time between two samples.
const SAMPLE_NS: u64 = 100_000_000;
/// Samples that an average is made of.
const SAMPLES: usize = 16;

/// What a [`Rates`] follows: commands, bytes in, bytes out, turns of the first
/// worker's event loop, and microseconds of its work.
const FIGURES: usize = 5;

/// Figures for each second, as an average over the last 16 samples.
#[derive(Debug, Default)]
pub struct Rates {
    sampled_ns: u64,
    last: [u64; FIGURES],
    samples: [[u64; FIGURES]; SAMPLES],
    next: usize,
}

impl Rates {
    fn take(&mut self, now: [u64; FIGURES], now_ns: u64) {
        if self.sampled_ns != 0 {
            let elapsed = u128::from(now_ns - self.sampled_ns).max(1);
            let rate = |i: usize| {
                let grown = u128::from(now[i].saturating_sub(self.last[i]));
                (grown * 1_000_000_000 / elapsed) as u64
            };
            self.samples[self.next] = std::array::from_fn(rate);
            self.next = (self.next + 1) % SAMPLES;
        }
        self.last = now;
        self.sampled_ns = now_ns;
    }

    fn average(&self, of: usize) -> u64 {
        self.samples.iter().map(|s| s[of]).sum::<u64>() / SAMPLES as u64
    }

    /// Commands in a second.
    pub fn commands(&self) -> u64 {
        self.average(0)
    }

    /// Bytes read in a second.
    pub fn net_in(&self) -> u64 {
        self.average(1)
    }

    /// Bytes written in a second.
    pub fn net_out(&self) -> u64 {
        self.average(2)
    }

    /// Turns of the event loop in a second.
    pub fn cycles(&self) -> u64 {
        self.average(3)
    }

    /// Mean time of a turn, in microseconds.
    pub fn cycle_us(&self) -> u64 {
        self.average(4) / self.cycles().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_average_of_the_last_samples() {
        let mut rates = Rates::default();
        for i in 0..=SAMPLES as u64 {
            rates.take([100 * i, 0, 5 * i, 10 * i, 30 * i], (i + 1) * SAMPLE_NS);
        }
        assert_eq!(
            (rates.commands(), rates.net_in(), rates.net_out()),
            (1000, 0, 50)
        );
        assert_eq!((rates.cycles(), rates.cycle_us()), (100, 3));
        for i in 0..SAMPLES as u64 {
            rates.take([100 * SAMPLES as u64; FIGURES], (i + 100) * SAMPLE_NS);
        }
        assert_eq!(rates.commands(), 0);
    }
}
