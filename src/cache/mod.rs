//! What makes it a cache rather than a store: limits on requests, so far.
//!
//! **Invariant:** knows no handler and no socket; where it has a say in a
//! command's life, `exec` asks for it.

pub mod gcra;
pub mod limits;
