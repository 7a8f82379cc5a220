//! How long a value may live: a TTL that follows what a key's refills have shown.
//!
//! A refill shows one thing of the origin: whether the value is still the one that was
//! filled last, after so much time. And one of the readers: how often they came in that
//! time. From both follows which TTL costs the least:
//!
//! ```text
//!   fill            expiry       next read = refill
//!    ├───── TTL ─────┤···· 1/r ····┤        r reads a second, c changes a second
//!
//!   loads a second   1 / (TTL + 1/r)
//!   stale reads      about r·c·TTL²/2 in each such cycle
//! ```
//!
//! Where a stale read is worth p loads, the sum is least at
//! `TTL = (√(1 + 2r/(p·c)) − 1) / r`. So a key that is read much gets `√(2/(p·r·c))`: to
//! follow 1/c instead, as doubling and halving do, would spend most of the loads on the
//! keys that change fastest, and gain little. p is not asked of the operator: it is the
//! one for which a [`Typical`] key of the policy, of which nothing else is known, gets
//! the policy's `ttl`. Raising `ttl` trades stale reads for loads for all keys at once.
//!
//! c is not known but believed, as a gamma distribution of `shape` α and `time` β: after
//! α changes seen in β milliseconds, it says c = α/β.
//!
//! | the refill after τ brings | belief |
//! |---|---|
//! | the same value | β + τ |
//! | another value | c given "at least one change in τ": its mean and variance, as a gamma again |
//! | what was held to be improbable | half of α and β first: the key is no longer what it was |
//!
//! A value that never changes so doubles its TTL in the first refills, then adds to it
//! with each, up to `ttl-max`. To let it double for ever was tried, by a shape that fades,
//! and cost up to a third of what is saved: most values that did not change yet will.
//!
//! r is reads by time, both fading once many reads were seen. A key that nobody read for
//! longer than `ttl-max` gets no more than `ttl`: no TTL would have saved that load, and a
//! long one would only hold memory.
//!
//! What it saves is measured by `benches/adaptive.rs`: the more, the more a policy's keys
//! differ in how often they change, and most of what known rates would save.
//!
//! **Invariant:** eight bytes a key, no loop, no allocation; whatever it is given, the
//! answer lies in the bounds.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// With how many changes a belief begins: little, so that it spans some orders of
/// magnitude, and the first refills count.
const SHAPE_FIRST: f64 = 0.25;
const SHAPE_MIN: f64 = 1.0 / 32.0;
/// More changes than that are not remembered: the latest count at least 1 in 8.
const SHAPE_MAX: f64 = 8.0;
/// Reads that are remembered.
const READS_MAX: f64 = 16.0;
/// What is less probable than that halves what was believed.
const SURPRISE: f64 = 0.1;
/// How much of what a refill says goes into what is typical of its policy.
const RATE: f64 = 0.05;
/// Bounds of the natural logarithms in [`Typical`], in milliseconds: from a nanosecond
/// to a hundred million years.
const LN_MS: (f64, f64) = (-14.0, 43.0);

/// What a key's refills have shown, as it lies in an entry or a ghost.
///
/// ```text
///   63        42 41       26 25     18 17        7 6       0
///  ┌────────────┬───────────┬─────────┬───────────┬─────────┐
///  │   digest   │  β (time) │ α shape │ time read │  reads  │   logarithms, base 2,
///  └────────────┴───────────┴─────────┴───────────┴─────────┘   in parts of an octave
///     22 bits      1/1024      1/16       1/32        1/16
/// ```
///
/// β is the finest, since the TTLs that are added to it may be small beside it.
/// `reads` is 0 after the first fill. `shape` is never 0, so no history is all zeros.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct History {
    /// The low bits of the digest of the value that was filled last.
    digest: u32,
    /// What is believed of the changes: so many …
    shape: f64,
    /// … in so many milliseconds.
    time_ms: f64,
    /// Reads seen, refills included; 0 where there was none yet …
    reads: f64,
    /// … in so many milliseconds.
    read_ms: f64,
}

const _: () = assert!(DIGEST_BITS + TIME.bits + SHAPE.bits + READ_TIME.bits + READS.bits == 64);
const DIGEST_BITS: u32 = 22;
const DIGEST_MASK: u32 = (1 << DIGEST_BITS) - 1;
const TIME: Scale = Scale::new(16, 1024.0, -16.0);
const SHAPE: Scale = Scale::new(8, 16.0, -8.0);
const READ_TIME: Scale = Scale::new(11, 32.0, -16.0);
const READS: Scale = Scale::new(7, 16.0, -1.0);

/// A number as its logarithm in a few bits. 0 stands for 0.
struct Scale {
    bits: u32,
    steps_per_octave: f64,
    octave_min: f64,
}

impl Scale {
    const fn new(bits: u32, steps_per_octave: f64, octave_min: f64) -> Self {
        Self {
            bits,
            steps_per_octave,
            octave_min,
        }
    }

    fn pack(&self, number: f64) -> u64 {
        if number <= 0.0 {
            return 0;
        }
        let steps = (number.log2() - self.octave_min) * self.steps_per_octave;
        (steps.round().max(1.0) as u64).min((1 << self.bits) - 1)
    }

    fn unpack(&self, bits: u64) -> f64 {
        match bits & ((1 << self.bits) - 1) {
            0 => 0.0,
            steps => (steps as f64 / self.steps_per_octave + self.octave_min).exp2(),
        }
    }
}

impl History {
    /// As it is kept; never 0.
    pub fn to_bits(self) -> u64 {
        let mut bits = u64::from(self.digest);
        for (scale, number) in [
            (TIME, self.time_ms),
            (SHAPE, self.shape),
            (READ_TIME, self.read_ms),
            (READS, self.reads),
        ] {
            bits = bits << scale.bits | scale.pack(number);
        }
        bits
    }

    /// From how it was kept; `None` for what is no history, as 0.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let mut rest = bits;
        let mut next = |scale: Scale| {
            let number = scale.unpack(rest);
            rest >>= scale.bits;
            number
        };
        let (reads, read_ms) = (next(READS), next(READ_TIME));
        let (shape, time_ms) = (next(SHAPE), next(TIME));
        (shape > 0.0 && time_ms > 0.0).then_some(Self {
            digest: (bits >> (64 - DIGEST_BITS)) as u32,
            shape,
            time_ms,
            reads,
            read_ms,
        })
    }

    /// The time from one change of the value to the next, as far as is known.
    pub fn change_every_ms(&self) -> u64 {
        (self.time_ms / self.shape) as u64
    }

    /// The time from one read to the next; `None` where no refill has shown it yet.
    pub fn read_every_ms(&self) -> Option<u64> {
        (self.reads > 0.0).then(|| (self.read_ms / self.reads) as u64)
    }

    /// What a refill after `age_ms` shows of the changes. True where it was not expected.
    fn learn_change(&mut self, is_changed: bool, age_ms: f64) -> bool {
        // By these the belief's moments are had without cancelling near 1.
        let fade = -(age_ms / self.time_ms).ln_1p();
        let is_same = (self.shape * fade).exp();
        let expected = if is_changed { 1.0 - is_same } else { is_same };
        let is_surprise = expected < SURPRISE;
        if is_surprise {
            self.shape /= 2.0;
            self.time_ms /= 2.0;
        }
        if is_changed {
            let (a, b) = (self.shape, self.time_ms);
            let fade = -(age_ms / b).ln_1p();
            let seen = -(a * fade).exp_m1();
            let mean = a / b * -((a + 1.0) * fade).exp_m1() / seen;
            let square = a * (a + 1.0) / (b * b) * -((a + 2.0) * fade).exp_m1() / seen;
            let variance = (square - mean * mean).max(mean * mean * 1e-6);
            self.time_ms = mean / variance;
            self.shape = mean * self.time_ms;
        } else {
            self.time_ms += age_ms;
        }
        let kept = self.shape.clamp(SHAPE_MIN, SHAPE_MAX) / self.shape;
        self.shape *= kept;
        self.time_ms *= kept;
        is_surprise
    }

    /// What the time since the last fill shows of the readers: `reads`, and the one
    /// that missed.
    fn learn_reads(&mut self, reads: u32, age_ms: f64) {
        self.reads += f64::from(reads) + 1.0;
        self.read_ms += age_ms;
        let kept = (READS_MAX / self.reads).min(1.0);
        self.reads *= kept;
        self.read_ms *= kept;
    }
}

/// What a policy says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// For a key of which nothing is known.
    pub ttl_ms: u64,
    /// No decision is below …
    pub ttl_min_ms: u64,
    /// … or above; where the two contradict each other, this one holds.
    pub ttl_max_ms: u64,
    /// By how much a TTL may be shortened, so that what was filled together does not
    /// expire together.
    pub jitter_percent: u8,
}

impl Bounds {
    fn hold(&self, ttl_ms: u64) -> (u64, Held) {
        if ttl_ms > self.ttl_max_ms {
            (self.ttl_max_ms, Held::Max)
        } else if ttl_ms < self.ttl_min_ms {
            (self.ttl_min_ms.min(self.ttl_max_ms), Held::Min)
        } else {
            (ttl_ms, Held::Free)
        }
    }

    /// A decided TTL with its jitter, still within the bounds.
    pub fn jittered(&self, ttl_ms: u64, random: u64) -> u64 {
        self.hold(jitter(ttl_ms, self.jitter_percent, random)).0
    }
}

/// What a policy's keys are like, of whom nothing else is known: learned from all of
/// them, shared by all threads, and exact enough without a lock: a step that is lost
/// to a race is one of thousands.
#[derive(Debug)]
pub struct Typical {
    /// The natural logarithm of β of a first belief, as `f32`.
    ln_time_ms: AtomicU32,
    /// Of the time from read to read.
    ln_read_every_ms: AtomicU32,
}

/// [`Typical`] at one time.
#[derive(Clone, Copy, Debug)]
struct Prior {
    time_ms: f64,
    read_every_ms: f64,
}

impl Typical {
    /// Before the first refill: values that outlive some TTLs, read once in each.
    pub fn new(ttl_ms: u64) -> Self {
        let ln_ms = (ttl_ms.max(1) as f64).ln();
        let new = Self {
            ln_time_ms: AtomicU32::new(0),
            ln_read_every_ms: AtomicU32::new(0),
        };
        store(&new.ln_time_ms, ln_ms);
        store(&new.ln_read_every_ms, ln_ms);
        new
    }

    fn prior(&self) -> Prior {
        Prior {
            time_ms: load(&self.ln_time_ms).exp(),
            read_every_ms: load(&self.ln_read_every_ms).exp(),
        }
    }

    /// A key's first refill: the likeliest β climbs by its gradient.
    fn learn_change(&self, is_changed: bool, age_ms: f64) {
        let ln_ms = load(&self.ln_time_ms);
        let time_ms = ln_ms.exp();
        let fade = -(age_ms / time_ms).ln_1p();
        let (is_same, changed) = ((SHAPE_FIRST * fade).exp(), -(SHAPE_FIRST * fade).exp_m1());
        let slope = SHAPE_FIRST * age_ms / (time_ms + age_ms);
        let climb = if is_changed {
            -slope * is_same / changed
        } else {
            slope
        };
        store(&self.ln_time_ms, ln_ms + RATE * climb);
    }

    fn learn_reads(&self, reads: u32, age_ms: f64) {
        let ln_ms = load(&self.ln_read_every_ms);
        let seen = (age_ms / (f64::from(reads) + 1.0)).ln();
        store(&self.ln_read_every_ms, ln_ms + RATE / 5.0 * (seen - ln_ms));
    }

    /// The time from one change of a value to the next.
    pub fn change_every_ms(&self) -> u64 {
        (self.prior().time_ms / SHAPE_FIRST) as u64
    }

    /// The time from one read of a key to the next.
    pub fn read_every_ms(&self) -> u64 {
        self.prior().read_every_ms as u64
    }
}

fn load(number: &AtomicU32) -> f64 {
    f64::from(f32::from_bits(number.load(Relaxed)))
}

fn store(number: &AtomicU32, ln_ms: f64) {
    let ln_ms = ln_ms.clamp(LN_MS.0, LN_MS.1) as f32;
    number.store(ln_ms.to_bits(), Relaxed);
}

/// A value that comes from the origin.
#[derive(Clone, Copy, Debug)]
pub struct Refill {
    /// Of the value; equal for equal values.
    pub value_digest: u32,
    /// Reads that were answered since the last fill.
    pub reads: u32,
    /// Time since the last fill.
    pub age_ms: u64,
}

/// A TTL, and how it came about.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Decision {
    /// Within the bounds, without jitter.
    pub ttl_ms: u64,
    /// To be kept with the key.
    pub history: History,
    /// What the refill showed.
    pub reason: Reason,
    /// Whether a bound cut what the history asked for.
    pub held: Held,
}

/// What a refill showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No history.
    First,
    /// The value is the one of the last fill.
    Same,
    /// The same, where it should long have changed.
    SameAtLast,
    /// Another value.
    Changed,
    /// Another value, where it hardly ever changed.
    ChangedAtOnce,
    /// No read for longer than the bounds allow a TTL to be.
    Unread,
}

impl Reason {
    /// A sentence for CACHE.EXPLAIN.
    pub fn text(self) -> &'static str {
        match self {
            Self::First => "nothing is known of the key: it gets the policy's ttl",
            Self::Same => "the refill brought the same value: it may live longer",
            Self::SameAtLast => {
                "the refill brought the same value, which was improbable: what was known \
                 counts half, and it may live much longer"
            }
            Self::Changed => "the refill brought another value: it shall live shorter",
            Self::ChangedAtOnce => {
                "the refill brought another value, which was improbable: what was known \
                 counts half, and it shall live much shorter"
            }
            Self::Unread => {
                "nobody read the key for longer than ttl-max: it gets the policy's ttl at most"
            }
        }
    }
}

/// Whether a bound cut what the history asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// By none.
    Free,
    /// Raised to `ttl-min`.
    Min,
    /// Cut to `ttl-max`.
    Max,
}

impl Held {
    /// A few words for CACHE.EXPLAIN.
    pub fn text(self) -> &'static str {
        match self {
            Self::Free => "within the bounds",
            Self::Min => "raised to ttl-min",
            Self::Max => "cut to ttl-max",
        }
    }
}

/// The TTL of a value that has just come, and what to remember.
pub fn decide(
    history: Option<History>,
    bounds: &Bounds,
    typical: &Typical,
    refill: Refill,
) -> Decision {
    let prior = typical.prior();
    if let Some(history) = history {
        // A millisecond is the finest that a deadline can be.
        let age_ms = refill.age_ms.max(1) as f64;
        if history.reads == 0.0 {
            typical.learn_change(!history.is_of(refill.value_digest), age_ms);
        }
        typical.learn_reads(refill.reads, age_ms);
    }
    weigh(history, bounds, prior, refill)
}

/// The same, without learning what is typical.
fn weigh(history: Option<History>, bounds: &Bounds, prior: Prior, refill: Refill) -> Decision {
    let digest = refill.value_digest & DIGEST_MASK;
    let Some(mut history) = history else {
        let (ttl_ms, held) = bounds.hold(bounds.ttl_ms);
        let history = History {
            digest,
            shape: SHAPE_FIRST,
            time_ms: prior.time_ms,
            reads: 0.0,
            read_ms: 0.0,
        };
        return Decision {
            ttl_ms,
            history,
            reason: Reason::First,
            held,
        };
    };
    let age_ms = refill.age_ms.max(1) as f64;
    let is_changed = !history.is_of(refill.value_digest);
    let is_surprise = history.learn_change(is_changed, age_ms);
    if history.reads == 0.0 {
        // One read as others of its policy have it, so that its own first do not decide alone.
        history.reads = 1.0;
        history.read_ms = prior.read_every_ms;
    }
    history.learn_reads(refill.reads, age_ms);
    history.digest = digest;
    let is_unread = refill.reads == 0 && refill.age_ms > bounds.ttl_max_ms;
    let mut reason = match (is_changed, is_surprise) {
        (false, false) => Reason::Same,
        (false, true) => Reason::SameAtLast,
        (true, false) => Reason::Changed,
        (true, true) => Reason::ChangedAtOnce,
    };
    let mut wanted_ms = best_ttl_ms(&history, prior, bounds.ttl_ms as f64) as u64;
    if is_unread && wanted_ms > bounds.ttl_ms {
        wanted_ms = bounds.ttl_ms;
        reason = Reason::Unread;
    }
    let (ttl_ms, held) = bounds.hold(wanted_ms);
    Decision {
        ttl_ms,
        history,
        reason,
        held,
    }
}

impl History {
    fn is_of(&self, value_digest: u32) -> bool {
        self.digest == value_digest & DIGEST_MASK
    }
}

/// The TTL at which loads and stale reads cost the least, where a stale read has the
/// price at which a typical key gets `ttl_ms`.
///
/// With x = r·TTL for that key, the formula of the file's head says
/// `2r/(p·c) = x(x + 2)`; p is the same for all keys, so another key's 2r/(p·c) is this
/// by the quotients of the two r and the two c.
fn best_ttl_ms(history: &History, prior: Prior, ttl_ms: f64) -> f64 {
    let read_every_ms = history.read_ms / history.reads;
    let reads_ratio = prior.read_every_ms / read_every_ms;
    let changes_ratio = (history.shape / history.time_ms) / (SHAPE_FIRST / prior.time_ms);
    let x = ttl_ms / prior.read_every_ms;
    let y = x * (x + 2.0) * reads_ratio / changes_ratio;
    // √(1 + y) − 1, also where y is small.
    read_every_ms * y / ((1.0 + y).sqrt() + 1.0)
}

/// A TTL shortened by up to `percent` of it, by where `random` lies in its range: never
/// longer, since a bound may stand there, and never 0.
pub fn jitter(ttl_ms: u64, percent: u8, random: u64) -> u64 {
    let span_ms = u128::from(ttl_ms) * u128::from(percent.min(100)) / 100;
    let less_ms = ((span_ms + 1) * u128::from(random)) >> 64;
    (ttl_ms - less_ms as u64).max(1)
}

#[cfg(test)]
mod tests;
