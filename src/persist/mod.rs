//! Values outside the server's memory: what DUMP gives and RESTORE takes, which
//! is also what snapshots are made of.
//!
//! **Invariant:** knows no clients; [`rdb`] knows no keyspace either. What is read
//! is hostile until it was checked: every byte of it is, before it becomes a value,
//! and memory is taken only for what is there.

pub mod fields;
pub mod rdb;
pub mod save;
pub mod snapshot;
