//! Taking snapshots: into their file, within a command or beside them all.

use std::io;

use super::snapshot;
use crate::base::clock;
use crate::exec::engine::Engine;
use crate::exec::saving::{self, Turn};
use crate::exec::shutdown::Farewell;
use crate::exec::txn::Txn;

/// Takes a snapshot within a transaction that holds the whole keyspace, which waits
/// for the disk.
pub fn within(engine: &Engine, txn: &mut Txn<'_>, mut turn: Turn<'_>) -> io::Result<()> {
    let written = snapshot::write_beside(txn, &engine.settings).inspect_err(log_failure)?;
    let changes = written.changes;
    let _place = engine.saving.is_last_placed.lock();
    written.put_in_place().inspect_err(log_failure)?;
    turn.succeed(changes);
    crate::notice!("DB saved on disk");
    Ok(())
}

/// Takes the snapshot that was reserved: the whole keyspace is held while it is
/// written, but not while the disk makes it safe. For a thread that holds no lock.
pub fn in_background(engine: &Engine) {
    let mut turn = engine.saving.take_up(true);
    let written = {
        let mut txn = all_of(engine);
        snapshot::write_beside(&mut txn, &engine.settings)
    };
    let Ok(written) = written.inspect_err(log_failure) else {
        return;
    };
    let is_last_placed = engine.saving.is_last_placed.lock();
    if *is_last_placed {
        return;
    }
    let changes = written.changes;
    if written.put_in_place().inspect_err(log_failure).is_ok() {
        turn.succeed(changes);
        crate::notice!("Background saving terminated with success");
    }
}

/// Takes the last snapshot, where one is wanted, and keeps the keyspace for ever:
/// nothing is acknowledged that it has not. Where it cannot be taken, and that is no
/// reason to go on, the keyspace is let go.
pub fn at_the_end(engine: &Engine, farewell: Farewell) -> io::Result<()> {
    let is_wanted = match farewell.save {
        Some(wish) => wish,
        None => !engine.settings.save_points().is_empty(),
    };
    if !is_wanted {
        return Ok(());
    }
    let mut txn = all_of(engine);
    let unsaved = engine.saving.unsaved(saving::changes(&mut txn));
    let mut is_last_placed = engine.saving.is_last_placed.lock();
    if !farewell.is_saved || unsaved > 0 {
        crate::notice!("Saving the final RDB snapshot before exiting.");
        let written = snapshot::write_beside(&mut txn, &engine.settings);
        let saved = written.and_then(snapshot::Written::put_in_place);
        if let Err(error) = saved.inspect_err(log_failure)
            && !farewell.is_forced
        {
            return Err(error);
        }
        crate::notice!("DB saved on disk");
    }
    *is_last_placed = true;
    std::mem::forget(txn);
    Ok(())
}

/// A transaction that holds everything. It is for reading: what it does to the data
/// leaves no effect.
fn all_of(engine: &Engine) -> Txn<'_> {
    let locked = engine.keyspace.lock_all();
    Txn::new(
        &engine.keyspace,
        &engine.effects,
        locked,
        0,
        clock::unix_ms(),
    )
}

fn log_failure(error: &io::Error) {
    crate::warning!("Write error while saving DB to the disk: {error}");
}
