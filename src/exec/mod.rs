//! Execution: what a command is, what it may touch, and how it is run.
//!
//! **Invariant:** a handler sees only the keys that its spec declares, through
//! [`txn::Txn`]; every change leaves there as part of one effect. This layer
//! knows no command by name but those of a transaction's own life.

pub mod access;
pub mod args;
pub mod busy;
pub mod client_eviction;
pub mod command_log;
pub mod context;
pub mod dispatch;
pub mod effect;
pub mod engine;
pub mod failover;
pub mod files;
pub mod following;
pub mod gate;
pub mod hint;
pub mod invalidation;
pub mod latency;
pub mod leading;
pub mod loading;
pub mod logging;
pub mod mail;
#[cfg(test)]
mod model_tests;
pub mod monitor;
pub mod multi;
pub mod oom_score;
pub mod owed;
pub mod own;
pub mod pause;
pub mod reclaim;
pub mod refill;
pub mod replies;
pub mod room;
pub mod routing;
pub mod saving;
pub mod services;
pub mod session;
pub mod shutdown;
pub mod spec;
pub mod sweep;
pub mod timing;
pub mod totals;
pub mod tracking;
pub mod txn;
pub mod waiting;
