//! What operators see: figures that the layers below count, as text.
//!
//! **Invariant:** counts nothing itself, and changes nothing.

pub mod clients;
pub mod info;
pub mod latency;
pub mod memory;
pub mod process;
