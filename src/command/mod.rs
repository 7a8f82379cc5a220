//! The command families: each file is one, with its specs and its handlers.

use crate::exec::spec::{CommandTable, Spec};

mod client;
mod client_filter;
mod config;
mod connection;
mod database;
mod expire;
mod help;
mod info;
mod keys;
mod object;
mod scan;
mod string;
#[cfg(test)]
pub(crate) mod testkit;
mod transaction;

const FAMILIES: &[&[Spec]] = &[
    string::SPECS,
    keys::SPECS,
    expire::SPECS,
    scan::SPECS,
    object::SPECS,
    database::SPECS,
    connection::SPECS,
    client::SPECS,
    transaction::SPECS,
    info::SPECS,
    config::SPECS,
];

/// The table of all commands.
pub fn table() -> CommandTable {
    CommandTable::new(FAMILIES)
}
