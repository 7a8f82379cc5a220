//! What every other layer stands on: time, randomness, hashes, numbers, glob,
//! listening sockets, the process's surroundings.
//!
//! **Invariant:** imports nothing of this crate, and knows nothing of keys,
//! clients or the protocol.

mod big;
pub mod clock;
pub mod cursor;
pub mod float80;
pub mod glob;
mod grisu;
pub mod hash;
pub mod heap;
pub mod histogram;
pub mod listen;
pub mod log;
pub mod lzf;
pub mod num;
pub mod processors;
pub mod supervisor;
pub mod tags;
pub mod units;
