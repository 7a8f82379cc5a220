//! What operators see: figures that the layers below count, as text.
//!
//! **Invariant:** counts nothing itself, and changes nothing.

pub mod cache;
pub mod clients;
pub mod health;
pub mod http;
pub mod info;
pub mod latency;
pub mod memory;
pub mod metrics;
pub mod process;
pub mod prometheus;
