//! CLUSTER's subcommands that change who serves what, and those that would, were there
//! another node to speak to.

use std::net::IpAddr;

use super::{node_of, slot_of, the_cluster, wrong};
use crate::base::{hash, num};
use crate::cluster::{Action, BUS_PORT_OFFSET, Ref, State, flag};
use crate::config::param;
use crate::exec::context::Ctx;
use crate::protocol::error::Error;
use crate::pubsub::PubSub;

/// What takes another node cannot be done.
const NO_BUS: &str =
    "ERR This node speaks no cluster bus yet: it can neither reach other nodes nor follow one";

/// Changes what is known of the cluster; shard channels whose slot is nobody's then are
/// no longer listened to.
fn change<R>(
    ctx: &mut Ctx<'_, '_>,
    change: impl FnOnce(&mut State) -> Result<R, String>,
) -> Result<R, Error> {
    let cluster = the_cluster(ctx)?;
    let result = cluster.change(ctx.engine, ctx.session.worker, change)?;
    let hub = ctx.engine.service::<PubSub>();
    if hub.has_shard_channels() {
        let state = cluster.state();
        let mine = Some(state.my_ref());
        hub.end_shard_channels(|channel| state.owner(hash::slot(channel)) != mine);
    }
    Ok(result)
}

fn has_no_keys(ctx: &mut Ctx<'_, '_>) -> bool {
    (0..ctx.txn.shards()).all(|i| ctx.txn.shard(i).is_empty())
}

/// Keys of a slot in all databases.
fn count_keys(ctx: &mut Ctx<'_, '_>, slot: u16) -> usize {
    let shard = ctx.txn.shard_of_slot(slot);
    let databases = ctx.engine.databases();
    (0..databases).map(|db| shard.len_of_slot(db, slot)).sum()
}

fn claim(ctx: &mut Ctx<'_, '_>, ranges: &[(u16, u16)], gives_up: bool) -> Result<(), Error> {
    change(ctx, |state| state.claim(ranges, gives_up))?;
    ctx.reply.ok();
    Ok(())
}

fn single_slots(ctx: &mut Ctx<'_, '_>) -> Result<Vec<(u16, u16)>, Error> {
    the_cluster(ctx)?;
    let slots = ctx.args.rest().iter();
    slots.map(|text| slot_of(text).map(|s| (s, s))).collect()
}

pub(super) fn add_slots(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let slots = single_slots(ctx)?;
    claim(ctx, &slots, false)
}

pub(super) fn del_slots(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let slots = single_slots(ctx)?;
    claim(ctx, &slots, true)
}

fn ranges(ctx: &mut Ctx<'_, '_>) -> Result<Vec<(u16, u16)>, Error> {
    the_cluster(ctx)?;
    let name = ctx.spec.name;
    let pairs = ctx.args.rest().chunks(2);
    let mut ranges = Vec::new();
    for pair in pairs {
        let [first, last] = pair else {
            return Err(Error::arity(&format!("cluster|{name}")));
        };
        let (first, last) = (slot_of(first)?, slot_of(last)?);
        if first > last {
            return Err(format!(
                "ERR start slot number {first} is greater than end slot number {last}"
            )
            .into());
        }
        ranges.push((first, last));
    }
    Ok(ranges)
}

pub(super) fn add_slots_range(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let ranges = ranges(ctx)?;
    claim(ctx, &ranges, false)
}

pub(super) fn del_slots_range(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let ranges = ranges(ctx)?;
    claim(ctx, &ranges, true)
}

pub(super) fn flush_slots(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    if !has_no_keys(ctx) {
        return Err(Error::new(
            "ERR DB must be empty to perform CLUSTER FLUSHSLOTS.",
        ));
    }
    change(ctx, |state| {
        state.give_up_all();
        Ok(())
    })?;
    ctx.reply.ok();
    Ok(())
}

pub(super) fn bump_epoch(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (is_new, epoch) = change(ctx, |state| {
        let is_new = state.bump_epoch();
        Ok((is_new, state.me().epoch))
    })?;
    if is_new {
        crate::notice!("New configEpoch set to {epoch}");
    }
    let word = if is_new { "BUMPED" } else { "STILL" };
    ctx.reply.simple(&format!("{word} {epoch}"));
    Ok(())
}

pub(super) fn set_config_epoch(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    let epoch = ctx.args.int()?;
    change(ctx, |state| state.set_epoch(epoch))?;
    crate::notice!("configEpoch set to {epoch} via CLUSTER SET-CONFIG-EPOCH");
    ctx.reply.ok();
    Ok(())
}

pub(super) fn save_config(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    match the_cluster(ctx)?.save() {
        true => ctx.reply.ok(),
        false => {
            return Err(Error::new(
                "ERR error saving the cluster node config: see the log",
            ));
        }
    }
    Ok(())
}

pub(super) fn forget(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let id = ctx.args.bytes()?;
    let now_ms = ctx.txn.now_ms;
    let ttl_s = ctx.engine.settings.int(param::CLUSTER_BLACKLIST_TTL) as u64;
    let until_ms = now_ms.saturating_add(ttl_s.saturating_mul(1000));
    change(ctx, |state| state.forget(id, now_ms, until_ms))?;
    let id = String::from_utf8_lossy(id);
    let client = &ctx.session.client;
    crate::notice!("Cluster forget {id} (user request from '{}').", client.addr);
    ctx.reply.ok();
    Ok(())
}

pub(super) fn reset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    let hard = match ctx.args.rest() {
        [] => false,
        [word] if word.eq_ignore_ascii_case(b"hard") => true,
        [word] if word.eq_ignore_ascii_case(b"soft") => false,
        [_] => return Err(Error::SYNTAX),
        _ => return Err(wrong(ctx)),
    };
    if !has_no_keys(ctx) {
        return Err(Error::new(
            "ERR CLUSTER RESET can't be called with master nodes containing keys",
        ));
    }
    let addr = &ctx.session.client.addr;
    crate::notice!("Cluster reset (user request from '{addr}').");
    let (id, shard) = change(ctx, |state| {
        state.reset(hard);
        Ok((state.me().id, state.me().shard))
    })?;
    if hard {
        crate::notice!("Node hard reset, now I'm {id}");
    }
    crate::notice!("Moving myself to a new shard {shard}.");
    ctx.reply.ok();
    Ok(())
}

/// The node that a word of SETSLOT names, where keys go to or come from.
fn known(state: &State, id: &[u8]) -> Result<Ref, Error> {
    state.find(id).ok_or_else(|| {
        let id = String::from_utf8_lossy(id);
        format!("ERR I don't know about node {id}").into()
    })
}

/// SETSLOT slot IMPORTING id | MIGRATING id | STABLE | NODE id, and TIMEOUT ms, for
/// which nothing is waited: nobody follows this node.
pub(super) fn set_slot(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let cluster = the_cluster(ctx)?;
    let slot = slot_of(ctx.args.bytes()?)?;
    let words = ctx.args.rest();
    let keys = count_keys(ctx, slot);
    let (action, options) = {
        let state = cluster.state();
        let is_mine = state.owner(slot) == Some(state.my_ref());
        let lower: Vec<Vec<u8>> = words.iter().map(|w| w.to_ascii_lowercase()).collect();
        match (&lower[0][..], &words[1..]) {
            // Who serves it is asked before who the other one is.
            (b"migrating", [_, ..]) if !is_mine => {
                return Err(format!("ERR I'm not the owner of hash slot {slot}").into());
            }
            (b"importing", [_, ..]) if is_mine => {
                return Err(format!("ERR I'm already the owner of hash slot {slot}").into());
            }
            (b"migrating", [id, rest @ ..]) => (Action::Migrate(known(&state, id)?), rest),
            (b"importing", [id, rest @ ..]) => (Action::Import(known(&state, id)?), rest),
            (b"stable", rest) => (Action::Settle, rest),
            (b"node", [id, rest @ ..]) => (Action::Assign(node_of(&state, id)?), rest),
            _ => {
                return Err(Error::new(
                    "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP",
                ));
            }
        }
    };
    cluster.state().check(slot, action, keys)?;
    check_timeout(options)?;
    change(ctx, |state| {
        log(state, slot, action);
        state.set_slot(slot, action, keys);
        if let Action::Assign(at) = action
            && at != state.my_ref()
            && state.me().slots == 0
        {
            // With a bus, a node without slots may follow who took the last one.
            let to = state.node(at);
            crate::notice!(
                "My last slot was migrated to node {} ({}) in shard {}. I am now an empty primary.",
                to.id,
                to.name(),
                to.shard
            );
        }
        Ok(())
    })?;
    ctx.reply.ok();
    Ok(())
}

fn check_timeout(options: &[&[u8]]) -> Result<(), Error> {
    let mut options = options.iter();
    while let Some(word) = options.next() {
        if word.eq_ignore_ascii_case(b"timeout") {
            let value = options.next();
            let value = value.ok_or_else(|| Error::new("ERR Missing timeout value"))?;
            match num::parse_i64(value) {
                Some(0..) => {}
                Some(_) => return Err(Error::TIMEOUT_NEGATIVE),
                None => return Err(Error::TIMEOUT_NOT_INTEGER),
            }
        }
    }
    Ok(())
}

fn log(state: &State, slot: u16, action: Action) {
    let told = |at: Ref| format!("node {} ({})", state.node(at).id, state.node(at).name());
    match action {
        Action::Migrate(at) => crate::notice!("Migrating slot {slot} to {}", told(at)),
        Action::Import(at) => crate::notice!("Importing slot {slot} from {}", told(at)),
        Action::Settle => crate::notice!("Marking slot {slot} stable"),
        Action::Assign(at) => {
            let shard = state.node(at).shard;
            crate::notice!("Assigning slot {slot} to {} in shard {shard}", told(at));
        }
    }
}

// ----- what takes another node --------------------------------------------------

/// A port, by what it is called.
fn port(text: &[u8], what: &str, beyond: &str) -> Result<u16, Error> {
    let shown = String::from_utf8_lossy(text);
    let n = num::parse_i64(text)
        .ok_or_else(|| Error::from(format!("ERR Invalid {what} port specified: {shown}")))?;
    match u16::try_from(n) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Error::new(beyond)),
    }
}

pub(super) fn meet(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    let words = ctx.args.rest();
    let (ip, base, bus) = match *words {
        [ip, base] => (ip, base, None),
        [ip, base, bus] => (ip, base, Some(bus)),
        _ => return Err(wrong(ctx)),
    };
    const BEYOND: &str = "ERR Cluster bus port number is out of range";
    let number = port(base, "base", "ERR Port number is out of range")?;
    match bus {
        Some(bus) => port(bus, "bus", BEYOND)?,
        None => number
            .checked_add(BUS_PORT_OFFSET)
            .ok_or_else(|| Error::new(BEYOND))?,
    };
    let is_address = std::str::from_utf8(ip).is_ok_and(|ip| ip.parse::<IpAddr>().is_ok());
    match is_address {
        true => Err(Error::new(NO_BUS)),
        false => Err(Error::quoting_both(
            ("ERR Invalid node address specified: ", ip),
            (":", base),
            "",
        )),
    }
}

pub(super) fn replicate(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let cluster = the_cluster(ctx)?;
    let id = match *ctx.args.rest() {
        [id] => id,
        [no, one] if no.eq_ignore_ascii_case(b"no") && one.eq_ignore_ascii_case(b"one") => {
            // It follows nobody.
            ctx.reply.ok();
            return Ok(());
        }
        _ => return Err(wrong(ctx)),
    };
    let is_empty = has_no_keys(ctx);
    let state = cluster.state();
    let at = node_of(&state, id)?;
    if at == state.my_ref() {
        return Err(Error::new("ERR Can't replicate myself"));
    }
    if state.node(at).is(flag::FOLLOWER) {
        return Err(Error::new(
            "ERR I can only replicate a master, not a replica.",
        ));
    }
    if state.me().slots > 0 || !is_empty {
        return Err(Error::new(
            "ERR To set a master the node must be empty and without assigned slots.",
        ));
    }
    Err(Error::new(NO_BUS))
}

pub(super) fn failover(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    let is_option =
        |w: &&[u8]| w.eq_ignore_ascii_case(b"force") || w.eq_ignore_ascii_case(b"takeover");
    if !ctx.args.rest().iter().all(is_option) {
        return Err(Error::SYNTAX);
    }
    Err(Error::new(
        "ERR You should send CLUSTER FAILOVER to a replica",
    ))
}

pub(super) fn cancel_migrations(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    Err(Error::new("ERR No migrations ongoing"))
}

pub(super) fn migrations(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    ctx.reply.array(0);
    Ok(())
}

/// MIGRATESLOTS SLOTSRANGE first last [first last …] NODE id […]
pub(super) fn migrate_slots(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let state = the_cluster(ctx)?.state();
    let words = ctx.args.rest();
    let is = |at: usize, word: &str| {
        let given = words.get(at);
        given.is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()))
    };
    let mut at = 0;
    while at < words.len() {
        if !is(at, "slotsrange") {
            return Err(Error::SYNTAX);
        }
        at += 1;
        let first_range = at;
        while at + 1 < words.len() && !is(at, "node") {
            let (first, last) = (slot_of(words[at])?, slot_of(words[at + 1])?);
            if first > last {
                return Err(format!(
                    "ERR Start slot number {first} is greater than end slot number {last}"
                )
                .into());
            }
            let mut slots = first..=last;
            if !slots.all(|slot| state.owner(slot) == Some(state.my_ref())) {
                return Err(Error::new("ERR Slots are not served by this node."));
            }
            at += 2;
        }
        if at == first_range || !is(at, "node") || at + 1 >= words.len() {
            return Err(Error::SYNTAX);
        }
        let id = words[at + 1];
        let shown = String::from_utf8_lossy(id);
        if id.len() != crate::cluster::Id::LEN {
            return Err(format!("ERR Invalid node name: {shown}").into());
        }
        match state.find(id) {
            None => return Err(format!("ERR Unknown node name: {shown}").into()),
            Some(at) if at == state.my_ref() => {
                return Err(Error::new("ERR Target node can not be this node."));
            }
            Some(_) => at += 2,
        }
    }
    Err(Error::new(NO_BUS))
}

pub(super) fn sync_slots(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    the_cluster(ctx)?;
    Err(Error::new(NO_BUS))
}
