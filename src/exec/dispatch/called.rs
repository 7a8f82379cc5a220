//! Commands that a script calls: they run within its command's transaction, and what
//! may not run is refused in a script's words.

use std::sync::atomic::Ordering;

use super::{Call, Target, find_keys, run_within, subcommand};
use crate::base::hash;
use crate::exec::access::{self, Context, Verdict};
use crate::exec::args::KeyAt;
use crate::exec::engine::{Engine, add};
use crate::exec::routing;
use crate::exec::session::Session;
use crate::exec::spec::{Spec, flag};
use crate::exec::txn::Txn;
use crate::protocol::error::Error;
use crate::protocol::output::Output;

/// What a script may do, and what it did.
pub struct Terms {
    /// It may only read.
    pub reads_only: bool,
    /// It may grow the data though memory is full.
    pub allows_oom: bool,
    /// Its keys need not be of one slot.
    pub crosses_slots: bool,
    /// It speaks RESP3 with the commands.
    pub resp3: bool,
    /// What it does is done by followers, too.
    pub replicates: bool,
    /// It has begun to write: from now on it is not stopped halfway.
    pub wrote: bool,
    /// The slot of its keys so far.
    pub slot: Option<u16>,
}

/// Runs a command for a script, and appends the reply to `out`.
///
/// # Errors
/// Why it did not run. It is counted already.
pub fn call<'t>(
    engine: &'t Engine,
    session: &mut Session,
    txn: &mut Txn<'t>,
    terms: &mut Terms,
    argv: &[&[u8]],
    out: &mut Output,
) -> Result<(), Error> {
    let worker = session.worker;
    let refused = |counter: Option<usize>, error: Error| {
        if let Some(counter) = counter {
            add(&engine.workers[worker].calls[counter].rejected, 1);
        }
        engine.count_error(worker, error.code());
        Err(error)
    };
    let Some((number, top)) = engine.commands.find(argv[0]) else {
        return refused(None, Error::UNKNOWN_IN_SCRIPT);
    };
    let (spec, sub) = match top.subcommands {
        [] => (top, None),
        _ => match subcommand(top, argv) {
            Some((at, sub)) => (sub, Some(at)),
            None if argv.len() > 1 => return refused(None, Error::UNKNOWN_IN_SCRIPT),
            None => (top, None),
        },
    };
    let target = Target {
        spec,
        skip: 1 + usize::from(sub.is_some()),
        counter: engine.commands.counter(number, sub),
    };
    let mut keys = Vec::new();
    if !find_keys(top, argv, &mut keys) {
        keys.clear();
    }
    if let Err(error) = admit(engine, session, terms, spec, argv, &keys) {
        return refused(Some(target.counter), error);
    }
    let call = Call {
        argv,
        keys: &keys,
        blobs: &[],
        spec: Some(top),
        number,
        rules: None,
    };
    let told = txn.told();
    // What the script speaks has nothing to do with what its client does.
    let resp3 = std::mem::replace(&mut session.resp3, terms.resp3);
    session.in_script = true;
    run_within(engine, session, txn, &call, target, out);
    session.in_script = false;
    session.resp3 = resp3;
    if !terms.replicates {
        txn.tell_no_more_than(told);
    }
    Ok(())
}

/// Whether a command may run now.
fn admit(
    engine: &Engine,
    session: &mut Session,
    terms: &mut Terms,
    spec: &'static Spec,
    argv: &[&[u8]],
    keys: &[KeyAt],
) -> Result<(), Error> {
    if !spec.takes(argv.len()) {
        return Err(Error::ARITY_IN_SCRIPT);
    }
    if spec.has(flag::NOSCRIPT) {
        return Err(Error::NOT_IN_SCRIPT);
    }
    let (db, context) = (session.db, Some(Context::Lua));
    if let Verdict::MayNot(why) = access::may_run(engine, session, argv, db, context) {
        return Err(Error::new(
            [b"ERR ACL failure in script: ", &why[..]].concat(),
        ));
    }
    let has_room = session.has_room || terms.allows_oom || terms.wrote || session.leads;
    if spec.has(flag::DENYOOM) && !has_room {
        engine.counters.oom_refusals.fetch_add(1, Ordering::Relaxed);
        return Err(Error::OOM);
    }
    if let Some(routing) = &engine.routing
        && !session.leads
    {
        routing::admit_called(engine, routing, session, spec, argv, keys)
            .map_err(|_| Error::NOT_LOCAL_IN_SCRIPT)?;
    }
    if terms.reads_only && spec.has(flag::WRITE | flag::MAY_REPLICATE) {
        return Err(Error::WRITE_IN_READING_SCRIPT);
    }
    if spec.has(flag::WRITE) && !terms.wrote {
        if engine.is_guarded() && !session.leads {
            engine.refuse_to_write()?;
        }
        terms.wrote = true;
    }
    if engine.is_stale() && !spec.has(flag::STALE) && !session.leads {
        return Err(Error::STALE_IN_SCRIPT);
    }
    if engine.routing.is_some() && !terms.crosses_slots && !session.leads {
        for key in keys {
            let slot = hash::slot(argv[key.arg as usize]);
            if *terms.slot.get_or_insert(slot) != slot {
                return Err(Error::CROSS_SLOT_IN_SCRIPT);
            }
        }
    }
    Ok(())
}
