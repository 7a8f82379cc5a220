//! What makes it a cache rather than a store: services beside the paths of reads and
//! writes, which are in `exec::txn`.
//!
//! **Invariant:** knows no handler and no socket; where it has a say in a
//! command's life, `exec` asks for it.

pub mod gcra;
pub mod hot;
pub mod limits;
pub mod refresh;
pub mod run;
pub mod warming;
