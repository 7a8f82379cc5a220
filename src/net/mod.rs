//! The network: who may connect, and how bytes become batches and replies bytes.
//!
//! **Invariant:** knows neither the store nor any command; it hands batches to
//! `exec::dispatch` and writes what comes back.

pub mod acceptors;
pub mod connection;
pub mod listener;
pub mod stand_in;
pub mod stream;
pub mod worker;
