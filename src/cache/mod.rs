//! What makes it a cache rather than a store: limits on requests, and what is
//! counted of warming. What reads and writes do under a policy is in `exec::txn`.
//!
//! **Invariant:** knows no handler and no socket; where it has a say in a
//! command's life, `exec` asks for it.

pub mod gcra;
pub mod limits;
pub mod warming;
