//! The command families: each file is one, with its specs and its handlers.

use crate::acl::Users;
use crate::config::{LoadError, Settings};
use crate::exec::engine::Engine;
use crate::exec::spec::{CommandTable, Spec};
use crate::store::rules::Rules;

mod acl;
mod bitmap;
mod cache;
mod cache_stats;
mod client;
mod client_filter;
mod client_tracking;
mod cluster;
#[expect(clippy::module_inception, reason = "the family of the command COMMAND")]
mod command;
mod commandlog;
mod config;
mod connection;
mod database;
mod debug;
mod digest;
mod dump;
mod expire;
mod failover;
mod geo;
mod hash;
mod help;
mod hyperloglog;
mod info;
mod keys;
mod latency;
mod list;
mod memory;
mod migrate;
mod module;
mod object;
mod options;
mod policy;
mod pubsub;
mod replication;
mod save;
mod scan;
mod script;
mod server;
mod set;
mod sort;
mod stream;
mod string;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
pub(crate) mod testkit;
mod throttle;
pub mod timeout;
mod transaction;
mod warm;
mod zset;

const FAMILIES: &[&[Spec]] = &[
    string::SPECS,
    cache::SPECS,
    list::SPECS,
    set::SPECS,
    bitmap::SPECS,
    hyperloglog::SPECS,
    zset::SPECS,
    hash::SPECS,
    stream::SPECS,
    geo::SPECS,
    keys::SPECS,
    expire::SPECS,
    dump::SPECS,
    migrate::SPECS,
    sort::SPECS,
    scan::SPECS,
    object::SPECS,
    database::SPECS,
    connection::SPECS,
    acl::SPECS,
    client::SPECS,
    transaction::SPECS,
    info::SPECS,
    config::SPECS,
    policy::SPECS,
    commandlog::SPECS,
    latency::SPECS,
    debug::SPECS,
    command::SPECS,
    memory::SPECS,
    module::SPECS,
    pubsub::SPECS,
    warm::SPECS,
    throttle::SPECS,
    save::SPECS,
    replication::SPECS,
    failover::SPECS,
    cache_stats::SPECS,
    cluster::SPECS,
    script::SPECS,
    server::SPECS,
];

/// Makes the settings that are kept in another form take effect.
pub fn configure(engine: &Engine) {
    engine.configure();
    acl::configure(engine);
    crate::cache::limits::configure(engine);
    crate::pubsub::configure(engine);
    replication::configure(engine);
    crate::cache::refresh::configure(engine);
    crate::cluster::configure(engine);
}

pub use cluster::drop_slot;
pub use migrate::drop_idle_links;

/// The table of all commands.
pub fn table() -> CommandTable {
    CommandTable::new(FAMILIES)
}

/// The same, by the names that the settings give them (`rename-command`).
pub fn table_for(settings: &Settings) -> Result<CommandTable, LoadError> {
    let mut table = table();
    for directive in settings.directives("rename-command") {
        if let [old, new] = &directive.args[..] {
            table
                .rename(old, new)
                .map_err(|why| directive.refuse(why))?;
        }
    }
    Ok(table)
}

/// The users that the configuration defines.
pub fn users_for(settings: &Settings, table: &CommandTable) -> Result<Users, LoadError> {
    crate::acl::users_of(settings, table)
}

/// The policies that the configuration defines.
pub fn policies_for(settings: &Settings) -> Result<Rules, LoadError> {
    policy::rules_of(settings.policies()?, &Rules::default())
}
