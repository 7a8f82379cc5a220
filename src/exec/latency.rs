//! The latency monitor: moments at which the server was slower than
//! `latency-monitor-threshold` allows, by what it was doing (LATENCY).

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::base::clock;
use crate::config::{Settings, param};

/// What the server may be slow at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    /// A command that may take long.
    Command,
    /// Running on commands whose keys changed.
    CommandUnblocking,
    /// Making room until memory is within its limit.
    EvictionCycle,
    /// Removing one entry to make room.
    EvictionDel,
    /// A look for keys whose time is over.
    ExpireCycle,
    /// A command that should take a moment.
    FastCommand,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 6] = [
        Event::Command,
        Event::CommandUnblocking,
        Event::EvictionCycle,
        Event::EvictionDel,
        Event::ExpireCycle,
        Event::FastCommand,
    ];

    /// As LATENCY calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Event::Command => "command",
            Event::CommandUnblocking => "command-unblocking",
            Event::EvictionCycle => "eviction-cycle",
            Event::EvictionDel => "eviction-del",
            Event::ExpireCycle => "expire-cycle",
            Event::FastCommand => "fast-command",
        }
    }
}

/// Samples kept of each event.
const SAMPLES: usize = 160;

/// The worst of one second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// In Unix seconds.
    pub at_s: u64,
    /// In milliseconds.
    pub ms: u64,
}

/// What happened of one event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Series {
    /// The oldest first; at most 160.
    samples: Vec<Sample>,
    /// The longest ever, in milliseconds.
    pub max_ms: u64,
    /// All together, in milliseconds.
    pub sum_ms: u64,
    /// How often.
    pub count: u64,
}

/// What the samples of a series have in common.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Analysis {
    /// Their mean, in milliseconds.
    pub mean_ms: u64,
    /// How far they lie from it on average, in milliseconds.
    pub deviation_ms: u64,
    /// Seconds from one to the next, on average.
    pub period_s: f64,
}

impl Series {
    /// A series of samples, by Unix seconds and milliseconds.
    #[cfg(test)]
    pub fn of(samples: &[(u64, u64)]) -> Series {
        let mut series = Series::default();
        samples.iter().for_each(|(at_s, ms)| series.add(*at_s, *ms));
        series
    }

    fn add(&mut self, now_s: u64, ms: u64) {
        self.max_ms = self.max_ms.max(ms);
        self.sum_ms += ms;
        self.count += 1;
        match self.samples.last_mut() {
            Some(last) if last.at_s == now_s => last.ms = last.ms.max(ms),
            _ => {
                if self.samples.len() == SAMPLES {
                    self.samples.remove(0);
                }
                self.samples.push(Sample { at_s: now_s, ms });
            }
        }
    }

    /// The worst of each second in which it happened, the oldest first.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The last one.
    pub fn latest(&self) -> Sample {
        self.samples.last().copied().unwrap_or_default()
    }

    /// What the samples have in common.
    pub fn analysis(&self, now_s: u64) -> Analysis {
        let n = self.samples.len() as u64;
        let mean = |sum: u64| sum.checked_div(n).unwrap_or(0);
        let mean_ms = mean(self.samples.iter().map(|s| s.ms).sum());
        let deviations = self.samples.iter().map(|s| s.ms.abs_diff(mean_ms));
        let since_s = self.samples.first().map_or(0, |s| s.at_s);
        Analysis {
            mean_ms,
            deviation_ms: mean(deviations.sum()),
            period_s: now_s.saturating_sub(since_s).max(1) as f64 / n.max(1) as f64,
        }
    }
}

/// See the head of this file.
#[derive(Default)]
pub struct LatencyMonitor {
    events: Mutex<BTreeMap<Event, Series>>,
}

impl LatencyMonitor {
    /// Notes that something took so long, if that is too long.
    #[inline]
    pub fn note(&self, settings: &Settings, event: Event, ns: u64) {
        let threshold_ms = settings.int(param::LATENCY_MONITOR_THRESHOLD) as u64;
        if threshold_ms != 0 && ns / 1_000_000 >= threshold_ms {
            self.add(event, ns / 1_000_000);
        }
    }

    /// Runs something, and notes how long that took.
    pub fn watch<R>(&self, settings: &Settings, event: Event, work: impl FnOnce() -> R) -> R {
        if settings.int(param::LATENCY_MONITOR_THRESHOLD) == 0 {
            return work();
        }
        let began_ns = clock::mono_ns();
        let result = work();
        self.note(settings, event, clock::mono_ns() - began_ns);
        result
    }

    #[cold]
    fn add(&self, event: Event, ms: u64) {
        let now_s = clock::unix_ms() / 1000;
        self.events.lock().entry(event).or_default().add(now_s, ms);
    }

    /// All that happened, by the event's name.
    pub fn all(&self) -> Vec<(Event, Series)> {
        let events = self.events.lock();
        events.iter().map(|(e, s)| (*e, s.clone())).collect()
    }

    /// Forgets what happened of the events that `chosen` accepts; how many those
    /// were.
    pub fn reset(&self, chosen: impl Fn(Event) -> bool) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|event, _| !chosen(*event));
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_and_the_past_is_bounded() {
        let mut series = Series::default();
        for (now_s, ms) in [(10, 5), (10, 9), (10, 7), (12, 1)] {
            series.add(now_s, ms);
        }
        let rows: Vec<(u64, u64)> = series.samples().iter().map(|s| (s.at_s, s.ms)).collect();
        assert_eq!(rows, [(10, 9), (12, 1)]);
        assert_eq!((series.max_ms, series.sum_ms, series.count), (9, 22, 4));
        let analysis = series.analysis(20);
        assert_eq!((analysis.mean_ms, analysis.deviation_ms), (5, 4));
        assert_eq!(analysis.period_s, 5.0);
        for i in 0..200 {
            series.add(100 + i, i);
        }
        assert_eq!(series.samples().len(), SAMPLES);
        assert_eq!(series.latest().at_s, 299);
    }
}
