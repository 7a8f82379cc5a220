//! The command families: each file is one, with its specs and its handlers.

use crate::exec::spec::{CommandTable, Spec};

mod string;
#[cfg(test)]
pub(crate) mod testkit;

const FAMILIES: &[&[Spec]] = &[string::SPECS];

/// The table of all commands.
pub fn table() -> CommandTable {
    CommandTable::new(FAMILIES)
}
