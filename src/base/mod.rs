//! What every other layer stands on: time, randomness, hashes, numbers, glob.
//!
//! **Invariant:** imports nothing of this crate, and knows nothing of keys,
//! clients or the protocol.

pub mod clock;
pub mod glob;
pub mod hash;
pub mod log;
pub mod num;
pub mod units;
