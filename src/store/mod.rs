//! The store: entries, the tables that find them, the shards that lock them.
//!
//! **Invariant:** knows keys, values and deadlines, but neither clients nor the
//! protocol nor which command is running. Every unsafe line about entries is in
//! `entry`, `slab`, `table`; the allocator's in `memory`.

pub mod adaptive;
pub mod departed;
pub mod entry;
pub mod eviction;
pub mod figures;
pub mod garbage;
pub mod ghost;
pub mod invalidation;
pub mod keyspace;
pub mod lease;
pub mod libraries;
pub mod memory;
pub mod nulls;
pub mod rules;
pub mod shard;
pub mod slab;
pub mod table;
pub mod wheel;
