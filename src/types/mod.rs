//! Pure data structures and algorithms of Redis's types.
//!
//! **Invariant:** knows neither keys nor clients nor the protocol.

pub mod bitmap;
pub mod dict;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod intset;
pub mod lcs;
pub mod list;
pub mod listpack;
pub mod object;
pub mod rank_tree;
pub mod sample;
pub mod set;
pub mod stream;
pub mod thin;
pub mod zset;
