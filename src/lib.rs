//! Larder: a cache server that speaks Redis's protocol.
//!
//! # The map
//!
//! A layer imports only what stands above it here; `tests/layers.rs` reads the
//! imports and fails where that is broken.
//!
//! * [`base`]: time, randomness, hashes, numbers, glob, the log. **Knows nothing**
//!   of keys, clients or the protocol.
//! * [`config`]: redis.conf's grammar and the one table of parameters, from which
//!   CONFIG, the command line and `conf/larder.conf` come. **Changes no state**
//!   but its own and the config file.
//! * [`protocol`]: bytes to commands, replies to bytes; every error that a client
//!   sees. **Knows neither** keys nor commands.
//! * [`types`]: pure data structures and algorithms. **Knows no** keys, deadlines
//!   or clients.
//! * [`store`]: entries, tables, shards, expiry, eviction, memory; which policy a key
//!   belongs to, and what is kept of policies beside their tables: absences, leases,
//!   what left, figures, invalidations. **Knows neither** clients nor the protocol, nor
//!   which command is running. All unsafe code about entries is in six of its files.
//! * [`exec`]: what a command is, which shards it locks, how it is run, what
//!   effect it leaves. What policies mean for reads and writes is in `exec::txn`, where
//!   both come by. **A handler sees only the keys that its row declares.**
//! * [`cache`]: services that make a cache of it, beside reads and writes. **Knows
//!   no** handler and no socket.
//! * [`acl`]: users, their passwords and their rights. **Knows no** connection.
//! * [`pubsub`]: who listens to what, and what they are sent. **Knows no** connection.
//! * [`persist`]: values as bytes outside the server, and back; snapshots. **Trusts
//!   nothing** that it reads.
//! * [`replication`]: every effect to who follows, and the log of who is followed to the
//!   data. **Knows no** snapshot's format.
//! * [`cluster`]: which nodes there are, who serves which slot, and the file that keeps
//!   it. **Knows no** key.
//! * [`script`]: Lua, what scripts may see and call, the scripts and libraries that are
//!   known. **Knows no** connection. What is unsafe about lending a script's caller to Lua
//!   is in one file.
//! * [`observe`]: renders what the layers count. **Counts nothing itself.**
//! * [`command`]: the families, one a file: rows and handlers.
//! * [`net`]: sockets, connections, workers. **Knows neither** store nor commands.
//! * [`simulate`]: the wiring for `larder simulate`: a trace through an engine on
//!   the virtual clock. **Knows no** socket.
//! * [`server`]: the wiring: start, cron, end. [`crash`]: the end that nobody
//!   wanted. [`title`]: what `ps` shows. [`watchdog`]: who holds a worker up.
//!
//! # A byte's way
//!
//! `net::connection` reads → `protocol::parse` cuts → `exec::dispatch` looks up,
//! prefetches, locks → a handler in `command` reads and changes entries through
//! `exec::txn` → `protocol::reply` writes → `net::connection` sends.
//!
//! What others have for a client (messages, notifications, invalidations, the reply
//! of a command that waited) comes by its inbox (`exec::mail`), which its connection
//! empties between replies.
//!
//! # What must not break
//!
//! * Whoever holds several shards took them by rising index (`store::keyspace`).
//! * Every change leaves through `exec::txn` as part of one effect.
//! * An entry's address stands in exactly one slot of one table (`store::table`).
//! * An element there from the start of a SCAN to its end is returned.

pub mod acl;
pub mod base;
pub mod cache;
pub mod cluster;
pub mod command;
pub mod config;
pub mod crash;
pub mod exec;
pub mod net;
pub mod observe;
pub mod persist;
pub mod protocol;
pub mod pubsub;
pub mod replication;
pub mod script;
pub mod server;
pub mod simulate;
pub mod store;
pub mod title;
pub mod types;
pub mod watchdog;
