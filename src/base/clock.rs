//! The only source of time and of randomness.
//!
//! Time comes in two kinds: Unix time in milliseconds, in which deadlines are
//! kept, and a monotonic count of nanoseconds for durations. A simulation or a
//! test may freeze Unix time and move it by hand.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

thread_local! {
    /// Frozen Unix time in milliseconds; 0 while the real clock is in force.
    static FROZEN_MS: Cell<u64> = const { Cell::new(0) };
}

/// Unix time in milliseconds.
pub fn unix_ms() -> u64 {
    match FROZEN_MS.get() {
        0 => unix_us() / 1000,
        ms => ms,
    }
}

/// Unix time in microseconds, never frozen.
pub fn unix_us() -> u64 {
    since_epoch().as_micros() as u64
}

fn since_epoch() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

/// Unix time in nanoseconds, as fine as the system has it.
pub fn unix_ns() -> u64 {
    match FROZEN_MS.get() {
        0 => since_epoch().as_nanos() as u64,
        ms => ms * 1_000_000,
    }
}

/// Freezes `unix_ms` and `unix_ns` at `ms` for this thread; 0 lets the real clock run again.
/// Who simulates with several threads tells each of them: so tests that run at
/// the same time do not stop each other's clocks.
pub fn freeze(ms: u64) {
    FROZEN_MS.set(ms);
}

/// Nanoseconds since the first call in this process; never goes back.
pub fn mono_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

thread_local! {
    /// Time that this thread did not spend on the commands that it runs.
    static ASIDE_NS: Cell<u64> = const { Cell::new(0) };
}

/// As [`mono_ns`], but time spent in [`aside`] does not pass: what lies between two
/// readings is a command's own time.
pub fn work_ns() -> u64 {
    mono_ns() - ASIDE_NS.get()
}

/// Does something that is not the running command's own work: waiting for what
/// others hold, or making room for everybody.
pub fn aside<R>(work: impl FnOnce() -> R) -> R {
    let began_ns = work_ns();
    let result = work();
    // What was aside within it is not counted twice.
    ASIDE_NS.set(ASIDE_NS.get() + (work_ns() - began_ns));
    result
}

thread_local! {
    static STATE: Cell<u64> = Cell::new(seed());
}

/// Entropy of the operating system, by way of the standard library's hasher.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() | 1
}

/// A random number, not for secrets (splitmix64, a state for each thread).
pub fn random() -> u64 {
    STATE.with(|s| {
        let x = s.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        s.set(x);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    })
}

/// A random number below `n`; 0 where `n` is 0.
pub fn random_below(n: u64) -> u64 {
    ((u128::from(random()) * u128::from(n)) >> 64) as u64
}

/// Makes this thread's random numbers repeat, for tests.
pub fn reseed(seed: u64) {
    STATE.with(|s| s.set(seed));
}

/// `N` bytes of entropy as lower-case hexadecimal digits, for run and replication ids.
pub fn random_hex(digits: usize) -> String {
    let mut out = String::with_capacity(digits);
    while out.len() < digits {
        out.push_str(&format!("{:016x}", seed() ^ random()));
    }
    out.truncate(digits);
    out
}

/// So many lower-case hexadecimal digits that nobody can guess, for passwords.
///
/// # Errors
///
/// The operating system has no entropy to give.
pub fn secret_hex(digits: usize) -> io::Result<String> {
    let mut bytes = vec![0; digits.div_ceil(2)];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut out: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    out.truncate(digits);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_aside_is_no_work() {
        let (work, all) = (work_ns(), mono_ns());
        let pause = std::time::Duration::from_millis(20);
        aside(|| {
            std::thread::sleep(pause);
            aside(|| std::thread::sleep(pause));
        });
        let (work, all) = (work_ns() - work, mono_ns() - all);
        assert!(
            all - work >= 40_000_000 && work < all / 2,
            "{work} of {all}"
        );
    }
}
